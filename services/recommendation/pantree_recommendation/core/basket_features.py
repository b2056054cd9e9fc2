"""What a next-basket model sees of each item that a household could buy: the same code for fitting and for serving."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pantree_domain.item_key import item_key
from pantree_domain.purchases import PurchaseHistory
from pantree_recommendation.core.basket_statistics import STATISTICS, BasketStatistics, Likeness

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]

FEATURES = (
    # The household.
    "trips", "mean_size", "latest_size", "distinct_items", "new_ratio", "trip_gap_days", "trip_recency_days",
    "trip_overdue", "weekday",
    # The household and the item.
    "count", "trip_ratio", "trip_ratio_since_first", "recent_ratio", "in_latest", "temporal_frequency",
    "temporal_frequency_ratio", "decay_14", "decay_30", "decay_90", "rank", "recency_days", "recency_trips",
    "age_days", "mean_interval_days", "interval_deviation", "latest_interval_days", "max_interval_days", "overdue",
    "overdue_z", "overdue_trips", "weekday_ratio", "mean_log_size", "latest_quantity", "quantity_ratio",
    "promotion_ratio",
    # The household and the group of the item.
    "group_recency_days", "group_count", "group_overdue", "group_share", "group_in_latest",
    # Other households.
    "likeness", *STATISTICS, "overdue_for_others", "around", "around_ratio", "together_latest", "together_all",
    "shared",
    # The day.
    "promoted",
)  # fmt: skip
COLUMN = {name: position for position, name in enumerate(FEATURES)}

MAX_OWN_CANDIDATES = 300
"""Items that the household bought, by temporal frequency."""
_EXPLORE_CANDIDATES = {"around": 20, "together_all": 12, "together_latest": 8, "shared": 12, "popular": 20}
# TIFU-KNN's personalized item frequency, with the parameters that were chosen on fitting households: see
# docs/decisions/0018.
_FREQUENCY_GROUPS, _GROUP_DECAY = 5, 0.5
_RECENT_TRIPS = 5
_PROMOTION_RATIO = 0.05
_WEEKDAY_OF_DAY_0 = 3  # 1970-01-01 was a Thursday
_DAY_BITS = 20
_DAY_MASK = (1 << _DAY_BITS) - 1


@dataclass(frozen=True)
class Item:
    """An item that a household could buy."""

    name: str
    category: str = ""
    """Empty if unknown."""


@dataclass(frozen=True, eq=False)
class BasketCandidates:
    """The `m` items to choose from."""

    names: Sequence[str]
    categories: Sequence[str]
    bought: NDArray[np.bool_]
    """bool[m], whether the household has bought it before."""
    counts: Integers
    """int64[m], days on which it did."""
    values: NDArray[np.float32]
    """float32[m, len(FEATURES)]; NaN where unknown."""

    @property
    def recency_days(self) -> NDArray[np.float32]:
        """float32[m], days since the latest purchase; NaN for items that the household never bought."""
        return self.values[:, COLUMN["recency_days"]]


@dataclass(frozen=True, eq=False)
class _Purchases:
    """A household's purchases of items on days, `p` pairs of an item and a day, ordered by item, then day."""

    items: Integers
    days: Integers
    quantities: Floats
    promoted: Floats
    trip_days: Integers
    """int64[t], ascending."""
    trips: Integers
    """int64[p], position of the day among the trip days."""
    starts: Integers
    """int64[k], where each item that was bought begins."""
    ends: Integers


def _by_name(history: PurchaseHistory) -> PurchaseHistory:
    """The history with its dictionary ordered by name, so that sums do not depend on its order."""
    order = sorted(range(len(history.item_names)), key=history.item_names.__getitem__)
    positions = np.empty(len(order), np.int32)
    positions[order] = np.arange(len(order), dtype=np.int32)
    return replace(
        history,
        item_names=tuple(history.item_names[entry] for entry in order),
        item_categories=tuple(history.item_categories[entry] for entry in order),
        item_indices=positions[history.item_indices],
    )


