"""Tests of the stores whose points outlive the process; the store suite has the tests of every store."""

import gc
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pantree_runtime.errors import ComponentUnavailable, NotFound, StoreMismatch
from pantree_runtime.status import status_of
from pantree_vector.backends.external import StoreOptions
from pantree_vector.backends.hashing import HashedTrigrams
from pantree_vector.backends.milvus import MilvusStore
from pantree_vector.backends.qdrant import QdrantStore
from pantree_vector.core.embedder import EmbeddingModel
from pantree_vector.core.household_points import HistoryToIndex
from pantree_vector.core.similarity import Similarity
from tests.vector.households import FAMILY, history_of_lines
from tests.vector.stores import ExternalStoreType, embedded_store, server_store

DAY = 20_020
CUSTOMERS = 40
INDEX_UNTIL_KILLED = """
import asyncio, sys
from pathlib import Path
from pantree_vector.backends.external import StoreOptions
from pantree_vector.backends.hashing import HashedTrigrams
from pantree_vector.core.similarity import Similarity
from tests.vector.test_persistent_stores import CUSTOMERS, KINDS, histories

async def main():
    similarity = Similarity(KINDS[sys.argv[1]].store_at(Path(sys.argv[2])), HashedTrigrams())
    await similarity.open()
    await similarity.index_histories(histories(2))
    print("open", flush=True)
    while True:
        await similarity.index_histories(histories(CUSTOMERS))

asyncio.run(main())
"""


@dataclass(frozen=True)
class Kind:
    """A store that one process at a time can open."""

    store: ExternalStoreType
    name: str
    """Of its file or directory."""
    hold: str
    """Python code that opens the path in `sys.argv[1]` with the library."""
    remedy: str
    """Part of the error of a server that does not answer."""

    def store_at(self, place: Path) -> MilvusStore | QdrantStore:
        return embedded_store(self.store, place)


KINDS = {
    "milvus-lite": Kind(
        MilvusStore,
        "vectors.db",
        "from milvus_lite import MilvusLite; store = MilvusLite(sys.argv[1])",
        "VECTORDB_HOST",
    ),
    "qdrant-directory": Kind(
        QdrantStore,
        "vectors",
        "from qdrant_client import QdrantClient; store = QdrantClient(path=sys.argv[1])",
        "PANTREE_VECTOR_STORE_URL",
    ),
}


def histories(count: int) -> list[HistoryToIndex]:
    return [HistoryToIndex("", f"customer-{number}", history_of_lines(FAMILY), DAY) for number in range(count)]


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def place(kind: str, tmp_path: Path) -> Path:
    return tmp_path / "new directory" / KINDS[kind].name


async def opened(kind: str, place: Path) -> Similarity:
    similarity = Similarity(KINDS[kind].store_at(place), HashedTrigrams())
    await similarity.open()
    return similarity


async def test_points_are_stored_when_the_store_is_opened_again(kind: str, place: Path) -> None:
    first = await opened(kind, place)
    await first.index_histories(histories(1))
    await first.close()
    await first.close()  # no error

    second = await opened(kind, place)
    assert [match.name for match in await second.search_items("", "bananas", limit=1)] == ["Bananas"]
    await second.close()


PERSISTENT_STORES: dict[str, Callable[[Path, pytest.FixtureRequest], Callable[[], MilvusStore | QdrantStore]]] = {
    "milvus-lite": lambda directory, request: lambda: KINDS["milvus-lite"].store_at(directory / "vectors.db"),
    "milvus-server": lambda directory, request: on_server(MilvusStore, request.getfixturevalue("milvus_uri")),
    "qdrant-directory": lambda directory, request: lambda: KINDS["qdrant-directory"].store_at(directory),
    "qdrant-server": lambda directory, request: on_server(QdrantStore, os.environ["QDRANT_URL"]),
}
MARKS = {
    "milvus-server": [pytest.mark.milvus_server, pytest.mark.timeout(900)],
    "qdrant-server": [pytest.mark.skipif("QDRANT_URL" not in os.environ, reason="QDRANT_URL is not set")],
}


def on_server(store: ExternalStoreType, url: str) -> Callable[[], MilvusStore | QdrantStore]:
    prefix = f"suite_{uuid.uuid4().hex}"
    return lambda: server_store(store, url, prefix=prefix)


@pytest.fixture(params=[pytest.param(name, marks=MARKS.get(name, ())) for name in PERSISTENT_STORES])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], MilvusStore | QdrantStore]:
    """Creates stores on the same place."""
    return PERSISTENT_STORES[request.param](tmp_path, request)


