"""Messages of the vector service ↔ core types."""

from collections.abc import Sequence
from dataclasses import dataclass

from pantree.model.v1.model_pb2 import Model
from pantree.vector.v1 import vector_service_pb2 as messages
from pantree_domain.days import calendar_day, day_number
from pantree_runtime.errors import InvalidInput
from pantree_runtime.purchase_columns import history_of
from pantree_runtime.status import status_of
from pantree_runtime.validation import Violations
from pantree_vector.core import (
    CustomerMatch,
    CustomerProfile,
    EmbeddingModel,
    HistoryToIndex,
    IndexedHistory,
    ItemFilter,
    ItemMatch,
    Neighborhood,
    NeighborItem,
    Vectors,
)

MAX_NAMES = 1_000
MAX_HISTORIES = 1_000
MAX_HITS = 100
DEFAULT_HITS = 10


@dataclass(frozen=True)
class ItemSearch:
    """A checked SearchItemsRequest."""

    tenant_id: str
    text: str
    item_filter: ItemFilter
    diversity: float
    limit: int


@dataclass(frozen=True)
class CustomerSearch:
    """A checked SearchCustomersRequest."""

    tenant_id: str
    customer_id: str
    limit: int


@dataclass(frozen=True)
class CustomerName:
    """A checked request that names a customer and nothing else."""

    tenant_id: str
    customer_id: str


def names_to_embed(request: messages.EmbedItemsRequest) -> list[str]:
    """Names to embed.

    Raises:
        InvalidInput: naming every wrong field.
    """
    violations = Violations()
    if 1 <= len(request.names) <= MAX_NAMES:
        for position, name in enumerate(request.names):
            violations.text(f"names[{position}]", name)
    else:
        violations.add("names", f"has {len(request.names):,} names; give 1 to {MAX_NAMES:,}")
    violations.raise_if_any()
    return list(request.names)


def item_search(request: messages.SearchItemsRequest) -> ItemSearch:
    """What items to search for.

    Raises:
        InvalidInput: naming every wrong field.
    """
    violations = Violations()
    violations.identifier("tenant_id", request.tenant_id, required=False)
    violations.text("text", request.text)
    violations.text("category", request.category, required=False)
    min_price = request.min_price if request.HasField("min_price") else None
    max_price = request.max_price if request.HasField("max_price") else None
    for field, price in (("min_price", min_price), ("max_price", max_price)):
        if price is not None:
            violations.price(field, price)
    if min_price is not None and max_price is not None and min_price > max_price:
        violations.add("max_price", f"is {max_price:g}; give at least min_price, {min_price:g}")
    violations.number("diversity", request.diversity, 0, 1)
    limit = _limit(request.limit, violations)
    violations.raise_if_any()
    item_filter = ItemFilter(request.category, min_price, max_price)
    return ItemSearch(request.tenant_id, request.text, item_filter, request.diversity, limit)


def history_to_index(request: messages.IndexHistoryRequest) -> HistoryToIndex:
    """What history to store.

    Raises:
        InvalidInput: naming every wrong field.
    """
    violations = Violations()
    _check_customer(request.tenant_id, request.customer_id, violations)
    as_of = violations.day("as_of", request.as_of)
    as_of_day = None if as_of is None else day_number(as_of)
    history = history_of(request.purchases, "purchases", violations, last_day=as_of_day)
    if not len(history):
        violations.add("purchases.days", "has no lines; give at least one purchase, or call DeleteCustomer")
    violations.raise_if_any()
    assert as_of_day is not None  # a missing day is a violation
    return HistoryToIndex(request.tenant_id, request.customer_id, history, as_of_day)


