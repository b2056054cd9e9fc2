"""Tests that every store passes. A new back end needs an entry in `STORES`."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from pantree_runtime.errors import NotFound
from pantree_vector.backends.hashing import HashedTrigrams
from pantree_vector.backends.memory import MemoryStore
from pantree_vector.backends.milvus import MilvusStore
from pantree_vector.backends.qdrant import QdrantStore
from pantree_vector.core.household_points import HistoryToIndex
from pantree_vector.core.similarity import Similarity
from pantree_vector.core.store import ItemFilter, VectorStore
from tests.vector.households import FAMILY, NEIGHBORS, history_of_lines
from tests.vector.stores import embedded_store, server_store

DAY = 20_020


STORES: dict[str, Callable[[Path, pytest.FixtureRequest], VectorStore]] = {
    "memory": lambda directory, request: MemoryStore(max_items=10_000),
    "milvus-lite": lambda directory, request: embedded_store(MilvusStore, directory / "vectors.db"),
    "milvus-server": lambda directory, request: server_store(MilvusStore, request.getfixturevalue("milvus_uri")),
    "qdrant-memory": lambda directory, request: embedded_store(QdrantStore, ":memory:"),
    # Not in a directory: it runs the same code, but each point is a transaction, which takes minutes here.
    "qdrant-server": lambda directory, request: server_store(QdrantStore, os.environ["QDRANT_URL"]),
}
MARKS = {
    # The first test waits for the server to start.
    "milvus-server": [pytest.mark.milvus_server, pytest.mark.timeout(900)],
    "qdrant-server": [pytest.mark.skipif("QDRANT_URL" not in os.environ, reason="QDRANT_URL is not set")],
}


# The clients of servers belong to one event loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(
    loop_scope="module", scope="module", params=[pytest.param(name, marks=MARKS.get(name, ())) for name in STORES]
)
async def similarity(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Similarity]:
    """One open store for all tests; each test has its own tenants."""
    similarity = Similarity(STORES[request.param](tmp_path_factory.mktemp("store"), request), HashedTrigrams())
    await similarity.open()
    yield similarity
    await similarity.close()


@pytest.fixture
def tenant() -> str:
    return f"tenant-{uuid.uuid4()}"


async def index(
    similarity: Similarity, tenant: str, customer: str, lines: list[tuple[str, str, int, float]] | None = None
) -> int:
    history = history_of_lines(FAMILY if lines is None else lines)
    return (await similarity.index_history(HistoryToIndex(tenant, customer, history, DAY))).item_count


async def similar_names(
    similarity: Similarity, tenant: str, text: str, *, category: str = "", limit: int = 100
) -> list[str]:
    return [
        match.name
        for match in await similarity.search_items(tenant, text, limit=limit, item_filter=ItemFilter(category))
    ]


async def test_indexed_household_is_found_by_the_next_search(similarity: Similarity, tenant: str) -> None:
    assert await index(similarity, tenant, "family") == 3
    matches = await similarity.search_items(tenant, "bananas", limit=10)
    assert (matches[0].name, matches[0].category) == ("Bananas", "produce")
    assert matches[0].score == pytest.approx(1.0, abs=1e-5)
    assert [match.score for match in matches] == sorted((match.score for match in matches), reverse=True)
    assert (await similarity.customer_profile(tenant, "family")).total_spend == 16.0


async def test_scores_are_cosine_similarities(similarity: Similarity, tenant: str) -> None:
    await index(similarity, tenant, "family")
    vectors = await similarity.embed(["ripe bananas", "Bananas", "Whole Milk", "Paper Towels"])
    expected = dict(zip(["Bananas", "Whole Milk", "Paper Towels"], (vectors[1:] @ vectors[0]).tolist(), strict=True))
    matches = await similarity.search_items(tenant, "ripe bananas", limit=10)
    assert {match.name: match.score for match in matches} == pytest.approx(expected, abs=1e-5)


async def test_indexing_is_idempotent(similarity: Similarity, tenant: str) -> None:
    await index(similarity, tenant, "family")
    once = await similarity.search_items(tenant, "milk", limit=100)
    assert await index(similarity, tenant, "family") == 3
    assert await similarity.search_items(tenant, "milk", limit=100) == once
    assert await similarity.delete_customer(tenant, "family") == 4


async def test_item_that_is_no_longer_bought_is_removed(similarity: Similarity, tenant: str) -> None:
    await index(similarity, tenant, "family")
    await index(similarity, tenant, "neighbors", list(NEIGHBORS))
    await index(similarity, tenant, "family", [("Bananas", "fruit", 20_010, 2.0)])
    assert set(await similar_names(similarity, tenant, "milk")) == {"Bananas", "Organic Bananas", "Skim Milk"}
    assert await similar_names(similarity, tenant, "bananas", category="fruit") == ["Bananas"]
    assert (await similarity.customer_profile(tenant, "family")).purchase_count == 1


async def test_all_points_of_a_deleted_customer_are_removed(similarity: Similarity, tenant: str) -> None:
    await index(similarity, tenant, "family")
    await index(similarity, tenant, "neighbors", list(NEIGHBORS))
    assert await similarity.delete_customer(tenant, "family") == 4
    assert set(await similar_names(similarity, tenant, "bananas")) == {"Organic Bananas", "Skim Milk"}
    assert await similarity.search_customers(tenant, "neighbors", limit=10) == []
    with pytest.raises(NotFound):
        await similarity.customer_profile(tenant, "family")
    assert await similarity.delete_customer(tenant, "family") == 0


async def test_deleted_customer_can_be_indexed_again(similarity: Similarity, tenant: str) -> None:
    await index(similarity, tenant, "family")
    await similarity.delete_customer(tenant, "family")
    await index(similarity, tenant, "family")
    assert len(await similar_names(similarity, tenant, "bananas")) == 3


async def test_tenants_are_isolated(similarity: Similarity, tenant: str) -> None:
    other = f"{tenant}-other"
    await index(similarity, tenant, "family")
    await index(similarity, other, "family", list(NEIGHBORS))
    await index(similarity, other, "someone", list(NEIGHBORS))
    assert set(await similar_names(similarity, tenant, "bananas")) == {"Bananas", "Whole Milk", "Paper Towels"}
    assert await similarity.search_customers(tenant, "family", limit=10) == []
    with pytest.raises(NotFound):
        await similarity.customer_profile(tenant, "someone")
    assert await similarity.delete_customer(tenant, "someone") == 0
    assert await similarity.delete_customer(tenant, "family") == 4
    assert set(await similar_names(similarity, other, "bananas")) == {"Organic Bananas", "Skim Milk"}


async def test_unknown_tenant_has_no_points(similarity: Similarity, tenant: str) -> None:
    assert await similar_names(similarity, tenant, "bananas") == []
    with pytest.raises(NotFound, match="IndexHistory"):
        await similarity.search_customers(tenant, "family", limit=10)


@pytest.mark.parametrize("text", ['" or tenant_key != "', "\\", "O'Brien", "客户 ☕", "{name}", "a" * 128, "𝔘" * 128])
async def test_ids_and_categories_may_contain_any_character(similarity: Similarity, tenant: str, text: str) -> None:
    other_tenant = tenant[:-1] + text
    await index(similarity, tenant, "family")
    await index(similarity, other_tenant, text, [(text, text, 20_000, 1.0)])
    assert await similar_names(similarity, other_tenant, "bananas") == [text]
    assert await similar_names(similarity, other_tenant, "bananas", category=text) == [text]
    assert await similar_names(similarity, other_tenant, "bananas", category="produce") == []
    assert (await similarity.customer_profile(other_tenant, text)).customer_id == text
    assert await similarity.delete_customer(other_tenant, text) == 2
    assert len(await similar_names(similarity, tenant, "bananas")) == 3


async def test_category_limits_the_search(similarity: Similarity, tenant: str) -> None:
    await index(similarity, tenant, "family")
    assert await similar_names(similarity, tenant, "bananas", category="dairy") == ["Whole Milk"]
    assert await similar_names(similarity, tenant, "bananas", category="Dairy ") == []


async def test_price_limits_the_search(similarity: Similarity, tenant: str) -> None:
    await index(similarity, tenant, "family")

    async def names_from(min_price: float | None, max_price: float | None) -> set[str]:
        item_filter = ItemFilter(min_price=min_price, max_price=max_price)
        matches = await similarity.search_items(tenant, "bananas", limit=10, item_filter=item_filter)
        return {match.name for match in matches}

    assert await names_from(None, 4.0) == {"Bananas", "Whole Milk"}
    assert await names_from(4.0, None) == {"Whole Milk", "Paper Towels"}
    assert await names_from(4.0, 4.0) == {"Whole Milk"}
    assert await names_from(8.01, None) == set()
    (match, *_) = await similarity.search_items(tenant, "paper towels", limit=1)
    assert match.unit_price == 8.0


async def test_many_households_are_stored_by_one_call(similarity: Similarity, tenant: str) -> None:
    lines = [("Bananas", "produce", 20_000, 1.0), ("Milk", "", 20_001, 2.0)]
    histories = [HistoryToIndex(tenant, f"customer-{n}", history_of_lines(lines), DAY) for n in range(30)]
    twice = HistoryToIndex(tenant, "customer-3", history_of_lines(FAMILY), DAY)
    for _ in range(2):
        indexed = await similarity.index_histories([*histories, twice])
        assert [one.item_count for one in indexed] == [2] * 30 + [3]
    assert set(await similar_names(similarity, tenant, "milk")) == {"Bananas", "Milk", "Whole Milk", "Paper Towels"}
    assert len(await similarity.search_customers(tenant, "customer-3", limit=100)) == 29
    assert await similarity.delete_customer(tenant, "customer-3") == 4
    assert await similarity.delete_customer(tenant, "customer-4") == 3


async def test_large_household_is_stored_like_a_small_one(similarity: Similarity, tenant: str) -> None:
    many = [(f"Item {number}", "", 20_000, 1.0) for number in range(300)]
    for lines in (list(FAMILY), many, many[:3]):
        assert await index(similarity, tenant, "family", lines) == len({name for name, *_ in lines})
        assert len(await similar_names(similarity, tenant, "item", limit=400)) == len({name for name, *_ in lines})
    assert await similarity.delete_customer(tenant, "family") == 4


async def test_item_of_many_customers_is_found_once_with_other_items(similarity: Similarity, tenant: str) -> None:
    # The 30 bananas are nearest, more points than a search for two items fetches at first.
    for number in range(30):
        spelling = "Bananas" if number % 2 else " BANANAS "
        await index(similarity, tenant, f"customer-{number}", [(spelling, "produce", 20_000, 1.0)])
    await index(similarity, tenant, "family")
    found = await similar_names(similarity, tenant, "bananas", limit=2)
    assert len(found) == 2
    assert found[0].strip().casefold() == "bananas"
    assert found[1] in {"Whole Milk", "Paper Towels"}
    assert len(await similar_names(similarity, tenant, "bananas", limit=1)) == 1


async def test_customers_are_ordered_by_similarity(similarity: Similarity, tenant: str) -> None:
    await index(similarity, tenant, "family")
    await index(similarity, tenant, "twin")
    await index(similarity, tenant, "neighbors", list(NEIGHBORS))
    await index(similarity, tenant, "hardware", [("Hammer", "tools", 20_000, 20.0)])
    matches = await similarity.search_customers(tenant, "family", limit=10)
    assert [match.customer_id for match in matches] == ["twin", "neighbors", "hardware"]
    assert matches[0].score == pytest.approx(1.0, abs=1e-5)
    assert [match.customer_id for match in await similarity.search_customers(tenant, "family", limit=1)] == ["twin"]


async def test_stored_profile_equals_the_indexed_one(similarity: Similarity, tenant: str) -> None:
    indexed = await similarity.index_history(HistoryToIndex(tenant, "family", history_of_lines(FAMILY), DAY))
    assert await similarity.customer_profile(tenant, "family") == indexed.profile


async def test_household_indexed_concurrently_is_one_of_its_histories(similarity: Similarity, tenant: str) -> None:
    await asyncio.gather(
        *(index(similarity, tenant, "family", list(lines)) for lines in (FAMILY, NEIGHBORS, FAMILY, NEIGHBORS))
    )
    found = set(await similar_names(similarity, tenant, "bananas"))
    assert found in ({"Bananas", "Whole Milk", "Paper Towels"}, {"Organic Bananas", "Skim Milk"})


async def test_household_larger_than_a_batch_is_stored_and_removed(similarity: Similarity, tenant: str) -> None:
    lines = [(f"Item {number}", "many", 20_000, 1.0) for number in range(1_800)]
    assert await index(similarity, tenant, "warehouse", lines) == 1_800
    assert await similar_names(similarity, tenant, "item 1799", limit=1) == ["Item 1799"]
    assert await index(similarity, tenant, "warehouse", lines[:50]) == 50
    assert await similarity.delete_customer(tenant, "warehouse") == 51


async def test_items_of_customers_have_their_purchase_days(similarity: Similarity, tenant: str) -> None:
    await index(similarity, tenant, "family")
    await index(similarity, tenant, "neighbors", list(NEIGHBORS))
    family, nobody, neighbors = await similarity.items_of_customers(tenant, ["family", "nobody", "neighbors"])
    assert [(item.name, item.category, item.day_count, item.span_days) for item in family] == [
        ("Bananas", "produce", 2, 7),
        ("Paper Towels", "household", 1, 0),
        ("Whole Milk", "dairy", 1, 0),
    ]
    assert nobody == ()
    assert [item.name for item in neighbors] == ["Organic Bananas", "Skim Milk"]
    assert await similarity.items_of_customers(f"{tenant}-other", ["family"]) == [()]


async def test_neighborhood_is_what_many_similar_customers_buy_regularly(similarity: Similarity, tenant: str) -> None:
    habit = [("Whole Milk", "dairy", day, 4.0) for day in (19_980, 19_987, 19_994)]
    eggs = [("Eggs", "dairy", day, 3.0) for day in (19_980, 19_990, 20_000)]
    customers = []
    for number in range(12):  # more than one query fetches
        customers.append(HistoryToIndex(tenant, f"customer-{number}", history_of_lines([*habit, *eggs]), DAY))
    await similarity.index_histories(customers)
    await index(similarity, tenant, "unknown", [*habit, *eggs])  # nobody vouches for this one
    await index(similarity, tenant, "newcomer", [("Whole Milk", "dairy", 20_000, 4.0)])
    neighborhood = await similarity.neighborhood(tenant, "newcomer", limit=10)
    assert neighborhood.neighbor_count == 12
    found = {item.name: (item.regular_buyer_count, item.own_day_count) for item in neighborhood.items}
    assert found == {"Eggs": (12, 0), "Whole Milk": (12, 1)}
    assert {item.name: item.interval_quartiles[1] for item in neighborhood.items} == {"Eggs": 10, "Whole Milk": 7}
    with pytest.raises(NotFound):
        await similarity.neighborhood(f"{tenant}-other", "newcomer", limit=10)


async def test_full_store_in_memory_forgets_the_oldest_customers_of_the_largest_tenant() -> None:
    similarity = Similarity(MemoryStore(max_items=9), HashedTrigrams())
    await similarity.open()
    await index(similarity, "small", "family")
    for customer in ("first", "second", "first", "third"):
        await index(similarity, "large", customer)
    with pytest.raises(NotFound):
        await similarity.search_customers("large", "second", limit=1)
    found = await similarity.search_customers("large", "first", limit=5)
    assert [match.customer_id for match in found] == ["third"]
    assert await similar_names(similarity, "small", "whole milk")
