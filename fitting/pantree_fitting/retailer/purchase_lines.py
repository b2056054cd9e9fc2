"""A retailer's purchase lines, from a Parquet or CSV file, as histories."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pantree_domain.item_key import item_key
from pantree_frequency.core.histories import Histories

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "household": ("household", "household_id", "customer", "customer_id"),
    "date": ("date", "day", "purchase_date"),
    "item": ("item", "name", "product", "item_name", "product_id"),
    "quantity": ("quantity", "qty"),
    "price": ("price", "unit_price"),
    "saving": ("saving", "savings", "discount"),
    "category": ("category", "product_category"),
    "type": ("type", "product_type"),
}
"""The columns, with the names that they may have. The first three are required."""
REQUIRED = ("household", "date", "item")
_MAX_DAY = 84_005  # 2199-12-31, the last day of the contract


class InvalidPurchases(ValueError):
    """A file has no usable purchases. The message says why."""


@dataclass(frozen=True, eq=False)
class PurchaseLines:
    """Purchases of many households."""

    histories: Histories
    digest: str
    """SHA-256 of the purchases; the order of the lines does not matter."""
    omitted_count: int
    """Lines that were left out, since their quantity is below 1."""

    @property
    def first_day(self) -> int:
        """Day of the earliest purchase, days since 1970-01-01."""
        return int(self.histories.lines["day"].min())

    @property
    def last_day(self) -> int:
        """Day of the latest purchase, days since 1970-01-01."""
        return int(self.histories.lines["day"].max())


def read_purchases(path: Path) -> PurchaseLines:
    """The purchases of a Parquet or CSV file.

    Raises:
        InvalidPurchases: when the file cannot be read, or a column is missing or has unusable values.
    """
    import pyarrow as pa
    from pyarrow import csv, parquet

    try:
        table = csv.read_csv(path) if path.suffix.lower() == ".csv" else parquet.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise InvalidPurchases(f"{path} cannot be read: {error}") from error
    header = {name.strip().lower(): name for name in table.column_names}
    found = {
        column: table.column(header[alias])
        for column, aliases in COLUMNS.items()
        if (alias := next((alias for alias in aliases if alias in header), None)) is not None
    }
    if missing := [column for column in REQUIRED if column not in found]:
        raise InvalidPurchases(
            f"{path} must have the columns {', '.join(REQUIRED)} (and optionally "
            f"{', '.join(name for name in COLUMNS if name not in REQUIRED)}); lacks {', '.join(missing)}"
        )
    if not len(table):
        raise InvalidPurchases(f"{path} has no purchases")
    for column in REQUIRED:
        if found[column].null_count:
            raise InvalidPurchases(f"{column} must not be empty; is empty in {found[column].null_count:,} lines")
    return _lines_of(found)


def _lines_of(columns: Mapping[str, Any]) -> PurchaseLines:
    count = len(columns["item"])
    households = _household_ids(columns["household"])
    days = _days(columns["date"])
    quantities = _numbers(columns, "quantity", count, 1.0)
    prices = _numbers(columns, "price", count, 0.0)
    savings = np.clip(_numbers(columns, "saving", count, 0.0), 0.0, np.maximum(prices * quantities, 0.0))
    names, items = _texts(columns["item"])
    if np.any(prices < 0):
        raise InvalidPurchases(f"price must be at least 0; is below in {int(np.sum(prices < 0)):,} lines")
    if any(not name for name in names):
        raise InvalidPurchases("item must not be blank")
    kept = quantities >= 1
    if not kept.any():
        raise InvalidPurchases("no line has a quantity of at least 1")
    types = _group_of_items(columns, "type", items, len(names), kept)
    categories = _group_of_items(columns, "category", items, len(names), kept)
    units = np.minimum(np.floor(quantities), 10_000).astype(np.int32)
    # In one order, whatever that of the file, so that equal purchases result in equal models.
    order = np.lexsort((savings[kept], prices[kept], units[kept], items[kept], days[kept], households[kept]))
    arrays = [array[kept][order] for array in (households, days, items, units, prices, savings)]
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update("\0".join([*names, *types, *categories]).encode())
    histories = Histories.of_lines(
        households=arrays[0], item_names=names, item_types=types, item_categories=categories,
        item_indices=arrays[2].astype(np.int32), days=arrays[1], quantities=arrays[3], prices=arrays[4],
        savings=arrays[5],
    )  # fmt: skip
    return PurchaseLines(histories, digest.hexdigest(), int(np.sum(~kept)))


def _household_ids(column: Any) -> NDArray[np.int64]:
    """Whole numbers as they are; other ids by their hash."""
    import pyarrow as pa

    if pa.types.is_integer(column.type):
        return np.asarray(column.to_numpy(), np.int64)
    texts, codes = _distinct(column)
    ids = np.array([int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1 for text in texts], np.int64)
    if len(np.unique(ids)) < len(ids):
        raise InvalidPurchases("two households have the same hash; use numbers as ids")
    return ids[codes]


def _days(column: Any) -> NDArray[np.int32]:
    """int32[n], days since 1970-01-01."""
    import pyarrow as pa
    from pyarrow import compute

    try:
        if pa.types.is_integer(column.type):
            days = column.to_numpy().astype(np.int64)
        else:
            if pa.types.is_dictionary(column.type):
                column = column.cast(column.type.value_type)
            if not pa.types.is_date(column.type) and not pa.types.is_timestamp(column.type):
                column = compute.strptime(compute.utf8_slice_codeunits(column, 0, 10), format="%Y-%m-%d", unit="s")
            elif pa.types.is_timestamp(column.type) and column.type.tz is not None:
                column = compute.local_timestamp(column)
            days = column.cast(pa.date32(), safe=False).cast(pa.int32()).to_numpy().astype(np.int64)
    except pa.ArrowException as error:
        raise InvalidPurchases(f"date must be calendar days such as 2026-05-22: {error}") from error
    if days.min() < 0 or days.max() > _MAX_DAY:
        raise InvalidPurchases("date must be from 1970-01-01 to 2199-12-31")
    return np.asarray(days, np.int32)


def _numbers(columns: Mapping[str, Any], name: str, count: int, default: float) -> NDArray[np.float64]:
    import pyarrow as pa
    from pyarrow import compute

    if name not in columns:
        return np.full(count, default)
    try:
        values = compute.fill_null(columns[name].cast(pa.float64(), safe=False), default).to_numpy()
    except pa.ArrowException as error:
        raise InvalidPurchases(f"{name} must be numbers: {error}") from error
    if not np.isfinite(values).all():
        raise InvalidPurchases(f"{name} must be finite numbers")
    return np.asarray(values, np.float64)


def _distinct(column: Any) -> tuple[list[str], NDArray[np.int64]]:
    """Distinct values as texts, in order, and the position of each line's."""
    import pyarrow as pa
    from pyarrow import compute

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    texts = compute.fill_null(column.cast(pa.string()), "").combine_chunks()
    encoded = texts.dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    values = encoded.dictionary.to_pylist()
    order = sorted(range(len(values)), key=values.__getitem__)
    positions = np.empty(len(values), np.int64)
    positions[order] = np.arange(len(values))
    return [values[entry] for entry in order], positions[encoded.indices.to_numpy()]


