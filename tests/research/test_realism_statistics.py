"""The realism statistics against plain pandas on a small population."""

import numpy as np
import pandas as pd
import pytest

from pantree_research.realism.simulated import our_behavior, simulated_purchases
from pantree_research.realism.statistics import STATISTICS, Measured, Purchases, measure


@pytest.fixture(scope="module")
def purchases() -> Purchases:
    return simulated_purchases(our_behavior(), 60)


@pytest.fixture(scope="module")
def measured(purchases: Purchases) -> Measured:
    return measure(purchases)


@pytest.fixture(scope="module")
def frame(purchases: Purchases) -> pd.DataFrame:
    columns = {name: getattr(purchases, name) for name in ("households", "days", "items", "types", "quantities")}
    return pd.DataFrame(columns)


def test_every_statistic_is_measured(measured: Measured) -> None:
    for statistic in STATISTICS:
        values = measured.values[statistic.name]
        assert np.isfinite(values).all()
        assert statistic.deviations(values, values).max() == 0


def test_trip_statistics_are_those_of_pandas(measured: Measured, frame: pd.DataFrame) -> None:
    trips = frame[["households", "days"]].drop_duplicates().sort_values(["households", "days"])
    gaps = trips.assign(gap=trips.groupby("households").days.diff()).groupby("households").gap
    variations = (gaps.std() / gaps.mean())[gaps.count() >= 10]
    assert np.sort(measured.samples["CV of a household's trip gaps"]) == pytest.approx(np.sort(variations))
    sizes = frame.drop_duplicates(["households", "days", "items"]).groupby(["households", "days"]).size()
    assert np.sort(measured.samples["distinct items per trip day"]).tolist() == np.sort(sizes).tolist()


def test_interval_statistics_are_those_of_pandas(measured: Measured, frame: pd.DataFrame) -> None:
    pair = ["households", "types"]
    days = frame[[*pair, "days"]].drop_duplicates().sort_values([*pair, "days"])
    days["interval"] = days.groupby(pair).days.diff()
    counts = days.groupby(pair).interval.count()
    (once,) = measured.values["share of (household, type) bought on one day only"]
    assert once == pytest.approx((counts == 0).mean())
    intervals = days.dropna().copy()
    assert len(measured.samples["interval between purchases of a type, days"]) == len(intervals)
    intervals["before"] = intervals.groupby(pair).interval.shift(1)
    long = intervals[intervals.groupby(pair).interval.transform("size") >= 8].dropna()
    expected = [np.corrcoef(group.interval, group.before)[0, 1] for _, group in long.groupby(pair)]
    found = measured.samples["lag-1 autocorrelation of these intervals (8 or more)"]
    assert np.sort(found) == pytest.approx(np.sort(expected))
    late = days[days.days >= frame.days.min() + 181]
    (repeated,) = measured.values["repeat share of purchase days in the second half-year"]
    assert repeated == pytest.approx(late.interval.notna().mean())


def test_simulation_is_as_realistic_as_the_report_says_for_a_small_sample(measured: Measured) -> None:
    # Published targets; the report compares with the data themselves.
    targets = {
        "interval between purchases of a type, days": np.array([5.0, 9, 23, 56, 116]),
        "CV of these intervals (6 or more purchase days)": np.array([0.50, 0.64, 0.81, 1.02, 1.28]),
        "shelf price per unit": np.array([0.79, 1.29, 2.29, 3.49, 5.19]),
        "depth of promotions": np.array([0.10, 0.16, 0.25, 0.37, 0.47]),
    }
    for statistic in STATISTICS:
        if statistic.name in targets:
            deviations = statistic.deviations(measured.values[statistic.name], targets[statistic.name])
            assert deviations.max() < 1.5, statistic.name
