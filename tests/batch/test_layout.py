import random
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import dataset, parquet

from pantree_batch.buckets import buckets_of
from pantree_batch.errors import InvalidTable
from pantree_batch.layout import lay_out, read_table
from tests.batch.populations import lines_of, population, write


def test_buckets_hold_whole_households_in_order(tmp_path: Path) -> None:
    lines = population(30)
    random.Random(1).shuffle(lines)
    written = lay_out(write(tmp_path / "in.parquet", lines), tmp_path / "table", 4)
    assert (written.household_count, written.line_count, written.rejected_count) == (30, len(lines), 0)
    assert written == read_table(tmp_path / "table")
    found = []
    for bucket, file in enumerate(written.files):
        assert file is not None
        rows = parquet.ParquetFile(file).read().to_pylist()
        assert rows == sorted(rows, key=lambda row: (row["household"], row["date"], row["line_id"]))
        assert set(buckets_of(pa.array([row["household"] for row in rows]), 4).tolist()) == {bucket}
        found += [(row["household"], row["date"], row["item"], row["price"]) for row in rows]
    assert sorted(found) == sorted((line["household"], line["date"], line["item"], line["price"]) for line in lines)


def test_snapshot_depends_on_the_lines_only(tmp_path: Path) -> None:
    lines = [{**line, "line_id": at} for at, line in enumerate(population(6))]
    first = lay_out(write(tmp_path / "a.parquet", lines), tmp_path / "a", 2)
    assert lay_out(write(tmp_path / "b.parquet", lines[::-1]), tmp_path / "b", 2).snapshot == first.snapshot
    assert lay_out(write(tmp_path / "c.parquet", lines[1:]), tmp_path / "c", 2).snapshot != first.snapshot


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"household": None}, "MISSING_HOUSEHOLD"),
        ({"household": "  "}, "MISSING_HOUSEHOLD"),
        ({"household": "h\u200b1"}, "INVALID_HOUSEHOLD"),
        ({"household": "h" * 129}, "INVALID_HOUSEHOLD"),
        ({"date": None}, "INVALID_DATE"),
        ({"date": date(1969, 12, 31)}, "INVALID_DATE"),
        ({"item": ""}, "MISSING_ITEM"),
        ({"item": "Milk\x07"}, "INVALID_ITEM"),
        ({"quantity": 0}, "INVALID_QUANTITY"),
        ({"quantity": None}, "INVALID_QUANTITY"),
        ({"price": -1.0}, "INVALID_PRICE"),
        ({"price": float("nan")}, "INVALID_PRICE"),
        ({"saving": float("inf")}, "INVALID_SAVING"),
        ({"saving": 99.0}, "SAVING_ABOVE_PRICE"),
        ({"currency_code": "usd"}, "INVALID_CURRENCY"),
        ({"line_id": 1}, "DUPLICATE_LINE"),
    ],
)
def test_invalid_line_is_left_out_with_its_reason(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    lines = [{**line, "line_id": at, "currency_code": "USD"} for at, line in enumerate(lines_of("h1"), start=1)]
    lines.append({**lines[0], "line_id": 1000, **change})
    written = lay_out(write(tmp_path / "in.parquet", lines), tmp_path / "table", 2)
    rejected = parquet.read_table(tmp_path / "table" / "quarantine.parquet").to_pylist()
    assert [(row["reason"], row["source_row"]) for row in rejected] == [(reason, len(lines) - 1)]
    assert (written.line_count, written.rejected_count) == (len(lines) - 1, 1)


def test_columns_of_other_types_are_understood(tmp_path: Path) -> None:
    lines = [{**line, "household": 7, "date": line["date"].isoformat()} for line in lines_of("")]
    lines[3]["date"] = "yesterday"
    written = lay_out(
        write(tmp_path / "in.parquet", lines, item=pa.dictionary(pa.int32(), pa.string()), quantity=pa.float64()),
        tmp_path / "table",
        3,
    )
    assert (written.household_count, written.rejected_count) == (1, 1)
    rows = dataset.dataset([str(file) for file in written.files if file]).to_table().to_pylist()
    assert {row["household"] for row in rows} == {"7"}


def test_missing_columns_are_named(tmp_path: Path) -> None:
    lines = [{"household": "h1", "date": date(2026, 1, 1)}]
    with pytest.raises(InvalidTable, match="lacks the columns item"):
        lay_out(write(tmp_path / "in.parquet", lines), tmp_path / "table", 2)
    assert not (tmp_path / "table").exists()
    assert [file.name for file in tmp_path.iterdir()] == ["in.parquet"]


def test_incomplete_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidTable, match="is no complete table"):
        read_table(tmp_path)
