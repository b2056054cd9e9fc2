"""Statistics of other households' baskets that a next-basket model is served with: sums over many households only."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pantree_frequency.core.histories import Histories
from pantree_recommendation.core.basket_statistics import STATISTICS, BasketStatistics

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]

MIN_BUYERS = 5
"""Items that fewer households buy are left out, and so are pairs of items that fewer households both buy: nothing that
one household bought can be inferred from the statistics."""
NEIGHBORS = 30
"""Associated items per item."""
FACTORS = 32
_MAX_INTERVAL_DAYS = 180.0
# Groups and items with this many buyers weigh as much as their fallback.
_STRENGTH = 10.0
_CHUNK = 512


def fit_statistics(histories: Histories, *, min_buyers: int = MIN_BUYERS, seed: int = 0) -> BasketStatistics:
    """Statistics over the items that enough households buy.

    Args:
        histories: of the fitting households; an item's group is its type, else its category.
        min_buyers: households that must buy an item.
        seed: of the factorization.
    """
    from scipy import sparse

    item, household, trip, day, trip_counts = _purchases(histories)
    pair = np.unique((household.astype(np.int64) << 32) | item)
    buyers = np.bincount(pair & 0xFFFFFFFF, minlength=len(histories.item_names))
    vocabulary = np.array(
        sorted(np.flatnonzero(buyers >= min_buyers).tolist(), key=histories.item_names.__getitem__), np.int64
    )
    positions = np.full(len(histories.item_names), -1, np.int64)
    positions[vocabulary] = np.arange(len(vocabulary))
    kept = positions[item] >= 0
    item, household, trip, day = positions[item[kept]], household[kept], trip[kept], day[kept]
    size, household_count = len(vocabulary), len(trip_counts)

    statistics, weights = _item_statistics(item, household, day, size, int(trip_counts.sum()), household_count)
    groups, item_groups = _groups(histories, vocabulary)
    overall = np.average(statistics, axis=0, weights=weights) if size else np.zeros(len(STATISTICS))
    group_statistics = _group_means(statistics, weights, item_groups, len(groups), overall)

    basket_ids = np.concatenate([[0], np.cumsum(trip_counts)])[household] + trip
    ones = np.ones(len(item), np.float32)
    baskets = sparse.csr_array((ones, (basket_ids, item)), shape=(int(trip_counts.sum()), size))
    bought = sparse.csr_array((ones, (household, item)), shape=(household_count, size)).sign()
    ages = trip_counts[household] - 1 - trip
    vectors = sparse.csr_array(
        (_frequencies(ages, trip_counts[household]).astype(np.float32), (household, item)),
        shape=(household_count, size),
    )
    together, shared = _associations(baskets, bought, min_buyers)
    return BasketStatistics(
        names=tuple(histories.item_names[entry] for entry in vocabulary.tolist()),
        groups=groups,
        item_groups=item_groups,
        item_statistics=statistics.astype(np.float32),
        group_statistics=group_statistics.astype(np.float32),
        overall=overall.astype(np.float32),
        factors=_factors(vectors, seed),
        together_items=together[0],
        together_weights=together[1],
        shared_items=shared[0],
        shared_weights=shared[1],
    )


def _purchases(histories: Histories) -> tuple[Integers, Integers, Integers, Integers, Integers]:
    """Item, household, trip and day of each distinct purchase; trips of each household."""
    lines = histories.lines
    household = np.repeat(np.arange(histories.household_count), np.diff(histories.household_starts))
    table = np.unique(np.stack([household, lines["day"].astype(np.int64), lines["item"].astype(np.int64)], 1), axis=0)
    household, day, item = table.T
    starts_trip = np.diff(household * 2**20 + day, prepend=-1) != 0
    trip_number = np.cumsum(starts_trip) - 1
    trip_counts = np.bincount(household[starts_trip], minlength=histories.household_count)
    first_trip = np.concatenate([[0], np.cumsum(trip_counts)])
    return item, household, trip_number - first_trip[household], day, trip_counts


def _item_statistics(
    item: Integers, household: Integers, day: Integers, size: int, trip_count: int, household_count: int
) -> tuple[Floats, Floats]:
    """float64[size, len(STATISTICS)], and float64[size] the number of buyers of each item."""
    baskets = np.bincount(item, minlength=size).astype(np.float64)
    order = np.lexsort((day, item, household))
    item, household, day = item[order], household[order], day[order]
    new_pair = (np.diff(household, prepend=-1) != 0) | (np.diff(item, prepend=-1) != 0)
    buyers = np.bincount(item[new_pair], minlength=size).astype(np.float64)
    number = np.cumsum(new_pair) - 1
    counts = np.bincount(number)
    repeaters = np.bincount(item[new_pair][counts > 1], minlength=size)
    gap = np.diff(day, prepend=0)
    within = ~new_pair
    # Long intervals are those of a need that had ended; a household's intervals weigh as much as one another's.
    weight = 1 / np.maximum(counts[number[within]] - 1, 1)
    log_gap = np.log(np.clip(gap[within], 1, _MAX_INTERVAL_DAYS))
    weighted = np.bincount(item[within], weight * log_gap, minlength=size)
    total = np.bincount(item[within], weight, minlength=size)
    mean = weighted.sum() / max(total.sum(), 1e-9) if total.sum() else np.log(28.0)
    ratio = repeaters.sum() / max(buyers.sum(), 1)
    columns = {
        "log_popularity": np.log(np.maximum(baskets, 1) / max(trip_count, 1)),
        "household_ratio": buyers / max(household_count, 1),
        "repeat_ratio": (repeaters + _STRENGTH * ratio) / (buyers + _STRENGTH),
        "log_interval_days": (weighted + _STRENGTH * mean) / (total + _STRENGTH),
    }
    return np.stack([columns[name] for name in STATISTICS], axis=1), np.maximum(buyers, 1)


def _groups(histories: Histories, vocabulary: Integers) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    texts = [histories.item_types[entry] or histories.item_categories[entry] for entry in vocabulary.tolist()]
    groups = tuple(sorted({text for text in texts if text}))
    position = {text: number for number, text in enumerate(groups)}
    return groups, np.array([position.get(text, -1) for text in texts], np.int32)


def _group_means(statistics: Floats, weights: Floats, groups: Integers, count: int, overall: Floats) -> Floats:
    known = groups >= 0
    total = np.bincount(groups[known], weights[known], minlength=count)
    means = np.empty((count, statistics.shape[1]))
    for column in range(statistics.shape[1]):
        own = np.bincount(groups[known], weights[known] * statistics[known, column], minlength=count)
        means[:, column] = (own + _STRENGTH * overall[column]) / (total + _STRENGTH)
    return means


def _frequencies(ages: Integers, trips: Integers) -> Floats:
    """TIFU-KNN's weights of purchases; as in `basket_features`, for many households at once."""
    size = -(-trips // 5)
    group_count = -(-trips // size)
    group = ages // size
    of_group = np.where(group == group_count - 1, trips - (group_count - 1) * size, size)
    return np.asarray(0.5**group / of_group / group_count)


def _factors(vectors: Any, seed: int) -> NDArray[np.float32]:
    """float32[size, r], right singular vectors of the households' frequencies."""
    from scipy.sparse.linalg import svds

    count = min(FACTORS, min(vectors.shape) - 1)
    if count < 1:
        return np.zeros((vectors.shape[1], 1), np.float32)
    start = np.random.default_rng(seed).standard_normal(min(vectors.shape))
    _, _, right = svds(vectors.astype(np.float64), k=count, v0=start)
    # The sign of a singular vector is arbitrary.
    signs = np.sign(right[np.arange(count), np.abs(right).argmax(axis=1)])
    return np.ascontiguousarray((right * signs[:, None]).T[:, ::-1]).astype(np.float32)


def _associations(
    baskets: Any, bought: Any, min_buyers: int
) -> tuple[tuple[NDArray[np.int32], NDArray[np.float32]], tuple[NDArray[np.int32], NDArray[np.float32]]]:
    """The items that each item is associated with: by common baskets, and by common households."""
    size = baskets.shape[1]
    count = min(NEIGHBORS, max(size - 1, 1))
    found = [
        (np.full((size, count), size, np.int32), np.zeros((size, count), np.float32)) for _ in ("baskets", "households")
    ]
    norms = [1 / np.sqrt(np.maximum(np.asarray(matrix.sum(axis=0)).ravel(), 1)) for matrix in (baskets, bought)]
    transposed = [matrix.T.tocsr() for matrix in (baskets, bought)]
    for start in range(0, size, _CHUNK):
        rows = slice(start, min(start + _CHUNK, size))
        common_households = (transposed[1][rows] @ bought).toarray()
        enough = common_households >= min_buyers
        enough[np.arange(enough.shape[0]), np.arange(start, start + enough.shape[0])] = False
        for kind, matrix in enumerate((baskets, bought)):
            common = common_households if kind == 1 else (transposed[0][rows] @ matrix).toarray()
            similar = np.where(enough, common * norms[kind][None, :] * norms[kind][rows, None], 0).astype(np.float32)
            best = np.argpartition(-similar, count - 1, axis=1)[:, :count]
            values = np.take_along_axis(similar, best, axis=1)
            order = np.lexsort((best, -values), axis=1)
            best, values = np.take_along_axis(best, order, axis=1), np.take_along_axis(values, order, axis=1)
            items, weights = found[kind]
            items[rows], weights[rows] = np.where(values > 0, best, size), values
    return found[0], found[1]
