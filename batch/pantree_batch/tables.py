"""Writes what scoring returns as three Parquet files whose bytes don't depend on how it was divided into batches."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
from pyarrow import compute as pc
from pyarrow import parquet

from pantree_batch.files import checksum
from pantree_batch.schemas import RunTables

_ROW_GROUP_ROWS = 10_000


@dataclass(frozen=True)
class WrittenFile:
    """A file of a run."""

    table: str
    bucket: int
    row_count: int
    bytes: int
    sha256: str


class _RowGroups:
    """Writes a table in row groups of equal size."""

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self._writer = parquet.ParquetWriter(file, schema, compression="zstd")
        self._waiting = schema.empty_table()
        self._schema = schema
        self.row_count = 0

    def add(self, rows: pa.Table) -> None:
        self._waiting = pa.concat_tables([self._waiting, rows.cast(self._schema)])
        while self._waiting.num_rows >= _ROW_GROUP_ROWS:
            self._write(_ROW_GROUP_ROWS)

    def close(self) -> None:
        if self._waiting.num_rows:
            self._write(self._waiting.num_rows)
        self._writer.close()

    def _write(self, count: int) -> None:
        # Equal arrays, without what slices keep of others, give equal bytes.
        group = self._waiting.slice(0, count).combine_chunks()
        self._writer.write_table(group, row_group_size=count)
        self._waiting = self._waiting.slice(count)
        self.row_count += count


class BucketWriter:
    """Writes the files of one bucket below a directory, one for each table."""

    def __init__(self, directory: Path, bucket: int, tables: RunTables) -> None:
        self._bucket = bucket
        self._tables = tables
        self._files = {table: directory / table / f"{bucket:05}.parquet" for table in tables.schemas}
        for file in self._files.values():
            # No parents: a stale process must not recreate a directory that was removed.
            file.parent.mkdir(exist_ok=True)
        self._groups = {table: _RowGroups(self._files[table], schema) for table, schema in tables.schemas.items()}
        self.models: set[tuple[str, str]] = set()

    def __enter__(self) -> "BucketWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for groups in self._groups.values():
            groups.close()

    def add(self, scored: pa.RecordBatch) -> None:
        """Adds rows of a method."""
        for table, rows in tables_of(scored, self._tables).items():
            self._groups[table].add(rows)
        fields = self._tables.households_schema.names
        for kind in ("model", "confidence_model"):
            if f"{kind}_name" not in fields:
                continue
            names = (pc.struct_field(scored["result"], f"{kind}_{part}").to_pylist() for part in ("name", "version"))
            self.models |= {model for model in zip(*names, strict=True) if model[0] is not None}

    def written(self) -> list[WrittenFile]:
        """The files, after the writer is closed."""
        return [
            WrittenFile(table, self._bucket, self._groups[table].row_count, file.stat().st_size, checksum(file))
            for table, file in self._files.items()
        ]


def tables_of(rows: pa.RecordBatch, tables: RunTables) -> dict[str, pa.Table]:
    """The rows of each table, given rows of a method."""
    run = {name: rows[name] for name in ("run_id", "tenant_id", "household")}
    has_result = pc.is_valid(rows["result"])
    result = _fields(rows["result"])
    parents = pc.list_parent_indices(rows[tables.details])
    names = tables.details_schema.names
    of_household = {**run, **{name: result[name] for name in names if name in result and name not in run}}
    details = _fields(pc.list_flatten(rows[tables.details]))
    own = {name: values.take(parents) for name, values in of_household.items() if name not in details}
    rejected = pa.table(run | _fields(rows["rejected"])).filter(pc.invert(has_result))
    return {
        tables.details: pa.table({name: (own | details)[name] for name in names}),
        "households": pa.table(run | result).filter(has_result).select(tables.households_schema.names),
        "quarantine": rejected.select(tables.schemas["quarantine"].names),
    }


def _fields(structs: Any) -> dict[str, Any]:
    names = [structs.type.field(at).name for at in range(structs.type.num_fields)]
    return {name: pc.struct_field(structs, name) for name in names}


def rows_of(files: Iterable[Path]) -> list[dict[str, Any]]:
    """All rows of some files."""
    return [row for file in files for row in parquet.read_table(file).to_pylist()]