def histories_to_index(request: messages.IndexHistoriesRequest) -> list[HistoryToIndex | InvalidInput]:
    """What histories to store, each checked by itself.

    Returns:
        For each history what to store, or what is wrong with it; fields are named as in an IndexHistoryRequest.

    Raises:
        InvalidInput: when there are no histories, or too many.
    """
    violations = Violations()
    if not 1 <= len(request.histories) <= MAX_HISTORIES:
        violations.add("histories", f"has {len(request.histories):,} histories; give 1 to {MAX_HISTORIES:,}")
    violations.raise_if_any()
    checked: list[HistoryToIndex | InvalidInput] = []
    for history in request.histories:
        try:
            checked.append(history_to_index(history))
        except InvalidInput as error:
            checked.append(error)
    return checked


def customer_search(
    request: messages.SearchCustomersRequest | messages.DescribeNeighborhoodRequest,
) -> CustomerSearch:
    """Whose neighbors to search for, and how much to tell.

    Raises:
        InvalidInput: naming every wrong field.
    """
    violations = Violations()
    _check_customer(request.tenant_id, request.customer_id, violations)
    limit = _limit(request.limit, violations)
    violations.raise_if_any()
    return CustomerSearch(request.tenant_id, request.customer_id, limit)


def customer_name(request: messages.GetCustomerProfileRequest | messages.DeleteCustomerRequest) -> CustomerName:
    """The customer that a request names.

    Raises:
        InvalidInput: naming every wrong field.
    """
    violations = Violations()
    _check_customer(request.tenant_id, request.customer_id, violations)
    violations.raise_if_any()
    return CustomerName(request.tenant_id, request.customer_id)


def _check_customer(tenant_id: str, customer_id: str, violations: Violations) -> None:
    violations.identifier("tenant_id", tenant_id, required=False)
    violations.identifier("customer_id", customer_id)


def _limit(limit: int, violations: Violations) -> int:
    if limit == 0:
        return DEFAULT_HITS
    violations.whole_number("limit", limit, 1, MAX_HITS)
    return limit


def embed_response(names: Sequence[str], vectors: Vectors, model: EmbeddingModel) -> messages.EmbedItemsResponse:
    """Converts vectors to their message."""
    return messages.EmbedItemsResponse(
        embeddings=[
            messages.Embedding(name=name, vector=vector) for name, vector in zip(names, vectors.tolist(), strict=True)
        ],
        model=_model_message(model),
    )


def items_response(matches: Sequence[ItemMatch]) -> messages.SearchItemsResponse:
    """Converts the items found to their message."""
    return messages.SearchItemsResponse(
        hits=[
            messages.ItemHit(name=match.name, category=match.category, score=match.score, unit_price=match.unit_price)
            for match in matches
        ]
    )


def index_response(indexed: IndexedHistory, model: EmbeddingModel) -> messages.IndexHistoryResponse:
    """Converts what was stored to its message."""
    return messages.IndexHistoryResponse(
        item_count=indexed.item_count, profile=_profile_message(indexed.profile), model=_model_message(model)
    )


def outcomes_response(
    first_index: int,
    checked: Sequence[HistoryToIndex | InvalidInput],
    indexed: Sequence[IndexedHistory],
    model: EmbeddingModel,
) -> messages.IndexHistoriesResponse:
    """Converts the outcomes of a batch to their message.

    Args:
        first_index: position of the batch's first history in the whole call.
        checked: the histories of the batch, or what is wrong with them.
        indexed: what was stored of the valid ones, in their order.
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
    """Converts a profile to its message."""
    return messages.GetCustomerProfileResponse(profile=_profile_message(profile))


def customers_response(matches: Sequence[CustomerMatch]) -> messages.SearchCustomersResponse:
    """Converts the customers found to their message."""
    return messages.SearchCustomersResponse(
        hits=[messages.CustomerHit(customer_id=match.customer_id, score=match.score) for match in matches]
    )


def neighborhood_response(neighborhood: Neighborhood) -> messages.DescribeNeighborhoodResponse:
    """Converts the items of neighbors to their message."""
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


def delete_response(removed_count: int) -> messages.DeleteCustomerResponse:
    """Converts the number of removed points to its message."""
    return messages.DeleteCustomerResponse(removed_count=removed_count)


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
