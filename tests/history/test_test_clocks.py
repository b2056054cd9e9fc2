"""Clocks of test tenants, in every store: what would have happened on the way happens, on its day."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import NamedTuple

import pytest
from pydantic import ValidationError

from pantree_history.core.advance import ClockAdvance
from pantree_history.core.clocks import TenantClocks
from pantree_history.core.history import History
from pantree_history.core.limits import Limits, TenantLimits
from pantree_history.core.lines import MICROSECONDS
from pantree_history.core.store import Household, LineOf, Progress
from pantree_history.core.subscriptions.keeper import Due, Subscriptions
from pantree_history.core.subscriptions.model import Cancel, Cancellation, Pause
from pantree_history.core.subscriptions.store import CombinedStore
from pantree_history.settings import HistorySettings
from pantree_history.texts import instant_of
from pantree_runtime.errors import ComponentUnavailable, InvalidInput, InvalidState
from tests.history.receipts import KEY, Clock, line, receipt
from tests.history.test_subscriptions import ANONYMOUS, TODAY, agreement

SANDBOX, NORTH = Household("sandbox", "4711"), Household("north", "4711")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * MICROSECONDS


class Part(NamedTuple):
    """What the history part keeps, of a test tenant and another one."""

    history: History
    subscriptions: Subscriptions
    advance: ClockAdvance


def part_of(store: CombinedStore, clock: Clock) -> Part:
    clocks = TenantClocks(store, {"sandbox"}, clock)
    history = History(store, KEY, clocks, TenantLimits(Limits(retention_days=30)))
    subscriptions = Subscriptions(store.subscriptions, KEY, clocks)
    return Part(history, subscriptions, ClockAdvance(clocks, history, subscriptions))


@pytest.fixture
async def part(make_store: Callable[[], CombinedStore], clock: Clock) -> AsyncIterator[Part]:
    part = part_of(make_store(), clock)
    await part.history.open()
    yield part
    await part.history.close()


async def happened(part: Part, subscription_id: str) -> list[tuple[int, str, str]]:
    events = await part.subscriptions.events(SANDBOX, subscription_id, 0, 100)
    return [(one.occurred_at, type(one.event).__name__, one.actor) for one in events]


async def fill(part: Part) -> None:
    """Subscriptions in two time zones that pause, are cancelled and expire; purchases and an import."""
    for name, zone, expires_on in (("berlin", "Europe/Berlin", TODAY + 40), ("york", "America/New_York", None)):
        await part.subscriptions.create(SANDBOX, agreement(name, time_zone=zone, expires_on=expires_on), ANONYMOUS)
        await part.subscriptions.change(SANDBOX, name, Pause(TODAY + 10), ANONYMOUS)
    await part.subscriptions.change(SANDBOX, "york", Cancel(TODAY + 20, Cancellation("moved")), ANONYMOUS)
    for household in (SANDBOX, NORTH):
        await part.history.append(household, [*receipt(1, 0, "Milk"), *receipt(2, 3, "Tea", "Rice")])
    await part.history.add_batch("sandbox", [LineOf("x", line(3))], progress=Progress("night", 1))


async def test_everything_happens_on_its_day(part: Part, clock: Clock) -> None:
    await fill(part)
    start = clock.now
    advanced = await part.advance.run("sandbox", at("2026-06-11T02:00"))
    assert (advanced.now, advanced.event_count) == (at("2026-06-11T02:00"), 1), "it is still 10 June in New York"
    assert (await part.subscriptions.get(SANDBOX, "york")).subscription.status == "paused"
    advanced = await part.advance.run("sandbox", at("2027-06-01"))
    # Lines of 27 and 30 May are kept for 30 days: on 27 and 30 June, they are too old.
    assert advanced == (at("2027-06-01"), 3, 4)
    assert (await happened(part, "berlin"))[2:] == [
        (at("2026-06-10T22:00"), "Resumed", "schedule"), (at("2026-07-10T22:00"), "Expired", "schedule"),
    ]  # fmt: skip
    assert (await happened(part, "york"))[3:] == [
        (at("2026-06-11T04:00"), "Resumed", "schedule"), (at("2026-06-21T04:00"), "Cancelled", "schedule"),
    ]  # fmt: skip
    assert await part.history.next_row("sandbox", "night") == 0, "forgotten after 30 days"
    _, found = await part.subscriptions.deliveries(SANDBOX, "berlin", 1, None, 0)
    assert [one.day - TODAY for one in found] == [3, 10, 17, 24, 31, 38]
    # Others live at their own time.
    assert len((await part.history.lines(NORTH)).lines) == 3
    assert clock.now == start
    with pytest.raises(InvalidInput, match="2027"):
        await part.history.append(SANDBOX, receipt(4, 400, "Soap"))
    await part.history.append(SANDBOX, receipt(4, 369, "Soap"))


async def test_purchases_are_removed_on_the_day_on_which_they_are_too_old(part: Part) -> None:
    await fill(part)
    assert (await part.advance.run("sandbox", at("2026-06-28T12:00"))).removed_line_count == 2
    changes = await part.history.changed("sandbox", (0, 0), 10)
    assert [one.changed_at for one in changes.states if one.household_id == "4711"] == [at("2026-06-27")]


async def test_clock_stands_still_and_never_goes_back(part: Part, clock: Clock) -> None:
    start = clock.now
    assert await part.advance.now("sandbox") == start
    clock.advance(days=5)
    assert await part.advance.now("sandbox") == start
    later = start + MICROSECONDS
    for _ in range(2):
        assert await part.advance.run("sandbox", later) == (later, 0, 0)
    with pytest.raises(InvalidInput, match="must not be before the time of the clock"):
        await part.advance.run("sandbox", start)
    for work in (part.advance.now("north"), part.advance.run("north", 2**60)):
        with pytest.raises(InvalidState, match="no test clock"):
            await work


class Interrupted(Subscriptions):
    """Cannot store what happens to a subscription in New York."""

    async def settle(self, tenant_id: str, due: Due) -> int:
        if due.subscription_id == "york":
            raise ComponentUnavailable("history-store", "the database does not answer")
        return await super().settle(tenant_id, due)


async def test_interrupted_advance_is_finished_by_the_next_one(
    make_store: Callable[[], CombinedStore], clock: Clock
) -> None:
    store = make_store()
    part = part_of(store, clock)
    clocks = TenantClocks(store, {"sandbox"}, clock)
    await part.history.open()
    await fill(part)
    interrupted = Interrupted(store.subscriptions, KEY, clocks)
    with pytest.raises(ComponentUnavailable):
        await ClockAdvance(clocks, part.history, interrupted).run("sandbox", at("2026-12-24"))
    assert await part.advance.now("sandbox") == at("2026-06-11T04:00")
    assert await part.advance.run("sandbox", at("2026-12-24")) == (at("2026-12-24"), 3, 4)
    assert [one[0] for one in await happened(part, "york")][3:] == [at("2026-06-11T04:00"), at("2026-06-21T04:00")]
    await part.history.close()


@pytest.mark.parametrize("text", ["soon", "2027-01-31T00:00:00", "2027-W01-1", "9999-01-01", "2027-02-30"])
def test_time_needs_a_zone_and_a_day_none(text: str) -> None:
    assert instant_of("2027-01-31", "now") == instant_of("2027-01-31T01:00:00+01:00", "now") == at("2027-01-31")
    with pytest.raises(InvalidInput, match="must be a time with a time zone"):
        instant_of(text, "now")


@pytest.mark.parametrize("text", ["sandbox", '{"sandbox": 1}', "[1]"])
def test_setting_is_a_list(text: str) -> None:
    assert HistorySettings(test_tenants='["sandbox", ""]').tenants_with_clock == {"sandbox", ""}
    with pytest.raises(ValidationError, match="PANTREE_HISTORY_TEST_TENANTS"):
        HistorySettings(test_tenants=text)
