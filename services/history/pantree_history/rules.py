"""Rules that the contract cannot express because they compare fields."""

from collections.abc import Iterable, Mapping

from pantree.history.v1 import history_service_pb2 as messages
from pantree_history.core.lines import WEIGHT_UNITS
from pantree_runtime.purchase_columns import HALF_A_CENT
from pantree_runtime.validation import Rule, Violations


def check_append(request: messages.AppendPurchasesRequest, violations: Violations) -> None:
    """Checks lines to store."""
    _check_lines(request.purchases, violations)


def check_correct(request: messages.CorrectPurchasesRequest, violations: Violations) -> None:
    """Checks corrections."""
    if not request.purchases and not request.removed:
        violations.add("purchases", "is required, or removed: name at least one line")
    _check_lines(request.purchases, violations)
    replaced = {(line.order_id, line.line_id) for line in request.purchases}
    for at, key in enumerate(request.removed):
        if (key.order_id, key.line_id) in replaced:
            violations.add(f"removed[{at}]", "must not also be in purchases")


def check_import(request: messages.ImportPurchasesRequest, violations: Violations) -> None:
    """Checks the lengths of columns, and positions in dictionaries."""
    rows, items = len(request.days), len(request.item_names)
    for name in ("customer_indices", "item_indices", "order_ids", "line_ids", "quantities"):
        if len(getattr(request, name)) != rows:
            violations.add(name, f"must have one element for each of the {rows:,} days")
    for name in ("prices", "savings"):
        if len(getattr(request, name)) not in (0, rows):
            violations.add(name, f"must have one element for each of the {rows:,} days, or none")
    for name in ("item_categories", "item_ids", "item_variants"):
        if len(getattr(request, name)) not in (0, items):
            violations.add(name, f"must have one element for each of the {items:,} item_names, or none")
    for name, dictionary in (("customer_indices", request.customer_ids), ("item_indices", request.item_names)):
        indices = getattr(request, name)
        if indices and max(indices) >= len(dictionary):
            violations.add(name, f"must be positions in a dictionary of {len(dictionary):,}; one is {max(indices):,}")


def _check_lines(lines: Iterable[messages.PurchaseLine], violations: Violations) -> None:
    seen: dict[tuple[str, str], int] = {}
    for at, line in enumerate(lines):
        path = f"purchases[{at}]"
        first = seen.setdefault((line.order_id, line.line_id), at)
        if first != at:
            violations.add(
                f"{path}.line_id", f"must differ from that of purchases[{first}], which has the same order_id"
            )
        if line.saving:
            full_price = line.price * (line.quantity if line.HasField("quantity") else 1)
            if line.saving > full_price + HALF_A_CENT:
                violations.add(
                    f"{path}.saving", f"must be at most price × quantity, {full_price:,g}; is {line.saving:,g}"
                )
        if line.HasField("weight") != bool(line.weight_unit):
            violations.add(f"{path}.weight_unit", "must be given with a weight, and only then")
        elif line.weight_unit and line.weight_unit not in WEIGHT_UNITS:
            violations.add(f"{path}.weight_unit", f"must be one of {', '.join(WEIGHT_UNITS)}")
        if bool(line.returned_order_id) != bool(line.returned_line_id):
            violations.add(f"{path}.returned_line_id", "must be given with returned_order_id, and only then")


RULES: Mapping[str, Rule] = {
    "AppendPurchases": check_append,
    "CorrectPurchases": check_correct,
    "ImportPurchases": check_import,
}
"""By RPC name."""
