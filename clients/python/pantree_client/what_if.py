"""Replays of a plan on a household's own past."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree_client.conversion import value_of
from pantree_client.results import AnswerWarning, BindingConstraint, Plan, to_bindings, to_plan

_Date = date  # for classes with a field of this name


@dataclass(frozen=True)
class WhatIfStarted:
    """The plan that is replayed; first event of its stream."""

    customer_id: str
    as_of: date
    """Day of the plan; the replay starts on the day after."""
    end_date: date
    """Last day of the replay."""
    week_count: int
    plan: Plan
    """Without deliveries when no item is worth a subscription."""
    currency_code: str
    binding_constraints: tuple[BindingConstraint, ...]
    warnings: tuple[AnswerWarning, ...]
    message: messages.WhatIfStarted = field(repr=False, compare=False)


@dataclass(frozen=True)
class WhatIfTotals:
    """Sums over items and days of a replay."""

    box_count: int
    delivery_count: int
    """A box has one for each of its items."""
    early_delivery_count: int
    """Deliveries that came while units of earlier ones were on hand."""
    need_count: int
    """Real purchases of items of the plan, one for each item and day."""
    stockout_count: int
    """Real purchases for which the units on hand were too few."""
    delivered_units: float
    needed_units: float
    bought_units: float
    """Units that the household would still have bought, because they were not on hand."""
    paid: float
    """What it really paid for the items of the plan."""
    delivery_cost: float
    purchase_cost: float
    """Of the units that it would still have bought, at the prices really paid."""
    savings: float
    """Paid less both costs; negative if the plan cost more."""


@dataclass(frozen=True)
class WhatIfItem:
    """What would have happened to an item of the plan."""

    name: str
    item_id: str
    variant: str
    totals: WhatIfTotals
    units_on_hand: tuple[float, ...]
    """Delivered and not used yet, at the end of each day."""


@dataclass(frozen=True)
class WhatIfDelivery:
    """A delivery of an item."""

    date: date
    name: str
    item_id: str
    variant: str
    quantity: int
    price: float
    """At the shelf price of its day."""
    units_on_hand: float
    """Of earlier deliveries, when it came; it was early unless this is 0."""
    needed_date: _Date | None
    """Day on which the first of its units was needed; None if none was."""


@dataclass(frozen=True)
class WhatIfNeed:
    """A real purchase, and what it would have been with the plan."""

    date: date
    name: str
    item_id: str
    variant: str
    units: float
    units_from_stock: float
    units_bought: float
    """Still bought, because they had run out."""
    paid: float
    purchase_cost: float
    """Of the units still bought."""


@dataclass(frozen=True)
class WhatIfWeek:
    """What would have happened in a week."""

    week_number: int
    """From 1."""
    start_date: date
    end_date: date
    totals: WhatIfTotals
    cumulative_totals: WhatIfTotals
    """Of all weeks so far."""
    items: tuple[WhatIfItem, ...]
    """By name."""
    deliveries: tuple[WhatIfDelivery, ...]
    """By day and name."""
    needs: tuple[WhatIfNeed, ...]
    """By day and name."""
    message: messages.WhatIfWeek = field(repr=False, compare=False)


@dataclass(frozen=True)
class WhatIfSummary:
    """The totals of a replay; last event of its stream."""

    totals: WhatIfTotals
    items: tuple[WhatIfItem, ...]
    """By name, with all days."""
    promised_savings: float | None
    """What the plan promised to save on the deliveries of these weeks; None if unknown."""
    stock_cost: float
    """Of the units that are on hand at the end; they are paid, but not used."""
    savings_without_stock: float
    """Savings plus `stock_cost`."""
    total_spend: float
    """What the household really paid for everything in these weeks."""
    has_prices: bool
    """False if the purchases have no prices: amounts mean nothing."""
    replay_id: str
    """Equal for equal replays."""
    message: messages.WhatIfSummary = field(repr=False, compare=False)


@dataclass(frozen=True)
class WhatIf:
    """A plan, replayed on a household's own past."""

    started: WhatIfStarted
    weeks: tuple[WhatIfWeek, ...]
    """Earliest first."""
    summary: WhatIfSummary
    message: messages.WhatIfResult = field(repr=False, compare=False)


WhatIfEvent = WhatIfStarted | WhatIfWeek | WhatIfSummary


def to_what_if(message: messages.WhatIfResult) -> WhatIf:
    """A replay."""
    return WhatIf(
        started=_what_if_started(message.started),
        weeks=tuple(_what_if_week(week) for week in message.weeks),
        summary=_what_if_summary(message.summary),
        message=message,
    )


def to_what_if_event(message: messages.WhatIfResponse) -> WhatIfEvent:
    """Event of a replay."""
    if message.HasField("started"):
        return _what_if_started(message.started)
    if message.HasField("week"):
        return _what_if_week(message.week)
    return _what_if_summary(message.completed)


def _what_if_started(message: messages.WhatIfStarted) -> WhatIfStarted:
    return value_of(
        WhatIfStarted,
        message,
        plan=to_plan(message.plan),
        binding_constraints=to_bindings(message.binding_constraints),
        warnings=tuple(value_of(AnswerWarning, warning) for warning in message.warnings),
    )


def _what_if_week(message: messages.WhatIfWeek) -> WhatIfWeek:
    return value_of(
        WhatIfWeek,
        message,
        totals=value_of(WhatIfTotals, message.totals),
        cumulative_totals=value_of(WhatIfTotals, message.cumulative_totals),
        items=_what_if_items(message.items),
        deliveries=tuple(
            value_of(
                WhatIfDelivery,
                one,
                date=date.fromisoformat(one.date),
                needed_date=date.fromisoformat(one.needed_date) if one.needed_date else None,
            )
            for one in message.deliveries
        ),
        needs=tuple(value_of(WhatIfNeed, one, date=date.fromisoformat(one.date)) for one in message.needs),
    )


def _what_if_summary(message: messages.WhatIfSummary) -> WhatIfSummary:
    return value_of(
        WhatIfSummary,
        message,
        totals=value_of(WhatIfTotals, message.totals),
        items=_what_if_items(message.items),
        promised_savings=message.promised_savings if message.HasField("promised_savings") else None,
    )


def _what_if_items(items: Iterable[messages.WhatIfItem]) -> tuple[WhatIfItem, ...]:
    return tuple(
        value_of(
            WhatIfItem,
            one,
            totals=value_of(WhatIfTotals, one.totals),
            units_on_hand=tuple(one.units_on_hand),
        )
        for one in items
    )
