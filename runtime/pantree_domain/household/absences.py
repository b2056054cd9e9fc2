"""When a household bought nothing at all. Items don't become late while nobody is at home."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# What a typical gap between trips is can be said from this many trips on.
_MIN_TRIPS = 8
_MIN_GAP_DAYS = 18
_MEDIAN_RATIO = 2.5
_HIGH_RATIO = 1.5
_HIGH_QUANTILE = 0.9
# A household that shopped less at the time was not away.
_USUAL_GAPS_BEFORE = 4
# More gaps than this, or more of the last three, are how the household shops.
_MAX_GAP_SHARE = 0.1
# After more days than this it is unclear whether a household will come back.
MAX_CURRENT_DAYS = 42


class Absence(NamedTuple):
    """Days on which a household was away."""

    begin: int
    """Day of the last trip before it, days since 1970-01-01."""
    days: int
    """How much longer than its usual gap the household was away."""
    current: bool
    """Whether it lasts."""


class Calendar(NamedTuple):
    """When a household shops and when it was away."""

    usual_gap_days: float
    """Median days between trips; NaN below two trips."""
    absences: tuple[Absence, ...]
    days_since_last_trip: int

    @property
    def is_away(self) -> bool:
        """Whether the household is away now."""
        return any(absence.current for absence in self.absences)

    @property
    def is_stale(self) -> bool:
        """Whether the household has not shopped for so long that its purchases say little about the present."""
        usual = 0.0 if np.isnan(self.usual_gap_days) else self.usual_gap_days
        return self.days_since_last_trip > MAX_CURRENT_DAYS + max(usual, _MIN_GAP_DAYS)

    def at_home(self, days: NDArray[np.int32]) -> NDArray[np.int32]:
        """Days moved forward by the absences that followed them, so that absences don't count as time.

        Args:
            days: int32[n], days since 1970-01-01.
        """
        moved = days.copy()
        for absence in self.absences:
            moved[days <= absence.begin] += absence.days
        return moved


def household_calendar(trip_days: NDArray[np.int32], as_of_day: int) -> Calendar:
    """When a household shops and when it was away.

    A gap between trips is an absence when it is longer than 18 days, than 2.5 typical gaps, and than 1.5 times the
    gap that nine in ten are shorter than, after four gaps that are not. What the household usually needs between two
    trips is not part of it.

    Args:
        trip_days: int32[t], distinct days with a purchase, ascending; at least one.
        as_of_day: days since 1970-01-01, not before the last trip.
    """
    gaps = np.diff(trip_days)
    since = as_of_day - int(trip_days[-1])
    usual = float(np.median(gaps)) if len(gaps) else float("nan")
    if len(trip_days) < _MIN_TRIPS:
        return Calendar(usual, (), since)
    limit = max(
        _MIN_GAP_DAYS,
        _MEDIAN_RATIO * usual,
        _HIGH_RATIO * float(np.quantile(np.sort(gaps)[:-1], _HIGH_QUANTILE, method="lower")),
    )
    long = gaps > limit
    if long.sum() > max(1, _MAX_GAP_SHARE * len(gaps)) or long[-3:].sum() > 1:
        long[:] = False
    for at in np.flatnonzero(long):
        before = gaps[max(at - _USUAL_GAPS_BEFORE, 0) : at]
        long[at] = len(before) == _USUAL_GAPS_BEFORE and before.max() <= limit
    absences = [
        Absence(int(day), int(gap - round(usual)), False)
        for day, gap in zip(trip_days[:-1][long], gaps[long], strict=True)
    ]
    if limit < since <= MAX_CURRENT_DAYS + usual:
        absences.append(Absence(int(trip_days[-1]), int(since - round(usual)), True))
    return Calendar(usual, tuple(absences), since)
