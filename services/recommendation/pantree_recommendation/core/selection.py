"""Which model answers whom: the one asked for, the one that a customer's share falls on, the one that stands in."""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pantree_domain.evidence import ModelName
from pantree_recommendation.core.ranking import Ranker
from pantree_runtime.errors import FieldViolation, InvalidInput

# Shares are written by people: thirds in four decimals are all right.
_SHARE_TOLERANCE = 0.001


def model_id(model: ModelName) -> str:
    """How a model in this process is named by requests and selections: `name/version`."""
    return f"{model.name}/{model.version}"


@dataclass(frozen=True)
class Share:
    """A model, and the share of customers it answers."""

    model: str
    """Its id."""
    ratio: float
    """0 to 1."""


@dataclass(frozen=True)
class Selection:
    """Which model answers whom."""

    shares: tuple[Share, ...]
    """At least one; the ratios sum to 1. The first one answers where no customer is named."""
    fallback: str
    """Id of the model that stands in; it runs in this process."""
    experiment: str = ""
    """What the customers' shares are drawn by: another name draws them anew."""

    def __post_init__(self) -> None:
        """Refuses what cannot be meant.

        Raises:
            ValueError: naming what is wrong.
        """
        if not self.shares:
            raise ValueError('"shares" is empty; name at least one model')
        if any(not 0 <= share.ratio <= 1 for share in self.shares):
            raise ValueError('"shares" has a ratio that is not from 0 to 1')
        total = math.fsum(share.ratio for share in self.shares)
        if abs(total - 1) > _SHARE_TOLERANCE:
            raise ValueError(f'the ratios of "shares" sum to {total:g}; make it 1')

    def model_for(self, customer_id: str) -> str:
        """Id of the model that answers a customer: always the same one, as long as the shares stay.

        A model whose share grows keeps the customers that it has if the order stays.

        Args:
            customer_id: empty for the first model.
        """
        if not customer_id:
            return self.shares[0].model
        digest = hashlib.sha256(f"pantree-share-v1:{self.experiment}:{customer_id}".encode()).digest()
        place = int.from_bytes(digest[:8]) / 2**64
        reached = 0.0
        for share in self.shares:
            reached += share.ratio
            if place < reached:
                return share.model
        return max(self.shares, key=lambda share: share.ratio).model  # in the gap that rounded shares leave


@dataclass(frozen=True)
class ModelCard:
    """What is known of a model besides its name."""

    features: tuple[str, ...] = ()
    """What it is shown of an item."""
    training_data: str = ""
    """What it was fitted on."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """What was measured when it was fitted."""
    checksum: str = ""
    """SHA-256 of its manifest, in hexadecimal."""
    target_variant: str = ""
    inference_component: str = ""


@dataclass(frozen=True)
class Models:
    """All models that can answer, and the selection in force."""

    rankers: Mapping[str, Ranker]
    """By id."""
    selection: Selection
    cards: Mapping[str, ModelCard] = field(default_factory=dict)
    """By id; a model without one has nothing to tell."""
    selection_error: str = ""
    """Why the selection on disk is not the one in force, or a model on disk is not among these."""

    def __post_init__(self) -> None:
        """Refuses a selection of models that are not there.

        Raises:
            ValueError: naming them and what there is.
        """
        wanted = {*(share.model for share in self.selection.shares), self.selection.fallback}
        missing = wanted - set(self.rankers)
        if missing:
            raise ValueError(f"there is no model {_listed(missing)}; there are {_listed(self.rankers)}")
        if self.fallback.source != "embedded":
            raise ValueError(f"{self.selection.fallback} cannot stand in: it does not run in this process")

    @property
    def fallback(self) -> Ranker:
        """The model that stands in."""
        return self.rankers[self.selection.fallback]

    def chosen(self, model: str, customer_id: str) -> Ranker:
        """The model that answers.

        Args:
            model: id of the one that was asked for; empty when the selection decides.
            customer_id: empty when unknown.

        Raises:
            InvalidInput: when there is no such model.
        """
        ranker = self.rankers.get(model or self.selection.model_for(customer_id))
        if ranker is None:
            description = f"is {model[:100]!r}; give one of {_listed(self.rankers)}, or leave it empty"
            raise InvalidInput([FieldViolation("model", description)])
        return ranker


def _listed(ids: Iterable[str]) -> str:
    return ", ".join(sorted(ids))


class ModelSource(Protocol):
    """Where the models come from; what it gives may change from one question to the next."""

    async def current(self) -> Models:
        """The models now."""


class FixedModels:
    """Models that never change."""

    def __init__(self, embedded: Ranker, remote: Ranker | None = None) -> None:
        """Takes the models.

        Args:
            embedded: a model that always answers.
            remote: a model that is asked first; the embedded one stands in when it fails.
        """
        fallback = model_id(embedded.model)
        rankers: dict[str, Ranker] = {fallback: embedded}
        first = fallback
        if remote is not None:
            first = remote.source
            rankers[first] = remote
        self._models = Models(rankers, Selection((Share(first, 1.0),), fallback))

    async def current(self) -> Models:
        """The models."""
        return self._models
