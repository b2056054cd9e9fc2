"""Pauses of all subscriptions of a household, in every store."""

from datetime import date

import pytest

from pantree_domain.days import day_number
from pantree_history.core.store import Household
from pantree_history.core.subscriptions.keeper import Call, Changed
from pantree_history.core.subscriptions.model import (
    Cancel,
    Cancellation,
    HouseholdPause,
    Pause,
    Reactivate,
    Resume,
    Status,
)
from pantree_runtime.errors import CustomerErased, InvalidInput, RequestIdReused
from tests.history.receipts import Clock, receipt
from tests.history.test_subscriptions import ANONYMOUS, HOME, TODAY, Part, agreement, created, part

__all__ = ["part"]


async def states(part: Part, household: Household = HOME) -> dict[str, tuple[str, int | None, bool]]:
    """Status, days until the end of the pause, and whether it is that of the household, by id."""
    found = [one.subscription for one in await part.subscriptions.all(household, "", 10)]
    return {
        one.subscription_id: (
            str(one.status), None if one.pause_until is None else one.pause_until - TODAY, one.household_pause,
        )
        for one in found
    }  # fmt: skip


def summary(changes: list[Changed]) -> list[tuple[str, list[str]]]:
    return [
        (one.view.subscription.subscription_id, [type(event.event).__name__ for event in one.events]) for one in changes
    ]


async def test_what_was_paused_alone_or_ended_is_not_touched(part: Part, clock: Clock) -> None:
    for name in ("active", "alone", "ended", "longer", "shorter"):
        await created(part, subscription_id=name)
    for name, until in (("alone", None), ("longer", TODAY + 60), ("shorter", TODAY + 10)):
        await part.subscriptions.change(HOME, name, Pause(until), ANONYMOUS)
    await part.subscriptions.change(HOME, "ended", Cancel(None, Cancellation()), ANONYMOUS)
    before = await states(part)
    call = Call("customer", request_id="a", request_digest="1")
    paused = list(await part.subscriptions.pause_all(HOME, TODAY + 30, call))
    # A pause of its own that would end earlier is not the end of that of the household.
    assert summary(paused) == [("active", ["Paused"]), ("shorter", ["Paused"])]
    changed = {"active": ("paused", 30, True), "shorter": ("paused", 30, True)}
    assert await states(part) == {**before, **changed}
    clock.advance(days=2)
    resume = Call("customer", request_id="b", request_digest="2")
    resumed = list(await part.subscriptions.resume_all(HOME, resume))
    assert summary(resumed) == [("active", ["Resumed"]), ("shorter", ["Paused"])]
    assert await states(part) == before
    # Repeated requests are answered as the first time, and do nothing.
    assert list(await part.subscriptions.pause_all(HOME, TODAY + 30, call)) == paused
    assert list(await part.subscriptions.resume_all(HOME, resume)) == resumed
    assert await states(part) == before
    with pytest.raises(RequestIdReused):
        await part.subscriptions.resume_all(HOME, call._replace(request_digest="3"))
    assert await part.subscriptions.resume_all(HOME, ANONYMOUS) == []


async def test_what_begins_during_the_pause_joins_it_and_can_be_taken_out(part: Part, clock: Clock) -> None:
    await created(part, subscription_id="old", cut_off_days=0)
    await part.subscriptions.change(HOME, "old", Cancel(None, Cancellation()), ANONYMOUS)
    assert await part.subscriptions.pause_all(HOME, TODAY + 20, ANONYMOUS) == []
    clock.advance(days=3)
    new = await created(part, subscription_id="new", anchor_day=TODAY + 5)
    assert [type(one.event).__name__ for one in new.events] == ["Created", "Paused"]
    await part.subscriptions.change(HOME, "old", Reactivate(), ANONYMOUS)
    assert await states(part) == {"new": ("paused", 20, True), "old": ("paused", 20, True)}
    _, found = await part.subscriptions.deliveries(HOME, "new", 1, TODAY + 30, 0)
    assert [(one.day - TODAY, str(one.delivery.status)) for one in found] == [
        (5, "skipped"), (12, "skipped"), (19, "skipped"), (26, "planned"),
    ]  # fmt: skip
    await part.subscriptions.change(HOME, "new", Resume(), ANONYMOUS)
    await part.subscriptions.change(HOME, "old", Pause(TODAY + 20), ANONYMOUS)
    assert await part.subscriptions.resume_all(HOME, ANONYMOUS) == []
    assert await states(part) == {"new": ("active", None, False), "old": ("paused", 20, False)}
    later = await created(part, subscription_id="later", anchor_day=TODAY + 5)
    assert later.view.subscription.status is Status.ACTIVE


