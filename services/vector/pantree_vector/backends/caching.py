"""Remembers vectors, so that a name that was seen lately is not embedded again."""

import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from pantree_runtime import telemetry
from pantree_vector.core import Embedder, EmbeddingModel, Vectors

_FIRST_CAPACITY = 1_024


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
        # Vectors stand in one matrix: an answer is one copy of its rows, and not an object for each name.
        self._table = np.empty((min(size, _FIRST_CAPACITY), self.model.dimension), dtype=np.float32)
        self._rows: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def model(self) -> EmbeddingModel:
        """What makes the vectors."""
        return self._embedder.model

    def embed(self, names: Sequence[str]) -> Vectors:
        """Vectors of normalised names, in their order: float32[n, d], each row of length 1."""
        with self._lock:
            rows = [self._rows.get(name, -1) for name in names]
            for name, row in zip(names, rows, strict=True):
                if row >= 0:
                    self._rows.move_to_end(name)
            vectors: Vectors = self._table[rows] if rows else self._table[:0].copy()
        telemetry.count_lookups("embedding", hits=len(names) - rows.count(-1), misses=rows.count(-1))
        missing = list(dict.fromkeys(name for name, row in zip(names, rows, strict=True) if row < 0))
        if missing:
            made = self._embedder.embed(missing)
            position = {name: index for index, name in enumerate(missing)}
            for index, (name, row) in enumerate(zip(names, rows, strict=True)):
                if row < 0:
                    vectors[index] = made[position[name]]
            # What would be dropped at once need not be kept.
            self._keep(missing[-self._size :], made[-self._size :])
        return vectors

    def _keep(self, names: Sequence[str], vectors: Vectors) -> None:
        with self._lock:
            for name, vector in zip(names, vectors, strict=True):
                row = self._rows.pop(name, None)  # another thread may have been quicker
                if row is None:
                    row = len(self._rows)
                    if row == self._size:
                        _, row = self._rows.popitem(last=False)
                    elif row == len(self._table):
                        free = min(self._size, 2 * row) - row
                        self._table = np.concatenate([self._table, np.empty_like(self._table[:free])])
                self._rows[name] = row
                self._table[row] = vector
