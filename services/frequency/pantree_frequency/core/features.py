"""History features: what a model sees of each (household, item) pair. One code path for fitting and for serving."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pantree_domain.compiled import compiled
from pantree_frequency.core.derived import derive
from pantree_frequency.core.intervals import days_after, decayed_count, interval_features
from pantree_frequency.core.priors import Priors
from pantree_frequency.core.purchases import PairPurchases
from pantree_frequency.core.records import FEATURES, Codes, Integer, Integers, Purchases, Records, flat_names
from pantree_frequency.core.rhythm import Rhythms, rhythms_of

COLUMN = {name: position for position, name in enumerate(flat_names(FEATURES))}

# Features that models are not fitted on: the log-normal model and `derived` read them.
_NOT_MODELED = {
    "pair_log_squares", "type_log_squares", "category_log_squares", "trip_age", "trip_decay_28",
    "category_share_decayed",
}  # fmt: skip
MODELED = tuple(name for name in COLUMN if name not in _NOT_MODELED)

_FALLING = ("recency", "age", "sd_interval", "max_interval")


def monotone_direction(name: str) -> int:
    """Whether the hazard may only rise (1) or only fall (−1) with a feature; 0 for either.

    As time passes without a purchase, every feature that then moves is bound in the direction in which it speaks
    against the item, so that confidence cannot rise once the item is overdue; less regular intervals never speak for
    it. Nor do more units bought last: a household that stocks up comes back later.
    """
    level, _, rest = name.partition("_")
    if level in ("pair", "type", "category", "trip"):
        if rest in _FALLING and not (level == "trip" and rest != "recency"):
            return -1
        if rest.startswith(("in_", "decay_")):
            return 1
    if name in (
        "log_deviation", "overdue", "overdue_z", "type_overdue", "category_overdue", "recency_by_max",
        "trip_recency_by_mean", "last_quantity", "quantity_ratio",
    ):  # fmt: skip
        return -1
    return 1 if name in ("rate", "decay_ratio", "trips_expected_28") else 0


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features of `p` pairs, household by household, items in dictionary order within each."""

    households: Codes
    """[p], position of the household."""
    items: Codes
    """[p], position of the item in the dictionary."""
    values: NDArray[np.float32]
    """[p, len(COLUMN)]; NaN where there are too few purchases."""
    rhythms: Rhythms

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        """float64[p], one feature."""
        return self.values[:, COLUMN[name]].astype(np.float64)

    def only(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "FeatureTable":
        """The table of some pairs."""
        return FeatureTable(self.households[chosen], self.items[chosen], self.values[chosen], self.rhythms.only(chosen))


def feature_table(bought: PairPurchases, priors: Priors, chosen: NDArray[np.intp] | None = None) -> FeatureTable:
    """Features of every item that each household has bought by its as-of day.

    Args:
        bought: h households with their as-of days.
        priors: of other households.
        chosen: ascending positions of the pairs that the table has; all by default. Rhythms take most of the time.
    """
    histories, items = bought.histories, bought.pairs["item"].copy()
    features = np.full(len(items) * len(COLUMN), np.nan, np.float32).view(FEATURES)
    _fill_features(
        bought.pair_starts, bought.as_of, bought.pairs, bought.purchases,
        _codes(histories.item_types), _codes(histories.item_categories), features,
    )  # fmt: skip
    known = priors.of_items(histories.item_names, histories.item_types, histories.item_categories)
    for name, prior in zip(("item_prior", "type_prior", "category_prior"), known, strict=True):
        features[name] = prior[items]
    derive(bought.pair_starts, features)
    values = features.view(np.float32).reshape(len(items), len(COLUMN))
    purchases = bought.purchases
    starts, pairs = bought.pair_starts, bought.pairs
    if chosen is not None:
        starts, pairs = np.searchsorted(chosen, starts), pairs[chosen]
        items, values = items[chosen], values[chosen]
    rhythms = rhythms_of(starts, bought.as_of, pairs, purchases.days, purchases.units, priors.rhythm)
    return FeatureTable(pairs["household"].copy(), items, values, rhythms)


def known_or_zero(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values of a feature, 0 where it is unknown; `nan_to_num` looks for infinities, too, and takes longer."""
    return np.where(np.isnan(values), 0.0, values)


def _codes(texts: Sequence[str]) -> Codes:
    """Number of each distinct text; -1 for an empty one."""
    numbers: dict[str, int] = {"": -1}
    return np.array([numbers.setdefault(text, len(numbers) - 1) for text in texts], np.int32)


# A purchase counts as on promotion from this share off the shelf price on.
_PROMOTION_RATIO = 0.05
# A pair's position within its household, below a group or a score.
_PAIR_BITS = 24
_PAIR_MASK = (1 << _PAIR_BITS) - 1
_HIGHEST_SCORE = 1 << 38


@compiled()
def _fill_features(
    pair_starts: Integers, as_of: Codes, pairs: Records, purchases: Purchases, item_types: Codes,
    item_categories: Codes, features: Records,
) -> None:  # fmt: skip
    """Fills all features but priors and those that `derive` fills.

    Args:
        pair_starts: int64[h + 1], where each household's pairs begin.
        as_of: int32[h].
        pairs: PAIR[p].
        purchases: of all pairs.
        item_types: int32[k], type of each item; -1 for unknown.
        item_categories: int32[k], category of each item; -1 for unknown.
        features: FEATURES[p], filled; NaN to begin with, which stays where there are too few purchases.
    """
    size = np.int64(1)
    for household in range(len(pair_starts) - 1):
        first, end = pair_starts[household], pair_starts[household + 1]
        if first < end:
            size = max(size, pairs[end - 1].end - pairs[first].first)
    intervals, ordered = np.empty(size, np.int64), np.empty(size, np.int64)
    trips, days = np.empty(size, np.int64), np.empty(size, np.int64)
    for household in range(len(pair_starts) - 1):
        first, end = pair_starts[household], pair_starts[household + 1]
        if first == end:
            continue
        today = np.int64(as_of[household])
        own, rows = pairs[first:end], features[first:end]
        start = own[0].first
        count = own[len(own) - 1].end - start
        trips[:count] = purchases.days[start : start + count]
        trip_days = _distinct(trips[:count])
        _fill_trips(trip_days, today, rows)
        promotions: Integer = 0
        for pair in range(len(own)):
            promotions += _fill_pair(own[pair], purchases, today, trip_days, intervals, ordered, rows[pair])
        _fill_groups(item_types, own, purchases.days, today, days, intervals, ordered, rows["type"], rows["type_peers"])
        _fill_groups(
            item_categories, own, purchases.days, today, days, intervals, ordered, rows["category"],
            rows["category_peers"],
        )  # fmt: skip
        _fill_ranks(rows, ordered[: len(own)])
        for pair in range(len(own)):
            row = rows[pair]
            if row.type.count > 0:
                # After some 4,200 days both are 0 in a float32.
                if row.type.decay_28 > 0:
                    row.type_peers.share_decayed = row.pair.decay_28 / row.type.decay_28
                else:
                    row.type_peers.share_decayed = row.type_peers.share
            row.household_pairs = len(own)
            row.household_repeat_ratio = (count - len(own)) / count
            row.household_promotion_ratio = promotions / count
            row.household_items_per_trip = count / len(trip_days)


@compiled()
def _fill_ranks(rows: Records, ranks: Integers) -> None:
    """Fills the ranks of a household's pairs by decayed count, the highest first; equals share the mean of their ranks.

    Args:
        rows: FEATURES[p].
        ranks: int64[p], scratch.
    """
    for pair in range(len(rows)):
        # A share of a millionth is as good as a tie.
        ranks[pair] = ((_HIGHEST_SCORE - np.int64(np.float64(rows[pair].pair.decay_112) * 1e6)) << _PAIR_BITS) | pair
    ranks.sort()
    end = 0
    while end < len(rows):
        first = end
        while end < len(rows) and ranks[end] >> _PAIR_BITS == ranks[first] >> _PAIR_BITS:
            end += 1
        for rank in range(first, end):
            rows[ranks[rank] & _PAIR_MASK].rank_in_basket = (first + end) / 2 / len(rows)


@compiled()
def _distinct(days: Integers) -> Integers:
    """Sorts days in place and moves the distinct ones to the front, which is returned."""
    days.sort()
    count = 1
    for position in range(1, len(days)):
        if days[position] != days[count - 1]:
            days[count] = days[position]
            count += 1
    return days[:count]


@compiled()
def _fill_trips(days: Integers, as_of: Integer, rows: Records) -> None:
    """Fills the features of a household's trips, the same for all of its pairs.

    Args:
        days: int64[d], ascending, distinct.
        as_of: not before the last of them.
        rows: FEATURES[p].
    """
    row = rows[0].trip
    row.recency = as_of - days[-1]
    row.age = as_of - days[0]
    if len(days) > 1:
        row.mean_interval = (days[-1] - days[0]) / (len(days) - 1)
    row.in_28 = days_after(days, as_of - 28)
    row.in_84 = days_after(days, as_of - 84)
    row.decay_14 = decayed_count(days, as_of, 14.0)
    row.decay_28 = decayed_count(days, as_of, 28.0)
    row.decay_56 = decayed_count(days, as_of, 56.0)
    trips = rows["trip"]
    for pair in range(1, len(rows)):
        trips[pair] = row


@compiled()
def _fill_pair(
    pair: Any, purchases: Purchases, as_of: Integer, trips: Integers, intervals: Integers, ordered: Integers, row: Any
) -> Integer:
    """Fills what follows from a pair's own purchases and the days of the trips; returns purchases on promotion."""
    first, end = pair.first, pair.end
    days, count = purchases.days[first:end], end - first
    interval_features(days, as_of, intervals, ordered, row.pair)
    if count > 1:
        # Once the item is overdue, what the intervals say of the days left is that of the day on which it was due: past
        # intervals that are longer are too few to tell, and a purchase must never become likelier while none comes.
        passed = min(np.float64(as_of - days[-1]), (days[-1] - days[0]) / (count - 1))
        outlasting = 0
        within_14 = 0
        within_28 = 0
        for gap in range(count - 1):
            if intervals[gap] > passed:
                outlasting += 1
                within_14 += intervals[gap] <= passed + 14
                within_28 += intervals[gap] <= passed + 28
        # Half an interval on either side, so that a single one does not give certainty.
        row.pair_ends_within_14 = (within_14 + 0.5) / (outlasting + 1.0)
        row.pair_ends_within_28 = (within_28 + 0.5) / (outlasting + 1.0)
    promotions = 0
    on_promotion = False
    for place in range(first, end):
        saving = purchases.savings[place]
        on_promotion = saving >= _PROMOTION_RATIO * purchases.shelf[place] and saving > 0
        promotions += on_promotion
    row.last_quantity = purchases.units[end - 1]
    row.quantity_ratio = purchases.units[end - 1] / (pair.units / count)
    row.promotion_ratio = promotions / count
    row.last_on_promotion = on_promotion
    row.log_price = math.log1p(pair.shelf / pair.units)
    row.trips_since_last = days_after(trips, days[-1])
    row.trip_ratio = count / days_after(trips, days[0] - 1)
    return promotions


@compiled()
def _fill_groups(
    groups: Codes, pairs: Records, days: Integers, as_of: Integer, scratch: Integers, intervals: Integers,
    ordered: Integers, features: Records, peers: Records,
) -> None:  # fmt: skip
    """Fills the features of each pair's group (its type, or its category) and compares the pair with it.

    Args:
        groups: int32[k], group of each item; -1 for none.
        pairs: PAIR[p], of one household.
        days: of all purchases.
        as_of: the household's as-of day.
        scratch: room for the household's purchases.
        intervals: likewise.
        ordered: likewise.
        features: INTERVALS[p], filled where there is a group.
        peers: PEERS[p], likewise.
    """
    # Pairs by group, so that the features of a group are computed once.
    by_group = np.empty(len(pairs), np.int64)
    for pair in range(len(pairs)):
        by_group[pair] = (np.int64(groups[pairs[pair]["item"]]) << _PAIR_BITS) | pair
    by_group.sort()
    end = 0
    while end < len(pairs):
        group = by_group[end] >> _PAIR_BITS
        first = end
        count = 0
        while end < len(pairs) and by_group[end] >> _PAIR_BITS == group:
            own = pairs[by_group[end] & _PAIR_MASK]
            scratch[count : count + own.end - own.first] = days[own.first : own.end]
            count += own.end - own.first
            end += 1
        if group < 0:
            continue
        group_days = _distinct(scratch[:count])
        source = by_group[first] & _PAIR_MASK
        interval_features(group_days, as_of, intervals, ordered, features[source])
        for member in range(first, end):
            pair = by_group[member] & _PAIR_MASK
            own = pairs[pair]
            if pair != source:
                features[pair] = features[source]
            peers[pair].days_since_last = days_after(group_days, days[own.end - 1])
            peers[pair].share = (own.end - own.first) / len(group_days)
            peers[pair].item_count = end - first
