"""The original confidence: a score of count, consistency, recency and trend. It is not a calibrated probability."""

import numpy as np

from pantree_frequency.core.features import FeatureTable, known_or_zero
from pantree_frequency.core.models.base import Floats, column
from pantree_frequency.core.trend import TREND_THRESHOLD_RATIO

# Regularity and recency say most about the next weeks. The weights are a judgment, not a fit: on real baskets this
# score is badly calibrated (expected calibration error .14 to .19).
_COUNT_WEIGHT = 0.30
_CONSISTENCY_WEIGHT = 0.35
_RECENCY_WEIGHT = 0.25
_TREND_WEIGHT = 0.10

_SLOWING_SCORE = 0.5
_UNKNOWN_SCORE = 0.5


def recency_weight(recency: Floats, mean_interval: Floats) -> Floats:
    """float64[p]: 1 while an item is not yet due, halving with every further mean interval; 0 for one purchase.

    Args:
        recency: float64[p], days since the last purchase.
        mean_interval: float64[p], days; NaN for one purchase.
    """
    overdue = np.maximum(0.0, recency / mean_interval - 1.0)
    return known_or_zero(0.5**overdue)


class Heuristic:
    """The score as a model: spread evenly over 28 days, with the mean interval as its interval."""

    name = "heuristic"
    version = "1"

    def score(self, table: FeatureTable) -> Floats:
        """float64[p], from 0 to 1; 0 for one purchase."""
        count, mean = table["pair_count"], table["pair_mean_interval"]
        variation = table["pair_sd_interval"] / mean
        consistency = known_or_zero(1.0 / (1.0 + variation))
        slope = table["pair_trend"]
        trend = np.where(slope > TREND_THRESHOLD_RATIO, _SLOWING_SCORE, 1.0)
        trend = np.where(np.isnan(slope), _UNKNOWN_SCORE, trend)
        score = (
            _COUNT_WEIGHT * (1.0 - 1.0 / count)
            + _CONSISTENCY_WEIGHT * consistency
            + _RECENCY_WEIGHT * recency_weight(table["pair_recency"], mean)
            + _TREND_WEIGHT * trend
        )
        return np.where(count < 2, 0.0, score)

    def within(self, table: FeatureTable, days: Floats) -> Floats:
        """float64[p, d], the score at 28 days, and a constant hazard before and after."""
        return np.asarray(1.0 - column(1.0 - np.minimum(self.score(table), 1 - 1e-9)) ** (days / 28.0))

    def interval_within(self, table: FeatureTable, days: Floats) -> Floats:
        """float64[p, d], 1 from the mean interval on; 0 for one purchase."""
        with np.errstate(invalid="ignore"):
            return (column(table["pair_mean_interval"]) <= days).astype(np.float64)
