"""Waits for calls that wait for locks in PostgreSQL."""

import asyncio

import psycopg


async def until_waiting(url: str, count: int = 1) -> None:
    """Waits until so many connections of the database wait for a lock."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection, asyncio.timeout(10):
        while True:
            rows = await connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if await rows.fetchone() == (count,):
                return
            await asyncio.sleep(0.01)
