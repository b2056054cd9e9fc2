"""The items of a first purchase: what must hold for them, wherever they arrive."""

from collections.abc import Sequence

from pantree.purchase.v1.purchase_pb2 import BasketItem
from pantree_domain.limits import MAX_BASKET_ITEMS
from pantree_runtime.validation import Violations


def check_basket_items(items: Sequence[BasketItem], field: str, violations: Violations) -> None:
    """Notes everything that is wrong with the items of a first purchase.

    Args:
        items: the items.
        field: their path in the request.
        violations: collects what is wrong.
    """
    if not 1 <= len(items) <= MAX_BASKET_ITEMS:
        violations.add(field, f"has {len(items):,} items; give 1 to {MAX_BASKET_ITEMS}")
        return
    seen: dict[str, int] = {}
    for position, item in enumerate(items):
        path = f"{field}[{position}]"
        if violations.text(f"{path}.name", item.name):
            first = seen.setdefault(item.name.strip().casefold(), position)
            if first != position:
                violations.add(f"{path}.name", f"is the same item as {field}[{first}]; give it once, with its quantity")
        violations.price(f"{path}.price", item.price if item.HasField("price") else None)
        if item.HasField("quantity"):
            violations.quantity(f"{path}.quantity", item.quantity)
        violations.text(f"{path}.category", item.category, required=False)
