"""The ladder of delivery intervals. Every subscription uses one of its steps."""

import itertools
import os
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Cadence:
    """A delivery interval on offer."""

    frequency: str
    """Name, such as `weekly`."""
    interval_days: int
    """Days between deliveries."""


# Every three weeks is included because 19 % of real repeat items are bought at this interval (84.51° Complete Journey,
# 2017); four and six months because that is how often filters, vitamins and cleaning supplies are bought.
_DEFAULT_DAYS = (7, 14, 21, 28, 35, 42, 56, 84, 112, 168)
_NAMES = {
    1: "daily",
    7: "weekly",
    14: "biweekly",
    21: "every_3_weeks",
    28: "monthly",
    42: "every_6_weeks",
    56: "bimonthly",
    84: "quarterly",
}
MAX_STEPS = 24
MAX_INTERVAL_DAYS = 365

LADDER_VARIABLE = "PANTREE_LADDER"


def ladder_of(text: str) -> tuple[Cadence, ...]:
    """The ladder that a setting names: days between deliveries, ascending and comma-separated; the default if empty.

    Raises:
        ValueError: if the text is not such a list.
    """
    if not text.strip():
        days = list(_DEFAULT_DAYS)
    else:
        parts = [part.strip() for part in text.split(",")]
        if not all(part.isascii() and part.isdecimal() and len(part) <= 3 for part in parts):
            raise ValueError(f"must be whole numbers of days, separated by commas, such as 7,14,28; is {text!r}")
        days = [int(part) for part in parts]
        if not 2 <= len(days) <= MAX_STEPS:
            raise ValueError(f"must have from 2 to {MAX_STEPS} steps; has {len(days)}")
        if days[0] < 1 or days[-1] > MAX_INTERVAL_DAYS or any(b <= a for a, b in itertools.pairwise(days)):
            raise ValueError(f"must ascend, with steps from 1 to {MAX_INTERVAL_DAYS} days; is {text!r}")
    return tuple(Cadence(_name_of(step), step) for step in days)


def _name_of(days: int) -> str:
    if days in _NAMES:
        return _NAMES[days]
    return f"every_{days}_days" if days % 7 else f"every_{days // 7}_weeks"


def _configured_ladder() -> tuple[Cadence, ...]:
    """The ladder of the environment; a wrong one ends the program with exit code 2, as other settings do."""
    try:
        return ladder_of(os.environ.get(LADDER_VARIABLE, ""))
    except ValueError as error:
        print(f"{LADDER_VARIABLE}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


LADDER = _configured_ladder()
"""The steps, shortest first. A retailer sets its own with `PANTREE_LADDER`, the same for all parts."""

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
