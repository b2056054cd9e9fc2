"""Caches vectors of texts."""

import threading
from collections.abc import Sequence

import numpy as np
from cachetools import LRUCache

from pantree_runtime import telemetry
from pantree_vector.core import Embedder, EmbeddingModel, Vector, Vectors


class CachedEmbedder:
    """An embedder with a cache of the least recently used vectors in front of it.

    Args:
        embedder: computes missing vectors.
        size: maximum number of vectors, at least 1.
    """

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
        distinct = dict.fromkeys(texts)
        with self._lock:
            known = {text: vector for text in distinct if (vector := self._cache.get(text)) is not None}
        missing = [text for text in distinct if text not in known]
        misses = sum(text not in known for text in texts)
        telemetry.count_lookups("embedding", hits=len(texts) - misses, misses=misses)
        if missing:
            # Rows are copied, so that no cached vector keeps the whole matrix alive.
            computed = {
                text: vector.copy() for text, vector in zip(missing, self._embedder.embed(missing), strict=True)
            }
            known |= computed
            with self._lock:
                self._cache.update(computed)
        vectors = np.empty((len(texts), self.model.dimension), dtype=np.float32)
        if texts:
            np.stack([known[text] for text in texts], out=vectors)
        return vectors
