"""A search for items that gives each item once, though many customers buy it."""

from pantree_vector.core.embedder import Vector
from pantree_vector.core.store import ItemFilter, ItemMatch, VectorStore

# How many points are fetched for each item still wanted, at first; a popular item has a point for every buyer.
_FIRST_FETCH_FACTOR = 4
_FETCH_GROWTH = 16
# The most points that Milvus returns from one search.
_LARGEST_FETCH = 16_384


async def search_distinct_items(
    store: VectorStore, tenant_id: str, vector: Vector, *, wanted: ItemFilter, limit: int
) -> list[ItemMatch]:
    """Items most alike to a vector, most alike first, then by name; as many as `limit` when there are so many.

    Each further fetch leaves out the items already found, so that it brings at least one new item or is the last.

    Args:
        store: where to search.
        tenant_id: whose items.
        vector: float32[d], what to compare with.
        wanted: which items.
        limit: largest number of items.
    """
    found: dict[str, ItemMatch] = {}
    fetch = limit * _FIRST_FETCH_FACTOR
    while len(found) < limit:
        matches = await store.search_items(tenant_id, vector, wanted=wanted, without_names=list(found), limit=fetch)
        for match in matches:
            found.setdefault(match.normalised_name, match)
        if len(matches) < fetch:
            break
        fetch = min(fetch * _FETCH_GROWTH, _LARGEST_FETCH)
    return sorted(found.values(), key=lambda match: (-match.score, match.name))[:limit]
