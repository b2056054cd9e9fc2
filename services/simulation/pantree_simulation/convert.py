"""Messages of the simulation service ↔ core types."""

import dataclasses
from collections.abc import Iterable, Iterator
from datetime import date

import numpy as np

from pantree.purchase.v1.purchase_pb2 import BasketItem
from pantree.simulation.v1 import simulation_service_pb2 as messages
from pantree_domain.limits import DEFAULT_SIMULATION_MONTHS
from pantree_runtime.errors import FieldViolation, InvalidInput
from pantree_runtime.purchase_columns import columns_of_lines
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
# A line takes 28 bytes, so this many stay well below the message limit of 4 MiB.
MAX_MESSAGE_LINES = 131_072


def page_start_and_size(request: messages.ListArchetypesRequest, archetypes: Archetypes) -> tuple[str, int]:
    """Id of the first archetype to list (empty for the very first), and how many to list.

    Raises:
        InvalidInput: when the page token is unknown.
    """
    if request.page_token and request.page_token not in archetypes.ids:
        raise InvalidInput([FieldViolation("page_token", "must be the next_page_token of an earlier page, or empty")])
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
        InvalidInput: when the archetype is unknown.
    """
    archetype = archetypes.get(request.archetype)
    if archetype is None:
        raise InvalidInput([_unknown_archetype("archetype", archetypes)])
    start, month_count = _period(request)
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
        InvalidInput: when an archetype is unknown.
    """
    mix = _mix(request, archetypes)
    start, month_count = _period(request)
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


def _mix(request: messages.SimulatePopulationRequest, archetypes: Archetypes) -> list[ArchetypeShare]:
    """Archetypes of a population, with shares that sum to 1."""
    if not request.archetypes:
        return [ArchetypeShare(archetype, 1 / len(archetypes.ids)) for archetype in archetypes.all]
    unknown = [
        _unknown_archetype(f"archetypes[{index}].archetype", archetypes)
        for index, share in enumerate(request.archetypes)
        if share.archetype not in archetypes.ids
    ]
    if unknown:
        raise InvalidInput(unknown)
    total = sum(share.share_ratio for share in request.archetypes)
    by_id = {archetype.id: archetype for archetype in archetypes.all}
    return [ArchetypeShare(by_id[share.archetype], share.share_ratio / total) for share in request.archetypes]


def _unknown_archetype(field: str, archetypes: Archetypes) -> FieldViolation:
    return FieldViolation(field, f"must be one of {', '.join(archetypes.ids)}")


def _period(
    request: messages.StreamPurchasesRequest | messages.SimulatePopulationRequest,
) -> tuple[date, int]:
    """First day and number of months."""
    months = request.simulation_months if request.HasField("simulation_months") else DEFAULT_SIMULATION_MONTHS
    return date.fromisoformat(request.start_date), months


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
