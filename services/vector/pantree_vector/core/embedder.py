"""The port through which names become vectors."""

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
    """What makes vectors; vectors of different models cannot be compared."""

    name: str
    version: str
    """Changes whenever a name may get another vector."""
    dimension: int

    def __str__(self) -> str:
        return f"{self.name} version {self.version} with {self.dimension} dimensions"


class Embedder(Protocol):
    """Turns names into unit vectors. Equal names get equal vectors, in every process; safe to call from any thread."""

    @property
    def model(self) -> EmbeddingModel:
        """What makes the vectors."""
        ...

    def embed(self, names: Sequence[str]) -> Vectors:
        """Vectors of names, in their order.

        Args:
            names: `n` names, none blank, normalised by `normalise_name`.

        Returns:
            float32[n, d], each row of length 1.
        """
        ...
