"""Lays out receipt lines as a table: buckets of whole households, each sorted by household, day and line.

Lines go to one file per bucket first, then each bucket is sorted on its own; so memory holds one bucket, not the table.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc
from pyarrow import dataset, parquet

from pantree_batch.buckets import buckets_of
from pantree_batch.errors import InvalidTable
from pantree_batch.files import checksum, sync_directory, write_json
from pantree_batch.schemas import LINES, REJECTED_LINES
from pantree_domain.limits import MAX_ID_CHARACTERS, MAX_NAME_CHARACTERS, MAX_PRICE, MAX_QUANTITY

TABLE_FILE = "table.json"
MAX_BUCKETS = 4096
_BATCH_LINES = 131_072
_BUFFERED_LINES = 1_000_000
_ROW_GROUP_LINES = 65_536
_LAST_DAY = 84_005  # 2199-12-31
_HALF_A_CENT = 0.005
_INVISIBLE = "[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
_CONTROL_CHARACTER = "[\u0000-\u001f\u007f-\u009f]"
_MAX_ITEM_ID_CHARACTERS = 128
_REQUIRED = ("household", "date", "item")


@dataclass(frozen=True)
class Table:
    """A table that `layout` wrote."""

    directory: Path
    snapshot: str
    """Changes with the content."""
    bucket_count: int
    household_count: int
    line_count: int
    rejected_count: int
    files: tuple[Path | None, ...]
    """By bucket; None for an empty one."""
    household_counts: tuple[int, ...]
    """By bucket."""


def read_table(directory: Path) -> Table:
    """A table that `lay_out` wrote.

    Raises:
        InvalidTable: if the directory holds no complete table.
    """
    try:
        content = json.loads((directory / TABLE_FILE).read_bytes())
    except FileNotFoundError:
        raise InvalidTable(
            f"{directory} is no complete table: it has no {TABLE_FILE}; write it with pantree batch layout"
        ) from None
    files: list[Path | None] = [None] * content["bucket_count"]
    households = [0] * content["bucket_count"]
    for entry in content["files"]:
        file = directory / entry["path"]
        if not file.exists() or file.stat().st_size != entry["bytes"]:
            raise InvalidTable(f"{file} is missing or has another size than {TABLE_FILE} says; lay out the table again")
        files[entry["bucket"]], households[entry["bucket"]] = file, entry["household_count"]
    return Table(
        directory,
        content["snapshot"],
        content["bucket_count"],
        content["household_count"],
        content["line_count"],
        content["rejected_count"],
        tuple(files),
        tuple(households),
    )


def last_date_of(table: Table) -> date:
    """Day of the latest line, from the statistics of the files.

    Raises:
        InvalidTable: if the table has no lines.
    """
    column = LINES.get_field_index("date")
    latest: list[date] = []
    for file in filter(None, table.files):
        metadata = parquet.read_metadata(file)
        latest += [metadata.row_group(group).column(column).statistics.max for group in range(metadata.num_row_groups)]
    if not latest:
        raise InvalidTable(f"{table.directory} has no lines")
    return max(latest)


def lay_out(
    source: Path, directory: Path, bucket_count: int, on_progress: Callable[[int, int], None] = lambda *_: None
) -> Table:
    """Writes the table of some lines.

    Args:
        source: Parquet file, or directory of such files.
        directory: to write; must not exist.
        bucket_count: 1 to `MAX_BUCKETS`.
        on_progress: gets the number of lines so far and of all lines.

    Raises:
        InvalidTable: if the source lacks columns or the directory exists.
        OSError: if a file cannot be read or written.
    """
    if not 1 <= bucket_count <= MAX_BUCKETS:
        raise InvalidTable(f"the number of buckets must be 1 to {MAX_BUCKETS:,}; is {bucket_count:,}")
    if directory.exists():
        raise InvalidTable(f"{directory} exists; name a new directory, or remove this one")
    unfinished = directory.with_name(f".{directory.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    spilled = unfinished / "spilled"
    spilled.mkdir(parents=True)
    try:
        rejected = _Rejected(unfinished / "quarantine.parquet")
        with rejected:
            _spill(source, spilled, bucket_count, rejected, on_progress)
            entries = [entry for bucket in range(bucket_count) if (entry := _sort(unfinished, bucket, rejected))]
        shutil.rmtree(spilled)
        digest = hashlib.sha256(str(bucket_count).encode())
        for entry in entries:
            digest.update(f"{entry['bucket']} {entry['sha256']}\n".encode())
        write_json(
            unfinished / TABLE_FILE,
            {
                "format": 1,
                "hash": "Iceberg bucket transform of household (Murmur3 x86 32-bit of UTF-8)",
                "sorted_by": ["household", "tenant_id", "date", "line_id"],
                "snapshot": digest.hexdigest(),
                "bucket_count": bucket_count,
                "household_count": sum(entry["household_count"] for entry in entries),
                "line_count": sum(entry["line_count"] for entry in entries),
                "rejected_count": rejected.count,
                "rejected": dict(sorted(rejected.reasons.items())),
                "files": entries,
            },
        )
        unfinished.rename(directory)
        sync_directory(directory.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return read_table(directory)


class _Rejected:
    """The lines that are left out, with reasons."""

    def __init__(self, file: Path) -> None:
        self._writer = parquet.ParquetWriter(file, REJECTED_LINES, compression="zstd")
        self.count = 0
        self.reasons: Counter[str] = Counter()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        self._writer.close()

    def add(self, lines: pa.Table) -> None:
        """Adds lines with columns of `REJECTED_LINES`."""
        if lines.num_rows:
            self._writer.write_table(lines.select(REJECTED_LINES.names).cast(REJECTED_LINES))
            self.count += lines.num_rows
            self.reasons.update(lines["reason"].to_pylist())


def _spill(
    source: Path, directory: Path, bucket_count: int, rejected: _Rejected, on_progress: Callable[[int, int], None]
) -> None:
    """Appends each valid line to the file of its bucket."""
    # Only files of the format: a directory may also hold markers of the program that wrote it.
    lines = dataset.dataset(source, format="parquet")
    missing = [name for name in _REQUIRED if name not in lines.schema.names]
    if missing:
        raise InvalidTable(f"{source} lacks the columns {', '.join(missing)}; it has {', '.join(lines.schema.names)}")
    chosen = [name for name in LINES.names if name in lines.schema.names]
    total, done, buffered = lines.count_rows(), 0, 0
    waiting: dict[int, list[pa.RecordBatch]] = {}
    spilled_schema = LINES.append(pa.field("source_row", pa.int64()))
    with ExitStack() as stack:
        writers: dict[int, Any] = {}

        def flush() -> None:
            for bucket, batches in waiting.items():
                if bucket not in writers:
                    stream = stack.enter_context((directory / str(bucket)).open("wb"))
                    writers[bucket] = stack.enter_context(pa.ipc.new_stream(stream, spilled_schema))
                for batch in batches:
                    writers[bucket].write_batch(batch)
            waiting.clear()

        for batch in lines.to_batches(columns=chosen, batch_size=_BATCH_LINES, batch_readahead=1, fragment_readahead=1):
            if not batch.num_rows:
                continue
            columns, reasons = _checked(pa.Table.from_batches([batch]), done)
            bad = pc.is_valid(reasons)
            rejected.add(columns.append_column("reason", reasons).filter(bad))
            good = columns.filter(pc.invert(bad)).combine_chunks()
            if good.num_rows:
                buckets = buckets_of(good["household"].combine_chunks(), bucket_count)
                order = np.argsort(buckets, kind="stable")
                ordered = good.select(spilled_schema.names).cast(spilled_schema).take(pa.array(order))
                numbers, begins = np.unique(buckets[order], return_index=True)
                ends = [*begins[1:].tolist(), len(order)]
                for bucket, begin, end in zip(numbers.tolist(), begins.tolist(), ends, strict=True):
                    waiting.setdefault(bucket, []).extend(ordered.slice(begin, end - begin).to_batches())
            done, buffered = done + batch.num_rows, buffered + batch.num_rows
            if buffered >= _BUFFERED_LINES:
                flush()
                buffered = 0
            on_progress(done, total)
        flush()


def _checked(lines: pa.Table, first_row: int) -> tuple[pa.Table, pa.ChunkedArray]:
    """The lines with the columns of `LINES` and `source_row`, and the reason to reject each; null for valid lines."""
    rows = pa.array(np.arange(first_row, first_row + lines.num_rows))
    count = lines.num_rows

    def column(name: str, default: Any) -> Any:
        if name not in lines.schema.names:
            return pa.array([default] * count) if default is not None else pa.nulls(count, pa.string())
        return lines[name].combine_chunks()

    household, item = _text(column("household", None)), _text(column("item", None))
    tenant, category, item_id = (_text(column(name, "")).fill_null("") for name in ("tenant_id", "category", "item_id"))
    currency = _text(column("currency_code", None))
    days = _days(column("date", None))
    line_id = column("line_id", None)
    line_ids = rows if line_id.type == pa.string() and line_id.null_count == count else _integers(line_id)
    quantity = _integers(column("quantity", 1))
    if "quantity" not in lines.schema.names:
        quantity = pa.array(np.ones(count, np.int64))
    price, saving = (_numbers(column(name, 0.0)).fill_null(0.0) for name in ("price", "saving"))
    full = pc.add(pc.multiply(price, pc.fill_null(quantity, 0).cast(pa.float64())), _HALF_A_CENT)
    day_numbers = days.cast(pa.int32())
    checks: list[tuple[str, Any]] = [
        ("MISSING_HOUSEHOLD", pc.equal(pc.fill_null(pc.utf8_trim_whitespace(household), ""), "")),
        ("INVALID_HOUSEHOLD", _is_invalid_text(household, MAX_ID_CHARACTERS, _INVISIBLE)),
        ("INVALID_TENANT", _is_invalid_text(tenant, MAX_ID_CHARACTERS, _INVISIBLE)),
        ("INVALID_LINE_ID", pc.is_null(line_ids)),
        ("INVALID_DATE", pc.invert(pc.fill_null(_within(day_numbers, 0, _LAST_DAY), False))),
        ("MISSING_ITEM", pc.equal(pc.fill_null(pc.utf8_trim_whitespace(item), ""), "")),
        ("INVALID_ITEM", _is_invalid_text(item, MAX_NAME_CHARACTERS, _CONTROL_CHARACTER)),
        ("INVALID_CATEGORY", _is_invalid_text(category, MAX_NAME_CHARACTERS, _CONTROL_CHARACTER)),
        ("INVALID_ITEM_ID", _is_invalid_text(item_id, _MAX_ITEM_ID_CHARACTERS, _CONTROL_CHARACTER)),
        ("INVALID_QUANTITY", pc.invert(pc.fill_null(_within(quantity, 1, MAX_QUANTITY), False))),
        ("INVALID_PRICE", pc.invert(_within(price, 0.0, MAX_PRICE))),
        ("INVALID_SAVING", pc.invert(pc.and_(pc.greater_equal(saving, 0.0), pc.is_finite(saving)))),
        ("SAVING_ABOVE_PRICE", pc.greater(saving, full)),
        ("INVALID_CURRENCY", pc.fill_null(pc.invert(pc.match_substring_regex(currency, "^[A-Z]{3}$")), False)),
    ]
    reasons = np.full(count, None, dtype=object)
    for reason, mask in reversed(checks):
        reasons[pc.fill_null(mask, False).to_numpy(zero_copy_only=False).astype(bool)] = reason
    columns = pa.table(
        {
            "tenant_id": tenant,
            "household": household,
            "line_id": line_ids,
            "date": days,
            "item": item,
            "item_id": item_id,
            "category": category,
            "quantity": quantity,
            "price": price,
            "saving": saving,
            "currency_code": currency,
            "source_row": rows,
        }
    )
    return columns, pa.chunked_array([pa.array(reasons.tolist(), pa.string())])


def _text(values: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values.cast(pa.string())


def _within(values: pa.Array, low: float, high: float) -> pa.Array:
    return pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high))


def _is_invalid_text(values: pa.Array, max_characters: int, pattern: str) -> pa.Array:
    return pc.or_(pc.greater(pc.utf8_length(values), max_characters), pc.match_substring_regex(values, pattern))


def _days(values: pa.Array) -> pa.Array:
    """date32[n]; null where a text is no ISO 8601 day."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        parsed = pc.strptime(values.cast(pa.string()), format="%Y-%m-%d", unit="s", error_is_null=True)
        return parsed.cast(pa.date32())
    return values.cast(pa.date32(), safe=False)


