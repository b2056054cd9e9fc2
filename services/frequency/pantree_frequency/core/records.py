"""Record types of the arrays that compiled functions work on, and the named tuples in which arrays travel."""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

# Arrays of the record types below. Elements are read by field name; numpy's types do not know the fields.
Records: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Codes: TypeAlias = NDArray[np.int32]
# Compiled functions compute with numbers of numpy.
Integer: TypeAlias = int | np.int64


def _record_type(fields: list[Any], align: bool = False) -> np.dtype[np.void]:
    """Record type whose elements have their fields as attributes also where functions are not compiled."""
    return np.dtype((np.record, np.dtype(fields, align=align)))


# A receipt line. Grouping by household moves it with one write; 32 bytes are half a cache line.
LINE = _record_type(
    [
        ("item", np.int32),
        ("day", np.int32),
        ("quantity", np.int32),
        ("unused", np.int32),
        ("price", np.float64),
        ("saving", np.float64),
    ],
    align=True,
)

# An item of a household, with its totals.
PAIR = _record_type(
    [
        ("household", np.int32),
        ("item", np.int32),
        ("first", np.int64),  # where its purchases begin
        ("end", np.int64),
        ("units", np.int64),
        ("shelf", np.float64),  # at shelf prices
        ("paid", np.float64),  # after savings
    ],
    align=True,
)


class Purchases(NamedTuple):
    """Purchases: what a household bought of one item on one day. Arrays of equal length."""

    days: Integers
    """Days since 1970-01-01."""
    units: Integers
    shelf: Floats
    """At shelf prices."""
    paid: Floats
    """After savings."""
    savings: Floats

    @staticmethod
    def empty(size: int) -> "Purchases":
        """Room for some purchases."""
        return Purchases(
            np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size), np.empty(size), np.empty(size)
        )


# Statistics of a pair; NaN where there are too few purchases.
STATISTICS = _record_type(
    [
        ("purchase_count", np.float64),
        ("mean_interval_days", np.float64),
        ("median_interval_days", np.float64),
        ("standard_deviation_days", np.float64),
        ("coefficient_of_variation", np.float64),
        ("trend_slope_days", np.float64),
        ("trend_t", np.float64),
        ("first_day", np.float64),
        ("last_day", np.float64),
        ("total_quantity", np.float64),
        ("total_spend", np.float64),
        ("mean_unit_price", np.float64),
        ("latest_unit_price", np.float64),
        ("median_quantity", np.float64),
        ("paid_unit_price_deviation", np.float64),
    ]
)

# The same in bulk: 64 bytes for each pair.
BULK_STATISTICS = _record_type(
    [
        ("item", np.int32),
        ("purchase_count", np.int32),
        ("first_day", np.int32),
        ("last_day", np.int32),
        ("mean_interval_days", np.float64),
        ("standard_deviation_days", np.float64),
        ("coefficient_of_variation", np.float64),
        ("total_quantity", np.float64),
        ("total_spend", np.float64),
        ("median_interval_days", np.float32),  # whole and half days are exact
    ],
    align=True,
)


def _float_record(*names: str) -> np.dtype[np.void]:
    return _record_type([(name, np.float32) for name in names])


# Features of a series of distinct purchase days: of an item, a type or a category.
INTERVALS = _float_record(
    "count",
    "recency",  # days since the last purchase
    "age",  # days since the first purchase
    "mean_interval",
    "median_interval",
    "sd_interval",
    "last_interval",
    "max_interval",
    "log_mean",  # mean of the logarithms of the intervals
    "log_squares",  # sum of their squared deviations from it
    "in_7",  # purchases in the last 7 days
    "in_14",
    "in_28",
    "in_56",
    "in_84",
    "in_168",
    "decay_7",  # purchases, each halved for every 7 days since
    "decay_14",
    "decay_28",
    "decay_56",
    "decay_112",
    "trend",  # least-squares slope of the intervals over their mean
)

# The same of the days on which the household bought anything.
TRIPS = _float_record("recency", "age", "mean_interval", "in_28", "in_84", "decay_14", "decay_28", "decay_56")

