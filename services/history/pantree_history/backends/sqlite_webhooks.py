"""Webhooks in the SQLite file of the purchases."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pantree_history.backends.sqlite_subscriptions import Run
from pantree_history.backends.webhook_scripts import Database, Script, Statement, Syntax, run_steps

ResultT = TypeVar("ResultT")


class SqliteWebhooks(Database):
    """Runs scripts.

    Args:
        read: runs a function that only reads.
        write: runs a function that may write; one at a time.
    """

    syntax = Syntax(skip_locked="", register="", lock="", unregister="")

    def __init__(self, read: Run, write: Run) -> None:
        self._read = read
        self._write = write

    async def run(self, tenant_id: str, script: Callable[[], Script[ResultT]], *, write: bool = True) -> ResultT:
        def work(connection: sqlite3.Connection) -> ResultT:
            return run_steps(script(), lambda one: execute(connection, one))

        return await (self._write if write else self._read)(work)

    async def tenants(self) -> Sequence[str]:
        def work(connection: sqlite3.Connection) -> Sequence[str]:
            return [one for (one,) in connection.execute("SELECT DISTINCT tenant_id FROM webhook ORDER BY tenant_id")]

        return await self._read(work)


def execute(connection: sqlite3.Connection, statement: Statement) -> list[Any]:
    """The rows of a statement."""
    return connection.execute(statement.sql, statement.values).fetchall()
