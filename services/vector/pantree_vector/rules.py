"""Rules that the contract cannot express because they compare fields."""

from collections.abc import Mapping

from pantree.vector.v1 import vector_service_pb2 as messages
from pantree_runtime.purchase_columns import check_columns
from pantree_runtime.validation import Rule, Violations


def check_search(request: messages.SearchItemsRequest, violations: Violations) -> None:
    """Checks a price range."""
    if request.HasField("min_price") and request.HasField("max_price") and request.max_price < request.min_price:
        violations.add("max_price", f"must be at least min_price, {request.min_price:g}; is {request.max_price:g}")


def check_history(request: messages.IndexHistoryRequest, violations: Violations) -> None:
    """Checks a history to store."""
    check_columns(request.purchases, request.as_of, violations.within("purchases"))
    if not request.purchases.days:
        violations.add("purchases.days", "must have at least 1 element; to remove a customer, call DeleteCustomer")


RULES: Mapping[str, Rule] = {"SearchItems": check_search, "IndexHistory": check_history}
"""By RPC name."""
