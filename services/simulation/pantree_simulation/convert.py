"""Messages of the simulation service ↔ core types."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from datetime import date

import numpy as np

from pantree.simulation.v1 import simulation_service_pb2 as messages
from pantree_domain.catalog import CatalogItem
from pantree_domain.money import round_to_cent
from pantree_runtime.errors import FieldViolation, InvalidInput
from pantree_runtime.purchase_columns import columns_of_lines
from pantree_simulation.core.archetypes import Archetype, ArchetypePage, Archetypes
from pantree_simulation.core.population import ArchetypeShare, Population, PopulationBatch
from pantree_simulation.core.records import slice_lines
from pantree_simulation.core.scenario import FirstItem, Scenario
from pantree_simulation.core.simulation import SimulatedMonth
from pantree_simulation.rules import month_count

_DEFAULT_PAGE_SIZE = 50
_MAX_PAGE_SIZE = 100
_MAX_CATALOG_PAGE_SIZE = 500
# 28 bytes each, well below the message limit of 4 MiB.
MAX_MESSAGE_LINES = 131_072


def page_start_and_size(request: messages.ListArchetypesRequest, archetypes: Archetypes) -> tuple[str, int]:
    """Id of the first archetype on the page (empty for the first page), and the page size.

    Raises:
        InvalidInput: when the page token is unknown.
    """
    if request.page_token and request.page_token not in archetypes.by_id:
        raise InvalidInput([FieldViolation("page_token", "must be the next_page_token of an earlier page, or empty")])
    return request.page_token, min(request.page_size or _DEFAULT_PAGE_SIZE, _MAX_PAGE_SIZE)


def archetypes_response(page: ArchetypePage) -> messages.ListArchetypesResponse:
    return messages.ListArchetypesResponse(
        archetypes=[_archetype_message(archetype) for archetype in page.archetypes],
        next_page_token=page.next_id,
        default_archetype=page.default_id,
    )


def catalog_response(
    request: messages.ListCatalogItemsRequest, items: Sequence[CatalogItem]
) -> messages.ListCatalogItemsResponse:
    """Response with the page of the items that a request selects.

    Raises:
        InvalidInput: when the page token is unknown.
    """
    names = [item.name for item in items]
    if request.page_token and request.page_token not in names:
        raise InvalidInput([FieldViolation("page_token", "must be the next_page_token of an earlier page, or empty")])
    start = names.index(request.page_token) if request.page_token else 0
    end = start + min(request.page_size or _DEFAULT_PAGE_SIZE, _MAX_CATALOG_PAGE_SIZE)
    return messages.ListCatalogItemsResponse(
        items=[
            messages.CatalogItem(
                name=item.name,
                category=item.category,
                pack=item.pack,
                usual_price=round_to_cent((item.price_low + item.price_high) / 2),
            )
            for item in items[start:end]
        ],
        next_page_token=names[end] if end < len(names) else "",
    )


def scenario(request: messages.StreamPurchasesRequest, archetypes: Archetypes) -> Scenario:
    """The scenario that a request describes.

    Raises:
        InvalidInput: when the archetype is unknown.
    """
    archetype = archetypes.get(request.archetype)
    if archetype is None:
        raise InvalidInput([_unknown_archetype("archetype", archetypes)])
    return Scenario(
        household_id=request.household_id,
        archetype=archetype,
        items=tuple(
            FirstItem(item.name.strip(), item.price, item.quantity if item.HasField("quantity") else 1, item.category)
            for item in request.items
        ),
        start=date.fromisoformat(request.start_date),
        month_count=month_count(request),
        seed=request.seed,
    )


def month_response(month: SimulatedMonth) -> messages.StreamPurchasesResponse:
    return messages.StreamPurchasesResponse(
        month_number=month.number,
        month_count=month.count,
        period_start=month.start.isoformat(),
        period_end=month.end.isoformat(),
        purchases=columns_of_lines(month.purchases),
    )


def population(request: messages.SimulatePopulationRequest, archetypes: Archetypes) -> Population:
    """The population that a request describes.

    Raises:
        InvalidInput: when an archetype is unknown.
    """
    return Population(
        first_household=request.first_household,
        household_count=request.household_count,
        mix=_mix(request, archetypes),
        start=date.fromisoformat(request.start_date),
        month_count=month_count(request),
        seed=request.seed,
    )


def population_responses(
    batches: Iterable[PopulationBatch], population: Population
) -> Iterator[messages.SimulatePopulationResponse]:
    """Messages with the batches of a population. A household with too many lines for one message is split."""
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
        return [ArchetypeShare(archetype, 1 / len(archetypes.all)) for archetype in archetypes.all]
    unknown = [
        _unknown_archetype(f"archetypes[{index}].archetype", archetypes)
        for index, share in enumerate(request.archetypes)
        if share.archetype not in archetypes.by_id
    ]
    if unknown:
        raise InvalidInput(unknown)
    total = sum(share.share_ratio for share in request.archetypes)
    return [
        ArchetypeShare(archetypes.by_id[share.archetype], share.share_ratio / total) for share in request.archetypes
    ]


def _unknown_archetype(field: str, archetypes: Archetypes) -> FieldViolation:
    return FieldViolation(field, f"must be one of {', '.join(archetypes.ids)}")


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
        household_size=archetype.household_size,
        trait_weights=[
            messages.TraitWeight(trait=trait, weight=weight) for trait, weight in archetype.trait_weights.items()
        ],
        pack_weights=[
            messages.PackWeight(pack_class=pack_class, weight=weight)
            for pack_class, weight in archetype.pack_weights.items()
        ],
        variant_loyalty_ratio=archetype.variant_loyalty_ratio,
    )
