"""Ports to the other services.

Each call raises `PantreeError` when it fails. The pipeline passes results from one service to the next without reading
them: a `payload` is a message that only its producer and its consumer interpret.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple, Protocol

from pantree_domain.evidence import ModelName
from pantree_domain.household.prices import ReferencePrice
from pantree_domain.purchases import PurchaseHistory
from pantree_pipeline.core.history import Month
from pantree_pipeline.core.job import FirstPurchase, NextBasketJob


@dataclass(frozen=True)
class Archetypes:
    """The kinds of shopper that can be simulated."""

    ids: tuple[str, ...]
    default: str


# A named tuple, which is created much faster than a dataclass: there is one for every item of every history.
class ItemEvidence(NamedTuple):
    """How regularly a household buys one item."""

    name: str
    payload: object
    """Message of the frequency service for the recommendation service."""


@dataclass(frozen=True)
class HistoryAnalysis:
    """The evidence on all items."""

    items: tuple[ItemEvidence, ...]
    """Highest confidence first."""
    model: ModelName


@dataclass(frozen=True)
class ItemToEnrich:
    """An item to enrich."""

    name: str
    category: str
    """Empty if unknown."""


@dataclass(frozen=True)
class Enrichment:
    """What the enrichment service knows about an item."""

    name: str
    source: str
    """`rules` or `nim`."""
    payload: object
    """Message of the enrichment service for the recommendation service and the result."""


@dataclass(frozen=True)
class EnrichmentResult:
    """The enrichments that arrived in time."""

    items: tuple[Enrichment, ...]
    missing_count: int
    """Items without an enrichment."""
    fallback_reason: str
    """Why rules were used although a language model is configured; empty if they were not."""


class Candidate(NamedTuple):
    """An item that may be recommended."""

    evidence: ItemEvidence
    enrichment: Enrichment | None
    reference_price: ReferencePrice | None = None
    """Of one pack; None when it was never paid for."""
    units_per_pack: int = 1
    """Units of the evidence in one pack."""
    other_names: tuple[str, ...] = ()
    all_year: bool = False
    """Whether the household buys goods of a season in other months, too."""


@dataclass(frozen=True)
class Recommendations:
    """The items worth a subscription."""

    payload: object
    """Message of the recommendation service for the result."""
    names: tuple[str, ...]
    """The recommended items, best first."""
    model: ModelName
    source: str
    fallback_reason: str
    """Why the embedded model was used although SageMaker is configured; empty if it was not."""


@dataclass(frozen=True)
class Neighborhood:
    """The purchases of similar customers."""

    neighbor_count: int
    item_count: int
    """Number of items that enough of them buy regularly."""
    payload: object
    """Message of the vector service for the recommendation service."""


class PlannedDelivery(NamedTuple):
    """A delivery of an item in a plan."""

    day: int
    """Days since 1970-01-01."""
    name: str
    quantity: int
    price: float
    """Of all its units, in cents, at the shelf price of the as-of date."""
    savings_vs_paid: float | None
    """None when the paid price is unknown."""


class Simulator(Protocol):
    """The simulation service."""

    async def archetypes(self) -> Archetypes:
        """The kinds of shopper that can be simulated."""

    def months(
        self, customer_id: str, first_purchase: FirstPurchase
    ) -> AbstractAsyncContextManager[AsyncIterator[Month]]:
        """The months that follow a first purchase, each as soon as it is simulated.

        Entering the context starts the simulation; leaving it stops it.
        """


class FrequencyAnalyzer(Protocol):
    """The frequency service."""

    async def analyze(
        self,
        history: PurchaseHistory,
        as_of: date,
        last_days: Mapping[str, date] | None = None,
        stockout_tolerance: float | None = None,
        with_forecasts: bool = False,
    ) -> HistoryAnalysis:
        """The evidence on every item of a history.

        Args:
            history: perhaps with days moved by the household's absences.
            as_of: as-of date.
            last_days: actual days of the latest purchases, by name.
            stockout_tolerance: above 0 and below 1; None for the default.
            with_forecasts: whether payloads have the probabilities of the next purchases.
        """

    async def cadence_changes(
        self, history: PurchaseHistory, as_of: date, names: Sequence[str], stockout_tolerance: float | None = None
    ) -> Sequence[object]:
        """Messages that say how late the next purchase of an item can be before its cadence gets longer."""


class VectorIndex(Protocol):
    """The vector service."""

    async def index(self, tenant_id: str, customer_id: str, history: PurchaseHistory, as_of: date) -> object:
        """Stores a history and returns a message with the customer's profile."""

    async def neighborhood(self, tenant_id: str, customer_id: str) -> Neighborhood:
        """The purchases of those customers of the retailer that are similar to a stored one."""

    async def delete(self, tenant_id: str, customer_id: str) -> int:
        """Removes everything about a customer; the number of stored points."""


class StoredHistory(NamedTuple):
    """The purchases that are stored of a customer."""

    payload: object
    """Columnar message with the purchases; names of its dictionary may repeat."""
    version: str
    omitted_count: int
    """Number of the oldest lines that are left out, because there are too many."""
    currency_code: str


class ErasedHistory(NamedTuple):
    """The receipt of the history service for an erasure."""

    erased_at: str
    """ISO 8601 in UTC."""
    ledger_entry_id: str
    removed_count: int
    """Lines, with their earlier revisions."""
    merged_ids: Sequence[str] = ()
    """Other ids of the customer, which were erased with it."""


class StoredSubscription(NamedTuple):
    """A subscription that is stored of a customer."""

    payload: object
    """Message of the subscription as it is today."""
    deliveries: Sequence[object]
    """Messages of its deliveries until 84 days from now."""


class HistoryKeeper(Protocol):
    """The history service."""

    async def subscriptions(self, tenant_id: str, customer_id: str) -> Sequence[StoredSubscription]:
        """The subscriptions of a customer, ordered by id."""

    async def history(self, tenant_id: str, customer_id: str, as_of: str, as_known_on: str) -> StoredHistory:
        """The purchases of a customer until the as-of date, as known on another; empty days for no limit."""

    async def erase(self, tenant_id: str, customer_id: str) -> ErasedHistory:
        """Erases a customer and refuses purchases from then on."""


class Enricher(Protocol):
    """The enrichment service."""

    async def enrich(self, items: Sequence[ItemToEnrich]) -> EnrichmentResult:
        """The enrichments that arrive in time; an error if there are none."""


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
        replaced: Mapping[str, str],
        currency_code: str = "",
        include_analysis: bool = False,
        constraints: object | None = None,
    ) -> Recommendations:
        """The items worth a subscription, and suggestions if there is a neighborhood.

        `replaced` maps items that are no longer bought to those that took their place; `constraints` is a message.
        """

    def planned_deliveries(self, recommendations: Recommendations) -> Sequence[PlannedDelivery]:
        """The deliveries of items in the plan of recommendations, by day and name."""

    async def plan(self, analysis: object, constraints: object | None) -> object:
        """Message of the recommendation service with the plan of an analysis; both arguments are messages."""

    async def next_basket(self, request: NextBasketJob) -> object:
        """Message of the recommendation service with the most probable items of a next basket."""

    async def models(self) -> object:
        """Message of the recommendation service with the models that rank items."""

    async def review(self, request: object) -> object:
        """Message of the recommendation service with the advice for subscriptions; the request is one, too."""
