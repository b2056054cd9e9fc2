"""The default embedder: a table of word vectors distilled from MiniLM, a few megabytes, read with numpy alone."""

import hashlib
import io
from collections.abc import Sequence
from importlib import resources
from importlib.resources.abc import Traversable

import numpy as np
from numpy.typing import NDArray

from pantree_vector.backends.wordpiece import WordPieces
from pantree_vector.core import EmbeddingModel, Vector, Vectors

TABLE = "embeddings.npy"
SCALES = "scales.npy"
VOCABULARY = "vocabulary.txt"
# Shorter sums are rounding errors of vectors that cancel out.
_LEAST_LENGTH = 1e-6


class StaticEmbedder:
    """The sum of the vectors of a name's word pieces, brought to length 1.

    The vectors already carry the weight of their pieces: rare ones count for more. `MODEL_CARD.md` beside the data
    says where they come from, and `research/pantree_research/distill_embedder.py` makes them.
    """

    def __init__(self, folder: Traversable | None = None) -> None:
        """Reads the model.

        Args:
            folder: where its files are; None for the model that comes with Pantree.
        """
        folder = folder or resources.files("pantree_vector.backends") / "static_model"
        files = {name: (folder / name).read_bytes() for name in (TABLE, SCALES, VOCABULARY)}
        self._table: NDArray[np.int8] = np.load(io.BytesIO(files[TABLE]))
        self._scales: NDArray[np.float32] = np.load(io.BytesIO(files[SCALES]))
        self._pieces = WordPieces(files[VOCABULARY].decode().split("\n")[:-1])
        self._version = hashlib.blake2b(b"".join(files.values()), digest_size=6).hexdigest()

    @property
    def model(self) -> EmbeddingModel:
        """What makes the vectors; the version is a digest of the files."""
        return EmbeddingModel("static", self._version, self._table.shape[1])

    def embed(self, names: Sequence[str]) -> Vectors:
        """Vectors of normalised names, in their order: float32[n, 128], each row of length 1."""
        pieces, counts = self._pieces.split(names)
        vectors = np.zeros((len(names), self._table.shape[1]), dtype=np.float32)
        known = np.flatnonzero(counts)
        if len(known):
            starts = np.cumsum(counts[known]) - counts[known]
            vectors[known] = np.add.reduceat(self._table[pieces] * self._scales[pieces, None], starts, axis=0)
        lengths = np.linalg.norm(vectors, axis=1)
        for row in np.flatnonzero(lengths < _LEAST_LENGTH).tolist():
            vectors[row] = _lonely_vector(names[row], vectors.shape[1])
            lengths[row] = 1
        vectors /= lengths[:, None]
        return vectors


def _lonely_vector(name: str, dimension: int) -> Vector:
    """A direction for a name without known pieces, such as one of emoji: the same each time, and like no other."""
    digest = hashlib.shake_256(name.encode()).digest(dimension)
    vector = np.frombuffer(digest, dtype=np.uint8).astype(np.float32) - 127.5
    unit: Vector = vector / np.linalg.norm(vector)
    return unit
