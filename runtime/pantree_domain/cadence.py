"""The ladder of delivery intervals. Every subscription uses one of its steps."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cadence:
    """A delivery interval on offer."""

    frequency: str
    """Name, such as `weekly`."""
    interval_days: int
    """Days between deliveries."""


# Every three weeks is included because 19 % of real repeat items are bought at this interval (84.51° Complete Journey,
# 2017).
LADDER = (
    Cadence("weekly", 7),
    Cadence("biweekly", 14),
    Cadence("every_3_weeks", 21),
    Cadence("monthly", 28),
    Cadence("every_6_weeks", 42),
    Cadence("bimonthly", 56),
    Cadence("quarterly", 84),
)

GRACE_FACTOR = 1.5
"""A purchase within 1.5 × the interval counts as within the cadence."""


def nearest_cadence(interval_days: float) -> Cadence:
    """The step nearest to an interval (> 0) by ratio; the longer of two that are equally near.

    By ratio, because one more week matters a lot for a weekly item and little for a quarterly one.
    """
    return min(
        LADDER,
        key=lambda step: (
            max(step.interval_days / interval_days, interval_days / step.interval_days),
            -step.interval_days,
        ),
    )
