"""Rules of requests that the contract cannot express, because they compare fields."""

from collections.abc import Mapping

from pantree.frequency.v1 import frequency_service_pb2 as messages
from pantree_runtime.purchase_columns import check_columns
from pantree_runtime.validation import Rule, Violations


def check_history(request: messages.AnalyzeHistoryRequest | messages.HouseholdHistory, violations: Violations) -> None:
    """Checks a household's history."""
    check_columns(request.purchases, request.as_of, violations.within("purchases"))
    type_count, item_count = len(request.item_types), len(request.purchases.item_names)
    if type_count not in (0, item_count):
        violations.add(
            "item_types",
            f"must have one element for each of the {item_count:,} purchases.item_names, or none; has {type_count:,}",
        )


def check_cadence_changes(request: messages.FindCadenceChangesRequest, violations: Violations) -> None:
    """Checks the history in a request for cadence changes."""
    check_history(request.history, violations.within("history"))


RULES: Mapping[str, Rule] = {"AnalyzeHistory": check_history, "FindCadenceChanges": check_cadence_changes}
"""By name of the RPC."""
