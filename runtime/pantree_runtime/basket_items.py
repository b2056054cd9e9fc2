"""Check of the items of a first purchase, shared by two services."""

from collections.abc import Sequence

from pantree.purchase.v1.purchase_pb2 import BasketItem
from pantree_domain.item_key import item_key
from pantree_runtime.validation import Violations


def check_basket_items(items: Sequence[BasketItem], field: str, violations: Violations) -> None:
    """Adds a violation for each item that is another spelling of an earlier one; `field` is the path of the list."""
    first_indices: dict[str, int] = {}
    for index, item in enumerate(items):
        first = first_indices.setdefault(item_key(item.name), index)
        if first != index:
            violations.add(
                f"{field}[{index}].name", f"must differ from the other items; is the same as {field}[{first}].name"
            )
