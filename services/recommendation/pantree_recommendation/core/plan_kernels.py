"""The arithmetic of the planner: candidates, their costs, and the search; compiled.

A candidate delivers in every `step`-th slot from its first one. All sums are in the order of slots and items, so that
compiled and interpreted functions give the same plan.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pantree_domain.compiled import compiled

YEAR_DAYS = 365
DAYS_PER_WEEK = 7


class Calendar(NamedTuple):
    """The slots of a plan."""

    earliest: int
    """Day of the first possible delivery, in days after the as-of date."""
    slot_days: int
    slot_count: int
    per_month: int
    """Slots of 28 days."""
    first_weekday: int
    """Day of the week of the earliest day, 0 (Monday) to 6."""
    weekdays: int
    """A bit for each day of the week with deliveries."""


class Candidates(NamedTuple):
    """All ways to deliver the items, one block per item."""

    blocks: NDArray[np.int64]
    """Number of each item's first candidate; then their total number."""
    option: NDArray[np.int64]
    """Number of the option."""
    first: NDArray[np.int64]
    """Slot of the first delivery."""
    step: NDArray[np.int64]
    """Slots from one delivery to the next."""
    deliveries: NDArray[np.int64]
    """Number of deliveries in the slots of the plan."""
    months: NDArray[np.int64]
    """A bit for each slot of 28 days with deliveries."""
    fixed: NDArray[np.float64]
    """Costs that do not depend on other items, by day of the slot; infinite where it cannot be delivered."""
    price: NDArray[np.float64]
    """Of a delivery, before the discount."""
    annual: NDArray[np.float64]
    """Price of a year over the number of deliveries in the slots, before the discount."""
    annual_paid: NDArray[np.float64]
    """What a year's goods cost so far; 0 when unknown."""


class Terms(NamedTuple):
    """What is the same for all candidates of an item, and for all items."""

    order: NDArray[np.int64]
    """The items, in the order of the search."""
    active: NDArray[np.bool_]
    required: NDArray[np.bool_]
    discounted: NDArray[np.bool_]
    none_costs: NDArray[np.float64]
    """Of leaving an item out."""
    ratios: NDArray[np.float64]
    """Discounts by number of items."""
    box_cost: float
    cent: float


# Fields of an option, as `make_candidates` takes them.
ITEM, INTERVAL, PRICE, EXTRA, EARLY, LATE, WANTED, IDEAL, WINDOW, LAST_DAY, PAID, LOW, HIGH = range(13)
# Fields of a start, as `start_costs` takes them.
PHASE, PATTERN, HARD, MOVED, BEST = range(5)


@compiled("numpy")
def make_candidates(options: NDArray[np.float64], item_count: int, calendar: Calendar) -> Candidates:
    """The candidates of all options, which are in the order of the items."""
    count = 0
    for option in range(len(options)):
        count += int(options[option, HIGH]) - int(options[option, LOW]) + 1
    blocks = np.zeros(item_count + 1, np.int64)
    numbers = np.zeros((5, count), np.int64)
    fixed = np.empty((count, calendar.slot_days))
    amounts = np.empty((3, count))
    at = 0
    for option in range(len(options)):
        row = options[option]
        step = int(row[INTERVAL]) // calendar.slot_days
        for first in range(int(row[LOW]), int(row[HIGH]) + 1):
            deliveries, months = 0, 0
            slot = first
            while slot < calendar.slot_count:
                if slot > first and calendar.earliest + calendar.slot_days * (slot + 1) - 1 > row[LAST_DAY]:
                    break
                deliveries += 1
                months |= 1 << (slot % calendar.per_month)
                slot += step
            numbers[0, at] = option
            numbers[1, at] = first
            numbers[2, at] = step
            numbers[3, at] = deliveries
            numbers[4, at] = months
            for phase in range(calendar.slot_days):
                day = calendar.earliest + calendar.slot_days * first + phase
                shift = day - row[WANTED]
                distance = day - row[IDEAL]
                # On the first days, what is due earlier comes as soon as it can.
                too_far = abs(distance) > row[WINDOW] and not (first == 0 and distance >= 0)
                if too_far or day > row[LAST_DAY]:
                    fixed[at, phase] = np.inf
                else:
                    fixed[at, phase] = row[EXTRA] + max(-shift * row[EARLY], shift * row[LATE])
                if calendar.slot_days % DAYS_PER_WEEK:
                    for number in range(deliveries):
                        days = calendar.first_weekday + phase + calendar.slot_days * (first + number * step)
                        if not calendar.weekdays >> (days % DAYS_PER_WEEK) & 1:
                            fixed[at, phase] = np.inf
            # A year has as many deliveries as the interval gives, in whichever slot the first one is.
            amounts[0, at] = row[PRICE]
            amounts[1, at] = row[PRICE] * (YEAR_DAYS / row[INTERVAL] / deliveries)
            amounts[2, at] = row[PAID] * YEAR_DAYS / row[INTERVAL]
            at += 1
        blocks[int(row[ITEM]) + 1] = at
    return Candidates(
        blocks, numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], fixed, amounts[0], amounts[1], amounts[2]
    )


