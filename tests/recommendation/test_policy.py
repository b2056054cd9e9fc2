from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_domain.catalog import Perishability
from pantree_domain.evidence import Need
from pantree_recommendation.core.candidate import MIN_RECENCY_WEIGHT, Candidate, Forecast
from pantree_recommendation.core.policy import Policy, rejection_reason
from pantree_recommendation.core.reason import ReasonCode
from tests.recommendation.evidence import AS_OF, bananas, candidate, forecast, forecasts


def code(item: Candidate, policy: Policy | None = None) -> ReasonCode | None:
    reason = rejection_reason(item, AS_OF, policy or Policy())
    return None if reason is None else reason.code


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (bananas(), None),
        (bananas(purchase_count=3, confidence=65.0, recency_weight_ratio=MIN_RECENCY_WEIGHT), None),
        (bananas(purchase_count=2), ReasonCode.TOO_FEW_PURCHASES),
        (bananas(purchase_count=1, mean_interval_days=None, confidence=0.0), ReasonCode.TOO_FEW_PURCHASES),
        (bananas(recency_weight_ratio=0.12), ReasonCode.NEED_ENDED),
        (bananas(mean_interval_days=102.0), None),
        (bananas(mean_interval_days=210.0), ReasonCode.INTERVAL_TOO_LONG),
        (bananas(mean_interval_days=210.0, forecast=forecast(regularity_ratio=0.5, use_days=168.0)), None),
        (
            bananas(mean_interval_days=150.0, forecast=forecast(regularity_ratio=0.5, use_days=230.0)),
            ReasonCode.INTERVAL_TOO_LONG,
        ),
        (bananas(confidence=64.99), ReasonCode.LOW_PROBABILITY),
        (bananas(confidence=0.0, forecast=forecast()), None),
        (bananas(recency_weight_ratio=0.0, forecast=forecast()), None),
        (bananas(forecast=forecast(cadence_probability=0.59)), ReasonCode.LOW_PROBABILITY),
        (bananas(consistency_ratio=0.69, forecast=forecast(cadence_probability=0.64)), ReasonCode.LOW_PROBABILITY),
        (bananas(purchase_count=5, forecast=forecast(cadence_probability=0.64)), ReasonCode.LOW_PROBABILITY),
        (bananas(forecast=forecast(cadence_probability=0.36, regularity_ratio=0.3)), None),
        (bananas(forecast=forecast(need=Need.LATE)), ReasonCode.NEED_LATE),
        (bananas(forecast=forecast(need=Need.PAUSED)), ReasonCode.NEED_PAUSED),
        (bananas(forecast=forecast(need=Need.ENDED)), ReasonCode.NEED_ENDED),
        (bananas(forecast=forecast(need=Need.SWITCHED)), ReasonCode.NEED_SWITCHED),
    ],
)
def test_candidate_is_rejected_with_the_reason_that_applies(item: Candidate, expected: ReasonCode | None) -> None:
    assert code(item) is expected


def test_thresholds_come_from_the_policy() -> None:
    assert code(bananas(purchase_count=5), Policy(min_purchases=6)) is ReasonCode.TOO_FEW_PURCHASES
    assert code(bananas(confidence=85.3), Policy(min_confidence=85.4)) is ReasonCode.LOW_CONFIDENCE
    assert code(bananas(), Policy(min_cadence_probability=0.9)) is ReasonCode.LOW_PROBABILITY
    assert code(bananas(), Policy(excluded_categories=frozenset({"produce"}))) is ReasonCode.NOT_SUBSCRIBABLE


def test_reason_has_the_values_behind_it() -> None:
    reason = rejection_reason(bananas(last_day=date(2026, 3, 20), recency_weight_ratio=0.01), AS_OF, Policy())
    assert reason is not None
    assert reason.values == {
        "days_since_last_purchase": 92,
        "mean_interval_days": 7.2,
        "recency_weight_ratio": 0.01,
        "need_probability": 0.8534,
    }
    assert reason.text == "You have not bought it for 92 days and may no longer need it."


def test_text_of_a_low_probability_names_the_cadence() -> None:
    reason = rejection_reason(bananas(confidence=59.99), AS_OF, Policy())
    assert reason is not None
    assert reason.text == "Not regular enough yet for a delivery every week."


def test_goods_of_a_season_are_offered_within_it_only() -> None:
    item = bananas(name="Sunscreen", forecast=forecast())
    expected = {
        date(2026, 6, 20): None,
        date(2026, 8, 25): ReasonCode.SEASON_ENDS,
        date(2026, 10, 3): ReasonCode.OUT_OF_SEASON,
    }
    for as_of, expected_code in expected.items():
        reason = rejection_reason(item, as_of, Policy())
        assert (None if reason is None else reason.code) is expected_code
        assert rejection_reason(item._replace(all_year=True), as_of, Policy()) is None


def test_few_purchases_do_not_get_a_cadence_that_rests_on_others() -> None:
    item = bananas(purchase_count=3, forecast=forecast(interval_days=28))
    reason = rejection_reason(item, AS_OF, Policy())
    assert reason is not None
    assert reason.text == "Bought 3 times so far; we need 5 purchases."
    assert code(item._replace(purchase_count=5)) is None
    assert code(item._replace(mean_interval_days=18.0)) is None


def test_what_is_eaten_fresh_is_no_subscription() -> None:
    item = bananas(mean_interval_days=1.4, perishability=Perishability.DAYS, forecast=forecast())
    assert code(item) is ReasonCode.EATEN_FRESH
    assert code(item._replace(perishability=Perishability.MONTHS)) is None


@given(candidate(), st.floats(0, 100), st.floats(0, 100))
def test_item_rejected_at_a_threshold_is_rejected_at_every_higher_one(
    item: Candidate, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    if code(item, Policy(min_confidence=low)) is not None:
        assert code(item, Policy(min_confidence=high)) is not None
    if code(item, Policy(min_cadence_probability=low / 100)) is not None:
        assert code(item, Policy(min_cadence_probability=high / 100)) is not None


@given(candidate(), forecasts().filter(lambda given_forecast: given_forecast.need is not Need.ACTIVE))
def test_need_that_is_not_active_is_always_rejected(item: Candidate, expected: Forecast) -> None:
    policy = Policy(min_cadence_probability=0, min_purchases=2)
    assert rejection_reason(item._replace(forecast=expected), AS_OF, policy) is not None
