import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest

from pantree.purchase.v1.purchase_pb2 import PurchaseColumns
from pantree.vector.v1 import vector_service_pb2 as messages
from pantree.vector.v1 import vector_service_pb2_grpc as rpc
from pantree_runtime.errors import InvalidInput, NotFound, StoreMismatch
from pantree_runtime.purchase_columns import columns_of
from pantree_runtime.server import running
from pantree_runtime.status import translate_rpc_errors
from pantree_vector.__main__ import build
from pantree_vector.backends.milvus import MilvusStore
from pantree_vector.core.embedder import EmbeddingModel
from pantree_vector.demo import DEMO_TENANT, demo
from pantree_vector.settings import VectorSettings
from tests.loopback import loopback
from tests.vector.households import FAMILY, NEIGHBORS, history_of_lines
from tests.vector.stores import embedded_store

FAMILY_COLUMNS = columns_of(history_of_lines(FAMILY))


@pytest.fixture
async def vector() -> AsyncIterator["rpc.VectorServiceAsyncStub"]:
    async with loopback(await build(VectorSettings(store_url="memory://"))) as channel:
        yield rpc.VectorServiceStub(channel)


def index_request(**changes: object) -> messages.IndexHistoryRequest:
    fields: dict[str, object] = {"customer_id": "family", "purchases": FAMILY_COLUMNS, "as_of": "2024-11-05"}
    return messages.IndexHistoryRequest(**{**fields, **changes})  # type: ignore[arg-type]


def fields_of(error: InvalidInput) -> set[str]:
    return {violation.field for violation in error.violations}


async def test_embeddings_are_unit_vectors_in_request_order(vector: "rpc.VectorServiceAsyncStub") -> None:
    response = await vector.EmbedItems(messages.EmbedItemsRequest(names=["Milk", "Bananas", "  MILK"]))
    assert [embedding.name for embedding in response.embeddings] == ["Milk", "Bananas", "  MILK"]
    vectors = np.array([embedding.vector for embedding in response.embeddings])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert vectors[0].tolist() == vectors[2].tolist() != vectors[1].tolist()
    assert response.model.name == "static"


async def test_index_then_search_then_delete(vector: "rpc.VectorServiceAsyncStub") -> None:
    indexed = await vector.IndexHistory(index_request())
    assert indexed.item_count == 3
    assert (indexed.profile.customer_id, indexed.profile.as_of) == ("family", "2024-11-05")
    assert indexed.profile.mean_trip_gap_days == 7.0
    assert indexed.model.name == "static"
    await vector.IndexHistory(index_request(customer_id="neighbors", purchases=columns_of(history_of_lines(NEIGHBORS))))

    items = await vector.SearchItems(messages.SearchItemsRequest(text="Organic bananas", limit=2))
    assert [hit.name for hit in items.hits] == ["Organic Bananas", "Bananas"]
    assert items.hits[0].score == pytest.approx(1.0, abs=1e-5)
    customers = await vector.SearchCustomers(messages.SearchCustomersRequest(customer_id="family"))
    assert [hit.customer_id for hit in customers.hits] == ["neighbors"]
    stored = await vector.GetCustomerProfile(messages.GetCustomerProfileRequest(customer_id="family"))
    assert stored.profile == indexed.profile

    deleted = await vector.DeleteCustomer(messages.DeleteCustomerRequest(customer_id="family"))
    assert deleted.removed_count == 4
    items = await vector.SearchItems(messages.SearchItemsRequest(text="bananas"))
    assert {hit.name for hit in items.hits} == {"Organic Bananas", "Skim Milk"}


