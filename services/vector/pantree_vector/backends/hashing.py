"""An embedder without a model: names that share words and letter sequences have similar vectors."""

import hashlib
import re
from collections.abc import Iterator, Sequence

import numpy as np

from pantree_vector.core.embedder import EmbeddingModel, Vector, Vectors

DIMENSION = 256
# A shared word is stronger evidence than a shared letter sequence. A judgment, not fitted.
_WORD_WEIGHT = 2.0
_TRIGRAM_WEIGHT = 1.0
_WORD = re.compile(r"\w+")


class HashedTrigrams:
    """An embedder that hashes words and letter trigrams, with a sign, into 256 numbers and scales them to length 1.

    The vectors represent spelling, not meaning: `banana` is similar to `bananas`, not to `fruit`.
    Source: feature hashing, Weinberger et al., ICML 2009.
    """

    ms_per_name = 0.1

    @property
    def model(self) -> EmbeddingModel:
        return EmbeddingModel("hashed-trigrams", "1", DIMENSION)

    def embed(self, texts: Sequence[str]) -> Vectors:
        return np.array([_vector(text) for text in texts], dtype=np.float32).reshape(len(texts), DIMENSION)


def _vector(text: str) -> Vector:
    vector = np.zeros(DIMENSION)
    for feature, weight in _features(text):
        position, sign = _hash(feature)
        vector[position] += sign * weight
    length = float(np.linalg.norm(vector))
    if length == 0:  # all features cancel out
        vector[_hash(text)[0]] = length = 1.0
    return (vector / length).astype(np.float32)


def _features(text: str) -> Iterator[tuple[str, float]]:
    for word in _WORD.findall(text) or [text]:
        yield f"word:{word}", _WORD_WEIGHT
        padded = f" {word} "
        for start in range(len(padded) - 2):
            yield padded[start : start + 3], _TRIGRAM_WEIGHT


def _hash(feature: str) -> tuple[int, int]:
    """Position and sign of a feature. Python's `hash` would differ between processes."""
    digest = hashlib.blake2b(feature.encode(), digest_size=5).digest()
    return int.from_bytes(digest[:4]) % DIMENSION, 1 if digest[4] & 1 else -1
