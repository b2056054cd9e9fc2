"""Tests that need a real Milvus server; the store suite runs against it, too."""

import asyncio

import pytest

from pantree_runtime.errors import ComponentUnavailable
from pantree_vector.backends.external import StoreOptions
from pantree_vector.backends.hashing import HashedTrigrams
from pantree_vector.backends.milvus import MilvusStore
from pantree_vector.core.household_points import HistoryToIndex
from pantree_vector.core.similarity import Similarity
from tests.milvus_server import MilvusServerProcess
from tests.vector.households import FAMILY, history_of_lines

pytestmark = [pytest.mark.milvus_server, pytest.mark.timeout(900)]

CUSTOMERS = 300


async def test_full_server_is_unhealthy_and_readable_until_it_takes_writes(
    milvus_process: MilvusServerProcess,
) -> None:
    store = MilvusStore(milvus_process.uri, StoreOptions("full", timeout_seconds=15))
    similarity = Similarity(store, HashedTrigrams())
    await similarity.open()
    history = HistoryToIndex("", "customer", history_of_lines(FAMILY), 20_020)
    await similarity.index_histories([history])
    try:
        await asyncio.to_thread(milvus_process.set_full, True)
        assert await store.check() == "", "nothing failed yet"
        with pytest.raises(ComponentUnavailable):
            await similarity.index_histories([history])
        assert "quota exceeded" in await store.check()
        await asyncio.sleep(store.failure_seconds)
        assert "quota exceeded" in await store.check(), "nobody wrote since"
        assert (await similarity.customer_profile("", "customer")).total_spend == 16.0
    finally:
        await asyncio.to_thread(milvus_process.set_full, False)
    assert await store.check() == ""
    await similarity.index_histories([history])
    await similarity.close()


async def test_second_run_completes_an_upsert_during_which_the_server_was_killed(
    milvus_process: MilvusServerProcess,
) -> None:
    def new_similarity() -> Similarity:
        store = MilvusStore(milvus_process.uri, StoreOptions("killed", timeout_seconds=15))
        return Similarity(store, HashedTrigrams())

    similarity = new_similarity()
    await similarity.open()
    histories = [HistoryToIndex("", f"customer-{n}", history_of_lines(FAMILY), 20_020) for n in range(CUSTOMERS)]
    await similarity.index_histories(histories[:10])

    async def index_until_it_fails() -> None:
        while True:
            await similarity.index_histories(histories)

    indexing = asyncio.create_task(index_until_it_fails())
    await asyncio.sleep(1)
    await asyncio.to_thread(milvus_process.kill)
    with pytest.raises(ComponentUnavailable) as raised:
        await indexing
    assert raised.value.component == "vector-store"
    await similarity.close()

    await asyncio.to_thread(milvus_process.start_after_a_crash)
    reopened = new_similarity()
    for attempt in range(30):  # a server loads its collections after the start
        try:
            await reopened.open()
            break
        except ComponentUnavailable:
            assert attempt < 29
            await asyncio.sleep(2)
    assert (await reopened.customer_profile("", "customer-0")).total_spend == 16.0  # stored before the crash
    await reopened.index_histories(histories)
    for number in (0, CUSTOMERS - 1):
        assert await reopened.delete_customer("", f"customer-{number}") == 4
    assert len(await reopened.search_customers("", "customer-1", limit=100)) == 100
    await reopened.close()
