"""How subscriptions are followed, on a household whose needs are known."""

import numpy as np
import pytest

from pantree_domain.purchases import PurchaseHistory
from pantree_recommendation.core.plan import PlanItem, PlannedItem, PlanOption
from pantree_recommendation.core.review_state import ReviewAction
from pantree_research.quality.households import LAST_DAY
from pantree_research.quality.review import DISTANCE, RATIO, Counts, compared, figures, follow_household

BEGIN = LAST_DAY - 214
END = BEGIN + 92


def history_of(*days: int) -> PurchaseHistory:
    count = len(days)
    return PurchaseHistory(
        item_names=("milk",),
        item_categories=("",),
        item_indices=np.zeros(count, np.int32),
        days=np.array(sorted(days), np.int32),
        quantities=np.ones(count, np.int32),
        prices=np.ones(count),
        savings=np.zeros(count),
    )


def planned(interval_days: int, first: int) -> PlannedItem:
    option = PlanOption(interval_days, 1)
    item = PlanItem("milk", (option,), first, 1.0)
    return PlannedItem(item, option, tuple(range(first, 366, interval_days)), ())


WEEKLY = history_of(*range(BEGIN - 70, LAST_DAY, 7))


def test_deliveries_on_the_days_of_need_are_neither_early_nor_late() -> None:
    counts, actions = follow_household([planned(7, 7)], WEEKLY, BEGIN, END, displaced=True, reviewed=True)
    assert (counts.early, counts.run_outs, counts.deliveries, counts.used) == (0, 0, 13, 13)
    assert actions == []
    early, _ = follow_household([planned(7, 7)], history_of(BEGIN - 7), BEGIN, END, displaced=True, reviewed=False)
    assert early.early == early.deliveries == 13


def test_purchases_that_remain_are_run_outs_and_lead_to_more() -> None:
    alone, _ = follow_household([planned(14, 7)], WEEKLY, BEGIN, END, displaced=True, reviewed=False)
    reviewed, actions = follow_household([planned(14, 7)], WEEKLY, BEGIN, END, displaced=True, reviewed=True)
    assert alone.run_outs == 6
    assert ReviewAction.SHORTEN in actions
    assert reviewed.run_outs < alone.run_outs


def test_deliveries_that_displace_nothing_are_stopped() -> None:
    # Bought three days after each delivery, as before.
    alone, _ = follow_household([planned(7, 4)], WEEKLY, BEGIN, END, displaced=False, reviewed=False)
    reviewed, actions = follow_household([planned(7, 4)], WEEKLY, BEGIN, END, displaced=False, reviewed=True)
    assert actions[-1] is ReviewAction.STOP
    assert (alone.run_outs, reviewed.run_outs) == (0, 0)
    assert reviewed.early < alone.early


def test_figures_of_sums_and_intervals_of_differences() -> None:
    one, other = Counts(2, 10, 5, 4, 12, 10), Counts(2, 8, 2, 4, 10, 10)
    sums = figures(np.array(list(vars(one).values()), np.float64))
    assert sums[RATIO] == pytest.approx(1.2)
    assert sums[DISTANCE] == pytest.approx(0.2)
    rows = compared([one, one], [other, other], samples=20)
    row = rows["early deliveries of a subscription"]
    assert (row["alone"], row["reviewed"], row["interval"]) == (2.5, 1.0, [-1.5, -1.5])
