"""All levers of several subscriptions of a household over a simulated year, by the days of shops in several time zones.

Everything is done in two tenants: the time of one simply passes, and the clock of the other one is advanced. Both must
be as the reference says, which keeps each pause by itself and goes from hour to hour. `make subscription-years` does
more.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from pantree_domain.days import day_number
from pantree_history.backends.sqlite import MEMORY, SqliteStore
from pantree_history.core.advance import ClockAdvance
from pantree_history.core.clocks import TenantClocks
from pantree_history.core.history import History
from pantree_history.core.lines import MICROSECONDS
from pantree_history.core.store import Household
from pantree_history.core.subscriptions.evolve import begin, evolve_all
from pantree_history.core.subscriptions.keeper import Agreement, Call, Changed, Subscriptions
from pantree_history.core.subscriptions.mirroring import SCHEDULE
from pantree_history.core.subscriptions.model import Command, Created, Pause, Resume
from pantree_history.core.subscriptions.schedule import Interval
from pantree_runtime.errors import InvalidInput, InvalidState
from tests.history.receipts import KEY, Clock
from tests.history.test_subscription_levers import AHEAD, MILK, Levers, Reference, intervals

EXAMPLES = int(os.environ.get("PANTREE_TEST_SUBSCRIPTION_YEARS", "10"))
BEGIN = datetime(2027, 12, 1, 12, tzinfo=UTC)
END = BEGIN + timedelta(days=366)
HOUR = timedelta(hours=1)
# In two of them, a day in spring begins at one o'clock.
ZONES = ("Europe/Berlin", "America/New_York", "Pacific/Auckland", "America/Santiago", "Africa/Cairo")
PASSING, ADVANCED = Household("passing", "4711"), Household("advanced", "4711")
MAX_SUBSCRIPTIONS = 4

ResultT = TypeVar("ResultT")


def micros(moment: datetime) -> int:
    return int(moment.timestamp()) * MICROSECONDS


class Single(Reference):
    """A subscription with a pause of its own and one of the household, either of which prevents deliveries."""

    def __init__(self, anchor: int, interval: Interval, cut_off: int, zone: str, now: datetime) -> None:
        super().__init__(anchor, interval, cut_off)
        self.zone = ZoneInfo(zone)
        self.today = self.day_of(now)
        self.pauses: dict[str, int | None] = {}
        self.log: list[tuple[int, str]] = []

    @property
    def is_running(self) -> bool:
        return bool(self.status in ("active", "paused"))

    @property
    def is_of_household(self) -> bool:
        """Whether the pause of the household outlasts its own."""
        own, home = (_end(self.pauses[name]) if name in self.pauses else -1.0 for name in ("own", "home"))
        return home > own

    def day_of(self, now: datetime) -> int:
        return day_number(now.astimezone(self.zone).date())

    def pause(self, pauses: dict[str, int | None], on: int | None = None) -> None:
        if self.status == "active":
            self.paused_on = self.today if on is None else on
        self.status, self.pauses = "paused", pauses
        self.until = None if None in pauses.values() else max(one for one in pauses.values() if one is not None)

    def resume(self) -> None:
        self.end_pause(self.today + self.cut_off)
        self.pauses = {}

    def new_day(self, today: int, instant: int | None = None) -> None:
        self.today = today
        left = {name: until for name, until in self.pauses.items() if until != today}
        if self.pauses and not left:
            self.end_pause(today - 1)
            self._happened("Resumed", instant)
        self.pauses = left
        if self.is_running and self.cancel_on is not None and self.cancel_on <= today:
            self.end_pause(today - 1)
            self.status, self.pauses = "cancelled", {}
            self._happened("Cancelled", instant)

    def _happened(self, name: str, instant: int | None) -> None:
        if instant is not None:
            self.log.append((instant, name))

    def listed(self) -> set[tuple[int, int, str]]:
        """All deliveries until some time from now."""
        found = set()
        for at, row in enumerate(self.rows):
            if row.day > self.today + AHEAD:
                continue
            if row.locked:
                found.add((at + 1, row.day, "locked"))
            elif row.skipped:
                found.add((at + 1, row.day, "skipped"))
            elif not self.ended(row):
                found.add((at + 1, row.day, "skipped" if self.in_pause(row) else "planned"))
        return found


def _end(until: int | None) -> float:
    return float("inf") if until is None else until


class HouseholdLevers(Levers):
    """Has several subscriptions. The rules of single ones are for the chosen one."""

    @initialize(interval=intervals, offset=st.integers(1, 61), cut_off=st.integers(0, 5), zone=st.sampled_from(ZONES))
    def start(self, interval: Interval, offset: int, cut_off: int, zone: str) -> None:
        self.now, self.clock = BEGIN, Clock()
        self.clock.now = micros(BEGIN)
        self.runner = asyncio.Runner()
        store = SqliteStore(MEMORY)
        clocks = TenantClocks(store, {ADVANCED.tenant_id}, self.clock)
        self.history = History(store, KEY, clocks)
        self.run(self.history.open())
        self.keeper = Subscriptions(store.subscriptions, KEY, clocks)
        self.advance = ClockAdvance(clocks, self.history, self.keeper)
        self.run(self.advance.now(ADVANCED.tenant_id))
        self.singles: list[Single] = []
        self.home_pause: tuple[datetime, int | None] | None = None
        self.requests = 0
        self.create(interval, offset, cut_off, zone)

    def run(self, work: Awaitable[ResultT]) -> ResultT:
        async def wait() -> ResultT:
            return await work

        return self.runner.run(wait())

    @property
    def reference(self) -> Any:
        return self.singles[self.chosen]

    @reference.setter
    def reference(self, _value: object) -> None:
        raise AttributeError

    @property
    def today(self) -> Any:
        return self.reference.today

    @today.setter
    def today(self, _value: object) -> None:
        raise AttributeError

    def twice(self, work: Callable[[Household, Call], Awaitable[ResultT]]) -> list[ResultT]:
        """Does something in both tenants, and repeats each request."""
        self.requests += 1
        call = Call("customer", request_id=str(self.requests))
        first = [self.run(work(household, call)) for household in (PASSING, ADVANCED)]
        assert [self.run(work(household, call)) for household in (PASSING, ADVANCED)] == first
        return first

    def send(self, command: Command, *, is_possible: bool) -> None:
        def change(household: Household, call: Call) -> Awaitable[Changed]:
            return self.keeper.change(household, str(self.chosen), command, call)

        if is_possible:
            self.twice(change)
            return
        for household in (PASSING, ADVANCED):
            with pytest.raises(InvalidState):
                self.run(change(household, Call()))

    @rule(data=st.data())
    def choose(self, data: st.DataObject) -> None:
        self.chosen = data.draw(st.integers(0, len(self.singles) - 1))

    @precondition(lambda self: len(self.singles) < MAX_SUBSCRIPTIONS)
    @rule(interval=intervals, offset=st.integers(0, 61), cut_off=st.integers(0, 5), zone=st.sampled_from(ZONES))
    def create(self, interval: Interval, offset: int, cut_off: int, zone: str) -> None:
        single = Single(
            day_number(self.now.astimezone(ZoneInfo(zone)).date()) + offset, interval, cut_off, zone, self.now
        )
        agreement = Agreement(
            subscription_id=str(len(self.singles)), item=MILK, quantity=1, interval=interval,
            anchor_day=single.today + offset, cut_off_days=cut_off, time_zone=zone, expires_on=None, offer_id="",
            recommendation_id="", consent="",
        )  # fmt: skip
        self.twice(lambda household, call: self.keeper.create(household, agreement, call))
        self.join(single, None)
        self.chosen = len(self.singles)
        self.singles.append(single)

    def join(self, single: Single, on: int | None) -> None:
        """What begins during a pause of the household is paused with it."""
        if self.home_pause is not None:
            paused_at, until = self.home_pause
            if until is None or until > single.today:
                single.pause({"home": until}, single.day_of(paused_at) if on is None else on)

    @rule(days=st.one_of(st.none(), st.integers(0, 80)))
    def pause_all(self, days: int | None) -> None:
        until = None if days is None else min(one.today for one in self.singles) + days
        running = [one for one in self.singles if one.is_running]
        westmost = day_number(self.now.astimezone(timezone(timedelta(hours=-12))).date())
        if until is not None and (until <= westmost or any(until <= one.today for one in running)):
            for household in (PASSING, ADVANCED):
                with pytest.raises(InvalidInput):
                    self.run(self.keeper.pause_all(household, until, Call()))
            return
        before = [(one.status, one.until, one.is_of_household) for one in self.singles]
        for one in running:
            one.pause({**one.pauses, "home": until})
        after = [(one.status, one.until, one.is_of_household) for one in self.singles]
        expected = [str(at) for at, (was, now) in enumerate(zip(before, after, strict=True)) if was != now]
        known = self.home_pause
        is_known = known is not None and (known[1] is None or known[1] > westmost)
        self.home_pause = (known[0] if known is not None and is_known else self.now, until)
        self.check_changed(self.twice(lambda household, call: self.keeper.pause_all(household, until, call)), expected)

    @rule()
    def resume_all(self) -> None:
        expected = [str(at) for at, one in enumerate(self.singles) if one.is_of_household]
        for one in self.singles:
            if one.pauses.keys() == {"home"}:
                one.resume()
            elif "home" in one.pauses:
                one.pause({"own": one.pauses["own"]})
        self.home_pause = None
        self.check_changed(self.twice(self.keeper.resume_all), expected)

    def check_changed(self, found: list[Sequence[Changed]], expected: list[str]) -> None:
        for changes in found:
            assert [one.view.subscription.subscription_id for one in changes] == expected
            assert all(one.events[-1].actor == "customer" for one in changes)

    @rule(days=st.one_of(st.none(), st.integers(1, 80)))
    def pause(self, days: int | None) -> None:
        until = None if days is None else self.today + days
        self.send(Pause(until), is_possible=self.is_running)
        if self.is_running:
            self.reference.pause({"own": until})

    @rule()
    def resume(self) -> None:
        is_paused = self.reference.status == "paused"
        self.send(Resume(), is_possible=is_paused)
        if is_paused:
            self.reference.resume()

    @precondition(lambda self: self.reference.cancel_on is not None)
    @rule(days=st.one_of(st.none(), st.integers(1, 40)))
    def reactivate(self, days: int | None) -> None:
        has_ended = not self.is_running
        super().reactivate(days)
        if has_ended:
            self.join(self.reference, self.today)

    @rule(hours=st.integers(1, 23))
    def wait_some_hours(self, hours: int) -> None:
        self.wait_hours(hours)

    def wait(self, days: int) -> None:
        self.wait_hours(days * 24)

    def wait_hours(self, hours: int) -> None:
        for _ in range(min(hours, (END - self.now) // HOUR)):
            self.now += HOUR
            for one in self.singles:
                day = one.day_of(self.now)
                assert day in (one.today, one.today + 1)
                if day != one.today:
                    one.new_day(day, micros(self.now))
        self.clock.now = micros(self.now)
        happened = sum(len(one.log) for one in self.singles)
        advanced = self.run(self.advance.run(ADVANCED.tenant_id, micros(self.now)))
        self.happened, before = happened, getattr(self, "happened", 0)
        assert (advanced.now, advanced.event_count) == (micros(self.now), happened - before)

    @invariant()
    def same_deliveries(self) -> None:
        if not hasattr(self, "requests"):
            return
        for household in (PASSING, ADVANCED):
            for at, one in enumerate(self.singles):
                last = one.today + AHEAD
                view, listed = self.run(self.keeper.deliveries(household, str(at), 1, last, 0))
                state = view.subscription
                found = {
                    (delivery.delivery.sequence, delivery.day, str(delivery.delivery.status))
                    for delivery in listed
                    if delivery.day <= last
                }
                assert (view.today, state.status, state.quantity) == (one.today, one.status, one.quantity)
                assert (state.pause_until, state.household_pause) == (one.until, one.is_of_household)
                assert found == one.listed()

    def teardown(self) -> None:
        if not hasattr(self, "requests"):
            return
        for household in (PASSING, ADVANCED):
            for at, one in enumerate(self.singles):
                self.check_events(household, str(at), one)
        self.run(self.history.close())
        self.runner.close()

    def check_events(self, household: Household, subscription_id: str, one: Single) -> None:
        events = self.run(self.keeper.events(household, subscription_id, 0, 1_000))
        assert [event.number for event in events] == list(range(1, len(events) + 1))
        assert [event.occurred_at for event in events] == sorted(event.occurred_at for event in events)
        created = events[0].event
        assert isinstance(created, Created)
        state = begin(subscription_id, household.household_id, created, events[0].occurred_at)
        folded = evolve_all(state, [event.event for event in events[1:]])
        (stored, _), *_ = [
            found
            for found in self.run(self.keeper.export(household))[1]
            if found[0].subscription.subscription_id == subscription_id
        ]
        if household is ADVANCED:
            # Everything that happened is stored, on its day.
            happened = [(event.occurred_at, type(event.event).__name__) for event in events if event.actor == SCHEDULE]
            assert happened == one.log
            assert replace(folded, changed_at=events[-1].occurred_at) == stored.subscription


TestHouseholdLevers = HouseholdLevers.TestCase
TestHouseholdLevers.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    derandomize=EXAMPLES <= 10,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
