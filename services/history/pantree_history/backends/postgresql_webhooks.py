"""Webhooks in the PostgreSQL database of the purchases."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pantree_history.backends.postgresql_subscriptions import Begin
from pantree_history.backends.postgresql_transaction import Transaction
from pantree_history.backends.webhook_scripts import Database, Script, Statement, Syntax, run_steps_async

ResultT = TypeVar("ResultT")


class PostgresqlWebhooks(Database):
    """Runs scripts.

    Args:
        begin: begins transactions.
    """

    syntax = Syntax(
        skip_locked=" FOR UPDATE SKIP LOCKED",
        register="INSERT INTO tenant (tenant_id, has_webhooks) VALUES (?, true) "
        "ON CONFLICT (tenant_id) DO UPDATE SET has_webhooks = true",
        lock="SELECT 1 FROM tenant WHERE tenant_id = ? FOR NO KEY UPDATE",
        unregister="UPDATE tenant SET has_webhooks = false WHERE tenant_id = ? "
        "AND NOT EXISTS (SELECT 1 FROM webhook WHERE tenant_id = ?)",
    )

    def __init__(self, begin: Begin) -> None:
        self._begin = begin

    async def run(self, tenant_id: str, script: Callable[[], Script[ResultT]], *, write: bool = True) -> ResultT:
        async with self._begin(tenant_id, snapshot=not write) as transaction:
            return await run_steps_async(script(), lambda one: execute(transaction, one))

    async def tenants(self) -> Sequence[str]:
        async with self._begin("", snapshot=True) as transaction:
            await transaction.execute("SELECT tenant_id FROM tenant WHERE has_webhooks ORDER BY tenant_id")
            return [one for (one,) in await transaction.fetchall()]


async def execute(transaction: Transaction, statement: Statement) -> list[Any]:
    """The rows of a statement; none of one that has no rows, whose answer is not waited for."""
    await transaction.execute(statement.sql.replace("?", "%s"), statement.values)
    return await transaction.fetchall() if statement.has_rows else []
