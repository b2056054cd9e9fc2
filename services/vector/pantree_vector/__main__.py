"""Composition root of the vector service: `python -m pantree_vector [--demo]`."""

from pantree.vector.v1 import vector_service_pb2_grpc as rpc
from pantree_runtime import telemetry
from pantree_runtime.cpu import run_cpu
from pantree_runtime.dependencies import Dependency
from pantree_runtime.server import BULK_COST, Program, ServiceSpec
from pantree_vector.backends.cached import CachedEmbedder
from pantree_vector.backends.external import StoreOptions
from pantree_vector.backends.hashing import HashedTrigrams
from pantree_vector.backends.memory import MemoryStore
from pantree_vector.backends.static import StaticEmbedder
from pantree_vector.core.embedder import Embedder
from pantree_vector.core.similarity import Similarity
from pantree_vector.core.store import VectorStore
from pantree_vector.demo import demo
from pantree_vector.rules import RULES
from pantree_vector.servicer import VectorServicer
from pantree_vector.settings import HASHED_TRIGRAMS, STATIC, VectorSettings

NAME = "vector"


def store_of(settings: VectorSettings) -> VectorStore:
    """The configured store, which is not open yet."""
    system, place = settings.store
    if system == "memory":
        return MemoryStore(settings.memory_max_items)
    options = StoreOptions(
        collection_prefix=settings.collection_prefix,
        timeout_seconds=settings.store_timeout_seconds,
        token=settings.store_token.get_secret_value() or None,
    )
    # Imported here, because a client takes a second to import and its extra may not be installed.
    if system == "milvus":
        from pantree_vector.backends.milvus import MilvusStore

        return MilvusStore(place, options)
    try:
        from pantree_vector.backends.qdrant import QdrantStore
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"error: PANTREE_VECTOR_STORE_URL={settings.store_url} needs {error.name}: pip install 'pantree[qdrant]', "
            "or use another store"
        ) from None
    return QdrantStore(place, options)


def embedder_of(settings: VectorSettings) -> Embedder:
    """The configured embedder with its model loaded, and without a cache.

    Raises:
        OSError: a sentence-transformers model is not a directory and cannot be downloaded.
    """
    kind, _, model = settings.embedder.partition(":")
    if kind == STATIC:
        return StaticEmbedder()
    if kind == HASHED_TRIGRAMS:
        return HashedTrigrams()
    try:
        # Imported here, because torch takes seconds to import and has its own extra.
        from pantree_vector.backends.sentence_transformers import SentenceTransformerEmbedder
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"error: PANTREE_VECTOR_EMBEDDER={settings.embedder} needs {error.name}: "
            "pip install 'pantree[sentence-transformers]', or set PANTREE_VECTOR_EMBEDDER=static"
        ) from None
    return SentenceTransformerEmbedder(model, threads=settings.embedder_threads)


async def build(settings: VectorSettings) -> ServiceSpec:
    """The service, ready to be served."""
    embedder = CachedEmbedder(embedder_of(settings), settings.embedding_cache_size)
    store = store_of(settings)
    similarity = Similarity(store, embedder, run_cpu, waiting_days=settings.waiting_days)
    servicer = VectorServicer(similarity)
    return ServiceSpec(
        name=NAME,
        services={
            "pantree.vector.v1.VectorService": lambda server: rpc.add_VectorServiceServicer_to_server(servicer, server)
        },
        warm_up=similarity.open,
        close=similarity.close,
        dependencies=[] if isinstance(store, MemoryStore) else [Dependency("vector-store", store.check)],
        costs={"IndexHistories": BULK_COST},
        rules=RULES,
        counts={
            "IndexHistory": lambda _: telemetry.HISTORIES_INDEXED.inc(),
            "IndexHistories": lambda response: telemetry.HISTORIES_INDEXED.inc(len(response.outcomes)),
        },
    )


PROGRAM = Program(NAME, VectorSettings, build, demo)

if __name__ == "__main__":
    PROGRAM.main()
