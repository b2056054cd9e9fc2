"""Any model of the sentence-transformers library: slower than the static embedder, and better at meaning."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from pantree_vector.core import EmbeddingModel, Vectors

_BATCH_NAMES = 64


class SentenceTransformerEmbedder:
    """Vectors by a transformer, on the CPU, one batch at a time."""

    def __init__(self, model: str, *, threads: int) -> None:
        """Loads a model.

        Args:
            model: path of a folder, or a name on the Hugging Face hub, which is downloaded once.
            threads: threads that torch may use, in this whole process.

        Raises:
            OSError: when there is no such model, or it cannot be downloaded.
        """
        # A thread of its own: calls wait in line for the model, and not on each other's cores.
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="embedder")
        torch.set_num_threads(threads)
        self._transformer = SentenceTransformer(model, device="cpu")
        dimension = self._transformer.get_embedding_dimension()
        assert dimension is not None  # only models that were never given layers have none
        self._model = EmbeddingModel(Path(model).name, _digest(self._transformer), dimension)

    @property
    def model(self) -> EmbeddingModel:
        """What makes the vectors; the version is a digest of the weights."""
        return self._model

    def embed(self, names: Sequence[str]) -> Vectors:
        """Vectors of normalised names, in their order: float32[n, d], each row of length 1."""
        return self._executor.submit(self._encode, names).result()

    def _encode(self, names: Sequence[str]) -> Vectors:
        vectors = np.empty((len(names), self._model.dimension), dtype=np.float32)
        if names:
            vectors[:] = self._transformer.encode(
                list(names), batch_size=_BATCH_NAMES, normalize_embeddings=True, show_progress_bar=False
            )
        return vectors


def _digest(transformer: SentenceTransformer) -> str:
    digest = hashlib.blake2b(digest_size=6)
    for name, weights in transformer.state_dict().items():
        digest.update(name.encode())
        digest.update(weights.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
