"""Cadence by risk: the delivery interval that best trades running out against piling up.

A subscription is followed for the longest step of the ladder, 84 days, from a purchase on. The k-th delivery stands
for the k-th purchase that the household would have made. It *runs out* when some purchase would have come before its
delivery; a delivery comes *early* when its purchase would have come only later, or not at all in that time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pantree_domain.cadence import LADDER

Floats = NDArray[np.float64]

LADDER_DAYS: Floats = np.array([step.interval_days for step in LADDER], np.float64)
_STEPS = LADDER_DAYS.astype(int)
_HORIZON = int(_STEPS[-1])

# Days on which the interval's distribution is looked at.
DAYS: Floats = np.arange(1.0, _HORIZON + 1)

# How harm by early deliveries is weighed against harm by running out when the caller does not say; at this trade-off
# real households run out about as often as under the rule "mean interval" (see the model card).
DEFAULT_RUN_OUT_TOLERANCE = 0.5
# At even weights, having run out is as bad as this many early deliveries; so the even trade-off lies in the middle.
_RUN_OUT_WEIGHT = 10.0
# The chosen step is at most this many times as long, or as short, as the median interval. Without it the least harm
# overall is had at the ends: whoever runs out at times anyway is let down for good, so that a weekly item comes every
# three weeks, and seldom bought items come far too often, since a few early deliveries weigh little; nine in ten
# products would come every 28 or every 56 days. On fitting households the bound brings the right step more often
# (products: .196 of the next intervals after .186), at 2 % more households that run out and as many early deliveries.
_FARTHEST_RATIO = 1.5

# Two sequences of up to 84 days, one after the other, fit without wrapping around.
_FFT_SIZE = 2 * _HORIZON + 2


@dataclass(frozen=True, eq=False)
class Risks:
    """What each step of the ladder would mean for `p` pairs."""

    run_out: Floats
    """[p, steps], probability that the household runs out at some time within 84 days."""
    pile_up: Floats
    """[p, steps], share of the deliveries in 84 days that come early."""
    median_days: Floats
    """[p], median interval; infinite when it lies beyond the 84 days."""


@dataclass(frozen=True, eq=False)
class Cadences:
    """The chosen step of the ladder for each of `p` pairs."""

    interval_days: NDArray[np.int64]
    """[p]."""
    run_out_probability: Floats
    """[p]."""
    pile_up_ratio: Floats
    """[p]."""


def risks_of(intervals: Floats) -> Risks:
    """What each step of the ladder would mean, for independent intervals of one distribution.

    The day of the k-th purchase is a sum of k intervals, whose distribution is a convolution; those that run out are
    taken out of it delivery by delivery.

    Args:
        intervals: float64[p, len(DAYS)], probability that an interval is at most each number of `DAYS` long.
    """
    density = np.diff(intervals, axis=1, prepend=0.0)
    spectrum = _spectrum(density)
    # sums[k − 1]: probability of each day on which the k-th purchase may come.
    sums = [density]
    while len(sums) < _HORIZON // _STEPS[0]:
        sums.append(_followed(sums[-1], spectrum))
    run_out = np.empty((len(intervals), len(_STEPS)))
    pile_up = np.empty_like(run_out)
    for position, step in enumerate(_STEPS.tolist()):
        deliveries = _HORIZON // step
        early = sum(1.0 - sums[number][:, : (number + 1) * step].sum(axis=1) for number in range(deliveries))
        pile_up[:, position] = early / deliveries
        lost = np.zeros(len(intervals))
        living = density
        for number in range(deliveries):
            before = (number + 1) * step - 1  # days 1…k·step − 1
            lost += living[:, :before].sum(axis=1)
            living = living.copy()
            living[:, :before] = 0.0
            living = _followed(living, spectrum)
        run_out[:, position] = lost + living.sum(axis=1)
    # The last bits of a convolution depend on how many pairs are reckoned together; an answer must not.
    return Risks(
        np.clip(run_out.round(9), 0.0, 1.0), np.clip(pile_up.round(9), 0.0, 1.0), _median_days(intervals.round(9))
    )


def choose_cadences(risks: Risks, run_out_tolerance: float = DEFAULT_RUN_OUT_TOLERANCE) -> Cadences:
    """The ladder step near the median interval with the least harm for each pair; the longer one when two are equal.

    Every early delivery does harm, every timely one does as much good; running out does harm once. Counting deliveries
    rather than their share keeps the short steps from looking as good as the long ones.

    Args:
        risks: of p pairs.
        run_out_tolerance: between 0 (never run out) and 1 (never pile up).
    """
    surplus = (2.0 * risks.pile_up - 1.0) * (_HORIZON // _STEPS)
    harm = (1.0 - run_out_tolerance) * _RUN_OUT_WEIGHT * risks.run_out + run_out_tolerance * surplus
    # The ladder goes on from its ends: what is bought daily comes weekly, what is bought yearly comes quarterly.
    median = np.clip(risks.median_days, LADDER_DAYS[0], LADDER_DAYS[-1])[:, None]
    harm[(median * _FARTHEST_RATIO < LADDER_DAYS) | (median > LADDER_DAYS * _FARTHEST_RATIO)] = np.inf
    chosen = len(_STEPS) - 1 - np.argmin(harm[:, ::-1], axis=1)
    rows = np.arange(len(chosen))
    return Cadences(_STEPS[chosen].astype(np.int64), risks.run_out[rows, chosen], risks.pile_up[rows, chosen])


def _median_days(intervals: Floats) -> Floats:
    return np.where(intervals[:, -1] >= 0.5, DAYS[np.argmax(intervals >= 0.5, axis=1)], np.inf)


def _spectrum(density: Floats) -> NDArray[np.complex128]:
    return np.fft.rfft(np.concatenate([np.zeros((len(density), 1)), density], axis=1), _FFT_SIZE, axis=1)


def _followed(density: Floats, spectrum: NDArray[np.complex128]) -> Floats:
    """Density of a day and one more interval after it, up to the horizon."""
    total = np.fft.irfft(_spectrum(density) * spectrum, _FFT_SIZE, axis=1)
    return np.maximum(total[:, 1 : _HORIZON + 1], 0.0)
