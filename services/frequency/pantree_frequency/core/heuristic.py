"""The seed's confidence: a score from count, consistency, recency and trend. It is not a calibrated probability."""

from pantree_frequency.core.statistics import ItemStatistics, Trend

NAME = "heuristic"
VERSION = "1"

# How much each ground counts. Regularity and recency tell most about the next weeks; the weights are a judgement, not a
# fit: on real baskets this score is known to be badly calibrated (expected calibration error .14 to .19).
_COUNT_WEIGHT = 0.30
_CONSISTENCY_WEIGHT = 0.35
_RECENCY_WEIGHT = 0.25
_TREND_WEIGHT = 0.10

_TREND_SCORES = {Trend.ACCELERATING: 1.0, Trend.STABLE: 1.0, Trend.SLOWING: 0.5, Trend.UNKNOWN: 0.5}


def recency_weight(statistics: ItemStatistics, as_of_day: int) -> float:
    """1 while the item is not yet due, halving with every further mean interval; 0 for one purchase.

    Args:
        statistics: what is known of the item.
        as_of_day: days since 1970-01-01, not before the last purchase.
    """
    if statistics.mean_interval_days is None:
        return 0.0
    overdue_days = max(0.0, as_of_day - statistics.last_day - statistics.mean_interval_days)
    return float(0.5 ** (overdue_days / statistics.mean_interval_days))


def confidence(statistics: ItemStatistics, as_of_day: int) -> float:
    """Score from 0 to 100 by which items are ordered; 0 for one purchase.

    Args:
        statistics: what is known of the item.
        as_of_day: days since 1970-01-01, not before the last purchase.
    """
    if statistics.purchase_count < 2:
        return 0.0
    return 100.0 * (
        _COUNT_WEIGHT * (1.0 - 1.0 / statistics.purchase_count)
        + _CONSISTENCY_WEIGHT * statistics.consistency_ratio
        + _RECENCY_WEIGHT * recency_weight(statistics, as_of_day)
        + _TREND_WEIGHT * _TREND_SCORES[statistics.trend]
    )
