"""Rules that the contract cannot express because they compare fields."""

from collections.abc import Mapping

from pantree.simulation.v1 import simulation_service_pb2 as messages
from pantree_domain.limits import DEFAULT_SIMULATION_MONTHS
from pantree_runtime.basket_items import check_basket_items
from pantree_runtime.validation import LAST_DAY, Rule, Violations, parse_day

_MAX_HOUSEHOLD_NUMBER = 2**31 - 1


def month_count(request: messages.StreamPurchasesRequest | messages.SimulatePopulationRequest) -> int:
    """Number of months to simulate."""
    return request.simulation_months if request.HasField("simulation_months") else DEFAULT_SIMULATION_MONTHS


def check_scenario(request: messages.StreamPurchasesRequest, violations: Violations) -> None:
    """Checks a simulation of one household."""
    check_basket_items(request.items, "items", violations)
    _check_period(request, violations)


def check_population(request: messages.SimulatePopulationRequest, violations: Violations) -> None:
    """Checks a simulation of many households."""
    max_count = _MAX_HOUSEHOLD_NUMBER - request.first_household + 1
    if request.household_count > max_count:
        violations.add("household_count", f"must be at most {max_count:,}; is {request.household_count:,}")
    first_indices: dict[str, int] = {}
    for index, share in enumerate(request.archetypes):
        first = first_indices.setdefault(share.archetype, index)
        if first != index:
            violations.add(
                f"archetypes[{index}].archetype",
                f"must differ from the other archetypes; is the same as archetypes[{first}].archetype",
            )
    _check_period(request, violations)


def _check_period(
    request: messages.StreamPurchasesRequest | messages.SimulatePopulationRequest, violations: Violations
) -> None:
    start = parse_day(request.start_date)
    months = month_count(request)
    if start is not None and months > 12 * (LAST_DAY.year - start.year) + LAST_DAY.month - start.month:
        violations.add("start_date", f"must be at least {months:,} months before {LAST_DAY}; is {start}")


RULES: Mapping[str, Rule] = {"StreamPurchases": check_scenario, "SimulatePopulation": check_population}
"""By RPC name."""
