from pathlib import Path

import pytest
from pymilvus import MilvusClient

from pantree_runtime.errors import ComponentUnavailable, StoreMismatch
from pantree_vector.backends.external import StoreOptions
from pantree_vector.backends.hashing import HashedTrigrams
from pantree_vector.backends.milvus import MilvusStore
from pantree_vector.core.household_points import HistoryToIndex
from pantree_vector.core.similarity import Similarity
from tests.vector.households import FAMILY, history_of_lines
from tests.vector.stores import embedded_store

TO_INDEX = HistoryToIndex("", "family", history_of_lines(FAMILY), 20_020)


async def test_milvus_lost_after_the_start_is_unavailable(tmp_path: Path) -> None:
    from milvus_lite.server_manager import server_manager_instance

    path = tmp_path / "vectors.db"
    store = embedded_store(MilvusStore, path, timeout_seconds=1)
    similarity = Similarity(store, HashedTrigrams())
    await similarity.open()
    server_manager_instance.release_server(str(path))  # stops the server of the file
    with pytest.raises(ComponentUnavailable):
        await similarity.index_history(TO_INDEX)
    await similarity.close()

    reopened = Similarity(embedded_store(MilvusStore, path), HashedTrigrams())
    await reopened.open()
    assert (await reopened.index_history(TO_INDEX)).item_count == 3
    assert await reopened.delete_customer("", "family") == 4
    await reopened.close()


async def test_milvus_lite_is_not_pinged_more_often_than_it_allows(tmp_path: Path) -> None:
    """milvus-lite requires 300 s between pings, gRPC's default; pymilvus pings every 10 s by default."""
    store = MilvusStore(tmp_path / "vectors.db", StoreOptions("pantree", timeout_seconds=10))
    await store.open(HashedTrigrams().model)
    assert store._client is not None
    assert store._client._handler._grpc_options["grpc.keepalive_time_ms"] >= 300_000
    await store.close()


async def test_collection_of_another_version_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "vectors.db"
    client = MilvusClient(str(path))
    client.create_collection("pantree_items", dimension=256)
    client.close()
    store = embedded_store(MilvusStore, path)
    with pytest.raises(StoreMismatch, match="another version of Pantree"):
        await store.open(HashedTrigrams().model)
    await store.close()
