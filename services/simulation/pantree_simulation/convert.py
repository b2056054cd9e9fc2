"""Messages of the simulation service ↔ core types."""

from pantree.purchase.v1.purchase_pb2 import BasketItem
from pantree.simulation.v1 import simulation_service_pb2 as messages
from pantree_domain.limits import DEFAULT_SIMULATION_MONTHS, MAX_SIMULATION_MONTHS
from pantree_domain.months import add_months
from pantree_runtime.basket_items import check_basket_items
from pantree_runtime.purchase_columns import columns_of
from pantree_runtime.validation import LAST_YEAR, Violations
from pantree_simulation.core import Archetype, ArchetypePage, Archetypes, FirstItem, Scenario, SimulatedMonth

_DEFAULT_PAGE_SIZE = 50
_MAX_PAGE_SIZE = 100


def page_start_and_size(request: messages.ListArchetypesRequest, archetypes: Archetypes) -> tuple[str, int]:
    """Id of the first archetype to list (empty for the very first), and how many to list.

    Raises:
        InvalidInput: naming every wrong field.
    """
    violations = Violations()
    if request.page_size < 0:
        violations.add("page_size", f"is {request.page_size}; give 0 for the usual size, or a positive number")
    if request.page_token and request.page_token not in archetypes.ids:
        violations.add("page_token", "is unknown; give the next_page_token of an earlier page, or leave it empty")
    violations.raise_if_any()
    return request.page_token, min(request.page_size or _DEFAULT_PAGE_SIZE, _MAX_PAGE_SIZE)


def archetypes_response(page: ArchetypePage) -> messages.ListArchetypesResponse:
    """Message that tells a page of archetypes."""
    return messages.ListArchetypesResponse(
        archetypes=[_archetype_message(archetype) for archetype in page.archetypes],
        next_page_token=page.next_id,
        default_archetype=page.default_id,
    )


def scenario(request: messages.StreamPurchasesRequest, archetypes: Archetypes) -> Scenario:
    """What to simulate.

    Raises:
        InvalidInput: naming every wrong field.
    """
    violations = Violations()
    violations.identifier("household_id", request.household_id, required=False)
    archetype = archetypes.get(request.archetype)
    if archetype is None and violations.identifier("archetype", request.archetype):
        violations.add("archetype", f"is unknown; give one of {', '.join(archetypes.ids)}, or leave it empty")
    check_basket_items(request.items, "items", violations)
    month_count = request.simulation_months if request.HasField("simulation_months") else DEFAULT_SIMULATION_MONTHS
    months_are_right = violations.whole_number("simulation_months", month_count, 1, MAX_SIMULATION_MONTHS)
    start = violations.day("start_date", request.start_date)
    if start is not None and months_are_right and add_months(start, month_count).year > LAST_YEAR:
        violations.add("start_date", f"lets the simulation end after {LAST_YEAR}; give an earlier day")
    violations.raise_if_any()
    assert archetype is not None  # an unknown archetype is a violation
    assert start is not None  # a missing day is a violation
    return Scenario(
        household_id=request.household_id,
        archetype=archetype,
        items=tuple(FirstItem(item.name.strip(), item.price, _quantity(item), item.category) for item in request.items),
        start=start,
        month_count=month_count,
        seed=request.seed,
    )


def month_response(month: SimulatedMonth) -> messages.StreamPurchasesResponse:
    """Message that tells a simulated month."""
    return messages.StreamPurchasesResponse(
        month_number=month.number,
        month_count=month.count,
        period_start=month.start.isoformat(),
        period_end=month.end.isoformat(),
        purchases=columns_of(month.purchases),
    )


def _archetype_message(archetype: Archetype) -> messages.Archetype:
    return messages.Archetype(
        id=archetype.id,
        display_name=archetype.display_name,
        description=archetype.description,
        mean_trip_gap_days=archetype.mean_trip_gap_days,
        mean_basket_items=archetype.mean_basket_items,
        category_weights=[
            messages.CategoryWeight(category=category, weight_ratio=weight)
            for category, weight in archetype.category_weights.items()
        ],
    )


def _quantity(item: BasketItem) -> int:
    return item.quantity if item.HasField("quantity") else 1
