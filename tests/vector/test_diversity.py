import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantree_vector.core.diversity import diverse_order

# Examples are not timed: a busy machine must not fail a test.
unhurried = settings(deadline=None, max_examples=40)

TWINS_AND_A_STRANGER = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=np.float32)


@pytest.mark.parametrize(("diversity", "order"), [(0.0, [0, 1, 2]), (0.5, [0, 2, 1]), (1.0, [0, 2, 1])])
def test_twin_of_a_hit_comes_later_when_diversity_is_asked_for(diversity: float, order: list[int]) -> None:
    scores = [0.9, 0.8, 0.3]
    assert diverse_order(scores, TWINS_AND_A_STRANGER, diversity=diversity, limit=3) == order


@unhurried
@given(st.lists(st.floats(-1, 1), max_size=12), st.floats(0, 1), st.integers(1, 15), st.integers(0, 99))
def test_order_names_each_hit_once_and_starts_with_the_best(
    scores: list[float], diversity: float, limit: int, seed: int
) -> None:
    vectors = np.random.default_rng(seed).normal(size=(len(scores), 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    order = diverse_order(scores, vectors, diversity=diversity, limit=limit)
    assert len(order) == len(set(order)) == min(limit, len(scores))
    if order and diversity < 1:
        assert scores[order[0]] == pytest.approx(max(scores))
