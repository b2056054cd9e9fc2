"""What a caller can ask for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from pantree.pipeline.v1.pipeline_service_pb2 import ProcessInput
from pantree.purchase.v1 import purchase_pb2
from pantree_domain.days import day_number
from pantree_domain.limits import MAX_HISTORY_ROWS


@dataclass(frozen=True)
class Item:
    """One item of a first purchase."""

    name: str
    price: float
    """Shelf price of one unit."""
    quantity: int = 1
    category: str = ""
    """Derived from the name when empty."""


@dataclass(frozen=True)
class Purchase:
    """One line of a receipt."""

    name: str
    date: date
    price: float
    """Shelf price of one unit, before any saving."""
    quantity: int = 1
    category: str = ""
    """Derived from the name when empty."""
    saving: float = 0.0
    """What was taken off the whole line."""


@dataclass(frozen=True)
class FirstPurchase:
    """A household's first purchase; its history is simulated."""

    customer_id: str
    items: Sequence[Item]
    archetype: str = ""
    """The service's default when empty."""
    simulation_months: int | None = None
    """The service's default when None."""
    customer_name: str = ""
    as_of: date | None = None
    """Today when None."""
    seed: int | None = None
    """Drawn by the service when None; the result tells it."""
    max_recommendations: int | None = None
    include_omitted: bool = False
    include_cadence_changes: bool = False
    include_suggestions: bool = False
    """Whether to tell what similar customers buy; the answer then depends on who is stored, whatever the seed."""

    def message(self) -> ProcessInput:
        """The contract's form of the request."""
        return ProcessInput(
            customer_id=self.customer_id,
            customer_name=self.customer_name,
            archetype=self.archetype,
            items=[
                purchase_pb2.BasketItem(
                    name=item.name, price=item.price, quantity=item.quantity, category=item.category
                )
                for item in self.items
            ],
            simulation_months=self.simulation_months,
            as_of=_iso(self.as_of),
            seed=self.seed,
            max_recommendations=self.max_recommendations,
            include_omitted=self.include_omitted,
            include_cadence_changes=self.include_cadence_changes,
            include_suggestions=self.include_suggestions,
        )


@dataclass(frozen=True)
class History:
    """A household's real history; nothing is simulated."""

    customer_id: str
    purchases: Sequence[Purchase]
    """In any order."""
    customer_name: str = ""
    as_of: date | None = None
    """The day of the latest purchase when None."""
    max_recommendations: int | None = None
    include_omitted: bool = False
    include_cadence_changes: bool = False
    include_suggestions: bool = False
    """Whether to tell what similar customers buy; the answer then depends on who is stored, whatever the seed."""

    def message(self) -> ProcessInput:
        """The contract's form of the request: rows as long as they are few enough, columns beyond."""
        message = ProcessInput(
            customer_id=self.customer_id,
            customer_name=self.customer_name,
            as_of=_iso(self.as_of),
            max_recommendations=self.max_recommendations,
            include_omitted=self.include_omitted,
            include_cadence_changes=self.include_cadence_changes,
            include_suggestions=self.include_suggestions,
        )
        if len(self.purchases) <= MAX_HISTORY_ROWS:
            message.history.extend(
                purchase_pb2.Purchase(
                    name=purchase.name,
                    category=purchase.category,
                    date=purchase.date.isoformat(),
                    quantity=purchase.quantity,
                    price=purchase.price,
                    saving=purchase.saving,
                )
                for purchase in self.purchases
            )
        else:
            message.history_columns.CopyFrom(_columns(self.purchases))
        return message


def _columns(purchases: Sequence[Purchase]) -> purchase_pb2.PurchaseColumns:
    positions: dict[str, int] = {}
    categories: list[str] = []
    for purchase in purchases:
        if purchase.name not in positions:
            positions[purchase.name] = len(positions)
            categories.append(purchase.category)
    return purchase_pb2.PurchaseColumns(
        item_names=positions,
        item_categories=categories,
        item_indices=[positions[purchase.name] for purchase in purchases],
        days=[day_number(purchase.date) for purchase in purchases],
        quantities=[purchase.quantity for purchase in purchases],
        prices=[purchase.price for purchase in purchases],
        savings=[purchase.saving for purchase in purchases],
    )


def _iso(day: date | None) -> str:
    return "" if day is None else day.isoformat()
