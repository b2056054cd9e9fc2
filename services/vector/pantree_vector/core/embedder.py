"""Vectors of item names, and the port that computes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
"""float32[d], Euclidean length 1."""
Vectors = NDArray[np.float32]
"""float32[n, d], each row of Euclidean length 1."""


@dataclass(frozen=True)
class EmbeddingModel:
    """The model of an embedder. Vectors of different models cannot be compared."""

    name: str
    version: str
    """Changes whenever the vector of any name may change."""
    dimension: int

    def __str__(self) -> str:
        return f"{self.name} version {self.version} with {self.dimension} dimensions"


class Embedder(Protocol):
    """Computes unit vectors of texts. Thread-safe; equal texts have equal vectors in every process."""

    @property
    def model(self) -> EmbeddingModel:
        """The model of the vectors."""

    @property
    def ms_per_name(self) -> float:
        """Estimated time to embed one name, in milliseconds."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of texts from `embedding_text`, in their order."""
