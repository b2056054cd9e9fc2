"""Messages of the vector service ↔ core types."""

from collections.abc import Sequence
from datetime import date

from pantree.model.v1.model_pb2 import Model
from pantree.vector.v1 import vector_service_pb2 as messages
from pantree_domain.days import calendar_day, day_number
from pantree_runtime.errors import InvalidInput
from pantree_runtime.purchase_columns import history_of
from pantree_runtime.status import status_of
from pantree_runtime.validation import validate
from pantree_vector.core.embedder import EmbeddingModel, Vectors
from pantree_vector.core.household_points import HistoryToIndex
from pantree_vector.core.neighborhood import Neighborhood, NeighborItem
from pantree_vector.core.profile import CustomerProfile
from pantree_vector.core.similarity import IndexedHistory
from pantree_vector.core.store import CustomerMatch, ItemFilter, ItemMatch
from pantree_vector.rules import check_history


def item_filter(request: messages.SearchItemsRequest) -> ItemFilter:
    return ItemFilter(
        request.category,
        request.min_price if request.HasField("min_price") else None,
        request.max_price if request.HasField("max_price") else None,
    )


def history_to_index(request: messages.IndexHistoryRequest) -> HistoryToIndex:
    as_of_day = day_number(date.fromisoformat(request.as_of))
    return HistoryToIndex(request.tenant_id, request.customer_id, history_of(request.purchases), as_of_day)


def histories_to_index(request: messages.IndexHistoriesRequest) -> list[HistoryToIndex | InvalidInput]:
    """Each history of a batch, converted, or its violations, with fields named as in an IndexHistoryRequest."""
    return [_history_or_error(history) for history in request.histories]


def _history_or_error(history: messages.IndexHistoryRequest) -> HistoryToIndex | InvalidInput:
    try:
        validate(history, check_history)
    except InvalidInput as error:
        return error
    return history_to_index(history)


def embed_response(names: Sequence[str], vectors: Vectors, model: EmbeddingModel) -> messages.EmbedItemsResponse:
    return messages.EmbedItemsResponse(
        embeddings=[
            messages.Embedding(name=name, vector=vector) for name, vector in zip(names, vectors.tolist(), strict=True)
        ],
        model=_model_message(model),
    )


def items_response(matches: Sequence[ItemMatch]) -> messages.SearchItemsResponse:
    return messages.SearchItemsResponse(
        hits=[
            messages.ItemHit(name=match.name, category=match.category, score=match.score, unit_price=match.unit_price)
            for match in matches
        ]
    )


def index_response(indexed: IndexedHistory, model: EmbeddingModel) -> messages.IndexHistoryResponse:
    return messages.IndexHistoryResponse(
        item_count=indexed.item_count, profile=_profile_message(indexed.profile), model=_model_message(model)
    )


def outcomes_response(
    first_index: int,
    checked: Sequence[HistoryToIndex | InvalidInput],
    indexed: Sequence[IndexedHistory],
    model: EmbeddingModel,
) -> messages.IndexHistoriesResponse:
    """Message with the outcomes of a batch.

    Args:
        first_index: position of the batch's first history in the whole call.
        checked: the valid histories of the batch, and the violations of the others.
        indexed: what was stored of the valid histories, in their order.
        model: the embedding model.
    """
    stored = iter(indexed)
    return messages.IndexHistoriesResponse(
        outcomes=[
            messages.IndexedHistory(history_index=index, error=status_of(one))
            if isinstance(one, InvalidInput)
            else messages.IndexedHistory(history_index=index, item_count=next(stored).item_count)
            for index, one in enumerate(checked, first_index)
        ],
        model=_model_message(model),
    )


def profile_response(profile: CustomerProfile) -> messages.GetCustomerProfileResponse:
    return messages.GetCustomerProfileResponse(profile=_profile_message(profile))


def customers_response(matches: Sequence[CustomerMatch]) -> messages.SearchCustomersResponse:
    return messages.SearchCustomersResponse(
        hits=[messages.CustomerHit(customer_id=match.customer_id, score=match.score) for match in matches]
    )


def neighborhood_response(neighborhood: Neighborhood) -> messages.DescribeNeighborhoodResponse:
    return messages.DescribeNeighborhoodResponse(
        neighborhood=messages.Neighborhood(
            neighbor_count=neighborhood.neighbor_count,
            items=[_neighbor_item_message(item) for item in neighborhood.items],
        )
    )


def _neighbor_item_message(item: NeighborItem) -> messages.NeighborItem:
    low, median, high = item.interval_quartiles
    associated_item = item.associated_item
    return messages.NeighborItem(
        name=item.name,
        category=item.category,
        buyer_count=item.buyer_count,
        regular_buyer_count=item.regular_buyer_count,
        low_interval_days=low,
        median_interval_days=median,
        high_interval_days=high,
        own_day_count=item.own_day_count,
        associated_item=None
        if associated_item is None
        else messages.Association(
            name=associated_item.name,
            buyer_count=associated_item.buyer_count,
            regular_count=associated_item.regular_count,
        ),
    )


def _profile_message(profile: CustomerProfile) -> messages.CustomerProfile:
    return messages.CustomerProfile(
        customer_id=profile.customer_id,
        purchase_count=profile.purchase_count,
        trip_count=profile.trip_count,
        total_spend=profile.total_spend,
        mean_trip_gap_days=profile.mean_trip_gap_days,
        category_shares=[
            messages.CategoryShare(category=share.category, share_ratio=share.share_ratio)
            for share in profile.category_shares
        ],
        as_of=calendar_day(profile.as_of_day).isoformat(),
    )


def _model_message(model: EmbeddingModel) -> Model:
    return Model(name=model.name, version=model.version)