async def test_neighborhood_has_associated_items(vector: "rpc.VectorServiceAsyncStub") -> None:
    purchases_of_eggs = [("Eggs", "dairy", day, 3.0) for day in (20_000, 20_008, 20_018)]
    for number in range(8):
        pasta = [("Pasta", "pantry", 20_000, 1.0)] if number < 6 else []
        lines = [("Milk", "dairy", 20_000, 4.0), *pasta, *(purchases_of_eggs if number < 5 else [])]
        histories = [index_request(customer_id=f"customer-{number}", purchases=columns_of(history_of_lines(lines)))]
        batches = iter([messages.IndexHistoriesRequest(histories=histories)])
        assert [response async for response in vector.IndexHistories(batches)]
    own = history_of_lines([("Milk", "dairy", 20_000, 4.0), ("Pasta", "pantry", 20_000, 1.0)])
    await vector.IndexHistory(index_request(customer_id="newcomer", purchases=columns_of(own)))
    response = await vector.DescribeNeighborhood(messages.DescribeNeighborhoodRequest(customer_id="newcomer"))
    assert response.neighborhood == messages.Neighborhood(
        neighbor_count=8,
        items=[
            messages.NeighborItem(
                name="Eggs",
                category="dairy",
                buyer_count=5,
                regular_buyer_count=5,
                low_interval_days=9,
                median_interval_days=9,
                high_interval_days=9,
                associated_item=messages.Association(name="Pasta", buyer_count=6, regular_count=5),
            )
        ],
    )


async def test_search_without_limit_returns_ten_items(vector: "rpc.VectorServiceAsyncStub") -> None:
    lines = [(f"Item {number}", "", 20_000, 1.0) for number in range(12)]
    await vector.IndexHistory(index_request(purchases=columns_of(history_of_lines(lines))))
    assert len((await vector.SearchItems(messages.SearchItemsRequest(text="item"))).hits) == 10
    assert len((await vector.SearchItems(messages.SearchItemsRequest(text="item", limit=100))).hits) == 12


async def test_profile_of_one_trip_has_no_gap_field(vector: "rpc.VectorServiceAsyncStub") -> None:
    purchases = columns_of(history_of_lines([("Bananas", "", 20_000, 1.0)]))
    indexed = await vector.IndexHistory(index_request(purchases=purchases))
    assert not indexed.profile.HasField("mean_trip_gap_days")


@pytest.mark.parametrize("method", ["GetCustomerProfile", "SearchCustomers", "DescribeNeighborhood"])
async def test_customer_who_is_not_stored_is_not_found(vector: "rpc.VectorServiceAsyncStub", method: str) -> None:
    request = getattr(messages, f"{method}Request")(customer_id="nobody")
    with pytest.raises(NotFound, match="IndexHistory"), translate_rpc_errors("vector"):
        await getattr(vector, method)(request)


async def test_deleting_a_customer_who_is_not_stored_succeeds(vector: "rpc.VectorServiceAsyncStub") -> None:
    response = await vector.DeleteCustomer(messages.DeleteCustomerRequest(customer_id="nobody"))
    assert response.removed_count == 0


