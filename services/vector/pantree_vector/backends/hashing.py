"""An embedder that needs no model: names that share words and letter sequences lie close together."""

import hashlib
import re
from collections.abc import Iterator, Sequence

import numpy as np

from pantree_vector.core import EmbeddingModel, Vector, Vectors

DIMENSION = 256
# A shared word says more than a shared letter sequence; a judgement, not a fit.
_WORD_WEIGHT = 2.0
_TRIGRAM_WEIGHT = 1.0
_WORD = re.compile(r"\w+")


class HashedTrigrams:
    """Words and letter trigrams of a name, hashed with a sign into 256 numbers and brought to length 1.

    It knows spelling, not meaning: `banana` is like `bananas`, and not like `fruit`.
    Source: feature hashing, Weinberger et al., ICML 2009.
    """

    @property
    def model(self) -> EmbeddingModel:
        """What makes the vectors."""
        return EmbeddingModel("hashed-trigrams", "1", DIMENSION)

    def embed(self, names: Sequence[str]) -> Vectors:
        """Vectors of normalised names, in their order: float32[n, 256], each row of length 1."""
        vectors = np.empty((len(names), DIMENSION), dtype=np.float32)
        for row, name in enumerate(names):
            vectors[row] = _vector(name)
        return vectors


def _vector(name: str) -> Vector:
    vector = np.zeros(DIMENSION)
    for feature, weight in _features(name):
        position, sign = _place(feature)
        vector[position] += sign * weight
    length = float(np.linalg.norm(vector))
    if length == 0:  # every feature met its opposite in one place
        vector[_place(name)[0]] = length = 1.0
    return (vector / length).astype(np.float32)


def _features(name: str) -> Iterator[tuple[str, float]]:
    for word in _WORD.findall(name) or [name]:
        yield f"word:{word}", _WORD_WEIGHT
        padded = f" {word} "
        for start in range(len(padded) - 2):
            yield padded[start : start + 3], _TRIGRAM_WEIGHT


def _place(feature: str) -> tuple[int, int]:
    """Position and sign of a feature. Python's own hash differs from process to process."""
    digest = hashlib.blake2b(feature.encode(), digest_size=5).digest()
    return int.from_bytes(digest[:4]) % DIMENSION, 1 if digest[4] & 1 else -1
