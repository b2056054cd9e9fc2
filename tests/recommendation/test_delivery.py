from typing import Any

import pytest

from pantree_domain.catalog import Perishability
from pantree_recommendation.core.candidate import Candidate, DeliveryOption
from pantree_recommendation.core.delivery import DEFAULT_MAX_SUPPLY_DAYS, with_best_option
from tests.recommendation.evidence import bananas, forecast


def option(interval_days: int, quantity: int, probability: float = 0.9) -> DeliveryOption:
    return DeliveryOption(interval_days, quantity, 1.0, 0.1, 0.2, probability)


def milk(*options: DeliveryOption, use_days: float = 10.0, **changes: Any) -> Candidate:
    return bananas(forecast=forecast(options=options, use_days=use_days), **changes)


def chosen(candidate: Candidate, required: float = 0.65) -> tuple[int, int]:
    found = with_best_option(candidate, required, DEFAULT_MAX_SUPPLY_DAYS).forecast
    assert found is not None
    return found.interval_days, found.quantity


def test_best_option_is_offered() -> None:
    assert chosen(milk(option(21, 2), option(14, 1), perishability=Perishability.MONTHS)) == (21, 2)


def test_what_spoils_is_not_delivered_for_longer_than_it_keeps() -> None:
    assert chosen(milk(option(21, 2), option(14, 1), perishability=Perishability.DAYS)) == (14, 1)


def test_what_the_household_buys_at_once_is_delivered_at_once() -> None:
    candidate = milk(option(21, 2), option(14, 1), perishability=Perishability.DAYS, typical_quantity=2, use_days=20.0)
    assert chosen(candidate) == (21, 2)


def test_unknown_perishability_sets_no_limit() -> None:
    assert chosen(milk(option(84, 6), perishability=None)) == (84, 6)


def test_smallest_delivery_remains_when_nothing_keeps() -> None:
    assert chosen(milk(option(21, 5), option(14, 3), perishability=Perishability.DAYS)) == (14, 3)


def test_longer_steps_are_tried_before_an_item_is_refused() -> None:
    options = (option(14, 1, 0.5), option(21, 1, 0.7), option(28, 1, 0.8), option(42, 1, 0.9))
    assert chosen(milk(*options)) == (28, 1)
    assert chosen(milk(*options), required=0.85) == (14, 1)  # 42 days are more than twice as long


def test_longer_step_of_a_regular_item_needs_no_more_probability_than_the_best() -> None:
    options = (option(21, 2, 0.3), option(28, 3, 0.6), option(42, 4, 0.8))
    loose = milk(*options, perishability=Perishability.MONTHS)
    steady = loose._replace(forecast=forecast(options=options, use_days=10.0, regularity_ratio=0.9))
    assert chosen(steady, required=0.35) == (28, 3)
    assert chosen(loose, required=0.35) == (42, 4)


@pytest.mark.parametrize("candidate", [bananas(), bananas(forecast=forecast())])
def test_candidate_without_options_is_unchanged(candidate: Candidate) -> None:
    assert with_best_option(candidate, 0.65, DEFAULT_MAX_SUPPLY_DAYS) == candidate
