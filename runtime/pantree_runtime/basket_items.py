"""The items of a first purchase: what must hold for them, wherever they arrive."""

from collections.abc import Sequence

from pantree.purchase.v1.purchase_pb2 import BasketItem
from pantree_domain.item_key import item_key
from pantree_domain.limits import MAX_BASKET_ITEMS
from pantree_runtime.validation import Violations


def check_basket_items(items: Sequence[BasketItem], field: str, violations: Violations) -> None:
    """Notes everything that is wrong with the items of a first purchase.

    Args:
        items: the items.
        field: their path in the request.
        violations: collects what is wrong.
    """
    if not items:
        violations.add(field, f"is required; give 1 to {MAX_BASKET_ITEMS} items")
    elif len(items) > MAX_BASKET_ITEMS:
        violations.add(field, f"has {len(items):,} items; give at most {MAX_BASKET_ITEMS}")
        return
    first_positions: dict[str, int] = {}
    for position, item in enumerate(items):
        path = f"{field}[{position}]"
        if violations.text(f"{path}.name", item.name):
            first = first_positions.setdefault(item_key(item.name), position)
            if first != position:
                violations.add(f"{path}.name", f"is the same as {field}[{first}].name; give it once, with a quantity")
        violations.price(f"{path}.price", item.price if item.HasField("price") else None)
        violations.quantity(f"{path}.quantity", item.quantity if item.HasField("quantity") else 1)
        violations.text(f"{path}.category", item.category, required=False)
