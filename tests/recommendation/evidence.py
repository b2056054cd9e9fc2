"""Evidence for the tests: a typical candidate, and hypothesis strategies for arbitrary ones."""

import dataclasses
from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

from pantree_domain.cadence import LADDER
from pantree_domain.catalog import Perishability
from pantree_domain.evidence import Need, Trend
from pantree_recommendation.core.candidate import Candidate, Forecast, PaidPrice
from pantree_recommendation.core.offer import offer_of
from pantree_recommendation.core.policy import Policy
from pantree_recommendation.core.ranking import ItemFeatures, features_of
from pantree_recommendation.core.recommender import RecommendationRequest

AS_OF = date(2026, 6, 20)

WEEKLY_BANANAS = Candidate(
    name="Bananas",
    category="produce",
    purchase_count=8,
    mean_interval_days=7.2,
    consistency_ratio=0.9,
    recency_weight_ratio=1.0,
    trend=Trend.STABLE,
    confidence=85.34,
    last_day=date(2026, 6, 18),
    next_due_day=date(2026, 6, 25),
    latest_unit_price=1.99,
    typical_quantity=1,
    perishability=Perishability.DAYS,
)
WEEKLY_FORECAST = Forecast(
    interval_days=7,
    cadence_probability=0.8,
    stockout_probability=0.4,
    overstock_ratio=0.5,
    need=Need.ACTIVE,
    need_probability=0.9,
)


def bananas(**changes: Any) -> Candidate:
    return WEEKLY_BANANAS._replace(**changes)


def forecast(**changes: Any) -> Forecast:
    return WEEKLY_FORECAST._replace(**changes)


def features(**changes: Any) -> ItemFeatures:
    item = features_of(WEEKLY_BANANAS, offer_of(WEEKLY_BANANAS, Policy().tiers), AS_OF)
    return dataclasses.replace(item, **changes)


def request(*candidates: Candidate, max_recommendations: int = 100, **changes: Any) -> RecommendationRequest:
    return RecommendationRequest(candidates=candidates, as_of=AS_OF, max_recommendations=max_recommendations, **changes)


_ratios = st.floats(0, 1)
_days = st.integers(-400, 0).map(lambda offset: AS_OF + timedelta(days=offset))


@st.composite
def forecasts(draw: st.DrawFn) -> Forecast:
    return Forecast(
        interval_days=draw(st.sampled_from(LADDER)).interval_days,
        cadence_probability=draw(_ratios),
        stockout_probability=draw(_ratios),
        overstock_ratio=draw(_ratios),
        need=draw(st.sampled_from(Need)),
        need_probability=draw(_ratios),
        first_delivery_day=draw(st.none() | st.dates(AS_OF - timedelta(days=100), AS_OF + timedelta(days=100))),
    )


_prices = st.decimals(0, 1_000_000, places=2).map(float) | st.floats(0, 1_000_000)


@st.composite
def _candidate(draw: st.DrawFn, name: str) -> Candidate:
    purchase_count = draw(st.integers(1, 40))
    once = purchase_count == 1
    return Candidate(
        name=name,
        category=draw(st.sampled_from(["", "produce", "pantry"])),
        purchase_count=purchase_count,
        mean_interval_days=None if once else draw(st.floats(1, 400)),
        consistency_ratio=draw(_ratios),
        recency_weight_ratio=draw(_ratios),
        trend=draw(st.sampled_from(Trend)),
        confidence=draw(st.floats(0, 100)),
        last_day=draw(_days),
        next_due_day=None if once else draw(_days) + timedelta(days=draw(st.integers(0, 400))),
        latest_unit_price=draw(_prices),
        typical_quantity=draw(st.integers(1, 10_000)),
        perishability=draw(st.none() | st.sampled_from(Perishability)),
        suggested_interval_days=draw(st.none() | st.integers(1, 365)),
        forecast=draw(st.none() | forecasts()),
        paid_price=None
        if once
        else draw(
            st.none() | st.builds(PaidPrice, _prices, _prices, st.none() | _prices, st.none() | st.integers(1, 8))
        ),
    )


def candidates(max_count: int = 5) -> st.SearchStrategy[list[Candidate]]:
    names = st.permutations("abcde"[:max_count]).flatmap(
        lambda letters: st.integers(0, max_count).map(lambda count: letters[:count])
    )
    return names.flatmap(lambda chosen: st.tuples(*map(_candidate, chosen)).map(list))


def candidate() -> st.SearchStrategy[Candidate]:
    return _candidate("Item")
