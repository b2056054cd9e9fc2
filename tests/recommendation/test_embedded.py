from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_recommendation.backends.embedded import EmbeddedRanker
from tests.recommendation.evidence import features


async def score(**changes: Any) -> float:
    (value,) = await EmbeddedRanker().scores([features(**changes)])
    return value


@given(
    cadence_probability=st.floats(0, 1),
    overstock_ratio=st.floats(0, 1),
    annual_savings_vs_paid=st.floats(-1e12, 1e12),
    perishability=st.sampled_from(["", "days", "weeks", "months"]),
)
async def test_score_is_a_ratio(**changes: Any) -> None:
    assert 0 <= await score(**changes) <= 1


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"cadence_probability": 0.8}, {"cadence_probability": 0.7}),
        ({"annual_savings_vs_paid": 20.0}, {"annual_savings_vs_paid": 2.0}),
        ({"perishability": "months"}, {"perishability": "days"}),
        ({"overstock_ratio": 0.1}, {"overstock_ratio": 0.5}),
    ],
)
async def test_score_grows_with_probability_savings_and_shelf_life_and_falls_with_overstock(
    better: dict[str, Any], worse: dict[str, Any]
) -> None:
    assert await score(**better) > await score(**worse)


async def test_negative_savings_score_like_none() -> None:
    assert await score(annual_savings_vs_paid=-50.0) == await score(annual_savings_vs_paid=0.0)
