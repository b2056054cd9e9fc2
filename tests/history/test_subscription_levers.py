"""All levers over a simulated year, against a reference that writes every delivery down."""

import calendar
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pantree_domain.days import calendar_day, day_number
from pantree_history.core.subscriptions.calendar import deliveries
from pantree_history.core.subscriptions.decide import as_of, decide
from pantree_history.core.subscriptions.evolve import begin, evolve_all
from pantree_history.core.subscriptions.model import (
    Cancel,
    Cancellation,
    ChangeInterval,
    ChangeItem,
    ChangeQuantity,
    Command,
    Created,
    Item,
    Move,
    Pause,
    QuantityChanged,
    Reactivate,
    RecordDelivered,
    RecordSent,
    Restore,
    Resume,
    SendNow,
    Skip,
    Terms,
)
from pantree_history.core.subscriptions.schedule import Interval, Unit
from pantree_runtime.errors import InvalidState

# The year has a leap day.
START = day_number(date(2027, 12, 1))
LAST = START + 366
AHEAD = 60
ROWS = 500
MILK = Item("Milk")

months = st.builds(Interval, st.just(Unit.MONTH), st.integers(1, 3))
intervals = st.one_of(
    months,
    st.builds(Interval, st.just(Unit.DAY), st.integers(4, 40)),
    st.builds(Interval, st.just(Unit.WEEK), st.integers(1, 5)),
    months,
)


class Row:
    """A delivery of the reference."""

    def __init__(self, base: int, quantity: int) -> None:
        self.base = self.day = base
        self.quantity = quantity
        self.skipped = self.moved = False
        self.locked = False


class Reference:
    """A list of deliveries, which every lever rewrites."""

    def __init__(self, anchor: int, interval: Interval, cut_off: int) -> None:
        self.cut_off = cut_off
        self.interval = interval
        self.wanted_day_of_month = calendar_day(anchor).day
        self.first = 0
        self.quantity = 1
        self.rows: list[Row] = []
        self.write(0, anchor)
        self.status = "active"
        self.paused_on: Any = None
        self.until: Any = None
        self.cancel_on: Any = None

    def write(self, first: int, base: int) -> None:
        """Writes the days of all deliveries from one on, and keeps what was done to them."""
        for at in range(first, ROWS):
            if at == len(self.rows):
                self.rows.append(Row(base, self.quantity))
            row = self.rows[at]
            row.base = base
            row.day = row.day if row.moved or row.locked else base
            base = self.following(base)

    def following(self, base: int) -> int:
        if self.interval.unit is not Unit.MONTH:
            return base + self.interval.count * (7 if self.interval.unit is Unit.WEEK else 1)
        day = calendar_day(base)
        for _ in range(self.interval.count):
            day = day.replace(day=28) + timedelta(days=7)
            day = day.replace(day=1)
        last = calendar.monthrange(day.year, day.month)[1]
        return day_number(day.replace(day=min(self.wanted_day_of_month, last)))

    def changeable(self, row: Row, today: int) -> bool:
        return not row.locked and row.day - self.cut_off > today

    def in_pause(self, row: Row) -> bool:
        if self.status != "paused":
            return False
        return row.day - self.cut_off > self.paused_on and (self.until is None or row.day < self.until)

    def ended(self, row: Row) -> bool:
        return self.cancel_on is not None and row.day >= self.cancel_on

    def next(self, today: int) -> int | None:
        found = [
            (row.day, at)
            for at, row in enumerate(self.rows)
            if self.changeable(row, today) and not row.skipped and not self.in_pause(row) and not self.ended(row)
        ]
        return min(found)[1] if found else None

    def end_pause(self, last: int) -> None:
        for row in self.rows:
            if not row.locked and not row.skipped and self.in_pause(row) and row.day <= last:
                row.skipped = True
        self.status, self.paused_on, self.until = "active", None, None

    def new_day(self, today: int) -> None:
        if self.status == "paused" and self.until == today:
            self.end_pause(today - 1)
        if self.status in ("active", "paused") and self.cancel_on is not None and self.cancel_on <= today:
            self.status, self.paused_on, self.until = "cancelled", None, None

    def coming(self, today: int) -> set[tuple[int, int, str]]:
        found = set()
        for at, row in enumerate(self.rows):
            if not today <= row.day <= today + AHEAD:
                continue
            if row.locked:
                found.add((at + 1, row.day, "locked"))
            elif row.skipped:
                found.add((at + 1, row.day, "skipped"))
            elif not self.ended(row):
                found.add((at + 1, row.day, "skipped" if self.in_pause(row) else "planned"))
        return found


