from pathlib import Path

import pytest

from pantree_runtime.errors import ComponentUnavailable
from pantree_vector.backends.hashing import HashedTrigrams
from pantree_vector.backends.milvus import MilvusStore
from pantree_vector.core import Similarity
from tests.vector.households import FAMILY, history_of_lines


async def test_milvus_that_is_lost_after_the_start_is_unavailable(tmp_path: Path) -> None:
    from milvus_lite.server_manager import server_manager_instance

    path = tmp_path / "vectors.db"
    store = MilvusStore(path, collection_prefix="pantree", timeout_seconds=1)
    similarity = Similarity(store, HashedTrigrams())
    await similarity.open()
    server_manager_instance.release_server(str(path))  # the server behind the file goes away
    with pytest.raises(ComponentUnavailable):
        await similarity.index_history("", "family", history_of_lines(FAMILY), 20_020)
    await similarity.close()

    mended = Similarity(MilvusStore(path, collection_prefix="pantree", timeout_seconds=10), HashedTrigrams())
    await mended.open()
    assert (await mended.index_history("", "family", history_of_lines(FAMILY), 20_020)).item_count == 3
    assert await mended.delete_customer("", "family") == 4
    await mended.close()


async def test_milvus_lite_is_not_pinged_more_often_than_it_permits(tmp_path: Path) -> None:
    """It takes gRPC's default, 300 s between pings; pymilvus pings every 10 s unless it is told otherwise."""
    store = MilvusStore(tmp_path / "vectors.db", collection_prefix="pantree", timeout_seconds=10)
    await store.open(HashedTrigrams().model)
    assert store._client is not None
    assert store._client._handler._grpc_options["grpc.keepalive_time_ms"] >= 300_000
    await store.close()
