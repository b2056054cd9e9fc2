"""Re-ranks search hits so that they are similar to the query but not too similar to one another."""

from collections.abc import Sequence

import numpy as np

from pantree_vector.core.embedder import Vectors


def diverse_order(scores: Sequence[float], vectors: Vectors, *, diversity: float, limit: int) -> list[int]:
    """Positions of the best hits, at most `limit`, best first.

    Each hit has the highest difference between its score and its similarity to the hits chosen before it.

    Args:
        scores: cosine similarity of each of `n` hits to the query.
        vectors: float32[n, d], vectors of the hits.
        diversity: weight of the similarity, 0 to 1; 0 orders by score alone, 1 by dissimilarity alone.
        limit: maximum number of positions.

    Source: maximal marginal relevance, Carbonell and Goldstein, SIGIR 1998.
    """
    relevance = (1 - diversity) * np.asarray(scores, dtype=np.float64)
    similarity_to_chosen = np.zeros(len(relevance))
    is_available = np.ones(len(relevance), dtype=bool)
    order: list[int] = []
    for _ in range(min(limit, len(relevance))):
        marginal_relevance = np.where(is_available, relevance - diversity * similarity_to_chosen, -np.inf)
        best = int(marginal_relevance.argmax())
        order.append(best)
        is_available[best] = False
        to_best = vectors @ vectors[best]
        similarity_to_chosen = to_best if len(order) == 1 else np.maximum(similarity_to_chosen, to_best)
    return order