class Levers(RuleBasedStateMachine):
    """Does everything twice, and compares."""

    @initialize(
        interval=intervals,
        offset=st.one_of(st.integers(1, 61), st.sampled_from((29, 30, 60, 61))),
        cut_off=st.integers(0, 5),
    )
    def start(self, interval: Interval, offset: int, cut_off: int) -> None:
        # 61 days from the start is 2028-01-31.
        self.today = START
        terms = Terms(MILK, 1, interval, START + offset, cut_off)
        self.state = begin("s", "h", Created(terms), 0)
        self.reference = Reference(START + offset, interval, cut_off)

    def send(self, command: Command, *, is_possible: bool) -> None:
        now = as_of(self.state, self.today)
        if not is_possible:
            with pytest.raises(InvalidState):
                decide(now, command, self.today)
            return
        self.state = evolve_all(now, decide(now, command, self.today))

    @property
    def is_running(self) -> bool:
        return self.reference.status in ("active", "paused")

    @rule(days=st.integers(1, 25))
    def wait_some_days(self, days: int) -> None:
        self.wait(days)

    def wait(self, days: int) -> None:
        for _ in range(min(days, LAST - self.today)):
            self.today += 1
            self.reference.new_day(self.today)

    @rule()
    def wait_for_an_end(self) -> None:
        ends = [one for one in (self.reference.until, self.reference.cancel_on) if one is not None]
        assume(ends and self.today < min(ends) <= LAST and self.is_running)
        self.wait(min(ends) - self.today)

    @rule(interval=months)
    def change_months(self, interval: Interval) -> None:
        assume(self.is_running and self.reference.interval.unit is Unit.MONTH)
        self.change_interval(interval, None)

    @rule(ahead=st.integers(0, 4))
    def skip(self, ahead: int) -> None:
        at = self.reference.next(self.today)
        if not self.is_running or at is None:
            self.send(Skip(), is_possible=False)
            return
        at += ahead
        row = self.reference.rows[at]
        assume(row.day < self.today + 366)
        self.send(Skip(at + 1 if ahead else 0), is_possible=row.skipped or self.reference.changeable(row, self.today))
        if self.reference.changeable(row, self.today):
            row.skipped = True

    @rule(ahead=st.integers(0, 4), days=st.integers(1, 60))
    def move(self, ahead: int, days: int) -> None:
        at = self.reference.next(self.today)
        assume(at is not None)
        assert at is not None
        at += ahead
        row, day = self.reference.rows[at], self.today + self.reference.cut_off + days
        assume(row.day < self.today + 366)
        is_possible = self.is_running and self.reference.changeable(row, self.today)
        self.send(Move(at + 1, day), is_possible=is_possible)
        if is_possible and (day != row.day or row.skipped):
            row.day, row.moved, row.skipped = day, True, False

    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        edited = [at for at, row in enumerate(self.reference.rows) if (row.skipped or row.moved) and not row.locked]
        assume(edited)
        at = data.draw(st.sampled_from(edited))
        row, cut_off = self.reference.rows[at], self.reference.cut_off
        is_possible = self.is_running and self.reference.changeable(row, self.today) and row.base - cut_off > self.today
        self.send(Restore(at + 1), is_possible=is_possible)
        if is_possible:
            row.day, row.moved, row.skipped = row.base, False, False

    @rule()
    def send_now(self) -> None:
        at = self.reference.next(self.today)
        is_possible = self.reference.status == "active" and at is not None
        if at is not None:
            assume(self.reference.rows[at].day < self.today + 366)
        self.send(SendNow(), is_possible=is_possible)
        if is_possible and at is not None:
            row = self.reference.rows[at]
            row.day, row.locked, row.moved = self.today, True, True

    @rule(days=st.one_of(st.none(), st.integers(1, 80)))
    def pause(self, days: int | None) -> None:
        until: Any = None if days is None else self.today + days
        self.send(Pause(until), is_possible=self.is_running)
        if self.is_running:
            if self.reference.status == "active":
                self.reference.paused_on = self.today
            self.reference.status, self.reference.until = "paused", until

    @rule()
    def resume(self) -> None:
        is_paused = self.reference.status == "paused"
        self.send(Resume(), is_possible=is_paused)
        if is_paused:
            self.reference.end_pause(self.today + self.reference.cut_off)

    @rule(interval=intervals, days=st.one_of(st.none(), st.integers(1, 40)))
    def change_any_interval(self, interval: Interval, days: int | None) -> None:
        self.change_interval(interval, days)

    def change_interval(self, interval: Interval, days: int | None) -> None:
        reference = self.reference
        next_day = None if days is None else self.today + reference.cut_off + days
        self.send(ChangeInterval(interval, next_day), is_possible=self.is_running)
        if not self.is_running or (next_day is None and interval == reference.interval):
            return
        at = next(
            at
            for at, row in enumerate(reference.rows)
            if at >= reference.first and reference.changeable(row, self.today) and not (row.skipped or row.moved)
        )
        base = reference.rows[at].base if next_day is None else next_day
        if next_day is not None or not (interval.unit is reference.interval.unit is Unit.MONTH):
            reference.wanted_day_of_month = calendar_day(base).day
        reference.interval, reference.first = interval, at
        reference.write(at, base)

    @rule(quantity=st.integers(1, 3))
    def change_quantity(self, quantity: int) -> None:
        self.send(ChangeQuantity(quantity), is_possible=self.is_running)
        if self.is_running:
            for row in self.reference.rows if quantity != self.reference.quantity else ():
                row.quantity = quantity if self.reference.changeable(row, self.today) else row.quantity
            self.reference.quantity = quantity

    @rule(days=st.integers(0, 60))
    def cancel(self, days: int) -> None:
        on: Any = self.today + days
        self.send(Cancel(on, Cancellation("too_much")), is_possible=self.is_running)
        if self.is_running:
            self.reference.cancel_on = on
            self.reference.new_day(self.today)

    @precondition(lambda self: self.reference.cancel_on is not None)
    @rule(days=st.one_of(st.none(), st.integers(1, 40)))
    def reactivate(self, days: int | None) -> None:
        reference, rows = self.reference, self.reference.rows
        if self.is_running:
            self.send(Reactivate(), is_possible=True)
            reference.cancel_on = None
            return
        next_day = None if days is None else self.today + reference.cut_off + days
        self.send(Reactivate(next_day), is_possible=True)
        made = [at for at, row in enumerate(rows) if row.locked]
        start = max([*made, reference.first - 1]) + 1
        first = next(at for at in range(start, len(rows)) if rows[at].base >= reference.cancel_on)
        base = next_day
        if base is None:
            base = next(row.base for row in rows[first:] if row.base - reference.cut_off > self.today)
        else:
            reference.wanted_day_of_month = calendar_day(base).day
        del rows[first:]
        reference.first, reference.status, reference.cancel_on = first, "active", None
        reference.write(first, base)

    @invariant()
    def same_deliveries(self) -> None:
        if not hasattr(self, "state"):
            return
        now = as_of(self.state, self.today)
        found = {
            (one.delivery.sequence, one.day, str(one.delivery.status))
            for one in deliveries(now, self.today + AHEAD)
            if self.today <= one.day <= self.today + AHEAD
        }
        assert (str(now.status), now.quantity) == (self.reference.status, self.reference.quantity)
        assert found == self.reference.coming(self.today)
        for one in deliveries(now, self.today + AHEAD):
            sequence = one.delivery.sequence
            assert now.quantity_of(sequence) == self.reference.rows[sequence - 1].quantity