@compiled("numpy")
def start_costs(candidates: Candidates, starts: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64[starts, candidates], fixed costs; infinite where the start does not allow a candidate."""
    costs = np.empty((len(starts), len(candidates.first)))
    for start in range(len(starts)):
        phase, pattern, hard = starts[start, PHASE], starts[start, PATTERN], starts[start, HARD]
        for item in range(len(candidates.blocks) - 1):
            begin, end = candidates.blocks[item], candidates.blocks[item + 1]
            best_option = candidates.option[begin]
            finite, finite_best, lowest = 0, 0, begin
            for one in range(begin, end):
                cost = candidates.fixed[one, phase]
                costs[start, one] = cost
                if cost < np.inf:
                    finite += 1
                    finite_best += candidates.option[one] == best_option
                if cost < costs[start, lowest]:
                    lowest = one
            if starts[start, BEST] and finite_best:
                for one in range(begin, end):
                    if candidates.option[one] != best_option:
                        costs[start, one] = np.inf
            if starts[start, MOVED] == item and finite > 1:
                costs[start, lowest] = np.inf
            # A soft pattern is a start only: items that don't fit it are delivered as usual.
            fits = hard != 0
            for one in range(begin, end):
                if not candidates.months[one] & ~pattern and costs[start, one] < np.inf:
                    fits = True
            if fits:
                for one in range(begin, end):
                    if candidates.months[one] & ~pattern:
                        costs[start, one] = np.inf
    return costs


@compiled("numpy")
def choose(
    candidates: Candidates,
    terms: Terms,
    fixed: NDArray[np.float64],
    begun: NDArray[np.int64],
    slot_count: int,
    sweeps: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Chooses the best candidate of each item in turn, given the others, until nothing changes.

    Args:
        candidates: of all items.
        terms: of the items.
        fixed: float64[k, candidates], fixed costs of k starts.
        begun: int64[k, items], candidates to start from, -1 for none.
        slot_count: number of slots.
        sweeps: largest number of sweeps.

    Returns:
        int64[k, items], the chosen candidates, and float64[k], their costs.
    """
    ratios, box_cost = terms.ratios, terms.box_cost
    chosen = begun.copy()
    costs = np.zeros(len(fixed))
    marginal = np.zeros(slot_count)
    rest = np.zeros(slot_count)
    for lane in range(len(fixed)):
        counts = np.zeros(slot_count, np.int64)  # items with discounts
        boxes = np.zeros(slot_count, np.int64)  # all items
        value = np.zeros(slot_count)  # price of a year before discounts, items with discounts
        for item in terms.order:
            if terms.active[item] and chosen[lane, item] >= 0:
                _place(candidates, chosen[lane, item], 1, terms.discounted[item], counts, boxes, value)
        for _ in range(sweeps):
            changed = False
            for item in terms.order:
                if not terms.active[item]:
                    continue
                discounted = terms.discounted[item]
                old = chosen[lane, item]
                if old >= 0:
                    _place(candidates, old, -1, discounted, counts, boxes, value)
                marginal[:] = np.where(boxes == 0, box_cost, 0.0)
                if discounted:
                    then = ratios[counts + 1]
                    marginal += value * (ratios[counts] - then)
                    rest[:] = 1.0 - then
                else:
                    rest[:] = 1.0
                new = -1
                lowest = np.inf
                for one in range(candidates.blocks[item], candidates.blocks[item + 1]):
                    if fixed[lane, one] < np.inf:
                        other, own = 0.0, 0.0
                        slot, step = candidates.first[one], candidates.step[one]
                        for _ in range(candidates.deliveries[one]):
                            other += marginal[slot]
                            own += rest[slot]
                            slot += step
                        total = fixed[lane, one] + other + own * candidates.annual[one]
                        if total < lowest:
                            new, lowest = one, total
                if lowest > terms.none_costs[item] and not terms.required[item]:
                    new = -1
                if new >= 0:
                    _place(candidates, new, 1, discounted, counts, boxes, value)
                if new != old:
                    changed = True
                    chosen[lane, item] = new
            if not changed:
                break
        cost = 0.0
        for charged in value * (1.0 - ratios[counts]) + np.where(boxes > 0, box_cost, 0.0):
            cost += charged
        for item in range(len(terms.active)):
            one = chosen[lane, item]
            if one >= 0:
                cost += fixed[lane, one]
                if not terms.discounted[item]:
                    cost += candidates.annual[one] * candidates.deliveries[one]
            elif terms.active[item]:
                cost += terms.none_costs[item]
        costs[lane] = cost
    return chosen, costs


@compiled("numpy")
def _place(
    candidates: Candidates,
    one: int,
    sign: int,
    discounted: bool,
    counts: NDArray[np.int64],
    boxes: NDArray[np.int64],
    value: NDArray[np.float64],
) -> None:
    """Adds (or removes) a candidate."""
    first, step = candidates.first[one], candidates.step[one]
    stop = first + step * candidates.deliveries[one]
    _increase(boxes[first:stop:step], sign)
    if discounted:
        _increase(counts[first:stop:step], sign)
        _increase(value[first:stop:step], sign * candidates.annual[one])


@compiled("numpy")
def sum_up(
    candidates: Candidates,
    terms: Terms,
    phase: int,
    chosen: NDArray[np.int64],
    variants: NDArray[np.int64],
    sign: int,
    slot_count: int,
    span: int,
) -> NDArray[np.float64]:
    """Cost, price of the most expensive `span` slots, and saving of the plans that differ from one by a candidate.

    Args:
        candidates: of all items.
        terms: of the items.
        phase: day of the slot.
        chosen: int64[items], the candidates of the plan, -1 for none.
        variants: the candidate that each plan has more (or less); -1 for the plan itself.
        sign: 1 for more, -1 for less.
        slot_count: number of slots.
        span: number of slots in a row.

    Returns:
        float64[3, variants].
    """
    items = len(chosen)
    found = np.zeros((3, len(variants)))
    owners = np.zeros(len(candidates.first), np.int64)
    for item in range(items):
        for one in range(candidates.blocks[item], candidates.blocks[item + 1]):
            owners[one] = item
    counts = np.zeros(slot_count, np.int64)
    boxes = np.zeros(slot_count, np.int64)
    # By slot, before discounts: prices of a year, and of a delivery, of items with discounts and of others; prices of a
    # year where a paid price is known, which is of items with discounts only.
    sums = np.zeros((5, slot_count))
    constant, paid, picked = 0.0, 0.0, 0
    for item in range(items):
        one = chosen[item]
        if one >= 0:
            constant += candidates.fixed[one, phase]
            paid += candidates.annual_paid[one]
            picked += 1
            _add(candidates, terms, one, item, 1, counts, boxes, sums)
        elif terms.active[item]:
            constant += terms.none_costs[item]
    for number in range(len(variants)):
        one = variants[number]
        cost, saving = constant, paid
        if one >= 0:
            _add(candidates, terms, one, owners[one], sign, counts, boxes, sums)
            cost += sign * candidates.fixed[one, phase]
            saving += sign * candidates.annual_paid[one]
        rest = 1.0 - terms.ratios[counts]
        month = sums[2] * rest + sums[3] + terms.cent * boxes
        charged = sums[0] * rest + sums[1] + np.where(boxes > 0, terms.box_cost, 0.0)
        known = sums[4] * rest
        peak, run = -np.inf, 0.0
        for slot in range(slot_count):
            cost += charged[slot]
            saving -= known[slot]
            run += month[slot]
            if slot >= span:
                run -= month[slot - span]
            if slot >= span - 1 or slot == slot_count - 1:
                peak = max(peak, run)
        if one >= 0:
            _add(candidates, terms, one, owners[one], -sign, counts, boxes, sums)
        found[0, number] = cost
        found[1, number] = peak
        # Rounding takes up to two cents of each item.
        found[2, number] = saving - 2 * terms.cent * picked
    return found


@compiled("numpy")
def _add(
    candidates: Candidates,
    terms: Terms,
    one: int,
    item: int,
    sign: int,
    counts: NDArray[np.int64],
    boxes: NDArray[np.int64],
    sums: NDArray[np.float64],
) -> None:
    """Adds (or removes) a candidate."""
    first, step = candidates.first[one], candidates.step[one]
    stop = first + step * candidates.deliveries[one]
    other = 0 if terms.discounted[item] else 1
    _increase(boxes[first:stop:step], sign)
    _increase(counts[first:stop:step], (1 - other) * sign)
    _increase(sums[other, first:stop:step], sign * candidates.annual[one])
    if candidates.annual_paid[one] > 0:
        _increase(sums[4, first:stop:step], sign * candidates.annual[one])
    _increase(sums[2 + other, first:stop:step], sign * candidates.price[one])


@compiled("numpy")
def _increase(numbers: NDArray[Any], more: float) -> None:
    numbers += more
