import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantree_vector.core.diversity import diverse_order

# No deadline: examples may be slow on a busy machine.
no_deadline = settings(deadline=None, max_examples=40)

TWO_EQUAL_AND_ONE_OTHER = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=np.float32)


@pytest.mark.parametrize(("diversity", "order"), [(0.0, [0, 1, 2]), (0.5, [0, 2, 1]), (1.0, [0, 2, 1])])
def test_diversity_moves_a_hit_that_equals_another_down(diversity: float, order: list[int]) -> None:
    scores = [0.9, 0.8, 0.3]
    assert diverse_order(scores, TWO_EQUAL_AND_ONE_OTHER, diversity=diversity, limit=3) == order


@no_deadline
@given(st.lists(st.floats(-1, 1), max_size=12), st.floats(0, 1), st.integers(1, 15), st.integers(0, 99))
def test_order_has_distinct_positions_and_starts_with_the_highest_score(
    scores: list[float], diversity: float, limit: int, seed: int
) -> None:
    vectors = np.random.default_rng(seed).normal(size=(len(scores), 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    order = diverse_order(scores, vectors, diversity=diversity, limit=limit)
    assert len(order) == len(set(order)) == min(limit, len(scores))
    if order and diversity < 1:
        assert scores[order[0]] == pytest.approx(max(scores))
