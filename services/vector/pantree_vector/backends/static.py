"""The default embedder: a table of a few megabytes, distilled from MiniLM, that needs only numpy."""

import hashlib
import io
from collections.abc import Sequence
from importlib import resources
from importlib.resources.abc import Traversable

import numpy as np
from numpy.typing import NDArray

from pantree_vector.backends.wordpiece import WordPieces
from pantree_vector.core.embedder import EmbeddingModel, Vector, Vectors

TABLE = "embeddings.npy"
SCALES = "scales.npy"
VOCABULARY = "vocabulary.txt"
# Shorter sums are rounding errors of vectors that cancel each other out.
_MIN_LENGTH = 1e-6


class StaticEmbedder:
    """An embedder that adds the vectors of a name's word pieces and scales the sum to length 1.

    The vectors of rare pieces are longer, so they have more weight. `static_model/MODEL_CARD.md` describes the model,
    which `pantree_research.distill_embedder` computes.

    Args:
        model_dir: directory of the model's files; None for the bundled model.
    """

    ms_per_name = 0.02

    def __init__(self, model_dir: Traversable | None = None) -> None:
        model_dir = model_dir or resources.files("pantree_vector.backends") / "static_model"
        files = {name: (model_dir / name).read_bytes() for name in (TABLE, SCALES, VOCABULARY)}
        self._table: NDArray[np.int8] = np.load(io.BytesIO(files[TABLE]))
        self._scales: NDArray[np.float32] = np.load(io.BytesIO(files[SCALES]))
        self._pieces = WordPieces(files[VOCABULARY].decode().split("\n")[:-1])
        self._version = hashlib.blake2b(b"".join(files.values()), digest_size=6).hexdigest()

    @property
    def model(self) -> EmbeddingModel:
        """The model, with a digest of the files as its version."""
        return EmbeddingModel("static", self._version, self._table.shape[1])

    def embed(self, texts: Sequence[str]) -> Vectors:
        pieces, counts = self._pieces.split(texts)
        vectors = np.zeros((len(texts), self._table.shape[1]), dtype=np.float32)
        known = np.flatnonzero(counts)
        if len(known):
            starts = np.cumsum(counts[known]) - counts[known]
            vectors[known] = np.add.reduceat(self._table[pieces] * self._scales[pieces, None], starts, axis=0)
        lengths = np.linalg.norm(vectors, axis=1)
        for row in np.flatnonzero(lengths < _MIN_LENGTH).tolist():
            vectors[row] = _vector_of_unknown(texts[row], vectors.shape[1])
            lengths[row] = 1
        vectors /= lengths[:, None]
        return vectors


def _vector_of_unknown(text: str, dimension: int) -> Vector:
    """A reproducible pseudorandom unit vector for a name without known pieces, such as emoji; similar to no other."""
    digest = hashlib.shake_256(text.encode()).digest(dimension)
    vector = np.frombuffer(digest, dtype=np.uint8).astype(np.float32) - 127.5
    unit: Vector = vector / np.linalg.norm(vector)
    return unit
