"""Whether intervals grow or shrink."""

import enum

# A trend is told when the interval changes by more than this share of its mean from one interval to the next.
TREND_THRESHOLD_RATIO = 0.1


class Trend(enum.Enum):
    """How the intervals of an item change."""

    UNKNOWN = "unknown"
    STABLE = "stable"
    ACCELERATING = "accelerating"
    SLOWING = "slowing"


def trend_of(slope_days: float | None, mean_days: float | None) -> Trend:
    """The trend that a slope tells.

    Args:
        slope_days: change from one interval to the next, days; None when it is not known.
        mean_days: mean interval, days; None when it is not known.
    """
    if slope_days is None or mean_days is None:
        return Trend.UNKNOWN
    if slope_days > TREND_THRESHOLD_RATIO * mean_days:
        return Trend.SLOWING
    if slope_days < -TREND_THRESHOLD_RATIO * mean_days:
        return Trend.ACCELERATING
    return Trend.STABLE
