"""What if a household had followed a plan: its purchases until a day make the plan, those after it are the replay."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np

from pantree_domain.catalog import load_catalog
from pantree_domain.days import calendar_day, day_number
from pantree_domain.household.needs import Pack, fold_needs
from pantree_domain.household.pack import read_pack
from pantree_domain.money import ceil_to_cent, exact, minor_unit_digits, round_to_cent
from pantree_domain.purchases import PurchaseHistory
from pantree_pipeline.core.events import Degradation
from pantree_pipeline.core.household import Household, reference_prices
from pantree_pipeline.core.job import Job
from pantree_pipeline.core.ports import PlannedDelivery
from pantree_pipeline.core.replay import DAYS_PER_WEEK, Delivery, Need, Replay, replay
from pantree_runtime.errors import FieldViolation, InvalidInput

DEFAULT_WEEKS = 12


class WhatIfJob(NamedTuple):
    """A plan to make and to replay."""

    plan: Job
    """Its source is the history until its as-of date."""
    history: PurchaseHistory
    """The same with the purchases until the end of the replay."""
    week_count: int

    @property
    def first_day(self) -> int:
        """First day of the replay, days since 1970-01-01."""
        return day_number(self.plan.as_of) + 1

    @property
    def day_count(self) -> int:
        """Number of days of the replay."""
        return self.week_count * DAYS_PER_WEEK


class Window(NamedTuple):
    """The weeks to replay."""

    as_of: date
    week_count: int


def window_of(history: PurchaseHistory, as_of: date | None, week_count: int | None) -> Window:
    """The weeks to replay of a history.

    Args:
        history: at least one line.
        as_of: day of the plan; None for the number of weeks before the latest purchase.
        week_count: None for the default, or as many as there are after `as_of`.

    Raises:
        InvalidInput: when there are no purchases before or too few weeks after the as-of date.
    """
    first, last = (calendar_day(int(day)) for day in (history.days.min(), history.days.max()))
    span = f"the purchases are of {first} to {last}"
    if as_of is None:
        max_weeks = (last - first).days // DAYS_PER_WEEK
        weeks = DEFAULT_WEEKS if week_count is None else week_count
        if weeks > max_weeks:
            remedy = f"use at most {max_weeks}" if max_weeks else "send purchases of more than a week"
            description = f"must leave purchases before the weeks to replay; is {weeks}, and {span}; {remedy}"
            raise InvalidInput([FieldViolation("input.week_count", description)])
        return Window(last - timedelta(days=weeks * DAYS_PER_WEEK), weeks)
    max_weeks = (last - as_of).days // DAYS_PER_WEEK
    if as_of < first or max_weeks < 1:
        latest = max(first, last - timedelta(days=DAYS_PER_WEEK))
        description = f"must be from {first} to {latest}, a week before the latest purchase; is {as_of}"
        if last - first < timedelta(days=DAYS_PER_WEEK):
            description = f"must be a week before the latest purchase, but {span}; send purchases of more than a week"
        raise InvalidInput([FieldViolation("input.as_of", description)])
    if week_count is not None and week_count > max_weeks:
        description = (
            f"must be at most {max_weeks}, the weeks from as_of to the latest purchase, {last}; is {week_count}"
        )
        raise InvalidInput([FieldViolation("input.week_count", description)])
    return Window(as_of, week_count or min(max_weeks, DEFAULT_WEEKS))


class PlanMade(NamedTuple):
    """The plan of the as-of date."""

    job: WhatIfJob
    plan: object
    """Message of the recommendation service."""
    degradations: tuple[Degradation, ...]


@dataclass(frozen=True)
class WhatIf:
    """A replay of a plan."""

    job: WhatIfJob
    names: tuple[str, ...]
    """The items of the plan, by name."""
    replay: Replay
    promised_savings: float | None
    """On the deliveries of the replay; None when a paid price is unknown."""
    total_spend: float
    has_prices: bool


def until(history: PurchaseHistory, day: int) -> PurchaseHistory:
    """The lines of a history until a day, inclusive, with the items that they have."""
    lines = history.days <= day
    items, indices = np.unique(history.item_indices[lines], return_inverse=True)
    return PurchaseHistory(
        item_names=tuple(history.item_names[item] for item in items),
        item_categories=tuple(history.item_categories[item] for item in items),
        item_indices=indices.astype(np.int32),
        days=history.days[lines],
        quantities=history.quantities[lines],
        prices=history.prices[lines],
        savings=history.savings[lines],
    )


def replay_plan(job: WhatIfJob, household: Household, planned: Sequence[PlannedDelivery]) -> WhatIf:
    """The replay of a plan's deliveries.

    Args:
        job: what to replay.
        household: behind the plan.
        planned: all deliveries of the plan.
    """
    digits = minor_unit_digits(job.plan.currency_code)
    names = tuple(sorted({one.name for one in planned}))
    end = job.first_day + job.day_count
    delivered = [one for one in planned if job.first_day <= one.day < end]
    deliveries = _charged(job.history, household.packs, names, delivered, digits, job.first_day - 1)
    needs = _needs(job, household, names, digits)
    savings = [one.savings_vs_paid for one in delivered]
    known = [saving for saving in savings if saving is not None]
    later = job.history.days >= job.first_day
    return WhatIf(
        job=job,
        names=names,
        replay=replay(deliveries, needs, len(names), job.first_day, job.day_count, digits),
        promised_savings=round_to_cent(math.fsum(known), digits) if len(known) == len(savings) else None,
        total_spend=round_to_cent(math.fsum(job.history.paid[later].tolist()), digits),
        has_prices=bool((job.history.prices[later] > 0).any()),
    )


def _charged(
    history: PurchaseHistory,
    packs: Mapping[str, Pack],
    names: Sequence[str],
    delivered: Iterable[PlannedDelivery],
    digits: int,
    as_of_day: int,
) -> list[Delivery]:
    """Deliveries at the shelf prices of their days, as far as the receipts until then show them."""
    bought = set(names).union(*(packs[name].names for name in names if name in packs))
    is_bought = np.array([name in bought for name in history.item_names])[history.item_indices]
    lines = replace(
        history,
        item_indices=history.item_indices[is_bought],
        days=history.days[is_bought],
        quantities=history.quantities[is_bought],
        prices=history.prices[is_bought],
        savings=history.savings[is_bought],
    )
    shelf: dict[int, dict[str, float]] = {}
    for day in {as_of_day, *(one.day for one in delivered)}:
        known = until(lines, day)
        prices = reference_prices(known, packs, frozenset(names) & frozenset(known.item_names))
        shelf[day] = {name: price.shelf for name, price in prices.items()}
    positions = {name: position for position, name in enumerate(names)}
    deliveries = []
    for one in delivered:
        before, then = shelf[as_of_day].get(one.name), shelf[one.day].get(one.name)
        price = one.price
        if before and then and before != then:
            # Rounded first, so that the inexact quotient of two prices does not add a cent.
            price = ceil_to_cent(exact(round(one.price * then / before, digits + 4)), digits=digits)
        deliveries.append(Delivery(one.day, positions[one.name], one.quantity, price))
    return deliveries


def _needs(job: WhatIfJob, household: Household, names: Sequence[str], digits: int) -> list[Need]:
    """What was really bought of the items of a plan: one need for each item and day."""
    history = job.history
    item_of = planned_items(history, household, names)
    units: defaultdict[tuple[int, int], list[float]] = defaultdict(list)
    paid: defaultdict[tuple[int, int], list[float]] = defaultdict(list)
    later = history.days >= job.first_day
    columns = (history.item_indices, history.days, history.quantities, history.paid)
    for item, day, quantity, amount in zip(*(column[later].tolist() for column in columns), strict=True):
        position = item_of.get(history.item_names[item])
        if position is not None:
            units[day, position].append(quantity * packs_in(history.item_names[item], names[position]))
            paid[day, position].append(amount)
    return [
        Need(day, item, max(round(math.fsum(amounts), 6), 1e-6), round_to_cent(math.fsum(paid[day, item]), digits))
        for (day, item), amounts in sorted(units.items())
    ]


def planned_items(history: PurchaseHistory, household: Household, names: Sequence[str]) -> dict[str, int]:
    """The position of the planned item that each name of a history is, or takes the place of.

    What the household knew on the as-of date comes first. Of the others, such as a new pack size or brand, those count
    that the whole history shows to be the same need.

    Args:
        history: with the purchases after the as-of date.
        household: as known on the as-of date.
        names: the items of the plan.
    """
    positions = {name: position for position, name in enumerate(names)}
    found = _by_need(household.packs, household.replaced, positions)
    hindsight = fold_needs(history, int(history.days.max()), load_catalog())
    need_of = {other: name for name, pack in hindsight.packs.items() for other in pack.names}
    need_of.update(hindsight.replaced)
    planned: dict[str, int] = {}
    for name in sorted(found, key=lambda one: (found[one], one)):
        planned.setdefault(need_of.get(name, name), found[name])
    for name in history.item_names:
        if name not in found and need_of.get(name, name) in planned:
            found[name] = planned[need_of.get(name, name)]
    return found


def _by_need(packs: Mapping[str, Pack], replaced: Mapping[str, str], positions: Mapping[str, int]) -> dict[str, int]:
    found = dict(positions)
    for name, position in positions.items():
        if name in packs:
            found.update(dict.fromkeys(packs[name].names, position))
    for name, other in replaced.items():
        if other in positions:
            found.setdefault(name, positions[other])
    return found


def packs_in(name: str, planned: str) -> float:
    """Packs of the planned item in one pack of another name; 1 when their contents cannot be compared."""
    one, other = read_pack(name), read_pack(planned)
    if one.content is None or other.content is None or one.unit != other.unit:
        return 1.0
    return one.content / other.content
