import numpy as np
import pytest

from pantree_fitting.frequency.outcomes import Outcomes
from pantree_research.quality.protocol import (
    MAX_DAYS,
    Deliveries,
    EvaluationSet,
    Needs,
    deliveries,
    needs_from_next_purchase,
    needs_from_today,
)


def evaluation(*purchases: list[tuple[int, int]], follow_up: float = 120.0) -> EvaluationSet:
    """Pairs with these later purchases: days from the cut-off, and units."""
    days = [np.array([day for day, _ in pair], np.int64) for pair in purchases]
    units = [np.array([unit for _, unit in pair], np.int64) for pair in purchases]
    count = len(purchases)
    first = np.array([pair[0] if len(pair) else np.inf for pair in days], np.float64)
    return EvaluationSet(
        level=None,  # type: ignore[arg-type] # neither the level nor the features matter here
        cutoff=0,
        households=np.arange(count),
        table=None,  # type: ignore[arg-type]
        truth=Outcomes(first, np.full(count, np.inf), np.full(count, follow_up)),
        others_within=np.zeros(count),
        later=days,
        later_units=units,
        earlier=[],
        typical_units=np.ones(count, np.int64),
    )


def followed(first: int, interval: int, needs: Needs, units: int = 1) -> Deliveries:
    count = len(needs.evaluation)
    return deliveries(np.full(count, first), np.full(count, interval), np.full(count, units), needs)


def test_units_of_a_purchase_last_evenly_until_the_next_one() -> None:
    needs = needs_from_today(evaluation([(10, 1), (16, 3), (28, 2)], [], [(5, 2)]))
    assert needs.days.tolist() == [10, 16, 20, 24, 28, np.inf, 5, np.inf]
    assert needs.starts.tolist() == [0, 6, 6, 8]


def test_needs_after_the_next_purchase_leave_out_what_it_brings() -> None:
    needs = needs_from_next_purchase(evaluation([(10, 2), (16, 1), (28, 1)], [(50, 1), (60, 1)], []))
    assert needs.days.tolist() == [6, 18]
    assert needs.evaluation.tolist() == [True, False, False]  # the second leaves 70 days only, the third never begins


def test_delivery_on_the_day_of_need_is_neither_early_nor_late() -> None:
    weekly = [(day, 1) for day in range(7, 85, 7)]
    assert followed(7, 7, needs_from_today(evaluation(weekly))) == Deliveries(0.0, 0.0, 0.0, 1)


def test_surplus_is_carried_over_and_makes_all_later_deliveries_early() -> None:
    monthly = needs_from_today(evaluation([(28, 1), (56, 1), (84, 1)]))
    assert followed(21, 21, monthly) == Deliveries(1.0, 4.0, 0.0, 1)
    assert followed(28, 28, monthly) == Deliveries(0.0, 0.0, 0.0, 1)


def test_late_first_delivery_runs_out_and_leaves_the_later_ones_on_time() -> None:
    assert followed(35, 28, needs_from_today(evaluation([(28, 1), (63, 1)]))) == Deliveries(0.0, 0.0, 1.0, 1)


def test_need_after_the_last_delivery_runs_out() -> None:
    assert followed(50, 84, needs_from_today(evaluation([(50, 1), (70, 1)]))).ran_out == 1.0


def test_ended_need_makes_every_delivery_early() -> None:
    assert followed(28, 28, needs_from_today(evaluation([], [(28, 1), (56, 1), (84, 1)]))) == Deliveries(
        0.5, 1.5, 0.0, 2
    )


def test_stocking_up_makes_single_deliveries_timely() -> None:
    # Three units every three weeks are one a week: a delivery of one each week is on time, three are too many.
    stocked = needs_from_today(evaluation([(7, 3), (28, 3), (49, 3), (70, 3), (91, 3)]))
    assert followed(7, 7, stocked).early == 0.0
    assert followed(7, 7, stocked).ran_out == 0.0
    assert followed(7, 21, stocked, units=3) == Deliveries(0.0, 0.0, 0.0, 1)
    assert followed(7, 7, stocked, units=3).early == pytest.approx(11 / 12)


def test_pairs_whose_time_is_not_over_are_left_out() -> None:
    needs = needs_from_today(evaluation([(7, 1)], follow_up=MAX_DAYS - 1))
    assert not needs.evaluation.any()