TestLevers = Levers.TestCase
TestLevers.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def day(text: str) -> int:
    return day_number(date.fromisoformat(text))


def subscription(anchor: str, interval: Interval, **terms: Any) -> Any:
    return begin("s", "h", Created(Terms(MILK, 1, interval, day(anchor), **terms)), 0)


def days_of(state: Any, until: str) -> list[str]:
    return [calendar_day(one.day).isoformat() for one in deliveries(state, day(until))]


def test_month_ends_do_not_drift() -> None:
    state = subscription("2027-12-31", Interval(Unit.MONTH, 1))
    ends = ["2027-12-31", "2028-01-31", "2028-02-29", "2028-03-31", "2028-04-30", "2028-05-31"]
    assert days_of(state, "2028-06-01") == ends
    today = day("2028-02-10")
    every_two = evolve_all(state, decide(state, ChangeInterval(Interval(Unit.MONTH, 2)), today))
    assert days_of(every_two, "2028-09-01")[2:] == ["2028-02-29", "2028-04-30", "2028-06-30", "2028-08-31"]
    leap = subscription("2028-02-29", Interval(Unit.MONTH, 12))
    assert days_of(leap, "2032-12-31") == ["2028-02-29", "2029-02-28", "2030-02-28", "2031-02-28", "2032-02-29"]


