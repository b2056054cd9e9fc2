"""Composition root of the vector service: `python -m pantree_vector [--demo]`."""

from pantree.vector.v1 import vector_service_pb2_grpc as rpc
from pantree_runtime.server import Part, Program
from pantree_vector.backends.caching import CachedEmbedder
from pantree_vector.backends.hashing import HashedTrigrams
from pantree_vector.backends.memory import MemoryStore
from pantree_vector.core import Similarity, VectorStore
from pantree_vector.demo import demo
from pantree_vector.servicer import VectorServicer
from pantree_vector.settings import MemoryLocation, MilvusFileLocation, VectorSettings

NAME = "vector"


def store_of(settings: VectorSettings) -> VectorStore:
    """The store that the settings pick, not open yet."""
    location = settings.store
    if isinstance(location, MemoryLocation):
        return MemoryStore()
    # pymilvus takes a second to import; who keeps points in memory need not wait for it.
    from pantree_vector.backends.milvus import MilvusStore

    return MilvusStore(
        location.path if isinstance(location, MilvusFileLocation) else f"http://{location.host}:{location.port}",
        collection_prefix=settings.collection_prefix,
        timeout_seconds=settings.store_timeout_seconds,
    )


async def build(settings: VectorSettings) -> Part:
    """The service, ready to be served."""
    similarity = Similarity(store_of(settings), CachedEmbedder(HashedTrigrams(), settings.embedding_cache_size))
    servicer = VectorServicer(similarity)
    return Part(
        name=NAME,
        services={
            "pantree.vector.v1.VectorService": lambda server: rpc.add_VectorServiceServicer_to_server(servicer, server)
        },
        warm_up=similarity.open,
        close=similarity.close,
    )


PROGRAM = Program(NAME, VectorSettings, build, demo)

if __name__ == "__main__":
    PROGRAM.main()
