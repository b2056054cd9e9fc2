"""Messages of the simulation service ↔ core types."""

import dataclasses
from collections.abc import Iterable, Iterator
from datetime import date

import numpy as np

from pantree.purchase.v1.purchase_pb2 import BasketItem
from pantree.simulation.v1 import simulation_service_pb2 as messages
from pantree_domain.limits import DEFAULT_SIMULATION_MONTHS, MAX_SIMULATION_MONTHS
from pantree_domain.months import add_months
from pantree_runtime.basket_items import check_basket_items
from pantree_runtime.purchase_columns import columns_of_lines
from pantree_runtime.validation import LAST_YEAR, Violations
from pantree_simulation.core import (
    Archetype,
    ArchetypePage,
    Archetypes,
    ArchetypeShare,
    FirstItem,
    Population,
    PopulationBatch,
    Scenario,
    SimulatedMonth,
)
from pantree_simulation.core.records import slice_lines

_DEFAULT_PAGE_SIZE = 50
_MAX_PAGE_SIZE = 100
_MAX_HOUSEHOLDS = 1_000_000_000
# A line takes 28 bytes, so this many stay well below the message limit of 4 MiB.
MAX_MESSAGE_LINES = 131_072
_MAX_HOUSEHOLD_NUMBER = 2**31 - 1
# Shares that can be told from nothing and from everything.
_LEAST_SHARE, _MOST_SHARE = 1e-6, 1e6


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
    """Converts a page of archetypes to its message."""
    return messages.ListArchetypesResponse(
        archetypes=[_archetype_message(archetype) for archetype in page.archetypes],
        next_page_token=page.next_id,
        default_archetype=page.default_id,
    )


def scenario(request: messages.StreamPurchasesRequest, archetypes: Archetypes) -> Scenario:
    """Converts a request to the scenario to simulate.

    Raises:
        InvalidInput: naming every wrong field.
    """
    violations = Violations()
    violations.identifier("household_id", request.household_id, required=False)
    archetype = archetypes.get(request.archetype)
    if archetype is None and violations.identifier("archetype", request.archetype):
        violations.add("archetype", f"is unknown; give one of {', '.join(archetypes.ids)}, or leave it empty")
    check_basket_items(request.items, "items", violations)
    start, month_count = _period(request, violations)
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
    """Converts a simulated month to its message."""
    return messages.StreamPurchasesResponse(
        month_number=month.number,
        month_count=month.count,
        period_start=month.start.isoformat(),
        period_end=month.end.isoformat(),
        purchases=columns_of_lines(month.purchases),
    )


def population(request: messages.SimulatePopulationRequest, archetypes: Archetypes) -> Population:
    """Converts a request to the population to simulate.

    Raises:
        InvalidInput: naming every wrong field.
    """
    violations = Violations()
    first_is_right = violations.whole_number("first_household", request.first_household, 0, _MAX_HOUSEHOLD_NUMBER)
    most = _MAX_HOUSEHOLD_NUMBER - request.first_household + 1 if first_is_right else _MAX_HOUSEHOLDS
    violations.whole_number("household_count", request.household_count, 1, min(_MAX_HOUSEHOLDS, most))
    mix = _mix(request, archetypes, violations)
    start, month_count = _period(request, violations)
    violations.raise_if_any()
    assert start is not None  # a missing day is a violation
    return Population(
        first_household=request.first_household,
        household_count=request.household_count,
        mix=mix,
        start=start,
        month_count=month_count,
        seed=request.seed,
    )


def population_responses(
    batches: Iterable[PopulationBatch], population: Population
) -> Iterator[messages.SimulatePopulationResponse]:
    """Converts the batches of a population to messages; a household with very many lines takes more than one."""
    for batch in batches:
        if len(batch.lines.days) <= MAX_MESSAGE_LINES:
            yield _batch_message(batch, population)
            continue
        for start in range(0, len(batch.lines.days), MAX_MESSAGE_LINES):
            lines = slice_lines(batch.lines, start, start + MAX_MESSAGE_LINES)
            line_counts = np.array([len(lines.days)], dtype=np.int32)
            yield _batch_message(dataclasses.replace(batch, lines=lines, line_counts=line_counts), population)


def _batch_message(batch: PopulationBatch, population: Population) -> messages.SimulatePopulationResponse:
    lines = batch.lines
    return messages.SimulatePopulationResponse(
        first_household=batch.first_household,
        line_counts=batch.line_counts.tolist(),
        archetype_ids=[share.archetype.id for share in population.mix],
        archetype_indices=batch.archetype_indices.tolist(),
        item_names=batch.assortment.item_names,
        item_categories=batch.assortment.item_categories,
        item_indices=lines.items.tolist(),
        days=lines.days.tolist(),
        quantities=lines.quantities.tolist(),
        prices=lines.prices.tolist(),
        savings=lines.savings.tolist(),
    )


def _mix(
    request: messages.SimulatePopulationRequest, archetypes: Archetypes, violations: Violations
) -> list[ArchetypeShare]:
    """Archetypes of a population, with shares that sum to 1."""
    if not request.archetypes:
        return [ArchetypeShare(archetype, 1 / len(archetypes.ids)) for archetype in archetypes.all]
    mix: dict[str, ArchetypeShare] = {}
    for at, part in enumerate(request.archetypes):
        share_is_right = violations.number(f"archetypes[{at}].share_ratio", part.share_ratio, _LEAST_SHARE, _MOST_SHARE)
        if part.archetype in mix:
            violations.add(f"archetypes[{at}].archetype", "is named twice; name each archetype once")
        elif violations.identifier(f"archetypes[{at}].archetype", part.archetype):
            archetype = archetypes.get(part.archetype)
            if archetype is None:
                violations.add(f"archetypes[{at}].archetype", f"is unknown; give one of {', '.join(archetypes.ids)}")
            elif share_is_right:
                mix[part.archetype] = ArchetypeShare(archetype, part.share_ratio)
    total = sum(part.share for part in mix.values())
    return [ArchetypeShare(part.archetype, part.share / total) for part in mix.values()]


def _period(
    request: messages.StreamPurchasesRequest | messages.SimulatePopulationRequest, violations: Violations
) -> tuple[date | None, int]:
    """First day and number of months."""
    month_count = request.simulation_months if request.HasField("simulation_months") else DEFAULT_SIMULATION_MONTHS
    months_are_right = violations.whole_number("simulation_months", month_count, 1, MAX_SIMULATION_MONTHS)
    start = violations.day("start_date", request.start_date)
    if start is not None and months_are_right and add_months(start, month_count).year > LAST_YEAR:
        violations.add("start_date", f"lets the simulation end after {LAST_YEAR}; give an earlier day")
    return start, month_count


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
