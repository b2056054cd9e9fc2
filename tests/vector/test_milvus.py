import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pantree_runtime.errors import ComponentUnavailable, StoreMismatch
from pantree_vector.backends.hashing import HashedTrigrams
from pantree_vector.backends.milvus import MilvusStore
from pantree_vector.core import EmbeddingModel, Similarity
from tests.vector.households import FAMILY, history_of_lines


def store_in(path: Path) -> MilvusStore:
    return MilvusStore(path, collection_prefix="pantree", timeout_seconds=10)


async def test_milvus_file_keeps_points_when_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "vectors.db"
    first = Similarity(store_in(path), HashedTrigrams())
    await first.open()
    await first.index_history("", "family", history_of_lines(FAMILY), 20_020)
    await first.close()

    second = Similarity(store_in(path), HashedTrigrams())
    await second.open()
    assert [match.name for match in await second.search_items("", "bananas", limit=1)] == ["Bananas"]
    await second.close()


@pytest.mark.parametrize(
    "other",
    [
        EmbeddingModel("hashed-trigrams", "1", 128),
        EmbeddingModel("hashed-trigrams", "2", 256),
        EmbeddingModel("static", "1", 256),
    ],
    ids=["dimension", "version", "name"],
)
async def test_milvus_file_of_another_model_is_refused_with_a_remedy(tmp_path: Path, other: EmbeddingModel) -> None:
    store = store_in(tmp_path / "vectors.db")
    await store.open(other)
    await store.close()

    store = store_in(tmp_path / "vectors.db")
    with pytest.raises(StoreMismatch, match="PANTREE_VECTOR_COLLECTION_PREFIX") as raised:
        await store.open(HashedTrigrams().model)
    await store.close()
    assert raised.value.metadata["stored_model"] == str(other)


async def test_milvus_server_that_does_not_answer_is_unavailable() -> None:
    store = MilvusStore("http://127.0.0.1:1", collection_prefix="pantree", timeout_seconds=0.5)
    with pytest.raises(ComponentUnavailable, match="VECTORDB_HOST") as raised:
        await store.open(HashedTrigrams().model)
    await store.close()
    assert raised.value.component == "vector-store"


@pytest.fixture
def file_held_by_another_process(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "vectors.db"
    code = "import sys; from milvus_lite import MilvusLite; MilvusLite(sys.argv[1]); print('open', flush=True); input()"
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        yield path
        holder.communicate("\n")


async def test_milvus_file_open_in_another_process_is_unavailable(file_held_by_another_process: Path) -> None:
    store = store_in(file_held_by_another_process)
    with pytest.raises(ComponentUnavailable, match="another process"):
        await store.open(HashedTrigrams().model)
    await store.close()


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

    mended = Similarity(store_in(path), HashedTrigrams())
    await mended.open()
    assert (await mended.index_history("", "family", history_of_lines(FAMILY), 20_020)).item_count == 3
    assert await mended.delete_customer("", "family") == 4
    await mended.close()
