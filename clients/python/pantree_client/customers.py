"""Stored purchases of a customer: what is sent, and what comes back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pantree.history.v1 import history_service_pb2 as messages
from pantree.pipeline.v1.pipeline_service_pb2 import EraseCustomerResponse


@dataclass(frozen=True)
class ReceiptLine:
    """One line of a receipt, as it is stored."""

    order_id: str
    """The shop's id of the receipt or order, 1 to 128 characters."""
    line_id: str
    """Identifies the line within its order, 1 to 128 characters."""
    name: str
    """1 to 200 characters."""
    date: date
    price: float | None = None
    """Shelf price of one unit before any saving, 0 to 1,000,000; None if unknown."""
    quantity: int = 1
    """Units, 1 to 10,000; of a return, the units returned."""
    category: str = ""
    """Derived from the name if empty."""
    saving: float = 0.0
    """Amount taken off the whole line, at most price × quantity."""
    item_id: str = ""
    """The shop's own id, such as a SKU, at most 128 characters."""
    variant: str = ""
    """Variant or pack size, at most 200 characters."""
    currency_code: str = ""
    """ISO 4217 code of the amounts, such as `EUR`."""
    weight: float | None = None
    """Weight of the whole line; None if it was not weighed."""
    weight_unit: str = ""
    """`g`, `kg`, `oz` or `lb`; empty without a weight."""
    returned_order_id: str = ""
    """Order of the line that this line returns; empty for a purchase."""
    returned_line_id: str = ""
    recommendation_id: str = ""
    """Answer that the purchase followed."""

    def message(self) -> messages.PurchaseLine:
        """The line as a message of the contract."""
        values: dict[str, Any] = {**vars(self), "date": self.date.isoformat()}
        return messages.PurchaseLine(**values)


@dataclass(frozen=True)
class StoredPurchases:
    """What a call stored."""

    added_count: int
    """Lines that are new."""
    duplicate_count: int
    """Lines that were already stored."""
    history_version: str
    """As long as it is the same, the stored purchases are."""


@dataclass(frozen=True)
class CorrectedPurchases:
    """What a call changed."""

    corrected_count: int
    removed_count: int
    history_version: str


@dataclass(frozen=True)
class MergedCustomers:
    """What a call merged."""

    customer_id: str
    """The customer that remains."""
    merged_at: str
    """ISO 8601 in UTC; of a repeated call, when they were merged first."""
    moved_line_count: int
    """Lines that this call moved; 0 for a repeated call."""
    moved_offer_count: int
    moved_subscription_count: int
    """Two subscriptions of the same item remain two."""
    history_version: str
    """Empty if no purchases are stored."""


@dataclass(frozen=True)
class Erasure:
    """The receipt of an erasure."""

    erased_at: str
    """ISO 8601 in UTC; empty when the history part is disabled."""
    ledger_entry_id: str
    removed_counts: Mapping[str, int]
    """By part."""
    merged_customer_ids: Sequence[str] = ()
    """Other ids of the customer, which were erased with it."""


def to_line(message: messages.PurchaseLine) -> ReceiptLine:
    """Converts a line."""
    values = {field.name: getattr(message, field.name) for field in message.DESCRIPTOR.fields}
    for name in ("price", "weight"):
        values[name] = getattr(message, name) if message.HasField(name) else None
    values["quantity"] = message.quantity if message.HasField("quantity") else 1
    values["date"] = date.fromisoformat(message.date)
    return ReceiptLine(**values)


def to_erasure(message: EraseCustomerResponse) -> Erasure:
    """Converts a receipt."""
    counts = {one.component: one.removed_count for one in message.removed}
    return Erasure(message.erased_at, message.ledger_entry_id, counts, tuple(message.merged_customer_ids))
