"""Picks hits that are alike to what was asked for, and not all alike to one another."""

from collections.abc import Sequence

import numpy as np

from pantree_vector.core.embedder import Vectors


def diverse_order(scores: Sequence[float], vectors: Vectors, *, diversity: float, limit: int) -> list[int]:
    """Positions of the hits to give, best first: each next one by its score less its likeness to those before it.

    Args:
        scores: cosine similarity of each of `n` hits to what was asked for.
        vectors: float32[n, d], vectors of the hits.
        diversity: 0 to 1; 0 orders by score alone, 1 by unlikeness alone.
        limit: largest number of positions.

    Source: maximal marginal relevance, Carbonell and Goldstein, SIGIR 1998.
    """
    relevance = (1 - diversity) * np.asarray(scores, dtype=np.float64)
    likeness = np.zeros(len(relevance))
    open_to_choice = np.ones(len(relevance), dtype=bool)
    order: list[int] = []
    for _ in range(min(limit, len(relevance))):
        worth = np.where(open_to_choice, relevance - diversity * likeness, -np.inf)
        best = int(worth.argmax())
        order.append(best)
        open_to_choice[best] = False
        to_best = vectors @ vectors[best]
        likeness = to_best if len(order) == 1 else np.maximum(likeness, to_best)
    return order