def _integers(values: pa.Array) -> pa.Array:
    """int64[n]; null where a value is no whole number."""
    if pa.types.is_integer(values.type):
        return values.cast(pa.int64(), safe=False)
    numbers = _numbers(values)
    whole = pc.and_(pc.is_finite(numbers), pc.equal(pc.floor(numbers), numbers))
    fits = pc.and_(whole, pc.less(pc.abs(numbers), 2.0**53))
    return pc.if_else(pc.fill_null(fits, False), numbers, None).cast(pa.int64())


def _numbers(values: pa.Array) -> pa.Array:
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_decimal(values.type)):
        raise InvalidTable(f"quantity, price, saving and line_id must be numbers; one is {values.type}")
    return values.cast(pa.float64())


def _sort(directory: Path, bucket: int, rejected: _Rejected) -> dict[str, Any] | None:
    """Writes a bucket's lines in order, without those that come twice; its entry in the table's file."""
    spilled = directory / "spilled" / str(bucket)
    if not spilled.exists():
        return None
    with spilled.open("rb") as stream:
        lines = pa.ipc.open_stream(stream).read_all()
    spilled.unlink()
    keys = ("household", "tenant_id", "date", "line_id", "source_row")
    lines = lines.sort_by([(key, "ascending") for key in keys]).combine_chunks()
    # The same line of the same day, delivered twice.
    again = np.zeros(lines.num_rows, bool)
    again[1:] = True
    new_household = np.ones(lines.num_rows, bool)
    for key in keys[:4]:
        values = lines[key].combine_chunks()
        same = pc.equal(values.slice(1), values.slice(0, len(values) - 1)).to_numpy(zero_copy_only=False)
        again[1:] &= same
        if key == "household":
            new_household[1:] = ~same
        elif key == "tenant_id":
            new_household[1:] |= ~same
    if again.any():
        duplicates = lines.filter(pa.array(again))
        reasons = pa.array(["DUPLICATE_LINE"] * duplicates.num_rows)
        rejected.add(duplicates.append_column("reason", reasons))
        lines, new_household = lines.filter(pa.array(~again)), new_household[~again]
    target = directory / f"bucket={bucket:05}" / "lines.parquet"
    target.parent.mkdir()
    parquet.write_table(lines.select(LINES.names), target, compression="zstd", row_group_size=_ROW_GROUP_LINES)
    return {
        "bucket": bucket,
        "path": str(target.relative_to(directory)),
        "bytes": target.stat().st_size,
        "sha256": checksum(target),
        "household_count": int(new_household.sum()),
        "line_count": lines.num_rows,
    }


def batches_of(file: Path | None, batch_lines: int = _ROW_GROUP_LINES) -> Iterator[pa.RecordBatch]:
    """Lines of a bucket in order, read a row group at a time."""
    if file is None:
        return
    with parquet.ParquetFile(file) as opened:
        yield from opened.iter_batches(batch_size=batch_lines, columns=LINES.names)
