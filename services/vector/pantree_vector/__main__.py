"""Composition root of the vector service: `python -m pantree_vector [--demo]`."""

from pathlib import Path
from typing import TypedDict

from pantree.vector.v1 import vector_service_pb2_grpc as rpc
from pantree_runtime import telemetry
from pantree_runtime.server import BULK_COST, Program, ServiceSpec
from pantree_vector.backends.caching import CachedEmbedder
from pantree_vector.backends.hashing import HashedTrigrams
from pantree_vector.backends.memory import MemoryStore
from pantree_vector.backends.static import StaticEmbedder
from pantree_vector.backends.watched import WatchedStore
from pantree_vector.core import Embedder, Similarity, VectorStore
from pantree_vector.demo import demo
from pantree_vector.servicer import VectorServicer
from pantree_vector.settings import (
    HASHED_TRIGRAMS,
    STATIC,
    MemoryLocation,
    MilvusFileLocation,
    MilvusServerLocation,
    QdrantFolderLocation,
    QdrantMemoryLocation,
    QdrantServerLocation,
    VectorSettings,
)

NAME = "vector"


class _StoreOptions(TypedDict):
    collection_prefix: str
    timeout_seconds: float
    token: str | None


def store_of(settings: VectorSettings) -> VectorStore:
    """The store that the settings pick, not open yet."""
    location = settings.store
    if isinstance(location, MemoryLocation):
        return MemoryStore()
    place: Path | str
    match location:
        case MilvusFileLocation(path) | QdrantFolderLocation(path):
            place = path
        case QdrantMemoryLocation():
            place = ":memory:"
        case MilvusServerLocation(host, port, has_tls) | QdrantServerLocation(host, port, has_tls):
            place = f"{'https' if has_tls else 'http'}://{host}:{port}"
    options = _StoreOptions(
        collection_prefix=settings.collection_prefix,
        timeout_seconds=settings.store_timeout_seconds,
        token=settings.store_token.get_secret_value() or None,
    )
    # A client takes a second to import; who does not use it need not wait for it, nor have it.
    if isinstance(location, MilvusFileLocation | MilvusServerLocation):
        from pantree_vector.backends.milvus import MilvusStore

        return WatchedStore(MilvusStore(place, **options), "milvus")
    try:
        from pantree_vector.backends.qdrant import QdrantStore
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"error: PANTREE_VECTOR_STORE_URL={settings.store_url} needs {error.name}: pip install 'pantree[qdrant]', "
            "or name another store"
        ) from None
    return WatchedStore(QdrantStore(place, **options), "qdrant")


def embedder_of(settings: VectorSettings) -> Embedder:
    """The embedder that the settings pick, loaded, without a cache.

    Raises:
        OSError: when a sentence-transformers model is neither a folder nor can be downloaded.
    """
    kind, _, model = settings.embedder.partition(":")
    if kind == STATIC:
        return StaticEmbedder()
    if kind == HASHED_TRIGRAMS:
        return HashedTrigrams()
    try:
        # torch takes seconds to import, and is in an extra of its own.
        from pantree_vector.backends.sentence_transformers import SentenceTransformerEmbedder
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"error: PANTREE_VECTOR_EMBEDDER={settings.embedder} needs {error.name}: "
            "pip install 'pantree[sentence-transformers]', or set PANTREE_VECTOR_EMBEDDER=static"
        ) from None
    return SentenceTransformerEmbedder(model, threads=settings.embedder_threads)


async def build(settings: VectorSettings) -> ServiceSpec:
    """The service, ready to be served."""
    similarity = Similarity(store_of(settings), CachedEmbedder(embedder_of(settings), settings.embedding_cache_size))
    servicer = VectorServicer(similarity)
    return ServiceSpec(
        name=NAME,
        services={
            "pantree.vector.v1.VectorService": lambda server: rpc.add_VectorServiceServicer_to_server(servicer, server)
        },
        warm_up=similarity.open,
        close=similarity.close,
        costs={"IndexHistories": BULK_COST},
        counts={
            "IndexHistory": lambda _: telemetry.HISTORIES_INDEXED.inc(),
            "IndexHistories": lambda response: telemetry.HISTORIES_INDEXED.inc(len(response.outcomes)),
        },
    )


PROGRAM = Program(NAME, VectorSettings, build, demo)

if __name__ == "__main__":
    PROGRAM.main()
