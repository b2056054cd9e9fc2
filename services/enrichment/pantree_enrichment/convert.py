"""Messages of the enrichment service ↔ core types."""

from pantree.catalog.v1 import catalog_pb2
from pantree.enrichment.v1 import enrichment_service_pb2 as messages
from pantree_domain.catalog import Perishability
from pantree_enrichment.core.item import EnrichedItem, ItemToEnrich, Relation

_PERISHABILITIES = {
    None: catalog_pb2.PERISHABILITY_UNSPECIFIED,
    Perishability.DAYS: catalog_pb2.PERISHABILITY_DAYS,
    Perishability.WEEKS: catalog_pb2.PERISHABILITY_WEEKS,
    Perishability.MONTHS: catalog_pb2.PERISHABILITY_MONTHS,
}

_RELATIONS = {
    Relation.COMPLEMENT: catalog_pb2.RELATION_COMPLEMENT,
    Relation.SUBSTITUTE: catalog_pb2.RELATION_SUBSTITUTE,
}


def items_to_enrich(request: messages.EnrichItemsRequest) -> list[ItemToEnrich]:
    return [ItemToEnrich(item.name, item.category) for item in request.items]


def enrich_items_response(index: int, item: EnrichedItem) -> messages.EnrichItemsResponse:
    return messages.EnrichItemsResponse(
        item_index=index,
        item=messages.EnrichedItem(
            name=item.name,
            normalized_name=item.normalized_name,
            category=item.category,
            certainty_ratio=item.certainty_ratio,
            perishability=_PERISHABILITIES[item.perishability],
            related_items=[
                messages.RelatedItem(name=related.name, relation=_RELATIONS[related.relation])
                for related in item.related_items
            ],
            suggested_interval_days=item.suggested_interval_days or 0,
            suggested_interval_reason=None
            if item.interval_reason is None
            else messages.IntervalReason(code=item.interval_reason.code, text=item.interval_reason.text),
            source=item.source,
            fallback_reason=item.fallback_reason,
            sources=messages.FactSources(
                category=item.sources.category,
                perishability=item.sources.perishability,
                suggested_interval=item.sources.suggested_interval,
                related_items=item.sources.related_items,
                plain_name=item.sources.plain_name,
            ),
            plain_name=item.plain_name,
        ),
    )
