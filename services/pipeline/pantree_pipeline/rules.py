"""Rules for requests that the contract cannot express, because they compare fields."""

from collections.abc import Mapping

from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree_domain.limits import DEFAULT_SIMULATION_MONTHS, MAX_BASKET_ITEMS, MAX_HISTORY_ITEMS
from pantree_runtime.basket_items import check_basket_items
from pantree_runtime.plan_analysis import check_analysis
from pantree_runtime.purchase_columns import HALF_A_CENT, check_columns
from pantree_runtime.validation import FIRST_DAY, Rule, Violations, parse_day

_WithHistory = messages.ProcessInput | messages.NextBasketInput | messages.WhatIfInput


def check_input(request: messages.ProcessRequest | messages.StreamProcessRequest, violations: Violations) -> None:
    """Checks the first purchase or the history of a household."""
    message, nested = request.input, violations.within("input")
    _check_stored(message, nested)
    if not (message.history or message.HasField("history_columns") or message.stored_history):
        _check_first_purchase(message, nested)
        return
    for name in ("items", "archetype"):
        if getattr(message, name):
            nested.add(name, "must be absent when there is a history; it is for a simulation")
    if message.HasField("simulation_months"):
        nested.add("simulation_months", "must be absent when there is a history; it is for a simulation")
    if message.stored_history:
        return
    if not message.history and not message.history_columns.days:
        nested.add("history_columns", "must have at least one purchase; has none")
    _check_history(message, nested, message.as_of)


def check_next_basket(request: messages.NextBasketRequest, violations: Violations) -> None:
    """Checks the history of a household whose next basket is predicted."""
    message, nested = request.input, violations.within("input")
    _check_stored(message, nested)
    if message.stored_history:
        return
    if not message.history and not message.history_columns.days and not message.as_of:
        nested.add("as_of", "is required for a household without purchases; use the day of its first trip")
    _check_history(message, nested, message.as_of)


def check_what_if(request: messages.WhatIfRequest | messages.GetWhatIfRequest, violations: Violations) -> None:
    """Checks the history of a household whose past is replayed."""
    message, nested = request.input, violations.within("input")
    _check_source(message, nested)
    if message.stored_history:
        return
    if not message.history and not message.history_columns.days:
        nested.add("history", "is required: the household's purchases, or stored_history")
    # Purchases after as_of are what is replayed.
    _check_history(message, nested, as_of="")


def _check_stored(message: messages.ProcessInput | messages.NextBasketInput, violations: Violations) -> None:
    if message.as_known_on and not message.stored_history:
        violations.add("as_known_on", "must be absent without stored_history")
    _check_source(message, violations)


def _check_source(message: _WithHistory, violations: Violations) -> None:
    if message.stored_history:
        if message.history:
            violations.add("history", "must be absent with stored_history; send one of the two")
        if message.HasField("history_columns"):
            violations.add("history_columns", "must be absent with stored_history; send one of the two")


def check_plan(request: messages.PlanRequest, violations: Violations) -> None:
    """Checks the items to plan."""
    check_analysis(request.input.analysis, violations.within("input").within("analysis"))


def _check_history(message: _WithHistory, violations: Violations, as_of: str) -> None:
    if message.history:
        if message.HasField("history_columns"):
            violations.add("history_columns", "must be absent when there is history; send one of the two")
        _check_rows(message, violations, as_of)
    else:
        check_columns(message.history_columns, as_of, violations.within("history_columns"))


def _check_first_purchase(message: messages.ProcessInput, violations: Violations) -> None:
    if not message.items:
        violations.add("items", f"is required: 1 to {MAX_BASKET_ITEMS} items, or a history")
    check_basket_items(message.items, "items", violations)
    as_of = parse_day(message.as_of)
    months = message.simulation_months if message.HasField("simulation_months") else DEFAULT_SIMULATION_MONTHS
    if as_of is not None and months > 12 * (as_of.year - FIRST_DAY.year) + as_of.month - FIRST_DAY.month:
        violations.add("as_of", f"must be at least {months:,} months after {FIRST_DAY}; is {as_of}")


def _check_rows(message: _WithHistory, violations: Violations, last: str) -> None:
    as_of = parse_day(last)
    names = set()
    for index, row in enumerate(message.history):
        names.add(row.name)
        if as_of is not None and (day := parse_day(row.date)) is not None and day > as_of:
            violations.add(f"history[{index}].date", f"must not be later than as_of, {as_of}; is {day}")
        if row.saving:
            full_price = row.price * (row.quantity if row.HasField("quantity") else 1)
            if row.saving > full_price + HALF_A_CENT:
                violations.add(
                    f"history[{index}].saving",
                    f"must be at most price × quantity, {full_price:,g}; is {row.saving:,g}",
                )
    if len(names) > MAX_HISTORY_ITEMS:
        violations.add("history", f"must have at most {MAX_HISTORY_ITEMS:,} distinct items; has {len(names):,}")


RULES: Mapping[str, Rule] = {
    "Process": check_input,
    "StreamProcess": check_input,
    "NextBasket": check_next_basket,
    "Plan": check_plan,
    "WhatIf": check_what_if,
    "GetWhatIf": check_what_if,
}
"""By name of the RPC."""
