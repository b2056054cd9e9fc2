"""Calls that wait for each other in PostgreSQL: what they do once they go on."""

import asyncio
from collections.abc import AsyncIterator

import pytest

pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'pantree[history]'")

import psycopg

from pantree_history.backends.postgresql import PostgresqlStore
from pantree_history.core.history import History
from pantree_history.core.store import Household
from pantree_runtime.errors import CustomerErased, NotFound
from tests.history.conftest import opened
from tests.history.receipts import Clock, receipt
from tests.history.waiting import until_waiting

HOME = Household("north", "4711")


@pytest.fixture
async def history(database_url: str, clock: Clock) -> AsyncIterator[History]:
    async with opened(PostgresqlStore(database_url), clock) as history:
        yield history


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """A connection within a transaction, which sees all tenants."""
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        yield connection


@pytest.mark.parametrize("lines", [1, 600])
async def test_new_customer_erased_while_an_append_waits_for_the_tenant_is_not_stored(
    lines: int, history: History, other: psycopg.AsyncConnection, database_url: str
) -> None:
    await other.execute("INSERT INTO tenant VALUES ('north')")
    append = asyncio.create_task(history.append(HOME, receipt(1, 0, *["Milk"] * lines)))
    await until_waiting(database_url)
    await history.erase(HOME)
    await other.commit()
    with pytest.raises(CustomerErased):
        await append
    with pytest.raises(NotFound):
        await history.lines(HOME)


async def test_consent_that_waits_for_the_tenant_does_not_hinder_an_erasure(
    history: History, other: psycopg.AsyncConnection, database_url: str, clock: Clock
) -> None:
    await history.erase(HOME)
    clock.advance(days=1)
    await other.execute("INSERT INTO tenant VALUES ('north')")
    append = asyncio.create_task(history.append(HOME, receipt(1, 5, "Milk"), consent=True))
    await until_waiting(database_url)
    async with asyncio.timeout(5):
        await history.erase(HOME)
    await other.commit()
    await append
    assert len((await history.lines(HOME)).lines) == 1


async def test_cancelled_call_ends_as_cancelled_and_its_connection_is_used_again(
    history: History, other: psycopg.AsyncConnection, database_url: str
) -> None:
    await history.append(HOME, receipt(1, 0, "Milk"))
    await other.execute("SELECT FROM household FOR UPDATE")
    append = asyncio.create_task(history.append(HOME, receipt(2, 0, "Rice")))
    await until_waiting(database_url)
    append.cancel()
    with pytest.raises(asyncio.CancelledError):
        await append
    await other.rollback()
    assert (await history.append(HOME, receipt(2, 0, "Rice"))).added == 1


async def test_correction_that_waits_for_a_merge_changes_the_lines_that_it_moved(
    history: History, other: psycopg.AsyncConnection, database_url: str
) -> None:
    await history.append(Household("north", "a"), receipt(1, 0, "Milk"))
    await history.append(Household("north", "b"), receipt(2, 0, "Rice"))
    await other.execute("SELECT FROM household WHERE household_id = 'b' FOR UPDATE")
    merge = asyncio.create_task(history.merge(Household("north", "b"), "a", "clerk"))
    await until_waiting(database_url)
    correct = asyncio.create_task(history.correct(Household("north", "a"), receipt(1, 0, "Oat milk"), []))
    await until_waiting(database_url, 2)
    await other.rollback()
    await merge
    await correct
    assert [one.name for one in (await history.lines(Household("north", "b"))).lines] == ["Oat milk", "Rice"]
