"""Remembers vectors, so that a name that was seen lately is not embedded again."""

import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from pantree_vector.core import Embedder, EmbeddingModel, Vector, Vectors


class CachedEmbedder:
    """Another embedder, with the vectors of the names used last kept by normalised name."""

    def __init__(self, embedder: Embedder, size: int) -> None:
        """A cache in front of an embedder.

        Args:
            embedder: what makes vectors that are not kept.
            size: largest number of names kept, at least 1; the one used longest ago makes room.
        """
        self._embedder = embedder
        self._size = size
        self._vectors: OrderedDict[str, Vector] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def model(self) -> EmbeddingModel:
        """What makes the vectors."""
        return self._embedder.model

    def embed(self, names: Sequence[str]) -> Vectors:
        """Vectors of normalised names, in their order: float32[n, d], each row of length 1."""
        vectors: dict[str, Vector] = {}
        with self._lock:
            for name in names:
                if name in self._vectors:
                    self._vectors.move_to_end(name)
                    vectors[name] = self._vectors[name]
        missing = list(dict.fromkeys(name for name in names if name not in vectors))
        if missing:
            # Copies: a row of the batch would keep the whole batch in memory.
            made = {name: row.copy() for name, row in zip(missing, self._embedder.embed(missing), strict=True)}
            vectors |= made
            with self._lock:
                self._vectors |= made
                while len(self._vectors) > self._size:
                    self._vectors.popitem(last=False)
        return np.array([vectors[name] for name in names], dtype=np.float32).reshape(-1, self.model.dimension)