async def test_all_are_paused_or_none(part: Part) -> None:
    await created(part, subscription_id="a")
    # It is 2 June there already.
    await created(part, subscription_id="b", time_zone="Pacific/Kiritimati", anchor_day=TODAY + 5)
    with pytest.raises(InvalidInput, match="must be after today, 2026-06-02"):
        await part.subscriptions.pause_all(HOME, day_number(date(2026, 6, 2)), Call(request_id="a"))
    # A day that has come everywhere is refused without looking at any of them.
    with pytest.raises(InvalidInput, match="must be after today, 2026-0"):
        await part.subscriptions.pause_all(Household("north", "nobody"), day_number(date(2026, 5, 1)), ANONYMOUS)
    assert {one[0] for one in (await states(part)).values()} == {"active"}
    assert len(await part.subscriptions.pause_all(HOME, day_number(date(2026, 6, 3)), Call(request_id="a"))) == 2


async def test_pause_of_the_household_that_remains_holds_after_a_merge(part: Part, clock: Clock) -> None:
    other = HOME._replace(household_id="card")
    await part.subscriptions.create(other, agreement("theirs"), ANONYMOUS)
    await part.subscriptions.pause_all(other, None, ANONYMOUS)
    await created(part, subscription_id="ours")
    await part.history.merge(HOME, "card", "support:anna")
    await created(part, subscription_id="new")
    assert await states(part) == {
        "new": ("active", None, False), "ours": ("active", None, False), "theirs": ("paused", None, True),
    }  # fmt: skip
    assert summary(list(await part.subscriptions.resume_all(other, ANONYMOUS))) == [("theirs", ["Resumed"])]


async def test_pause_is_erased_with_the_household(part: Part, clock: Clock) -> None:
    await part.subscriptions.pause_all(HOME, None, ANONYMOUS)
    assert await part.subscriptions.household_pause(HOME) == HouseholdPause(clock.now, None)
    clock.advance()
    await part.history.erase(HOME)
    assert await part.subscriptions.household_pause(HOME) is None
    with pytest.raises(CustomerErased):
        await part.subscriptions.pause_all(HOME, None, ANONYMOUS)
    await part.history.append(HOME, receipt(1, 5, "Milk"), consent=True)
    assert (await created(part)).view.subscription.status is Status.ACTIVE


async def test_resuming_early_skips_nothing_after_the_end_of_the_pause(part: Part, clock: Clock) -> None:
    """The delivery of day 10 would take place with the pause, so it does without it."""
    await created(part, cut_off_days=5)
    await part.subscriptions.change(HOME, "s-1", Pause(TODAY + 10), ANONYMOUS)
    clock.advance(days=6)
    await part.subscriptions.change(HOME, "s-1", Resume(), ANONYMOUS)
    _, found = await part.subscriptions.deliveries(HOME, "s-1", 1, TODAY + 12, 0)
    assert [(one.day - TODAY, str(one.delivery.status)) for one in found] == [(3, "planned"), (10, "planned")]


async def test_cancelling_a_paused_subscription_keeps_what_the_pause_prevented(part: Part, clock: Clock) -> None:
    await created(part)
    await part.subscriptions.change(HOME, "s-1", Pause(), ANONYMOUS)
    clock.advance(days=12)
    await part.subscriptions.change(HOME, "s-1", Cancel(None, Cancellation()), ANONYMOUS)
    _, found = await part.subscriptions.deliveries(HOME, "s-1", 1, TODAY + 30, 0)
    assert [(one.day - TODAY, str(one.delivery.status), one.delivery.reason) for one in found] == [
        (3, "skipped", "paused"), (10, "skipped", "paused"),
    ]  # fmt: skip
