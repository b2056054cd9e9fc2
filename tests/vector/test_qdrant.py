import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pantree_runtime.errors import ComponentUnavailable, StoreMismatch
from pantree_vector.backends.hashing import HashedTrigrams
from pantree_vector.backends.qdrant import QdrantStore
from pantree_vector.core import EmbeddingModel, Similarity
from tests.vector.households import FAMILY, history_of_lines


def store_in(path: Path) -> QdrantStore:
    return QdrantStore(path, collection_prefix="pantree", timeout_seconds=10)


async def test_qdrant_folder_keeps_points_when_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder"
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
async def test_qdrant_folder_of_another_model_is_refused_with_a_remedy(tmp_path: Path, other: EmbeddingModel) -> None:
    store = store_in(tmp_path)
    await store.open(other)
    await store.close()

    store = store_in(tmp_path)
    with pytest.raises(StoreMismatch, match="PANTREE_VECTOR_COLLECTION_PREFIX") as raised:
        await store.open(HashedTrigrams().model)
    await store.close()
    assert raised.value.metadata["stored_model"] == str(other)


async def test_qdrant_server_that_does_not_answer_is_unavailable() -> None:
    store = QdrantStore("http://127.0.0.1:1", collection_prefix="pantree", timeout_seconds=1)
    with pytest.raises(ComponentUnavailable, match="PANTREE_VECTOR_STORE_URL") as raised:
        await store.open(HashedTrigrams().model)
    await store.close()
    assert raised.value.component == "vector-store"


@pytest.fixture
def folder_held_by_another_process(tmp_path: Path) -> Iterator[Path]:
    code = (
        "import sys; from qdrant_client import QdrantClient;"
        "client = QdrantClient(path=sys.argv[1]); print('open', flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        yield tmp_path
        holder.communicate("\n")


# qdrant-client leaves the lock's file to the garbage collector when it is refused.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_qdrant_folder_open_in_another_process_is_unavailable(folder_held_by_another_process: Path) -> None:
    store = store_in(folder_held_by_another_process)
    with pytest.raises(ComponentUnavailable, match="another process"):
        await store.open(HashedTrigrams().model)
    await store.close()
