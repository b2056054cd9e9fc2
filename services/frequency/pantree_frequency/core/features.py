"""History features: what a model sees of each (household, item) pair. One code path for fitting and for serving."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pantree_frequency.core import kernels
from pantree_frequency.core.histories import Histories
from pantree_frequency.core.priors import PRIOR, PRIOR_SIZE, PairEvidence, Priors
from pantree_frequency.core.sorting import SortedHistories, sort_histories

_DERIVED = (
    "pace",  # how much slower this household buys than others do, log days
    "log_interval",  # shrunken mean log interval
    "log_deviation",  # shrunken standard deviation of log intervals
    "due_interval",  # days after the last purchase from which the item is overdue
    "earliness",  # (log recency − log_interval) / log_deviation, held once it is due
    "overdue",  # log of recency over due_interval, 0 until it is due
    "residual_7",  # log-normal probability within 7 days, given the days already passed; held once it is due
    "residual_14",
    "residual_28",
    "residual_56",
    "rate",  # shrunken purchases per day
    "recency_by_mean",  # held once it is due
    "recency_by_longest",
    "decay_ratio",
    "recency_by_median",  # held once it is due
    "recency_by_last",  # held once it is due
    "late",  # (log recency − log_interval) / log_deviation once it is due, 0 before
    "type_log_interval",
    "type_residual_28",  # held once the type is due
    "type_overdue",
    "category_log_interval",
    "category_residual_28",  # held once the category is due
    "category_overdue",
    "trip_recency_by_mean",
    "trips_expected_28",
    "hits_per_trip",
)
_DERIVED_SIZE = len(_DERIVED)
FEATURES = (
    kernels.RAW
    + _DERIVED
    + tuple(f"item_prior_{name}" for name in PRIOR)
    + tuple(f"type_prior_{name}" for name in PRIOR)
    + tuple(f"category_prior_{name}" for name in PRIOR)
)
COLUMN = {name: position for position, name in enumerate(FEATURES)}

_RAW = kernels.RAW_SIZE
_PRIOR_BASE = _RAW + _DERIVED_SIZE
# Intervals that the prior of an item weighs as much as.
_INTERVAL_STRENGTH = 2.0
_DEVIATION_STRENGTH = 4.0
_PACE_STRENGTH = 15.0
_RATE_STRENGTH = 0.7
_LOG_MEAN = kernels.RHYTHM.index("log_mean")
_LOG_SQUARES = kernels.RHYTHM.index("log_squares")
_DECAY_28 = kernels.RHYTHM.index("decay_28")
_IN_84 = kernels.RHYTHM.index("in_84")


@njit(cache=True, nogil=True)
def _upper_tail(value):
    return 0.5 * math.erfc(value / math.sqrt(2.0))


@njit(cache=True, nogil=True)
def _residual(recency, horizon, log_interval, log_deviation):
    """Log-normal probability of an event within `horizon` days, given that `recency` have passed without one."""
    # Half a day: a purchase late in the last day that passed.
    now = _upper_tail((math.log(recency + 0.5) - log_interval) / log_deviation)
    then = _upper_tail((math.log(recency + 0.5 + horizon) - log_interval) / log_deviation)
    return 1.0 - then / max(now, 1e-9)


@njit(cache=True, nogil=True)
def _shrunken(gaps, log_mean, log_squares, prior_mean, prior_deviation):
    """Mean and standard deviation of log intervals, shrunk towards what is expected beforehand."""
    own = log_mean if gaps > 0 else 0.0
    mean = (gaps * own + _INTERVAL_STRENGTH * prior_mean) / (gaps + _INTERVAL_STRENGTH)
    squares = log_squares if gaps > 0 else 0.0
    between = gaps * _INTERVAL_STRENGTH / (gaps + _INTERVAL_STRENGTH) * (own - prior_mean) ** 2 if gaps > 0 else 0.0
    variance = (squares + 0.3 * between + _DEVIATION_STRENGTH * prior_deviation**2) / (gaps + _DEVIATION_STRENGTH)
    return mean, math.sqrt(max(variance, 0.01))


@njit(cache=True, nogil=True)
def _derive(pair_starts, pair_items, item_priors, type_priors, category_priors, out):
    """Fills the columns after the raw ones, household by household.

    Args:
        pair_starts: int64[h + 1].
        pair_items: int32[p].
        item_priors: float32[k, PRIOR_SIZE].
        type_priors: float32[k, PRIOR_SIZE]; NaN where the type is not known.
        category_priors: float32[k, PRIOR_SIZE]; NaN where the category is not known.
        out: float32[p, len(FEATURES)].
    """
    for household in range(len(pair_starts) - 1):
        weight = 0.0
        pull = 0.0
        for pair in range(pair_starts[household], pair_starts[household + 1]):
            gaps = out[pair, 0] - 1.0
            if gaps > 0:
                share = gaps / (gaps + 1.0)
                weight += share
                pull += share * (out[pair, _LOG_MEAN] - item_priors[pair_items[pair], 0])
        pace = pull / (weight + _PACE_STRENGTH)
        for pair in range(pair_starts[household], pair_starts[household + 1]):
            row = out[pair]
            item = pair_items[pair]
            for column in range(PRIOR_SIZE):
                row[_PRIOR_BASE + column] = item_priors[item, column]
                row[_PRIOR_BASE + PRIOR_SIZE + column] = type_priors[item, column]
                row[_PRIOR_BASE + 2 * PRIOR_SIZE + column] = category_priors[item, column]
            count = row[0]
            recency = row[1]
            age = row[2]
            mean, deviation = _shrunken(
                count - 1.0, row[_LOG_MEAN], row[_LOG_SQUARES], item_priors[item, 0] + pace, item_priors[item, 1]
            )
            due = math.exp(mean)
            if count > 1:
                due = max(due, np.float64(row[3]))
            held = min(np.float64(recency), due)
            row[_RAW] = pace
            row[_RAW + 1] = mean
            row[_RAW + 2] = deviation
            row[_RAW + 3] = due
            row[_RAW + 4] = (math.log(held + 0.5) - mean) / deviation
            row[_RAW + 5] = math.log(max(recency / due, 1.0))
            row[_RAW + 6] = _residual(held, 7.0, mean, deviation)
            row[_RAW + 7] = _residual(held, 14.0, mean, deviation)
            row[_RAW + 8] = _residual(held, 28.0, mean, deviation)
            row[_RAW + 9] = _residual(held, 56.0, mean, deviation)
            prior_rate = math.exp(item_priors[item, 4] - pace)
            row[_RAW + 10] = (count - 1.0 + _RATE_STRENGTH) / (age + _RATE_STRENGTH / prior_rate)
            row[_RAW + 11] = held / row[3]
            row[_RAW + 12] = recency / row[7]
            row[_RAW + 13] = row[_DECAY_28] / max(row[_DECAY_28 + 2], np.float32(1e-9))
            row[_RAW + 14] = held / row[4]
            row[_RAW + 15] = held / row[6]
            row[_RAW + 16] = max((math.log(recency + 0.5) - math.log(due + 0.5)) / deviation, 0.0)
            for level in range(2):
                base = kernels.TYPE_BASE if level == 0 else kernels.CATEGORY_BASE
                prior = type_priors[item] if level == 0 else category_priors[item]
                place = _RAW + 17 + 3 * level
                row[place : place + 3] = np.nan
                if row[base] > 0 and prior[1] > 0:
                    mean, deviation = _shrunken(
                        row[base] - 1.0, row[base + _LOG_MEAN], row[base + _LOG_SQUARES], prior[0] + pace, prior[1]
                    )
                    group_due = math.exp(mean)
                    row[place] = mean
                    row[place + 1] = _residual(min(np.float64(row[base + 1]), group_due), 28.0, mean, deviation)
                    row[place + 2] = math.log(max(row[base + 1] / group_due, 1.0))
            trips = kernels.TRIP_BASE
            row[_RAW + 23] = row[trips + 1] / row[trips + 3]
            row[_RAW + 24] = 28.0 * (row[trips + _IN_84] + 1.0) / (min(row[trips + 2] + 1.0, 84.0) + 14.0)
            row[_RAW + 25] = row[_DECAY_28] / max(row[trips + _DECAY_28], np.float32(1e-9))


# Columns that models are fitted on: of the household's trips only a few, since fitting households are few and their trips
# are as good as a name; nothing that goes up and down as time passes without a purchase.
_TRIP_COLUMNS = ("recency", "mean_interval", "in_28", "in_84", "decay_14", "decay_56")
_LEFT_OUT = ("log_squares", "ends_within_14", "ends_within_28")


def _is_modelled(name: str) -> bool:
    level, _, rest = name.partition("_")
    if level == "trip" and rest in kernels.RHYTHM:
        return rest in _TRIP_COLUMNS
    return rest not in _LEFT_OUT or (level == "pair" and rest != "log_squares")


MODELLED = tuple(name for name in FEATURES if _is_modelled(name))

_FALLING = ("recency", "age", "sd_interval", "longest_interval")


def monotone_direction(name: str) -> int:
    """Whether the hazard may only rise (1) or only fall (−1) with a column; 0 for either.

    As time passes without a purchase, every column that then moves is bound in the direction in which it speaks against
    the item, so that confidence cannot rise once the item is due; less regular intervals never speak for it.
    """
    level, _, rest = name.partition("_")
    if level in ("pair", "type", "category", "trip"):
        if rest in _FALLING and not (level == "trip" and rest != "recency"):
            return -1
        if rest.startswith(("in_", "decay_")):
            return 1
    if name in (
        "log_deviation", "overdue", "late", "type_overdue", "category_overdue", "recency_by_longest", "trip_recency_by_mean"
    ):  # fmt: skip
        return -1
    return 1 if name in ("rate", "decay_ratio", "trips_expected_28") else 0


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features of `p` pairs, household by household, items in dictionary order within each."""

    pair_starts: NDArray[np.int64]
    """[h + 1], where each household's pairs begin."""
    households: NDArray[np.int32]
    """[p], position of the household."""
    items: NDArray[np.int32]
    """[p], position of the item in the dictionary."""
    values: NDArray[np.float32]
    """[p, len(FEATURES)]; NaN for what cannot be told."""

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        """float64[p], one feature."""
        return self.values[:, COLUMN[name]].astype(np.float64)

    def only(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "FeatureTable":
        """The table of some pairs, without the grouping by household."""
        return FeatureTable(self.pair_starts, self.households[chosen], self.items[chosen], self.values[chosen])


def feature_table(ordered: SortedHistories, priors: Priors) -> FeatureTable:
    """Features of every item that each household has bought by its day of asking.

    Args:
        ordered: h households with their days of asking.
        priors: what other households say.
    """
    histories = ordered.histories
    size = ordered.pair_count
    values = np.empty((size, len(FEATURES)), np.float32)
    items = np.empty(size, np.int32)
    households = np.empty(size, np.int32)
    kernels.pair_features(
        0, histories.household_count, histories.household_starts, ordered.as_of, ordered.keys, ordered.line_counts,
        ordered.pair_starts, histories.quantities, histories.prices, histories.savings,
        _codes(histories.item_types), _codes(histories.item_categories), items, households, values,
    )  # fmt: skip
    _derive(
        ordered.pair_starts,
        items,
        *priors.of_items(histories.item_names, histories.item_types, histories.item_categories),
        values,
    )
    return FeatureTable(ordered.pair_starts, households, items, values)


def _codes(texts: Sequence[str]) -> NDArray[np.int32]:
    """Number of each distinct text; -1 for an empty one."""
    numbers: dict[str, int] = {"": -1}
    return np.array([numbers.setdefault(text, len(numbers) - 1) for text in texts], np.int32)


@njit(cache=True, nogil=True)
def _count_follow_ups(starts, line_counts, pair_starts, keys, as_of, out):
    for household in range(len(pair_starts) - 1):
        end = starts[household] + line_counts[household]
        line = starts[household]
        for pair in range(pair_starts[household], pair_starts[household + 1]):
            item = keys[line] >> kernels._ITEM_SHIFT
            while line < end and keys[line] >> kernels._ITEM_SHIFT == item:
                day = (keys[line] >> kernels.POSITION_BITS) & kernels._DAY_MASK
                while line < end and keys[line] >> kernels.POSITION_BITS == (item << kernels.DAY_BITS) | day:
                    line += 1
                followed = line < end and keys[line] >> kernels._ITEM_SHIFT == item
                gap = ((keys[line] >> kernels.POSITION_BITS) & kernels._DAY_MASK) - day if followed else 1 << 20
                for window in range(2):
                    length = 28 if window == 0 else 84
                    if as_of[household] - day >= length:
                        out[pair, 2 * window] += 1
                        out[pair, 2 * window + 1] += gap <= length


def pair_evidence(histories: Histories, as_of: NDArray[np.int32]) -> tuple[PairEvidence, NDArray[np.int32]]:
    """What priors are made of, and int32[p] the item of each pair.

    Args:
        histories: h fitting households.
        as_of: int32[h], days since 1970-01-01; later lines are not looked at.
    """
    nothing = Priors(np.zeros(PRIOR_SIZE, np.float32))
    ordered = sort_histories(histories, as_of)
    table = feature_table(ordered, nothing)
    follow_ups = np.zeros((len(table), 4))
    _count_follow_ups(
        histories.household_starts, ordered.line_counts, ordered.pair_starts, ordered.keys, as_of, follow_ups
    )
    evidence = PairEvidence(
        table["pair_count"] - 1, table["pair_log_mean"], table["pair_age"], table["promotion_ratio"], follow_ups
    )
    return evidence, table.items
