"""What only a file can show: restarts, restored backups, migrations, and broken disks."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from pantree_history.backends.migrations import read_migrations
from pantree_history.backends.sqlite import SqliteStore
from pantree_history.core.history import History
from pantree_history.core.store import Household
from pantree_runtime.errors import ComponentUnavailable, CustomerErased, NotFound, StoreMismatch
from tests.history.conftest import opened
from tests.history.receipts import KEY, Clock, receipt

HOME = Household("north", "4711")


def restore(backup: Path, path: Path) -> None:
    shutil.copy(backup, path)
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def files_in(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


async def test_lines_and_ledger_survive_a_restart(tmp_path: Path, clock: Clock) -> None:
    async with opened(SqliteStore(tmp_path / "history.db"), clock) as history:
        await history.append(HOME, receipt(1, 0, "Milk"))
        await history.erase(Household("north", "gone"))
    async with opened(SqliteStore(tmp_path / "history.db"), clock) as history:
        assert len((await history.lines(HOME)).lines) == 1
        with pytest.raises(CustomerErased):
            await history.append(Household("north", "gone"), receipt(2, 0, "Milk"))


async def test_restored_backup_brings_nobody_back(tmp_path: Path, clock: Clock) -> None:
    path, backup = tmp_path / "history.db", tmp_path / "backup.db"
    async with opened(SqliteStore(path), clock) as history:
        await history.append(HOME, receipt(1, 0, "Milk"))
        await history.append(Household("north", "stays"), receipt(2, 0, "Rice"))
        source = sqlite3.connect(path)
        source.execute("VACUUM INTO ?", (str(backup),))
        source.close()
        clock.advance()
        await history.erase(HOME)
    restore(backup, path)
    store = SqliteStore(path)
    history = History(store, KEY, clock)
    try:
        assert await history.open() == 1
        with pytest.raises(NotFound):
            await history.lines(HOME)
        assert len((await history.lines(Household("north", "stays"))).lines) == 1
    finally:
        await history.close()


async def test_erased_content_is_not_in_the_bytes_of_the_files(tmp_path: Path, clock: Clock) -> None:
    async with opened(SqliteStore(tmp_path / "history.db"), clock) as history:
        await history.append(Household("north", "marker-household"), receipt(1, 0, "marker-item"))
        await history.append(HOME, receipt(2, 0, "Milk"))
        await history.erase(Household("north", "marker-household"))
    assert [name for name, content in files_in(tmp_path).items() if b"marker-" in content] == []


async def test_changed_migration_is_refused_and_a_newer_one_accepted(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "history.db"
    async with opened(SqliteStore(path), clock):
        pass
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO schema_migration VALUES (9999, 'of_the_next_version', 'x')")
    connection.commit()
    async with opened(SqliteStore(path), clock):
        pass
    connection.execute("UPDATE schema_migration SET checksum = 'x' WHERE number = 1")
    connection.commit()
    connection.close()
    store = SqliteStore(path)
    with pytest.raises(StoreMismatch, match="migration 1 "):
        await store.open()
    await store.close()


def test_migrations_are_numbered_without_gaps() -> None:
    assert [one.number for one in read_migrations("sqlite")] == list(range(1, len(read_migrations("sqlite")) + 1))


async def test_full_disk_is_an_error_that_loses_nothing(tmp_path: Path, clock: Clock) -> None:
    async with opened(store := SqliteStore(tmp_path / "history.db"), clock) as history:
        await history.append(HOME, receipt(1, 0, "Milk"))

        def limit(connection: sqlite3.Connection, pages: int) -> None:
            connection.execute(f"PRAGMA max_page_count = {pages}")

        writer = store._writer
        assert writer is not None
        (pages,) = writer.execute("PRAGMA page_count").fetchone()
        limit(writer, pages)
        with pytest.raises(ComponentUnavailable, match="the disk of the history database is full; nothing was stored"):
            await history.append(HOME, [*receipt(2, 0, *(f"item {number} {'x' * 150}" for number in range(500)))])
        assert len((await history.lines(HOME)).lines) == 1
        limit(writer, 1_000_000)
        await history.append(HOME, receipt(2, 0, "Rice"))
        assert len((await history.lines(HOME)).lines) == 2


async def test_unusable_file_is_named_for_operators_only(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "history.db"
    write(path, b"this is no database" * 100)
    store = SqliteStore(path)
    with pytest.raises(ComponentUnavailable) as raised:
        await store.open()
    assert str(path) not in raised.value.message
    assert str(path) in raised.value.remedy
    await store.close()
    assert files_in(tmp_path)["history.db"] == b"this is no database" * 100
