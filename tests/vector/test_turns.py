import asyncio
from collections.abc import Callable, Coroutine

import pytest

from pantree_vector.core.turns import Turns

ONE, OTHER, THIRD = ("", "one"), ("", "other"), ("", "third")


def noted(started: list[str], name: str, until: asyncio.Event) -> Callable[[], Coroutine[None, None, str]]:
    async def work() -> str:
        started.append(name)
        await until.wait()
        return name

    return work


async def test_work_on_a_household_waits_for_what_came_before_and_for_nothing_else() -> None:
    turns, until = Turns(), asyncio.Event()
    started: list[str] = []
    tasks = [
        turns.take([ONE, OTHER], noted(started, "first", until)),
        turns.take([OTHER, THIRD], noted(started, "second", until)),
        turns.take([THIRD], noted(started, "third", until)),
        turns.take([("tenant", "one")], noted(started, "elsewhere", until)),
    ]
    await asyncio.sleep(0.01)
    assert started == ["first", "elsewhere"]
    until.set()
    assert await asyncio.gather(*tasks) == ["first", "second", "third", "elsewhere"]
    assert started == ["first", "elsewhere", "second", "third"]


async def test_work_that_fails_lets_the_next_one_begin() -> None:
    turns = Turns()

    async def failing() -> None:
        raise ValueError("broken")

    async def whole() -> str:
        return "whole"

    first, second = turns.take([ONE], failing), turns.take([ONE], whole)
    assert await second == "whole"
    with pytest.raises(ValueError, match="broken"):
        await first


async def test_caller_who_goes_away_does_not_break_off_the_work() -> None:
    turns, until = Turns(), asyncio.Event()
    started: list[str] = []

    async def caller() -> None:
        await asyncio.shield(turns.take([ONE], noted(started, "first", until)))

    calling = asyncio.create_task(caller())
    await asyncio.sleep(0.01)
    calling.cancel()
    second = turns.take([ONE], noted(started, "second", until))
    await asyncio.sleep(0.01)
    assert started == ["first"]
    finishing = asyncio.create_task(turns.finish())
    await asyncio.sleep(0.01)
    assert not finishing.done()
    until.set()
    await finishing
    assert second.done()
    assert started == ["first", "second"]
