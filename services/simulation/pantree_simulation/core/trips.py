"""The days on which a household goes shopping."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class _TripKind:
    share: float
    """How many of the gaps before a trip are of this kind."""
    mean: float
    """Mean gap before such a trip, in household mean gaps."""
    variation: float
    """Coefficient of variation of that gap."""


# Most trips keep to the household's rhythm; some fetch what was forgotten, some weeks are left out. The mixture has its
# median at its mean: "every 8 days" holds for both.
_KINDS = (
    _TripKind(share=0.20, mean=0.30, variation=0.50),
    _TripKind(share=0.66, mean=1.08, variation=0.25),
    _TripKind(share=0.14, mean=1.65, variation=0.30),
)
_SHARES = np.array([kind.share for kind in _KINDS])
_MEAN = sum(kind.share * kind.mean for kind in _KINDS)
_MEAN_SQUARE = sum(kind.share * kind.mean**2 * (1 + kind.variation**2) for kind in _KINDS)

# A need that arises at any time waits this many mean gaps for the next trip (residual life in renewal theory).
MEAN_WAIT_RATIO = _MEAN_SQUARE / _MEAN**2 / 2

# Monday to Sunday: 84.51° Complete Journey, 2017.
_WEEKDAY_SHARES = np.array([0.141, 0.137, 0.131, 0.132, 0.136, 0.156, 0.167])
_WEEKDAY_OF_DAY_0 = 3  # 1970-01-01 was a Thursday


def trip_days(start_day: int, mean_gap_days: float, stream: np.random.Generator) -> Iterator[int]:
    """Days of a household's trips, ascending and without end; the first one is `start_day`.

    Args:
        start_day: days since 1970-01-01.
        mean_gap_days: mean number of days between two trips.
        stream: randomness; it must be used for nothing else.
    """
    day = start_day
    while True:
        yield day
        day = _next_trip_day(day, mean_gap_days, stream)


def _next_trip_day(day: int, mean_gap_days: float, stream: np.random.Generator) -> int:
    """The day that the household's rhythm says or one of its neighbours, by how popular their weekdays are."""
    kind = _KINDS[stream.choice(len(_KINDS), p=_SHARES)]
    shape = kind.variation**-2
    gap = stream.gamma(shape, kind.mean / _MEAN * mean_gap_days / shape)
    target = day + max(1, round(gap))
    candidates = np.arange(max(day + 1, target - 1), target + 2)
    return int(stream.choice(candidates, p=_weekday_shares(candidates)))


def _weekday_shares(days: NDArray[np.int_]) -> NDArray[np.float64]:
    shares = _WEEKDAY_SHARES[(days + _WEEKDAY_OF_DAY_0) % 7]
    return np.asarray(shares / shares.sum())
