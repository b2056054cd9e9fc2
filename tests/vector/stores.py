"""Stores for tests."""

import uuid
from pathlib import Path

from pantree_vector.backends.external import StoreOptions
from pantree_vector.backends.milvus import MilvusStore
from pantree_vector.backends.qdrant import QdrantStore

ExternalStoreType = type[MilvusStore] | type[QdrantStore]


def embedded_store(
    store: ExternalStoreType, place: Path | str, *, timeout_seconds: float = 20
) -> MilvusStore | QdrantStore:
    """A store with collections of the default names."""
    return store(place, StoreOptions("pantree", timeout_seconds))


def server_store(store: ExternalStoreType, url: str, *, prefix: str = "") -> MilvusStore | QdrantStore:
    """A store on a server, by default with collections of its own."""
    return store(url, StoreOptions(prefix or f"suite_{uuid.uuid4().hex}", timeout_seconds=60))