# A pair compared with the other items of its type, or category.
PEERS = _float_record(
    "days_since_last",  # days on which the group was bought since the pair was last
    "share",  # purchases of the pair over those of the group
    "share_decayed",  # both decayed; of types only
    "item_count",
)

# What other households' purchases say of an item, a type or a category.
PRIOR = _float_record(
    "log_interval",  # mean of log days between purchases
    "log_deviation",  # standard deviation of log days, within and between households
    "within_28",  # share of purchases that are followed by another within 28 days
    "within_84",
    "log_rate",  # log of repeat purchases per day since the first
    "repeat_ratio",  # share of buyers who bought more than once
    "promotion_ratio",  # share of purchase days on promotion
    "log_evidence",  # log1p of the buyers behind these figures; 0 where the prior is a fallback
)

# Features of a pair, in the order in which models are fitted on them.
FEATURES = _record_type(
    [
        ("pair", INTERVALS),
        (
            "pair_ends_within_14",
            np.float32,
        ),  # of intervals longer than the recency, those that end within 14 days
        ("pair_ends_within_28", np.float32),
        ("type", INTERVALS),
        ("category", INTERVALS),
        ("trip", TRIPS),
        ("trips_since_last", np.float32),
        ("trip_ratio", np.float32),  # purchases over trips since the first purchase
        ("last_quantity", np.float32),
        ("quantity_ratio", np.float32),  # units of the last purchase over the mean
        ("promotion_ratio", np.float32),
        ("last_on_promotion", np.float32),
        ("log_price", np.float32),
        ("type_peers", PEERS),
        ("category_peers", PEERS),
        ("household_pairs", np.float32),
        ("household_repeat_ratio", np.float32),
        ("household_promotion_ratio", np.float32),
        ("household_items_per_trip", np.float32),
        ("rank_in_basket", np.float32),  # by decayed count, 0 to 1
        ("household_log_ratio", np.float32),  # how much longer this household's intervals are than others', log days
        ("log_interval", np.float32),  # shrunken mean log interval
        ("log_deviation", np.float32),  # shrunken standard deviation of log intervals
        ("due_interval", np.float32),  # days after the last purchase from which the item is overdue
        ("recency_z", np.float32),  # (log recency - log_interval) / log_deviation, constant once the item is overdue
        ("overdue", np.float32),  # log of recency over due_interval, 0 until it is overdue
        (
            "residual_7",
            np.float32,
        ),  # log-normal probability within 7 days, constant once the item is overdue
        ("residual_14", np.float32),
        ("residual_28", np.float32),
        ("residual_56", np.float32),
        ("rate", np.float32),  # shrunken purchases per day
        ("recency_by_mean", np.float32),  # constant once the item is overdue
        ("recency_by_max", np.float32),
        ("decay_ratio", np.float32),
        ("recency_by_median", np.float32),  # constant once the item is overdue
        ("recency_by_last", np.float32),  # constant once the item is overdue
        ("overdue_z", np.float32),  # (log recency - log due_interval) / log_deviation, 0 until the item is overdue
        ("type_log_interval", np.float32),
        ("type_residual_28", np.float32),  # constant once the type is overdue
        ("type_overdue", np.float32),
        ("category_log_interval", np.float32),
        ("category_residual_28", np.float32),  # constant once the category is overdue
        ("category_overdue", np.float32),
        ("trip_recency_by_mean", np.float32),
        ("trips_expected_28", np.float32),
        ("purchases_per_trip", np.float32),  # both decayed
        ("item_prior", PRIOR),
        ("type_prior", PRIOR),
        ("category_prior", PRIOR),
    ]
)


def flat_names(record: np.dtype[np.void]) -> tuple[str, ...]:
    """Names of all numbers of a record; a nested one's name begins with that of its record, without `_peers`."""
    names: list[str] = []
    for name in record.names or ():
        nested = record[name].names
        names += [f"{name.removesuffix('_peers')}_{inner}" for inner in nested] if nested else [name]
    return tuple(names)
