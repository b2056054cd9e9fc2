"""Reads purchases from Arrow tables and Parquet files, and writes statistics to them; needs pyarrow.

The columns are those that `pantree simulate` writes: `household` (whole numbers or text), `date`, `item`, `quantity`,
`price` (shelf price of one unit) and `saving` (on the whole line); `category` and `type` of the item are optional.
Other columns are ignored.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pantree_frequency.core.bulk_statistics import BulkStatistics
from pantree_frequency.core.histories import Histories
from pantree_runtime.errors import FieldViolation, InvalidInput

if TYPE_CHECKING:
    from pyarrow import ChunkedArray, DataType, Table

NEEDED = ("household", "date", "item", "quantity", "price", "saving")
OPTIONAL = ("category", "type")
_INTERVALS = ("mean_interval_days", "median_interval_days", "standard_deviation_days", "coefficient_of_variation")


@dataclass(frozen=True, eq=False)
class BulkPurchases:
    """The purchases of many households, and the names of the households."""

    histories: Histories
    household_names: tuple[str, ...] | None
    """Name of each number in `histories.household_ids`; None if the numbers are the names."""


def read_purchases(file: Path) -> BulkPurchases:
    """The purchases in a Parquet file, lines in any order.

    Raises:
        InvalidInput: if a column is missing, has another type, or holds an invalid value.
        OSError: if the file cannot be read.
    """
    from pyarrow import parquet

    present = parquet.read_schema(file).names
    return purchases_of(parquet.read_table(file, columns=[name for name in (*NEEDED, *OPTIONAL) if name in present]))


def purchases_of(table: "Table") -> BulkPurchases:
    """The purchases in an Arrow table, lines in any order.

    Raises:
        InvalidInput: if a column is missing, has another type, or holds an invalid value.
    """
    import pyarrow as pa

    missing = [name for name in NEEDED if name not in table.column_names]
    if missing:
        raise InvalidInput([FieldViolation(name, "is required") for name in missing])
    gaps = [name for name in (*NEEDED, *OPTIONAL) if name in table.column_names and table[name].null_count]
    if gaps:
        raise InvalidInput(
            [FieldViolation(name, f"has {table[name].null_count} nulls; every value is required") for name in gaps]
        )
    household_names = None
    if pa.types.is_integer(table["household"].type):
        households = _numbers(table, "household", pa.int64())
    else:
        households, household_names = _codes(table, "household")
    items, item_names = _codes(table, "item")
    quantities = _numbers(table, "quantity", pa.int32())
    prices, savings = _numbers(table, "price", pa.float64()), _numbers(table, "saving", pa.float64())
    days = _numbers(table, "date", pa.date32()).astype(np.int32)
    violations = [
        FieldViolation(name, f"{what}; row {int(np.argmax(wrong))} is invalid")
        for name, what, wrong in (
            ("date", "must be from 1970-01-01 to 2328-11-09", (days < 0) | (days >= 1 << 17)),
            ("quantity", "must be at least 1", quantities < 1),
            ("price", "must be a number of at least 0", ~((prices >= 0) & np.isfinite(prices))),
            ("saving", "must be a number of at least 0", ~((savings >= 0) & np.isfinite(savings))),
        )
        if wrong.any()
    ]
    if violations:
        raise InvalidInput(violations)
    groups = {name: _of_items(table, name, items, len(item_names)) for name in OPTIONAL}
    histories = Histories.of_lines(
        households=households,
        item_names=item_names,
        item_types=groups["type"],
        item_categories=groups["category"],
        item_indices=items,
        days=days,
        quantities=quantities,
        prices=prices,
        savings=savings,
    )
    return BulkPurchases(histories, household_names)


def table_of(purchases: BulkPurchases, statistics: BulkStatistics) -> "Table":
    """The statistics as an Arrow table, one row per pair; unknown values are null."""
    import pyarrow as pa

    histories = purchases.histories
    households: Any = pa.array(np.repeat(histories.household_ids, statistics.pair_counts))
    if purchases.household_names is not None:
        households = pa.DictionaryArray.from_arrays(households.cast(pa.int32()), list(purchases.household_names))
    return pa.table(
        {
            "household": households,
            "item": pa.DictionaryArray.from_arrays(pa.array(statistics["item"]), list(histories.item_names)),
            "purchase_count": statistics["purchase_count"],
            **{name: pa.array(statistics[name], from_pandas=True) for name in _INTERVALS},
            "first_date": pa.array(statistics["first_day"]).cast(pa.date32()),
            "last_date": pa.array(statistics["last_day"]).cast(pa.date32()),
            "total_quantity": statistics["total_quantity"].astype(np.int64),
            "total_spend": statistics["total_spend"],
        }
    )


def _numbers(table: "Table", name: str, kind: "DataType") -> NDArray[Any]:
    import pyarrow as pa

    try:
        column = table[name].cast(kind)
        if pa.types.is_date32(kind):
            column = column.cast(pa.int32())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InvalidInput([FieldViolation(name, f"must be {kind}: {error}")]) from None
    return np.asarray(column.to_numpy())


def _codes(table: "Table", name: str) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """A number for each line's text, and the texts that occur, ascending: independent of the order of lines."""
    import pyarrow as pa
    from pyarrow import compute

    try:
        column: ChunkedArray = table[name]
        if not pa.types.is_dictionary(column.type):
            column = column.cast(pa.string()).dictionary_encode()
        encoded = column.unify_dictionaries().combine_chunks()
        if isinstance(encoded, pa.ChunkedArray):  # no rows at all
            return np.zeros(0, np.int32), ()
        texts = encoded.dictionary.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InvalidInput([FieldViolation(name, f"must be text: {error}")]) from None
    indices = encoded.indices.cast(pa.int32()).to_numpy()
    occurs = np.zeros(len(texts), np.bool_)
    occurs[indices] = True
    occurring = texts.filter(occurs)
    places = np.empty(len(texts), np.int32)
    places[occurs] = compute.rank(occurring, tiebreaker="dense").to_numpy() - 1
    return places[indices], tuple(occurring.unique().sort().to_pylist())


def _of_items(table: "Table", name: str, items: NDArray[np.int32], item_count: int) -> tuple[str, ...]:
    """The group of each item, of several the one that sorts first; empty if the column is missing."""
    if name not in table.column_names:
        return ("",) * item_count
    codes, texts = _codes(table, name)
    unknown = np.int32(len(texts))
    if "" in texts:
        codes[codes == texts.index("")] = unknown
    group = np.full(item_count, unknown, np.int32)
    np.minimum.at(group, items, codes)
    return tuple((*texts, "")[code] for code in group.tolist())