@pytest.mark.parametrize(
    ("paused_on", "status"), [("2027-06-05", "skipped"), ("2027-06-06", "planned"), ("2027-06-07", "planned")]
)
def test_pause_spares_what_is_past_its_cut_off(paused_on: str, status: str) -> None:
    """The delivery of 8 June has its cut-off at the beginning of 6 June."""
    state = subscription("2027-06-01", Interval(Unit.WEEK, 1), cut_off_days=2)
    paused = evolve_all(state, decide(state, Pause(day("2027-06-22")), day(paused_on)))
    found = {
        calendar_day(one.day).isoformat(): str(one.delivery.status) for one in deliveries(paused, day("2027-06-22"))
    }
    assert found == {
        "2027-06-01": "planned", "2027-06-08": status, "2027-06-15": "skipped", "2027-06-22": "planned",
    }  # fmt: skip
    # When the pause is over, the same deliveries are skipped as were announced.
    ended = as_of(paused, day("2027-06-22"))
    assert [(one.day, one.delivery.status) for one in deliveries(ended, day("2027-06-22"))] == [
        (one.day, one.delivery.status) for one in deliveries(paused, day("2027-06-22"))
    ]


def test_another_interval_keeps_skips_and_moved_days() -> None:
    state, today = subscription("2027-06-01", Interval(Unit.WEEK, 1)), day("2027-05-30")
    for command in (Skip(2), Move(3, day("2027-06-17")), ChangeInterval(Interval(Unit.WEEK, 2))):
        state = evolve_all(state, decide(state, command, today))
    found = [(calendar_day(one.day).isoformat(), str(one.delivery.status)) for one in deliveries(state, today + 60)]
    assert found[:4] == [
        ("2027-06-01", "planned"), ("2027-06-15", "skipped"), ("2027-06-17", "planned"), ("2027-07-13", "planned"),
    ]  # fmt: skip


def test_made_deliveries_survive_a_new_start_and_their_content_stays() -> None:
    state, today = subscription("2027-06-01", Interval(Unit.WEEK, 1)), day("2027-05-30")
    for command in (SendNow(), RecordDelivered(1), Cancel(None, Cancellation()), Reactivate(), ChangeQuantity(3)):
        state = evolve_all(state, decide(state, command, today))
    first = state.delivery(1)
    assert (str(first.status), first.quantity, first.delivered_quantity, state.quantity) == ("delivered", 1, 1, 3)


def test_another_item_or_quantity_holds_from_the_next_delivery_that_can_be_changed() -> None:
    state, oat = subscription("2027-06-01", Interval(Unit.WEEK, 1), cut_off_days=1), Item("Oat milk")
    steps: list[tuple[Command, str]] = [
        (Move(1, day("2027-06-19")), "2027-05-20"),  # the second one now comes first
        (ChangeQuantity(2), "2027-06-07"),  # the second one is past its cut-off
        (RecordSent(2), "2027-06-08"),
        (ChangeItem(oat), "2027-06-09"),
        (ChangeQuantity(3), "2027-06-09"),
        (ChangeQuantity(4), "2027-06-20"),
    ]
    for command, on in steps:
        state = evolve_all(state, decide(state, command, day(on)))
    found = [
        (calendar_day(state.day(one)).isoformat(), state.quantity_of(one), state.item_of(one)) for one in range(1, 6)
    ]
    assert found == [
        ("2027-06-19", 3, oat), ("2027-06-08", 1, MILK), ("2027-06-15", 3, oat), ("2027-06-22", 4, oat),
        ("2027-06-29", 4, oat),
    ]  # fmt: skip
    # What begins again has the latest quantity, also in place of an earlier delivery.
    again: list[tuple[Command, str]] = [
        (ChangeQuantity(5), "2027-06-14"),
        (Cancel(None, Cancellation()), "2027-06-14"),
        (Reactivate(day("2027-06-30")), "2027-06-20"),
    ]
    begun = subscription("2027-06-15", Interval(Unit.WEEK, 1), cut_off_days=1)
    for command, on in again:
        begun = evolve_all(begun, decide(begun, command, day(on)))
    assert (begun.day(1), begun.quantity_of(1)) == (day("2027-06-30"), 5)


def test_events_without_a_first_delivery_hold_for_all() -> None:
    state = subscription("2027-06-01", Interval(Unit.WEEK, 1))
    changed = evolve_all(state, [QuantityChanged(2, 3), QuantityChanged(4)])
    assert (changed.quantity_of(1), changed.earlier_quantities) == (4, ())