@pytest.mark.parametrize(
    ("method", "request_message", "fields"),
    [
        ("EmbedItems", messages.EmbedItemsRequest(), {"names"}),
        ("EmbedItems", messages.EmbedItemsRequest(names=["milk"] * 1_001), {"names"}),
        ("EmbedItems", messages.EmbedItemsRequest(names=["milk", " ", "x" * 201]), {"names[1]", "names[2]"}),
        ("EmbedItems", messages.EmbedItemsRequest(names=["x" * 100_000]), {"names[0]"}),
        (
            "SearchItems",
            messages.SearchItemsRequest(tenant_id="t" * 129, category="c" * 201, limit=101),
            {"tenant_id", "text", "category", "limit"},
        ),
        (
            "DescribeNeighborhood",
            messages.DescribeNeighborhoodRequest(tenant_id="t" * 129, limit=-1),
            {"tenant_id", "customer_id", "limit"},
        ),
        ("SearchItems", messages.SearchItemsRequest(text=""), {"text"}),
        ("SearchItems", messages.SearchItemsRequest(text="x" * 100_000), {"text"}),
        ("SearchItems", messages.SearchItemsRequest(text="milk", limit=-1), {"limit"}),
        (
            "SearchItems",
            messages.SearchItemsRequest(text="milk", min_price=-1, max_price=float("inf"), diversity=1.5),
            {"min_price", "max_price", "diversity"},
        ),
        ("SearchItems", messages.SearchItemsRequest(text="milk", min_price=2, max_price=1), {"max_price"}),
        ("SearchCustomers", messages.SearchCustomersRequest(limit=101), {"customer_id", "limit"}),
        ("GetCustomerProfile", messages.GetCustomerProfileRequest(), {"customer_id"}),
        ("DeleteCustomer", messages.DeleteCustomerRequest(customer_id="a\x1fb"), {"customer_id"}),
        (
            "IndexHistory",
            messages.IndexHistoryRequest(customer_id="c" * 129),
            {"customer_id", "as_of", "purchases", "purchases.days"},
        ),
        (
            "IndexHistory",
            index_request(
                customer_id="c" * 100_000,
                tenant_id="t" * 100_000,
                purchases=columns_of(history_of_lines([("x" * 100_000, "y" * 100_000, 20_000, 1.0)])),
            ),
            {"customer_id", "tenant_id", "purchases.item_names[0]", "purchases.item_categories[0]"},
        ),
        (
            "IndexHistory",
            index_request(purchases=columns_of(history_of_lines([("", "", 20_000, 1.0)]))),
            {"purchases.item_names[0]"},
        ),
        (
            "IndexHistory",
            index_request(
                as_of="2024-10-02",
                purchases=PurchaseColumns(
                    item_names=["Bananas"],
                    item_indices=[0, 1],
                    days=[20_000, 19_998],
                    quantities=[0, 1],
                    prices=[1.0, float("nan")],
                    savings=[0.0, -1.0],
                ),
            ),
            {
                "purchases.item_indices[1]",
                "purchases.days[0]",
                "purchases.quantities[0]",
                "purchases.prices[1]",
                "purchases.savings[1]",
            },
        ),
    ],
)
async def test_every_wrong_field_is_named(
    vector: "rpc.VectorServiceAsyncStub", method: str, request_message: object, fields: set[str]
) -> None:
    with pytest.raises(InvalidInput) as raised, translate_rpc_errors("vector"):
        await getattr(vector, method)(request_message)
    assert fields_of(raised.value) == fields


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("", "text: is required"),
        ("x" * 100_000, "text: must have at most 200 characters; has 100,000"),
    ],
    ids=["empty", "100,000 characters"],
)
async def test_error_about_a_text_states_the_remedy(
    vector: "rpc.VectorServiceAsyncStub", text: str, remedy: str
) -> None:
    with pytest.raises(InvalidInput) as raised, translate_rpc_errors("vector"):
        await vector.SearchItems(messages.SearchItemsRequest(text=text))
    assert raised.value.message.startswith(remedy)


async def test_unknown_tenant_has_no_items_and_no_customers(vector: "rpc.VectorServiceAsyncStub") -> None:
    await vector.IndexHistory(index_request(tenant_id="known"))
    assert not (await vector.SearchItems(messages.SearchItemsRequest(tenant_id="unknown", text="bananas"))).hits
    with pytest.raises(NotFound, match="this customer_id and tenant_id"), translate_rpc_errors("vector"):
        await vector.GetCustomerProfile(messages.GetCustomerProfileRequest(tenant_id="unknown", customer_id="family"))


async def test_rejected_history_is_not_stored(vector: "rpc.VectorServiceAsyncStub") -> None:
    with pytest.raises(InvalidInput), translate_rpc_errors("vector"):
        await vector.IndexHistory(index_request(as_of="yesterday"))
    assert not (await vector.SearchItems(messages.SearchItemsRequest(text="bananas"))).hits


async def test_prices_limit_the_search_and_are_returned(vector: "rpc.VectorServiceAsyncStub") -> None:
    await vector.IndexHistory(index_request())
    found = await vector.SearchItems(messages.SearchItemsRequest(text="milk", min_price=2.0, max_price=4.0))
    assert {hit.name: hit.unit_price for hit in found.hits} == {"Bananas": 2.0, "Whole Milk": 4.0}


async def test_diversity_returns_dissimilar_items(vector: "rpc.VectorServiceAsyncStub") -> None:
    names = ["Whole Milk", "Skim Milk", "Organic Whole Milk", "Milk Whole", "Cheddar"]
    lines = [(name, "", 20_000, 1.0) for name in names]
    await vector.IndexHistory(index_request(purchases=columns_of(history_of_lines(lines))))

    async def found(diversity: float) -> list[str]:
        request = messages.SearchItemsRequest(text="whole milk", limit=2, diversity=diversity)
        return [hit.name for hit in (await vector.SearchItems(request)).hits]

    assert set(await found(0)) == {"Whole Milk", "Milk Whole"}
    assert await found(0.6) == ["Milk Whole", "Cheddar"]


