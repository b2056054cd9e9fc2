"""What a run does with each household: from its lines to a request, and from the outcome to a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple, Protocol, TypeVar

from pantree.pipeline.v1 import pipeline_service_pb2 as pipeline
from pantree_batch.household import Household
from pantree_batch.schemas import RunTables
from pantree_pipeline.core.what_if import PlanMade, WhatIf

RequestT = TypeVar("RequestT")
OutcomeT = TypeVar("OutcomeT")


class Replayed(NamedTuple):
    """A plan of the as-of date, and its replay."""

    plan: PlanMade
    replay: WhatIf


class HouseholdScorer(Protocol):
    """Scores households."""

    def score(self, households: Sequence[pipeline.ProcessInput]) -> Sequence[pipeline.ProcessResult | Exception]:
        """The result of each household, in order, or why it has none."""

    def replay(self, households: Sequence[pipeline.WhatIfInput]) -> Sequence[Replayed | Exception]:
        """The replay of each household, in order, or why it has none."""


@dataclass(frozen=True)
class RunOptions:
    """What all households of a run share."""

    run_id: str
    as_of: date
    max_recommendations: int | None = None
    """None for the default of the recommendation service."""
    week_count: int | None = None
    """Weeks after the as-of date on which plans are replayed; None to score."""


class Method(Protocol[RequestT, OutcomeT]):
    """What a run does with each household. An engine may share one among processes: it has no state."""

    tables: RunTables
    """Its rows have ids, `rejected`, `result` and a list of details."""

    def request_of(self, household: Household, options: RunOptions) -> RequestT:
        """The request of a household.

        Raises:
            HouseholdRejected: if it has none.
        """

    def outcomes_of(self, requests: Sequence[RequestT], scorer: HouseholdScorer) -> Sequence[OutcomeT | Exception]:
        """The outcome of each request, in order, or why it has none."""

    def row_of(self, household: Household, outcome: OutcomeT, options: RunOptions) -> dict[str, Any]:
        """The columns `result` and details of a household."""
