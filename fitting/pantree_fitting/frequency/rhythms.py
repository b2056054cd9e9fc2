"""Estimates how regular needs are, from the purchases of fitting households, by expectation maximization.

Each pair has an unknown coefficient of variation (CV). Its evidence at each CV of the grid weighs the shares, which add
up to new shares, until they stay. The default prior counts as `_STRENGTH` pairs more, so that few households change
little. The chances of a missed and of a stray interval are those of a few that explain the intervals best.

Source: A. Dempster, N. Laird, D. Rubin, "Maximum Likelihood from Incomplete Data via the EM Algorithm", JRSS B 1977.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pantree_frequency.core.histories import Histories
from pantree_frequency.core.purchases import purchases_by_pair
from pantree_frequency.core.rhythm import CV_TRUST, DEFAULT_PRIOR, MAX_GAPS, RhythmPrior, cv_evidence

_MIN_GAPS = 3
_MAX_PAIRS = 6_000
_MISSED = (0.02, 0.05, 0.1, 0.2)
_STRAY = (0.05, 0.15, 0.25)
# Weight of the default prior, in pairs; and in purchases for the chance that a need ends.
_STRENGTH = 100.0
_ENDED_STRENGTH = 200.0
_ROUNDS = 60

Floats = NDArray[np.float64]


def fit_rhythm_prior(levels: Sequence[Histories], end_day: int, *, seed: int) -> RhythmPrior:
    """The prior of some households; the default if no pair has enough purchases.

    Args:
        levels: histories of the same households, seen at one or more levels of items.
        end_day: later lines are left out, days since 1970-01-01.
        seed: of the sample of pairs.
    """
    gaps, starts, recency = _pairs_of(levels, end_day, np.random.default_rng(seed))
    if not len(recency):
        return DEFAULT_PRIOR
    best: tuple[float, float, float, Floats, Floats, Floats] | None = None
    for missed, stray in itertools.product(_MISSED, _STRAY):
        evidence, waiting = cv_evidence(gaps, starts, recency, missed, stray)
        shares = _shares_of(evidence)
        fit = float(np.log(evidence @ shares).sum()) + _STRENGTH * float(
            np.array(DEFAULT_PRIOR.cv_shares) @ np.log(shares)
        )
        if best is None or fit > best[0]:
            best = fit, missed, stray, shares, evidence, waiting
    assert best is not None
    _, missed, stray, shares, evidence, waiting = best
    ended = _ended_of(evidence, waiting, shares, np.diff(starts) + 1.0)
    return RhythmPrior(tuple(_smooth(shares).round(6).tolist()), missed, round(ended, 6), stray)


def _pairs_of(
    levels: Sequence[Histories], end_day: int, generator: np.random.Generator
) -> tuple[Floats, NDArray[np.int64], Floats]:
    """The latest intervals of a sample of pairs, where each pair's begin, and days since the last purchase."""
    found: list[Floats] = []
    recency: list[float] = []
    for histories in levels:
        bought = purchases_by_pair(histories, np.full(histories.household_count, end_day, np.int32))
        enough = bought.pairs[bought.pairs["end"] - bought.pairs["first"] > _MIN_GAPS]
        count = min(len(enough), _MAX_PAIRS // len(levels))
        for pair in np.sort(generator.choice(len(enough), count, replace=False)).tolist():
            days = bought.purchases.days[enough["first"][pair] : enough["end"][pair]]
            found.append(np.diff(days)[-MAX_GAPS:].astype(np.float64))
            recency.append(float(end_day - days[-1]))
    starts = np.cumsum([0, *(len(gaps) for gaps in found)]).astype(np.int64)
    return np.concatenate([*found, np.empty(0)]), starts, np.array(recency)


def _shares_of(evidence: Floats) -> Floats:
    """Share of the pairs at each CV, float64[c]; all above 0.

    Args:
        evidence: float64[p, c].
    """
    default = np.array(DEFAULT_PRIOR.cv_shares)
    default /= default.sum()
    shares = default
    for _ in range(_ROUNDS):
        weights = evidence * shares
        counts = (weights / weights.sum(axis=1, keepdims=True)).sum(axis=0)
        shares = (counts + _STRENGTH * default) / (len(evidence) + _STRENGTH)
    return shares


def _smooth(shares: Floats) -> Floats:
    """Shares with those of regular pairs spread over their neighbors, since days are whole and such pairs are few."""
    steady = CV_TRUST > 0
    padded = np.pad(shares[steady], 1, mode="edge")
    smooth = shares.copy()
    smooth[steady] = padded[:-2] / 4 + padded[1:-1] / 2 + padded[2:] / 4
    return smooth


def _ended_of(evidence: Floats, waiting: Floats, shares: Floats, purchases: Floats) -> float:
    """Probability that the need ends after a purchase, from pairs as far as they have a rhythm.

    Args:
        evidence: float64[p, c].
        waiting: float64[p, c], the same times the probability of no purchase since the last one.
        shares: float64[c].
        purchases: float64[p].
    """
    total = evidence @ shares
    trust, lasting = evidence @ (shares * CV_TRUST) / total, waiting @ shares / total
    ended = DEFAULT_PRIOR.ended
    for _ in range(_ROUNDS):
        gone = ended / (ended + (1.0 - ended) * lasting)
        count = float(trust @ gone) + _ENDED_STRENGTH * DEFAULT_PRIOR.ended
        ended = count / (float(trust @ purchases) + _ENDED_STRENGTH)
    return ended
