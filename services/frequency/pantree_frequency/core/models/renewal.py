"""Renewal models: the intervals of a pair follow one log-normal distribution."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pantree_frequency.core.features import FeatureTable, known_or_zero
from pantree_frequency.core.models.base import ClosedForm, Floats, bounded, column, positive


def upper_tail(values: Floats) -> Floats:
    """Probability that a standard normal variable is greater than each value.

    Source: W. Press et al., "Numerical Recipes", the complementary error function by Chebyshev fit; its relative error
    stays below 1.2e-7, which conditional probabilities far out in the tail need.
    """
    scaled = np.abs(values) / np.sqrt(2.0)
    step = 1.0 / (1.0 + 0.5 * scaled)
    coefficients = (
        0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807,
        -0.18628806, 0.09678418, 0.37409196, 1.00002368, -1.26551223,
    )  # fmt: skip
    series: Floats = np.zeros_like(scaled)
    for coefficient in coefficients:
        series = series * step + coefficient
    tail = 0.5 * step * np.exp(-scaled * scaled + series)
    return np.asarray(np.where(values >= 0, tail, 1.0 - tail))


def log_normal_survival(days: NDArray[np.float64], log_mean: Floats, log_deviation: Floats) -> Floats:
    """Probability that a log-normal interval is longer than `days`."""
    return upper_tail((np.log(days) - log_mean) / log_deviation)


class LogNormalRenewal(ClosedForm):
    """Log-normal intervals, shrunk towards item and household by empirical Bayes; some needs have ended unseen.

    Mean and spread of a pair's log intervals are shrunk towards those of the item over other households, moved by the
    household's own pace. The longer it has been quiet, the likelier the need has ended: a cure model with a share of
    ended needs (J. Boag, "Maximum Likelihood Estimates of the Proportion of Patients Cured by Cancer Therapy", 1949).
    Shrinkage: B. Efron, C. Morris, "Data Analysis Using Stein's Estimator and Its Generalizations", 1975.
    """

    NAME = "log-normal"
    START: ClassVar[dict[str, float]] = {
        "item_shift": 0.0, "interval_strength": 0.7, "deviation_strength": 1.4, "spread": 0.0, "ended": -2.0
    }  # fmt: skip

    def _intervals(self, table: FeatureTable) -> tuple[Floats, Floats]:
        """Shrunken mean and standard deviation of each pair's log intervals."""
        gaps = table["pair_count"] - 1
        own = np.where(gaps > 0, known_or_zero(table["pair_log_mean"]), 0.0)
        squares = np.where(gaps > 0, known_or_zero(table["pair_log_squares"]), 0.0)
        prior = table["item_prior_log_interval"] + table["household_log_ratio"] + self["item_shift"]
        strength = positive(self["interval_strength"])
        mean = (gaps * own + strength * prior) / (gaps + strength)
        spread = positive(self["deviation_strength"])
        variance = (squares + spread * table["item_prior_log_deviation"] ** 2) / (gaps + spread)
        return mean, np.sqrt(np.maximum(variance, 0.01)) * positive(self["spread"])

    def within(self, table: FeatureTable, days: Floats) -> Floats:
        """float64[p, d], probability of a purchase within each number of days of the as-of day."""
        mean, deviation = self._intervals(table)
        passed = table["pair_recency"] + 0.5
        quiet = log_normal_survival(passed, mean, deviation)
        then = log_normal_survival(column(passed) + days, column(mean), column(deviation))
        ended = bounded(self["ended"], 0.0, 1.0) / np.sqrt(table["pair_count"])
        living = (1 - ended) * quiet + ended
        return np.asarray(column((1 - ended) / living) * (column(quiet) - then))

    def interval_within(self, table: FeatureTable, days: Floats) -> Floats:
        """float64[p, d], probability that an interval between purchases is at most each number of days long."""
        mean, deviation = self._intervals(table)
        return 1.0 - log_normal_survival(days, column(mean), column(deviation))


class AggregateTimes(ClosedForm):
    """ATD: every buyer of an item waits as long as its buyers do on the whole, if they buy again.

    Source: the aggregate time distribution model of Bhagat et al., KDD 2018: a log-normal of the item's intervals.
    """

    NAME = "aggregate-time-distribution"
    START: ClassVar[dict[str, float]] = {"ended": -1.0}

    def within(self, table: FeatureTable, days: Floats) -> Floats:
        """float64[p, d], probability of a purchase within each number of days of the as-of day."""
        mean, deviation = table["item_prior_log_interval"], table["item_prior_log_deviation"]
        passed = table["pair_recency"] + 0.5
        quiet = log_normal_survival(passed, mean, deviation)
        then = log_normal_survival(column(passed) + days, column(mean), column(deviation))
        ended = (1.0 - np.clip(table["item_prior_repeat_ratio"], 0.0, 1.0)) * bounded(self["ended"], 0.0, 1.0)
        return np.asarray(column((1 - ended) / ((1 - ended) * quiet + ended)) * (column(quiet) - then))

    def interval_within(self, table: FeatureTable, days: Floats) -> Floats:
        """float64[p, d], probability that an interval between purchases is at most each number of days long."""
        mean, deviation = table["item_prior_log_interval"], table["item_prior_log_deviation"]
        return 1.0 - log_normal_survival(days, column(mean), column(deviation))
