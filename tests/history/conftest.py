import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from pantree_history.backends.sqlite import MEMORY, SqliteStore
from pantree_history.core.history import History
from pantree_history.core.store import HistoryStore
from tests.history.receipts import KEY, Clock

OpenHistory = Callable[[], AbstractAsyncContextManager[History]]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite file", "sqlite memory"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], HistoryStore]:
    """Returns a store of the same database each time; in memory, of a new one."""
    path: Path | str = tmp_path / "history.db" if request.param == "sqlite file" else MEMORY
    return lambda: SqliteStore(path)


@pytest.fixture
async def history(make_store: Callable[[], HistoryStore], clock: Clock) -> AsyncIterator[History]:
    async with opened(make_store(), clock) as history:
        yield history


@contextlib.asynccontextmanager
async def opened(store: HistoryStore, clock: Clock) -> AsyncIterator[History]:
    """A history with an open store."""
    history = History(store, KEY, clock)
    await history.open()
    try:
        yield history
    finally:
        await history.close()
