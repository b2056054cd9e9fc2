"""What the pipeline needs of the other services.

The pipeline orders their work and hands results from one to the next; it does not look inside. What one service made
and another one understands travels as `payload`, in the services' own form.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple, Protocol

from pantree_domain.evidence import ModelName
from pantree_domain.purchases import PurchaseHistory
from pantree_pipeline.core.history import Month
from pantree_pipeline.core.order import FirstPurchase


@dataclass(frozen=True)
class Archetypes:
    """The kinds of shopper that can be simulated."""

    ids: tuple[str, ...]
    default: str


# A tuple, as there is one for every item of every history, and a tuple is made in a fraction of the time.
class ItemEvidence(NamedTuple):
    """How regularly a household buys one item."""

    name: str
    payload: object
    """The frequency service's statement, as the recommendation service reads it."""


@dataclass(frozen=True)
class ItemToEnrich:
    """An item of which more is to be known."""

    name: str
    category: str
    """An empty string when unknown."""


@dataclass(frozen=True)
class HistoryAnalysis:
    """The evidence on all items, most confident first."""

    items: tuple[ItemEvidence, ...]
    model: ModelName


@dataclass(frozen=True)
class Enrichment:
    """What is known about an item beyond its purchases."""

    name: str
    source: str
    """Who said it: `rules` or `nim`."""
    payload: object
    """The enrichment service's statement, as the recommendation service and the answer's readers read it."""


@dataclass(frozen=True)
class EnrichmentResult:
    """What came back in time."""

    items: tuple[Enrichment, ...]
    missing_count: int
    """Items of which nothing came back."""
    fallback_reason: str
    """Why rules answered although a language model is configured; empty when they did not have to."""


# A tuple, as `ItemEvidence` is.
class Candidate(NamedTuple):
    """An item to judge: the evidence, and what else is known about it."""

    evidence: ItemEvidence
    enrichment: Enrichment | None


@dataclass(frozen=True)
class Recommendations:
    """The items worth a subscription."""

    payload: object
    """The recommendation service's statement, as the answer's readers read it."""
    names: tuple[str, ...]
    """The recommended items, best first."""
    model: ModelName
    source: str
    fallback_reason: str
    """Why the embedded model answered although SageMaker is configured; empty when it did not have to."""


@dataclass(frozen=True)
class Neighborhood:
    """What similar customers buy."""

    neighbor_count: int
    item_count: int
    """Items that enough of them buy regularly."""
    payload: object
    """The vector service's statement, as the recommendation service reads it."""


class Simulator(Protocol):
    """The simulation service."""

    async def archetypes(self) -> Archetypes:
        """The kinds of shopper that can be simulated."""

    def months(self, customer_id: str, first_purchase: FirstPurchase) -> AsyncGenerator[Month]:
        """The months that follow a first purchase, each as soon as it is made."""


class FrequencyAnalyzer(Protocol):
    """The frequency service."""

    async def analyze(self, history: PurchaseHistory, as_of: date) -> HistoryAnalysis:
        """The evidence on every item of a history."""

    async def cadence_changes(self, history: PurchaseHistory, as_of: date, names: Sequence[str]) -> Sequence[object]:
        """When the next purchase of items would make their cadence longer, in the frequency service's own form."""


class VectorIndex(Protocol):
    """The vector service."""

    async def index(self, tenant_id: str, customer_id: str, history: PurchaseHistory, as_of: date) -> object:
        """Stores a history and returns the customer's profile, in the vector service's own form."""

    async def neighborhood(self, tenant_id: str, customer_id: str) -> Neighborhood:
        """What customers of a retailer that are similar to a stored one buy."""


class Enricher(Protocol):
    """The enrichment service."""

    async def enrich(self, items: Sequence[ItemToEnrich]) -> EnrichmentResult:
        """What is known about items; what did not come back in time is counted, not waited for."""


class Recommender(Protocol):
    """The recommendation service."""

    async def recommend(
        self,
        customer_id: str,
        candidates: Sequence[Candidate],
        as_of: date,
        max_recommendations: int | None,
        include_omitted: bool,
        neighborhood: Neighborhood | None,
    ) -> Recommendations:
        """The items worth a subscription, and with a neighborhood those worth a try."""