def _texts(column: Any) -> tuple[list[str], NDArray[np.int64]]:
    """Items, one for all spellings of a name, and the position of each line's."""
    spellings, codes = _distinct(column)
    positions: dict[str, int] = {}
    names: list[str] = []
    of_spelling = np.empty(len(spellings), np.int64)
    for position, spelling in enumerate(spellings):
        key = item_key(spelling)
        if key not in positions:
            positions[key] = len(names)
            names.append(" ".join(spelling.split())[:200])
        of_spelling[position] = positions[key]
    return names, of_spelling[codes]


def _group_of_items(
    columns: Mapping[str, Any], name: str, items: NDArray[np.int64], item_count: int, kept: NDArray[np.bool_]
) -> list[str]:
    """The most frequent group of each item; of equally frequent ones, the one that sorts first."""
    if name not in columns:
        return [""] * item_count
    texts, codes = _distinct(columns[name])
    groups = [""] * item_count
    pairs, counts = np.unique(items[kept] * len(texts) + codes[kept], return_counts=True)
    # The most frequent group of an item comes last.
    for pair in pairs[np.lexsort((-pairs, counts))].tolist():
        item, code = divmod(pair, len(texts))
        groups[item] = texts[code].strip() or groups[item]
    return groups


def grouped(histories: Histories, groups: Sequence[str], categories: Sequence[str] | None = None) -> Histories:
    """The histories with groups, such as types, as items; lines of items without a group are left out.

    Args:
        histories: of many households.
        groups: for each item.
        categories: category of each item; None for none.
    """
    names = sorted({group for group in groups if group})
    position = {name: number for number, name in enumerate(names)}
    of_item = np.array([position.get(group, -1) for group in groups], np.int32)
    lines = histories.lines.copy()
    lines["item"] = of_item[lines["item"]]
    kept = lines["item"] >= 0
    sizes = np.diff(histories.household_starts)
    owner = np.repeat(np.arange(histories.household_count), sizes)[kept]
    counts = np.bincount(owner, minlength=histories.household_count)
    of_group: dict[str, str] = {}
    for group, category in zip(groups, categories or [""] * len(groups), strict=True):
        of_group.setdefault(group, category)
    occupied = counts > 0
    return dataclasses.replace(
        histories,
        household_ids=histories.household_ids[occupied],
        household_starts=np.concatenate([[0], np.cumsum(counts[occupied])]).astype(np.int64),
        item_names=tuple(names),
        item_types=("",) * len(names),
        item_categories=tuple(of_group[name] for name in names),
        lines=lines[kept],
    )


def households_where(histories: Histories, wanted: Callable[[int], bool]) -> Histories:
    """The histories of some households, by their ids."""
    return histories.only(np.array([wanted(int(id_)) for id_ in histories.household_ids], bool))


__all__ = ["COLUMNS", "InvalidPurchases", "PurchaseLines", "grouped", "households_where", "read_purchases"]
