"""Caches the vectors of an embedder."""

import threading
from collections.abc import Sequence

import numpy as np
from cachetools import LRUCache

from pantree_runtime import telemetry
from pantree_vector.core.embedder import Embedder, EmbeddingModel, Vector, Vectors


class CachedEmbedder:
    """An embedder that caches the `size` most recently used vectors of another one."""

    def __init__(self, embedder: Embedder, size: int) -> None:
        self._embedder = embedder
        self._cache: LRUCache[str, Vector] = LRUCache(size)
        self._lock = threading.Lock()

    @property
    def model(self) -> EmbeddingModel:
        return self._embedder.model

    @property
    def ms_per_name(self) -> float:
        return self._embedder.ms_per_name

    def embed(self, texts: Sequence[str]) -> Vectors:
        with self._lock:
            found = [self._cache.get(text) for text in texts]
        missing = [text for text, vector in zip(texts, found, strict=True) if vector is None]
        telemetry.count_lookups("embedding", hits=len(texts) - len(missing), misses=len(missing))
        if missing:
            distinct = list(dict.fromkeys(missing))
            # Rows are copied because a cached view would keep the whole matrix alive.
            computed = dict(zip(distinct, map(np.copy, self._embedder.embed(distinct)), strict=True))
            with self._lock:
                self._cache.update(computed)
            found = [computed[text] if vector is None else vector for text, vector in zip(texts, found, strict=True)]
        return np.array(found, dtype=np.float32).reshape(len(texts), self.model.dimension)