def _purchases(history: PurchaseHistory, as_of: int) -> _Purchases:
    kept = history.days <= as_of
    keys = (history.item_indices[kept].astype(np.int64) << _DAY_BITS) | history.days[kept]
    unique, positions = np.unique(keys, return_inverse=True)
    shelf = history.prices[kept] * history.quantities[kept]
    saving = history.savings[kept]
    on_promotion = (saving > 0) & (saving >= _PROMOTION_RATIO * shelf)
    items, days = unique >> _DAY_BITS, unique & _DAY_MASK
    trip_days, trips = np.unique(days, return_inverse=True)
    begins = np.flatnonzero(np.diff(items, prepend=-1))
    return _Purchases(
        items=items,
        days=days,
        quantities=np.bincount(positions, history.quantities[kept], minlength=len(unique)).astype(np.float64),
        promoted=(np.bincount(positions, on_promotion, minlength=len(unique)) > 0).astype(np.float64),
        trip_days=trip_days,
        trips=trips,
        starts=begins,
        ends=np.append(begins[1:], len(unique))[: len(begins)],
    )


def basket_candidates(
    history: PurchaseHistory,
    as_of: int,
    statistics: BasketStatistics,
    *,
    assortment: Sequence[Item] = (),
    promoted: frozenset[str] | None = None,
    new_count: int = 0,
) -> BasketCandidates:
    """The items that a household may buy next, and their features.

    Args:
        history: one entry per item; later lines than `as_of` are ignored. The order of lines does not matter.
        as_of: day of the basket, days since 1970-01-01.
        statistics: of other households.
        assortment: items that the household could buy for the first time; those of the vocabulary if empty.
        promoted: keys of the items on promotion on that day; None if unknown.
        new_count: how many items that the household never bought are wanted at least, if there are so many.
    """
    history = _by_name(history)
    bought = _purchases(history, as_of)
    trip_count = len(bought.trip_days)
    own = bought.items[bought.starts]
    counts = bought.ends - bought.starts
    frequency_of_purchase = _temporal_frequency(trip_count - 1 - bought.trips, trip_count)
    frequency = np.add.reduceat(frequency_of_purchase, bought.starts) if len(own) else np.zeros(0)
    names = [history.item_names[item] for item in own.tolist()]
    categories = [history.item_categories[item] for item in own.tolist()]
    likeness = statistics.describe(names)

    in_latest = (bought.trips[bought.ends - 1] == trip_count - 1) if len(own) else np.zeros(0, bool)
    days_ago = (as_of - bought.days).astype(np.float64)
    decayed = {
        half_life: np.add.reduceat(0.5 ** (days_ago / half_life), bought.starts) if len(own) else np.zeros(0)
        for half_life in (14, 30, 90)
    }
    vocabulary = {
        "around": statistics.around(likeness.spread(frequency, statistics.size)),
        "together_latest": statistics.together(likeness.spread(in_latest.astype(np.float64), statistics.size)),
        "together_all": statistics.together(likeness.spread(decayed[30], statistics.size)),
        "shared": statistics.shared(likeness.spread(np.ones(len(own)), statistics.size)),
    }

    # Items are ordered by name, and so are ties.
    kept = np.lexsort((np.arange(len(own)), -frequency))[:MAX_OWN_CANDIDATES]
    new_names, new_categories, new_likeness = _new_items(names, likeness, statistics, vocabulary, assortment, new_count)
    all_likeness = Likeness(
        np.concatenate([likeness.indices[kept], new_likeness.indices]),
        np.concatenate([likeness.weights[kept], new_likeness.weights]),
    )
    candidate_names = [*(names[row] for row in kept.tolist()), *new_names]
    candidate_categories = [*(categories[row] for row in kept.tolist()), *new_categories]
    own_groups = statistics.groups_of(likeness, categories)
    groups = np.concatenate([own_groups[kept], statistics.groups_of(new_likeness, new_categories)])
    # Categories that the vocabulary lacks are numbered per call: those of new items are looked up by name.
    _align_groups(groups[len(kept) :], new_categories, own_groups, categories, len(statistics.groups))

    values = np.full((len(candidate_names), len(FEATURES)), np.nan, np.float32)

    def put(name: str, column: Floats | float, rows: slice = slice(None)) -> None:
        values[rows, COLUMN[name]] = column

    _put_household(put, bought, as_of, counts)
    mine = slice(0, len(kept))
    _put_pairs(put, bought, as_of, kept, mine, frequency, decayed, in_latest)
    for name in ("count", "trip_ratio", "temporal_frequency", "temporal_frequency_ratio", "in_latest",
                 "decay_14", "decay_30", "decay_90", "recent_ratio"):  # fmt: skip
        put(name, 0.0, slice(len(kept), None))
    _put_groups(put, bought, as_of, own_groups, groups, np.append(counts[kept], np.zeros(len(new_names))))

    put("likeness", all_likeness.likeness)
    described = statistics.of_items(all_likeness, groups)
    for position, name in enumerate(STATISTICS):
        put(name, described[:, position])
    typical = np.exp(described[mine, STATISTICS.index("log_interval_days")])
    put("overdue_for_others", values[mine, COLUMN["recency_days"]] / typical, mine)
    for name, scores in vocabulary.items():
        put(name, all_likeness.of(scores))
    largest = max(float(vocabulary["around"].max(initial=0.0)), 1e-9)
    put("around_ratio", values[:, COLUMN["around"]] / largest)
    if promoted is not None:
        put("promoted", np.array([item_key(name) in promoted for name in candidate_names], np.float32))
    is_own = np.arange(len(candidate_names)) < len(kept)
    return BasketCandidates(
        candidate_names,
        candidate_categories,
        is_own,
        np.append(counts[kept], np.zeros(len(new_names), np.int64)).astype(np.int64),
        values,
    )


