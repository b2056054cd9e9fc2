"""An embedder for models of the sentence-transformers library: slower than the static one, with better quality."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from pantree_vector.core.embedder import EmbeddingModel, Vectors

_BATCH_NAMES = 64


class SentenceTransformerEmbedder:
    """Runs a transformer on the CPU, one batch at a time.

    Args:
        model: path of a directory, or a name on the Hugging Face hub, which is downloaded once.
        threads: number of torch threads of this process.

    Raises:
        OSError: the model does not exist or cannot be downloaded.
    """

    ms_per_name = 10.0

    def __init__(self, model: str, *, threads: int) -> None:
        # One thread: concurrent calls queue instead of competing for cores.
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="embedder")
        torch.set_num_threads(threads)
        self._transformer = SentenceTransformer(model, device="cpu")
        dimension = self._transformer.get_embedding_dimension()
        assert dimension is not None  # only models without layers have none
        self._model = EmbeddingModel(Path(model).name, _digest(self._transformer), dimension)

    @property
    def model(self) -> EmbeddingModel:
        """The model, with a digest of the weights as its version."""
        return self._model

    def embed(self, texts: Sequence[str]) -> Vectors:
        return self._executor.submit(self._encode, texts).result()

    def _encode(self, texts: Sequence[str]) -> Vectors:
        vectors = np.empty((len(texts), self._model.dimension), dtype=np.float32)
        if texts:
            vectors[:] = self._transformer.encode(
                list(texts), batch_size=_BATCH_NAMES, normalize_embeddings=True, show_progress_bar=False
            )
        return vectors


def _digest(transformer: SentenceTransformer) -> str:
    digest = hashlib.blake2b(digest_size=6)
    for name, weights in transformer.state_dict().items():
        digest.update(name.encode())
        digest.update(weights.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
