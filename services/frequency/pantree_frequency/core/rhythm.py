"""A pair's own rhythm: a renewal process with a posterior over its interval and its regularity; compiled.

Boosted trees learn what most households do. Needs with a steady rhythm are rare in one shop's baskets, so the trees
pull them toward the average. This model looks at one pair alone: the intervals between its purchases follow a gamma
distribution whose mean and coefficient of variation (CV) are unknown. Both lie on a grid; the CV has a prior from
other households. The posterior says what the next intervals are like, and how sure it is that the pair has a rhythm at
all: `Rhythms.trust`. Those with enough evidence are *regular*: their interval, quantity and first delivery follow their
own rhythm alone, and their probabilities follow it the more, the surer it is.

- A purchase may be missed, or made elsewhere: an interval spans two cycles with probability `MISSED`.
- An interval may have nothing to do with the rhythm, with probability `STRAY`.
- A household that buys more units than usual comes back later: intervals per unit are compared with plain ones, and the
  more likely of the two counts.
- A rhythm may change: the last three or five intervals may belong to a new one, which is as regular as the old one.
- After each purchase, the need ends with probability `ENDED`.

The constants are the default of a `RhythmPrior`, which `pantree fit` estimates from a retailer's own households.

Sources: renewal processes, D. Cox, "Renewal Theory", 1962; regularity of purchases as a gamma shape, M. Platzer and
T. Reutterer, "Ticking Away the Moments: Timing Regularity Helps to Better Predict Customer Activity", Marketing Science
2016; change points, R. Adams and D. MacKay, "Bayesian Online Changepoint Detection", 2007.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pantree_domain.compiled import compiled
from pantree_frequency.core.records import Floats, Integer, Integers, Records

# Coefficients of variation of the grid, and their prior. Shares of the pairs of fitting households by expectation
# maximization, without stray intervals, were .01 up to .05, .02 at .28, .05 at .38, .81 at .72 and .1 at 1; smoothed by
# hand over the neighboring points.
CVS: Floats = np.array([0.05, 0.09, 0.14, 0.2, 0.28, 0.38, 0.52, 0.72, 1.0])
CV_PRIOR: Floats = np.array([0.008, 0.003, 0.004, 0.008, 0.022, 0.045, 0.05, 0.76, 0.1])
# How far the rhythm is trusted if the pair's CV were known.
CV_TRUST: Floats = np.clip((0.62 - CVS) / (0.62 - 0.25), 0.0, 1.0)

# Probabilities that a purchase is missed, and that the need ends after one. Set by hand: of those tried on a fourth of
# the fitting households (.03 to .3 and .03 to .25), they predict pairs with a trust of .6 or more about best.
MISSED = 0.05
ENDED = 0.03
# Prior odds that the last three, or the last five, intervals belong to a new rhythm, as regular as the old one.
# Of .3 and .6, the latter follows .98 instead of .85 of generated changes; forecasts of a fourth of the fitting
# households are as good with either.
_CHANGED = 0.6
# A new rhythm is trusted less than one that has lasted.
_NEW_TRUST = 0.5

# A pair is regular from this trust on, with so many purchases. Of records with five purchases and a CV of .25, 97 %
# have it; of real pairs with three purchases or more, 7 to 10 % (fitting households).
_MIN_TRUST = 0.12
_MIN_PURCHASES = 5
# With one purchase less, only intervals that are nearly equal.
_MIN_TRUST_OF_FEW = 0.6

# Latest intervals that count.
MAX_GAPS = 10
# Points kept of a pair's posterior.
KEPT_POINTS = 24
_MAX_MEANS = 48
_MEAN_STEP = 0.04  # of the logarithm
# An interval that has nothing to do with the rhythm: its probability, and the gamma distribution of its ratio to the
# mean.
STRAY = 0.15
_STRAY_SHAPE, _STRAY_MEAN = 1.2, 1.5
# Pairs whose intervals vary more than this have no rhythm to look for.
_MAX_CV = 0.7

# Cells of the tables of distribution functions, over the ratio of an interval to the mean.
_CELLS_PER_MEAN = 400
_MAX_RATIO = 8


@dataclass(frozen=True)
class RhythmPrior:
    """How regular needs are in other households. The default is that of real baskets; a fit estimates its own."""

    cv_shares: tuple[float, ...] = tuple(CV_PRIOR.tolist())
    """Share of the pairs at each of `CVS`; above 0."""
    missed: float = MISSED
    """Probability that an interval spans two cycles."""
    ended: float = ENDED
    """Probability that the need ends after a purchase."""
    stray: float = STRAY
    """Probability that an interval has nothing to do with the rhythm."""

    def __post_init__(self) -> None:
        if len(self.cv_shares) != len(CVS) or min(self.cv_shares) <= 0:
            raise ValueError(f"cv_shares must have {len(CVS)} shares above 0; has {self.cv_shares}")
        probabilities = (self.missed, self.ended, self.stray)
        if not all(0 < probability < 1 for probability in probabilities) or self.missed + self.stray >= 1:
            raise ValueError("missed, ended and stray must be above 0, and missed and stray below 1 together")


DEFAULT_PRIOR = RhythmPrior()


@functools.lru_cache(maxsize=64)
def _tables(missed: float, stray: float) -> Floats:
    """float64[_MAX_RATIO * _CELLS_PER_MEAN + 1, c], distribution function of interval over mean for each of `CVS`."""
    fine = 8
    edges = np.arange(_MAX_RATIO * _CELLS_PER_MEAN * fine + 1) / (_CELLS_PER_MEAN * fine)
    middles = (edges[1:] + edges[:-1]) / 2
    tables = np.empty((_MAX_RATIO * _CELLS_PER_MEAN + 1, len(CVS)))
    for column, cv in enumerate(CVS):
        shape = 1.0 / cv**2
        total = np.zeros(len(edges))
        # A sum of two cycles is gamma distributed with twice the shape.
        for weight, own, mean in (
            (1.0 - missed - stray, shape, 1.0),
            (missed, 2.0 * shape, 2.0),
            (stray, _STRAY_SHAPE, _STRAY_MEAN),
        ):
            rate = own / mean
            log_density = own * math.log(rate) - math.lgamma(own) + (own - 1.0) * np.log(middles) - rate * middles
            total[1:] += weight * np.cumsum(np.exp(log_density)) / (_CELLS_PER_MEAN * fine)
        tables[:, column] = np.minimum(total[::fine] / max(total[-1], 1.0), 1.0)
    return tables


@dataclass(frozen=True, eq=False)
class Rhythms:
    """The posterior of `p` pairs on up to `KEPT_POINTS` points."""

    trust: Floats
    """[p], weight of the rhythm against other models, 0 to 1; 0 for pairs that have none."""
    means: NDArray[np.float32]
    """[p, k], mean interval of each point, days."""
    cvs: NDArray[np.int8]
    """[p, k], position in `CVS`."""
    weights: NDArray[np.float32]
    """[p, k], probability of each point given the intervals so far and that the need lasts; they sum to 1, or to 0
    without a rhythm."""
    first_scale: NDArray[np.float32]
    """[p], length of the current interval over that of later ones: more after a purchase of many units."""
    recency: Integers
    """[p], days since the last purchase."""
    counts: Integers
    """[p], purchases."""
    prior: RhythmPrior = DEFAULT_PRIOR

    @property
    def regular(self) -> NDArray[np.bool_]:
        """[p], whether there is enough evidence for a rhythm to act on it alone."""
        few = (self.counts == _MIN_PURCHASES - 1) & (self.trust >= _MIN_TRUST_OF_FEW)
        return np.asarray(few | ((self.counts >= _MIN_PURCHASES) & (self.trust >= _MIN_TRUST)))

    def only(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "Rhythms":
        """The rhythms of some pairs."""
        return Rhythms(
            self.trust[chosen], self.means[chosen], self.cvs[chosen], self.weights[chosen], self.first_scale[chosen],
            self.recency[chosen], self.counts[chosen], self.prior,
        )  # fmt: skip

    @staticmethod
    def none(size: int) -> "Rhythms":
        """Pairs without a rhythm."""
        return Rhythms(
            np.zeros(size), np.ones((size, 1), np.float32), np.zeros((size, 1), np.int8),
            np.zeros((size, 1), np.float32), np.ones(size, np.float32), np.zeros(size, np.int64),
            np.zeros(size, np.int64),
        )  # fmt: skip

    def moments(self) -> tuple[Floats, Floats, Floats]:
        """float64[p] each: mean days of a cycle, its variance around that mean, and the variance of the mean itself.

        Missed purchases do not count: what was bought elsewhere was used, too.
        """
        means, weights = self.means.astype(np.float64), self.weights.astype(np.float64)
        mean = (weights * means).sum(axis=1)
        variance = (weights * (CVS[self.cvs] * means) ** 2).sum(axis=1)
        return mean, variance, (weights * (means - mean[:, None]) ** 2).sum(axis=1)

    def within(self, days: Floats) -> Floats:
        """float64[p, d], probability of a purchase within each number of days of the as-of day; 0 without a rhythm.

        Args:
            days: float64[d], ascending.
        """
        out = np.zeros((len(self.trust), len(days)))
        tables = _tables(self.prior.missed, self.prior.stray)
        _fill_next(
            self.means, self.cvs, self.weights, self.first_scale, self.recency, tables, self.prior.ended, days, out
        )
        return out

    def interval_within(self, days: Floats) -> Floats:
        """float64[p, d], probability that an interval is at most each number of days long; 0 without a rhythm.

        Args:
            days: float64[d], ascending.
        """
        out = np.zeros((len(self.trust), len(days)))
        tables = _tables(self.prior.missed, self.prior.stray)
        _fill_intervals(self.means, self.cvs, self.weights, tables, days, out)
        return out


def rhythms_of(
    pair_starts: Integers,
    as_of: NDArray[np.int32],
    pairs: Records,
    days: Integers,
    units: Integers,
    prior: RhythmPrior = DEFAULT_PRIOR,
) -> Rhythms:
    """The rhythms of all pairs.

    Args:
        pair_starts: int64[h + 1], where each household's pairs begin.
        as_of: int32[h], days since 1970-01-01.
        pairs: PAIR[p].
        days: int64[n], purchase days, pair by pair, ascending.
        units: int64[n], units of each purchase.
        prior: of other households.
    """
    size = len(pairs)
    trust = np.zeros(size)
    means = np.ones((size, KEPT_POINTS), np.float32)
    cvs = np.zeros((size, KEPT_POINTS), np.int8)
    weights = np.zeros((size, KEPT_POINTS), np.float32)
    first_scale = np.ones(size, np.float32)
    recency = np.zeros(size, np.int64)
    _fill_posteriors(
        pair_starts, as_of, pairs, days, units, _tables(prior.missed, prior.stray), np.array(prior.cv_shares), CV_TRUST,
        prior.ended, trust, means, cvs, weights, first_scale, recency,
    )  # fmt: skip
    return Rhythms(trust, means, cvs, weights, first_scale, recency, pairs["end"] - pairs["first"], prior)


def cv_evidence(gaps: Floats, starts: Integers, recency: Floats, missed: float, stray: float) -> tuple[Floats, Floats]:
    """Mean likelihood of each pair at each of `CVS`, and the same times the probability of no purchase since the last.

    float64[p, c] each, for any mean interval alike. Fits sum them to estimate a `RhythmPrior`.

    Args:
        gaps: float64[n], intervals, pair by pair.
        starts: int64[p + 1], where each pair's intervals begin; at least one each.
        recency: float64[p], days since the last purchase.
        missed: probability that an interval spans two cycles.
        stray: probability that an interval has nothing to do with the rhythm.
    """
    evidence = np.zeros((len(recency), len(CVS)))
    waiting = np.zeros((len(recency), len(CVS)))
    _fill_evidence(gaps, starts, recency, _tables(missed, stray), evidence, waiting)
    return evidence, waiting


@compiled()
def _fill_evidence(
    gaps: Floats, starts: Integers, recency: Floats, tables: Floats, evidence: Floats, waiting: Floats
) -> None:
    means = np.empty(_MAX_MEANS)
    likelihood = np.empty((_MAX_MEANS, tables.shape[1]))
    for pair in range(len(recency)):
        low, high = np.inf, 0.0
        for gap in gaps[starts[pair] : starts[pair + 1]]:
            low, high = min(low, gap), max(high, gap)
        low, high = math.log(0.8 * low), math.log(1.25 * high)
        for mean in range(_MAX_MEANS):
            means[mean] = math.exp(low + (high - low) * mean / (_MAX_MEANS - 1))
        likelihood[:] = 1.0
        for gap in gaps[starts[pair] : starts[pair + 1]]:
            _multiply_likelihood(gap, 1.0, means, _MAX_MEANS, tables, likelihood)
        for mean in range(_MAX_MEANS):
            ratio = (recency[pair] + 0.5) / means[mean]
            for cv in range(tables.shape[1]):
                share = likelihood[mean, cv] / _MAX_MEANS
                evidence[pair, cv] += share
                waiting[pair, cv] += share * (1.0 - _by(ratio, tables, cv))


@compiled()
def _by(ratio: float, tables: Floats, cv: Integer) -> float:
    """A tabulated distribution function at a ratio of interval to mean."""
    place = ratio * _CELLS_PER_MEAN
    if place <= 0.0:
        return 0.0
    cell = int(place)
    if cell >= len(tables) - 1:
        return 1.0
    return float(tables[cell, cv] + (place - cell) * (tables[cell + 1, cv] - tables[cell, cv]))


@compiled()
def _multiply_likelihood(
    gap: float, scale: float, means: Floats, mean_count: Integer, tables: Floats, likelihood: Floats
) -> None:
    """Multiplies by the likelihood of one interval, `scale` times as long as usual, known to the day."""
    last = len(tables) - 2
    for mean in range(mean_count):
        cells = _CELLS_PER_MEAN / (means[mean] * scale)
        early, late = max((gap - 0.5) * cells, 0.0), (gap + 0.5) * cells
        before, after = min(int(early), last), min(int(late), last)
        early, late = min(early - before, 1.0), min(late - after, 1.0)
        for cv in range(tables.shape[1]):
            by_early = tables[before, cv] + early * (tables[before + 1, cv] - tables[before, cv])
            by_late = tables[after, cv] + late * (tables[after + 1, cv] - tables[after, cv])
            # Never 0: the evidence of latest intervals divides.
            likelihood[mean, cv] *= by_late - by_early + 1e-9


@compiled()
def _evidence(prior: Floats, likelihood: Floats, mean_count: Integer) -> float:
    """Mean likelihood over float64[m, c] under a float64[c] prior of the CV."""
    total = 0.0
    for mean in range(mean_count):
        for cv in range(len(prior)):
            total += prior[cv] * likelihood[mean, cv]
    return total / mean_count


@compiled()
def _median_units(units: Integers, ordered: Integers) -> Integer:
    for number in range(len(units)):
        place = number
        while place > 0 and ordered[place - 1] > units[number]:
            ordered[place] = ordered[place - 1]
            place -= 1
        ordered[place] = units[number]
    return np.int64(ordered[(len(units) - 1) >> 1])


@compiled()
def _fill_posteriors(
    pair_starts: Integers, as_of: NDArray[np.int32], pairs: Records, days: Integers, units: Integers, tables: Floats,
    prior: Floats, cv_trust: Floats, ended: float, trust: Floats, kept_means: NDArray[np.float32],
    cvs: NDArray[np.int8], weights: NDArray[np.float32], first_scale: NDArray[np.float32], recency: Integers,
) -> None:  # fmt: skip
    """Fills the posterior of each pair with two intervals or more that vary little enough."""
    gaps = np.empty(MAX_GAPS)  # the latest first
    scales = np.empty(MAX_GAPS)
    ordered = np.empty(MAX_GAPS + 1, np.int64)
    means = np.empty(_MAX_MEANS)
    size = (_MAX_MEANS, len(prior))
    recent, all_of, before = np.empty((2, *size)), np.empty(size), np.empty(size)
    best, past = np.empty(size), np.empty(len(prior))
    for household in range(len(pair_starts) - 1):
        for pair in range(pair_starts[household], pair_starts[household + 1]):
            first, end = pairs[pair].first, pairs[pair].end
            recency[pair] = as_of[household] - days[end - 1]
            count = min(end - first - 1, MAX_GAPS)
            if count < 2:
                continue
            total = 0.0
            for number in range(count):
                gaps[number] = days[end - 1 - number] - days[end - 2 - number]
                total += gaps[number]
            squares = 0.0
            for number in range(count):
                squares += (gaps[number] - total / count) ** 2
            if squares > (_MAX_CV * total / count) ** 2 * count:
                continue
            typical = _median_units(units[end - 1 - count : end], ordered)
            varied = False
            for number in range(count):
                scales[number] = min(max(units[end - 2 - number] / typical, 0.5), 4.0)
                varied |= scales[number] != 1.0
            latest = min(max(units[end - 1] / typical, 0.5), 4.0)
            # One range of means for both readings, so that their evidence compares.
            low, high = np.inf, 0.0
            for number in range(count):
                low = min(low, gaps[number], gaps[number] / scales[number])
                high = max(high, gaps[number], gaps[number] / scales[number])
            low, high = math.log(0.8 * low), math.log(1.25 * high)
            mean_count = min(int((high - low) / _MEAN_STEP) + 1, _MAX_MEANS)
            for mean in range(mean_count):
                means[mean] = math.exp(low + (high - low) * mean / (mean_count - 1))
            best_evidence = -1.0
            scale, share = 1.0, 1.0
            for by_units in range(2 if varied else 1):
                all_of[:mean_count] = 1.0
                changes = 0
                for number in range(count):
                    # A change needs two intervals or more before it.
                    if (number == 3 or number == 5) and number + 2 <= count:
                        recent[changes, :mean_count] = all_of[:mean_count]
                        changes += 1
                    own = scales[number] if by_units else 1.0
                    _multiply_likelihood(gaps[number], own, means, mean_count, tables, all_of)
                evidence = _evidence(prior, all_of, mean_count)
                if evidence > best_evidence:
                    best_evidence, scale, share = evidence, latest if by_units else 1.0, 1.0
                    best[:mean_count] = all_of[:mean_count]
                for change in range(changes):
                    for mean in range(mean_count):
                        for cv in range(len(prior)):
                            before[mean, cv] = all_of[mean, cv] / recent[change, mean, cv]
                    # A rhythm that changes stays as regular as it was, so both parts share one CV.
                    for cv in range(len(prior)):
                        past[cv] = 0.0
                        for mean in range(mean_count):
                            past[cv] += before[mean, cv]
                        past[cv] *= _CHANGED / mean_count
                    # Alternatives are not mixed: the mean of an old and a new interval is neither.
                    evidence = _evidence(prior * past, recent[change], mean_count)
                    if evidence > best_evidence:
                        best_evidence, scale, share = evidence, latest if by_units else 1.0, _NEW_TRUST
                        for mean in range(mean_count):
                            for cv in range(len(prior)):
                                best[mean, cv] = past[cv] * recent[change, mean, cv]
            for mean in range(mean_count):
                for cv in range(len(prior)):
                    best[mean, cv] *= prior[cv] / best_evidence
            _keep(
                best[:mean_count], means, scale, recency[pair], tables, cv_trust, ended, trust, pair,
                kept_means[pair], cvs[pair], weights[pair],
            )  # fmt: skip
            first_scale[pair] = scale
            trust[pair] *= share


@compiled()
def _keep(
    posterior: Floats, means: Floats, scale: float, recency: Integer, tables: Floats, cv_trust: Floats,
    ended: float, trust: Floats, pair: int, kept_means: NDArray[np.float32], cvs: NDArray[np.int8],
    weights: NDArray[np.float32],
) -> None:  # fmt: skip
    """Conditions a posterior on the days since the last purchase, and keeps its points of most weight."""
    total, trusted, top = 0.0, 0.0, 0.0
    for mean in range(len(posterior)):
        ratio = (recency + 0.5) / (means[mean] * scale)
        for cv in range(len(cv_trust)):
            posterior[mean, cv] *= (1.0 - ended) * (1.0 - _by(ratio, tables, cv)) + ended
            total += posterior[mean, cv]
            posterior[mean, cv] *= cv_trust[cv]
            trusted += posterior[mean, cv]
            top = max(top, posterior[mean, cv])
    if not trusted > 1e-3 * total:
        return
    # The threshold rises until the points fit.
    threshold, kept = 5e-3 * top, len(weights) + 1
    while kept > len(weights):
        kept = 0
        for mean in range(len(posterior)):
            for cv in range(len(cv_trust)):
                kept += posterior[mean, cv] > threshold
        threshold *= 1.6
    threshold /= 1.6
    place, sum_of = 0, 0.0
    for mean in range(len(posterior)):
        for cv in range(len(cv_trust)):
            if posterior[mean, cv] > threshold:
                kept_means[place] = means[mean]
                cvs[place] = cv
                weights[place] = posterior[mean, cv]
                sum_of += posterior[mean, cv]
                place += 1
    for point in range(place):
        weights[point] /= sum_of
    trust[pair] = trusted / total


@compiled()
def _fill_next(
    means: NDArray[np.float32], cvs: NDArray[np.int8], weights: NDArray[np.float32], scale: NDArray[np.float32],
    recency: Integers, tables: Floats, ended: float, days: Floats, out: Floats,
) -> None:  # fmt: skip
    for pair in range(len(means)):
        for point in range(means.shape[1]):
            weight = np.float64(weights[pair, point])
            if weight == 0.0:
                break
            cv, expected = cvs[pair, point], np.float64(means[pair, point]) * scale[pair]
            passed = recency[pair] + 0.5
            by_now = _by(passed / expected, tables, cv)
            # The weights are conditioned on `recency`; the need lasts with this probability.
            lasting = (1.0 - ended) * (1.0 - by_now) / ((1.0 - ended) * (1.0 - by_now) + ended)
            share = weight * lasting / max(1.0 - by_now, 1e-12)
            for position in range(len(days)):
                out[pair, position] += share * (_by((passed + days[position]) / expected, tables, cv) - by_now)


@compiled()
def _fill_intervals(
    means: NDArray[np.float32], cvs: NDArray[np.int8], weights: NDArray[np.float32], tables: Floats, days: Floats,
    out: Floats,
) -> None:  # fmt: skip
    for pair in range(len(means)):
        for point in range(means.shape[1]):
            weight = np.float64(weights[pair, point])
            if weight == 0.0:
                break
            cv, expected = cvs[pair, point], np.float64(means[pair, point])
            for position in range(len(days)):
                out[pair, position] += weight * _by((days[position] + 0.5) / expected, tables, cv)