def _temporal_frequency(ages: Integers, trip_count: int) -> Floats:
    """float64[p], weight of each purchase in TIFU-KNN's vector of a household.

    Args:
        ages: int64[p], trips after the purchase's own.
        trip_count: trips of the household.
    """
    if not trip_count:
        return np.zeros(0)
    size = -(-trip_count // _FREQUENCY_GROUPS)
    group_count = -(-trip_count // size)
    group = ages // size
    earliest_size = trip_count - (group_count - 1) * size
    of_group = np.where(group == group_count - 1, earliest_size, size)
    return np.asarray(_GROUP_DECAY**group / of_group / group_count)


def _new_items(
    own_names: Sequence[str],
    own: Likeness,
    statistics: BasketStatistics,
    vocabulary: dict[str, Floats],
    assortment: Sequence[Item],
    new_count: int,
) -> tuple[list[str], list[str], Likeness]:
    """Items that the household never bought, of the assortment or the vocabulary, put forward by some statistic."""
    if assortment:
        known = {item_key(name) for name in own_names}
        distinct: dict[str, Item] = {}
        for item in assortment:
            key = item_key(item.name)
            if key not in known:
                distinct.setdefault(key, item)
        items = [distinct[key] for key in sorted(distinct)]
        likeness = statistics.describe([item.name for item in items])
        scores = {name: likeness.of(values) for name, values in vocabulary.items()}
        groups = statistics.groups_of(likeness, [item.category for item in items])
        scores["popular"] = np.exp(statistics.of_items(likeness, groups)[:, 0])
        chosen = _chosen(scores, np.ones(len(items), bool), new_count)
        return (
            [items[row].name for row in chosen.tolist()],
            [items[row].category for row in chosen.tolist()],
            Likeness(likeness.indices[chosen], likeness.weights[chosen]),
        )
    allowed = np.ones(statistics.size, bool)
    # Nor what is like an item that the household buys: its kind is not new.
    allowed[own.indices[own.weights > 0]] = False
    scores = dict(vocabulary)
    if statistics.size:
        scores["popular"] = np.exp(statistics.item_statistics[:, 0])
    chosen = _chosen(scores, allowed, new_count)
    indices = np.zeros((len(chosen), own.indices.shape[1]), np.int64)
    weights = np.zeros((len(chosen), own.indices.shape[1]), np.float32)
    indices[:, 0], weights[:, 0] = chosen, 1.0
    groups = statistics.item_groups[chosen] if statistics.size else np.zeros(0, np.int32)
    return (
        [statistics.names[item] for item in chosen.tolist()],
        ["" if group < 0 else statistics.groups[group] for group in groups.tolist()],
        Likeness(indices, weights),
    )


def _chosen(scores: dict[str, Floats], allowed: NDArray[np.bool_], new_count: int) -> Integers:
    """Positions of the best by each score, ascending; at least `new_count`, if there are so many."""
    found = np.zeros(len(allowed), bool)
    for name, values in scores.items():
        positive = np.where(allowed & (values > 0), values, -np.inf)
        count = _EXPLORE_CANDIDATES[name]
        if name == "popular":
            count = max(count, new_count)
        count = min(count, len(positive))
        if count:
            best = np.argpartition(-positive, count - 1)[:count]
            # Equal scores at the end of the list: the lower positions.
            threshold = positive[best].min()
            better, equal = np.flatnonzero(positive > threshold), np.flatnonzero(positive == threshold)
            best = np.concatenate([better, equal[: count - len(better)]])
            found[best[np.isfinite(positive[best])]] = True
    return np.flatnonzero(found)


def _align_groups(
    new: Integers, new_categories: Sequence[str], own: Integers, own_categories: Sequence[str], known_count: int
) -> None:
    """Gives categories of new items that the vocabulary lacks the numbers that the household's own items have."""
    if not np.any(new >= known_count):
        return
    numbers = {item_key(text): group for text, group in zip(own_categories, own.tolist(), strict=True) if text}
    further = max([known_count, *(own + 1).tolist()])
    for row in np.flatnonzero(new >= known_count).tolist():
        key = item_key(new_categories[row])
        if key not in numbers:
            numbers[key] = further
            further += 1
        new[row] = numbers[key]


def _put_household(put: Any, bought: _Purchases, as_of: int, counts: Integers) -> None:
    trip_count = len(bought.trip_days)
    put("trips", float(trip_count))
    put("weekday", float((as_of + _WEEKDAY_OF_DAY_0) % 7))
    put("distinct_items", float(len(counts)))
    if not trip_count:
        return
    sizes = np.bincount(bought.trips, minlength=trip_count)
    put("mean_size", float(sizes.mean()))
    put("latest_size", float(sizes[-1]))
    put("new_ratio", len(counts) / len(bought.items))
    recency = float(as_of - bought.trip_days[-1])
    put("trip_recency_days", recency)
    if trip_count > 1:
        gap = float(bought.trip_days[-1] - bought.trip_days[0]) / (trip_count - 1)
        put("trip_gap_days", gap)
        put("trip_overdue", recency / gap)


def _put_pairs(
    put: Any,
    bought: _Purchases,
    as_of: int,
    kept: Integers,
    rows: slice,
    frequency: Floats,
    decayed: dict[int, Floats],
    in_latest: NDArray[np.bool_],
) -> None:
    """Features of items that the household has bought."""
    if not len(kept):
        return
    starts, ends = bought.starts, bought.ends
    counts = (ends - starts).astype(np.float64)
    trip_count = len(bought.trip_days)
    first_days, last_days = bought.days[starts], bought.days[ends - 1]
    first_trips, last_trips = bought.trips[starts], bought.trips[ends - 1]
    recency = (as_of - last_days).astype(np.float64)

    def add_up(values: Floats) -> Floats:
        return np.asarray(np.add.reduceat(values, starts))

    sizes = np.bincount(bought.trips, minlength=trip_count)
    weekdays = (bought.days + _WEEKDAY_OF_DAY_0) % 7 == (as_of + _WEEKDAY_OF_DAY_0) % 7
    recent = bought.trips >= trip_count - _RECENT_TRIPS
    gaps = np.diff(bought.days, append=0).astype(np.float64)
    gaps[ends - 1] = 0.0
    several = counts > 1
    intervals = np.maximum(counts - 1, 1)
    mean = np.where(several, add_up(gaps) / intervals, np.nan)
    deviation = np.sqrt(np.maximum(add_up(gaps**2) / intervals - mean**2, 0))
    latest_gap = np.where(several, gaps[np.maximum(ends - 2, 0)], np.nan)
    max_gap = np.where(several, np.maximum.reduceat(gaps, starts), np.nan)
    since_first = trip_count - first_trips
    trip_interval = np.where(several, (last_trips - first_trips) / intervals, np.nan)
    # Equal items have equal ranks.
    ranks = np.searchsorted(np.sort(-decayed[90]), -decayed[90]).astype(np.float64)
    columns: dict[str, Floats] = {
        "count": counts,
        "trip_ratio": counts / trip_count,
        "trip_ratio_since_first": counts / since_first,
        "recent_ratio": add_up(recent.astype(np.float64)) / min(trip_count, _RECENT_TRIPS),
        "in_latest": in_latest.astype(np.float64),
        "temporal_frequency": frequency,
        "temporal_frequency_ratio": frequency / frequency.max(),
        "decay_14": decayed[14],
        "decay_30": decayed[30],
        "decay_90": decayed[90],
        "rank": ranks,
        "recency_days": recency,
        "recency_trips": (trip_count - 1 - last_trips).astype(np.float64),
        "age_days": (as_of - first_days).astype(np.float64),
        "mean_interval_days": mean,
        "interval_deviation": deviation / np.maximum(mean, 1e-9),
        "latest_interval_days": latest_gap,
        "max_interval_days": max_gap,
        "overdue": recency / mean,
        "overdue_z": (recency - mean) / np.maximum(deviation, 1.0),
        "overdue_trips": (trip_count - last_trips) / trip_interval,
        "weekday_ratio": add_up(weekdays.astype(np.float64)) / counts,
        "mean_log_size": add_up(np.log(sizes[bought.trips])) / counts,
        "latest_quantity": bought.quantities[ends - 1],
        "quantity_ratio": bought.quantities[ends - 1] * counts / add_up(bought.quantities),
        "promotion_ratio": add_up(bought.promoted) / counts,
    }
    for name, column in columns.items():
        put(name, column[kept], rows)


def _put_groups(put: Any, bought: _Purchases, as_of: int, own: Integers, groups: Integers, counts: Floats) -> None:
    """How the household buys the group of each candidate; NaN for unknown groups.

    Args:
        put: fills a feature.
        bought: the household's purchases.
        as_of: day of the basket.
        own: int64[k], groups of the items that the household bought.
        groups: int64[m], groups of the candidates.
        counts: float64[m], how often the household bought each candidate.
    """
    of_purchase = np.repeat(own, bought.ends - bought.starts)
    size = int(max(own.max(initial=-1), groups.max(initial=-1))) + 1
    known = of_purchase >= 0
    keys = np.unique((of_purchase[known] << _DAY_BITS) | bought.days[known])
    group, days = keys >> _DAY_BITS, keys & _DAY_MASK
    times = np.bincount(group, minlength=size).astype(np.float64)
    first, last = np.full(size, np.inf), np.full(size, -np.inf)
    np.minimum.at(first, group, days)
    np.maximum.at(last, group, days)
    latest = last == bought.trip_days[-1] if len(bought.trip_days) else np.zeros(size, bool)
    position = np.maximum(groups, 0)
    unknown = groups < 0
    if not size:
        return
    with np.errstate(invalid="ignore", divide="ignore"):
        never = times == 0
        recency = np.where(never, np.nan, as_of - last)
        interval = np.where(times > 1, (last - first) / (times - 1), np.nan)
        overdue = recency / interval
        share = np.where(never[position], np.nan, counts / times[position])
    for name, values in (
        ("group_recency_days", recency[position]),
        ("group_count", times[position]),
        ("group_overdue", overdue[position]),
        ("group_share", share),
        ("group_in_latest", latest[position].astype(np.float64)),
    ):
        put(name, np.where(unknown, np.nan, values))