async def test_collections_of_another_model_are_rejected_with_a_remedy(
    new_store: Callable[[], MilvusStore | QdrantStore],
) -> None:
    stored_model = EmbeddingModel("hashed-trigrams", "1", 128)
    store = new_store()
    await store.open(stored_model)
    await store.close()
    for other in (
        EmbeddingModel("hashed-trigrams", "1", 256),
        EmbeddingModel("hashed-trigrams", "2", 128),
        EmbeddingModel("static", "1", 128),
    ):
        store = new_store()
        with pytest.raises(StoreMismatch, match="PANTREE_VECTOR_COLLECTION_PREFIX") as raised:
            await store.open(other)
        await store.close()
        assert raised.value.metadata["stored_model"] == str(stored_model)
        assert raised.value.metadata["service_model"] == str(other)


async def test_server_that_does_not_answer_is_unavailable(kind: str) -> None:
    store = KINDS[kind].store("http://127.0.0.1:1", StoreOptions("pantree", timeout_seconds=1))
    with pytest.raises(ComponentUnavailable, match="the vector store is unavailable") as raised:
        await store.open(HashedTrigrams().model)
    await store.close()
    assert raised.value.component == "vector-store"
    # Only for operators.
    assert re.search(KINDS[kind].remedy, raised.value.remedy)
    assert "127.0.0.1" not in str(status_of(raised.value))


@pytest.fixture
def opened_by_another_process(kind: str, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / KINDS[kind].name
    code = f"import sys; {KINDS[kind].hold}; print('open', flush=True); input()"
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        yield path
        holder.communicate("\n")


# A rejected qdrant-client leaves its lock file to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_store_open_in_another_process_is_unavailable(kind: str, opened_by_another_process: Path) -> None:
    store = KINDS[kind].store_at(opened_by_another_process)
    with pytest.raises(ComponentUnavailable) as raised:
        await store.open(HashedTrigrams().model)
    await store.close()
    remedy = raised.value.remedy
    del raised
    gc.collect()  # of the rejected client, whose lock file would warn in another test
    assert "another process" in remedy


@pytest.fixture
def place_of_killed_process(kind: str, place: Path) -> Path:
    """Where a process was killed while it stored households."""
    command = [sys.executable, "-c", INDEX_UNTIL_KILLED, kind, str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        time.sleep(0.3)  # it stores all the time from here on
        process.kill()
    return place


async def test_killed_process_leaves_complete_points_and_a_second_run_completes_the_rest(
    kind: str, place_of_killed_process: Path
) -> None:
    reopened = await opened(kind, place_of_killed_process)
    stored_items = {item.name: item.category for item in await reopened.search_items("", "bananas", limit=10)}
    assert stored_items == {"Bananas": "produce", "Whole Milk": "dairy", "Paper Towels": "household"}
    expected = (await reopened.customer_profile("", "customer-0")).category_shares
    stored = 0
    for number in range(CUSTOMERS):
        try:
            profile = await reopened.customer_profile("", f"customer-{number}")
        except NotFound:
            continue
        stored += 1
        assert (profile.total_spend, profile.category_shares) == (16.0, expected)
    assert stored >= 2

    await reopened.index_histories(histories(CUSTOMERS))
    assert len(await reopened.search_customers("", "customer-0", limit=100)) == CUSTOMERS - 1
    for number in range(CUSTOMERS):
        assert await reopened.delete_customer("", f"customer-{number}") == 4
    assert await reopened.search_items("", "bananas", limit=10) == []
    await reopened.close()


def test_files_of_a_store_are_private(kind: str, place: Path) -> None:
    program = """
import asyncio, sys
from pantree_runtime.local_files import keep_private
from pantree_vector.__main__ import store_of
from pantree_vector.backends.hashing import HashedTrigrams
from pantree_vector.core.similarity import Similarity
from pantree_vector.settings import VectorSettings
from tests.vector.test_persistent_stores import histories

async def main():
    similarity = Similarity(store_of(VectorSettings()), HashedTrigrams())
    await similarity.open()
    await similarity.index_histories(histories(2))
    await similarity.close()

keep_private()
asyncio.run(main())
"""
    scheme = {"milvus-lite": "milvus+lite", "qdrant-directory": "qdrant"}[kind]
    environment = {**os.environ, "PANTREE_VECTOR_STORE_URL": f"{scheme}://{place}"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)
    found = [place.parent, *place.parent.rglob("*")]
    assert len(found) > 1
    assert [path for path in found if path.stat().st_mode & 0o077] == []