async def test_histories_are_stored_in_batches_and_invalid_ones_reported_by_index(
    vector: "rpc.VectorServiceAsyncStub",
) -> None:
    def batches() -> Iterator[messages.IndexHistoriesRequest]:
        yield messages.IndexHistoriesRequest(histories=[index_request(), index_request(customer_id="")])
        yield messages.IndexHistoriesRequest(histories=[index_request(as_of="yesterday")])
        yield messages.IndexHistoriesRequest(histories=[index_request(customer_id="twin")])

    responses = [response async for response in vector.IndexHistories(batches())]
    outcomes = [outcome for response in responses for outcome in response.outcomes]
    assert [outcome.history_index for outcome in outcomes] == [0, 1, 2, 3]
    assert [outcome.item_count for outcome in outcomes] == [3, 0, 0, 3]
    assert "customer_id" in outcomes[1].error.message
    assert "as_of" in outcomes[2].error.message
    assert {response.model.name for response in responses} == {"static"}
    customers = await vector.SearchCustomers(messages.SearchCustomersRequest(customer_id="family"))
    assert [hit.customer_id for hit in customers.hits] == ["twin"]


async def test_latest_batch_wins_for_a_household_in_several_batches(vector: "rpc.VectorServiceAsyncStub") -> None:
    histories = [
        index_request(purchases=columns_of(history_of_lines([(f"Item {number}", "", 20_000, float(number + 1))])))
        for number in range(12)
    ]
    requests = [messages.IndexHistoriesRequest(histories=[history]) for history in histories]
    responses = [response async for response in vector.IndexHistories(iter(requests))]
    assert [outcome.history_index for response in responses for outcome in response.outcomes] == list(range(12))
    items = await vector.SearchItems(messages.SearchItemsRequest(text="item"))
    assert [hit.name for hit in items.hits] == ["Item 11"]
    profile = (await vector.GetCustomerProfile(messages.GetCustomerProfileRequest(customer_id="family"))).profile
    assert profile.total_spend == 12.0


@pytest.mark.parametrize("count", [0, 1_001])
async def test_batch_of_no_or_too_many_histories_is_rejected(vector: "rpc.VectorServiceAsyncStub", count: int) -> None:
    request = messages.IndexHistoriesRequest(histories=[messages.IndexHistoryRequest()] * count)
    with pytest.raises(InvalidInput) as raised, translate_rpc_errors("vector"):
        async for _ in vector.IndexHistories(iter([request])):
            pass
    assert fields_of(raised.value) == {"histories"}


async def test_service_with_a_milvus_file_answers(tmp_path: Path) -> None:
    settings = VectorSettings(store_url=f"milvus+lite://{tmp_path}/vectors.db")
    async with loopback(await build(settings)) as channel:
        vector = rpc.VectorServiceStub(channel)
        assert (await vector.IndexHistory(index_request())).item_count == 3
        items = await vector.SearchItems(messages.SearchItemsRequest(text="bananas", limit=1))
        assert [hit.name for hit in items.hits] == ["Bananas"]


async def test_service_does_not_start_on_a_store_of_another_model(tmp_path: Path) -> None:
    path = tmp_path / "vectors.db"
    store = embedded_store(MilvusStore, path)
    await store.open(EmbeddingModel("hashed-trigrams", "1", 64))
    await store.close()
    with pytest.raises(StoreMismatch, match="64 dimensions"):
        async with running(await build(VectorSettings(store_url=f"milvus+lite://{path}"))):
            pass


def test_demo_prints_only_json() -> None:
    environment = {**os.environ, "PANTREE_VECTOR_STORE_URL": "memory://"}
    command = [sys.executable, "-m", "pantree_vector", "--demo"]
    output = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    answers = json.loads(output)
    assert answers["embedding_similarities"]["Bananas ~ Organic Bananas"] > 0.5
    assert [hit["name"] for hit in answers["items_like_banana"]][:2] == ["Bananas", "Organic Bananas"]
    assert [hit["customer_id"] for hit in answers["customers_like_household-1"]] == ["household-2"]


async def test_demo_leaves_nothing_in_the_store() -> None:
    async with loopback(await build(VectorSettings(store_url="memory://"))) as channel:
        await demo(channel)
        items = await rpc.VectorServiceStub(channel).SearchItems(
            messages.SearchItemsRequest(tenant_id=DEMO_TENANT, text="bananas")
        )
    assert not items.hits
