"""Chooses all subscriptions of a household together: intervals, quantities and common delivery days.

Days are grouped into slots: with the default ladder a slot is a week, and all deliveries are on one day of the week. A
candidate is one way to deliver an item: an option and the slot of its first delivery. Planning chooses one candidate of
each item, or none where constraints allow that, by coordinate descent from several starts. It minimizes the cost of a
year (`docs/decisions/0029-plan-of-deliveries.md`):

- the price of the deliveries, at the discounts that their numbers of items reach;
- what early and late deliveries are worth to the household, and options that supply it worse than the best one;
- the boxes;
- what is bought in the shop instead, and the trouble of buying it.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pantree_domain.money import CENT_DIGITS
from pantree_recommendation.core.plan import (
    MONTH_DAYS,
    NO_CONSTRAINTS,
    SLOT_DAYS,
    Binding,
    LeftOutCode,
    PlanConstraints,
    PlanCosts,
    PlanItem,
    PlannedDeliveries,
    PlannedItem,
    PlanOption,
    PlanPolicy,
)
from pantree_recommendation.core.plan_kernels import (
    DAYS_PER_WEEK,
    Calendar,
    Terms,
    choose,
    make_candidates,
    start_costs,
    sum_up,
)
from pantree_recommendation.core.plan_kernels import YEAR_DAYS as YEAR_DAYS

# A delivery is this far from the best day at most, as a share of the interval; and this many days, so that any weekday
# is possible. Most items have no rhythm: their use varies more than that from one interval to the next.
_MAX_SHIFT_RATIO = 1 / 3
_MAX_SHIFT_RATIO_OF_REGULAR = 1 / 16
_MAX_SHIFT_DAYS = 3
# Starts of the search: the days of the week that come closest to the best days of the items have all patterns.
_MAX_PHASES = 1
_MAX_OTHER_PHASES = 5
# With few items, a local optimum may be far from the best plan, and more starts are cheap.
_MAX_ITEMS_TO_MOVE = 6
_MAX_PHASES_OF_MOVES = 5
_MAX_SLOTS_OF_PATTERNS = 4
_START_SWEEPS = 2
_MAX_SWEEPS = 2
_FINALISTS = 2
# Differences below this are rounding.
_SMALLEST_GAIN = 1e-9
# The plan itself, as a variant of it.
_UNCHANGED = np.array([-1], np.int64)


def plan_deliveries(
    items: Sequence[PlanItem],
    policy: PlanPolicy,
    constraints: PlanConstraints = NO_CONSTRAINTS,
    *,
    as_of_weekday: int = 1,
    digits: int = CENT_DIGITS,
) -> PlannedDeliveries:
    """The plan with the lowest cost that the search finds.

    Args:
        items: with distinct names.
        policy: of the retailer.
        constraints: of the household.
        as_of_weekday: day of the week of the as-of date, 1 (Monday) to 7.
        digits: decimal places of amounts.
    """
    names = {item.name for item in items}
    unknown = constraints.required - names
    contradictory = constraints.required & constraints.excluded
    if unknown or contradictory:
        return _infeasible(items, Binding("required_items", items=tuple(sorted(unknown | contradictory))))
    left_out: dict[str, LeftOutCode] = {}
    for item in items:
        if item.name in constraints.excluded:
            left_out[item.name] = LeftOutCode.EXCLUDED_BY_HOUSEHOLD
        elif (code := _too_expensive(item, policy, constraints, (policy.tiers.tiers[-1].discount_ratio,))) is not None:
            if item.name in constraints.required:
                return _infeasible(items, _price_binding(item, policy))
            left_out[item.name] = code
    search = _Search([item for item in items if item.name not in left_out], policy, constraints, as_of_weekday, digits)
    binding = search.run()
    planned: list[PlannedItem] = []
    # The discounts that are reached decide what is too expensive, and what is left out changes the discounts.
    while binding is None:
        planned = search.planned()
        dropped: dict[str, LeftOutCode] = {}
        for entry in planned:
            code = _too_expensive(entry.item, policy, constraints, entry.discount_ratios)
            if code is not None:
                if entry.item.name in constraints.required:
                    return _infeasible(items, _price_binding(entry.item, policy))
                dropped[entry.item.name] = code
        if not dropped:
            break
        left_out |= dropped
        binding = search.without(set(dropped))
    if binding is not None:
        return _infeasible(items, binding)
    objective = search.objective + math.fsum(_shop_cost(item, policy.costs) for item in items if item.name in left_out)
    left_out |= search.left_out
    return PlannedDeliveries(
        tuple(planned),
        {item.name: left_out[item.name] for item in items if item.name in left_out},
        objective,
        () if planned else tuple(search.empty_bindings()),
    )


def _infeasible(items: Sequence[PlanItem], binding: Binding) -> PlannedDeliveries:
    return PlannedDeliveries((), {}, math.inf, (binding,))


def _price_binding(item: PlanItem, policy: PlanPolicy) -> Binding:
    return Binding("price_limits", policy.charged_unit_price(item), (item.name,))


def _too_expensive(
    item: PlanItem, policy: PlanPolicy, constraints: PlanConstraints, discount_ratios: Sequence[float]
) -> LeftOutCode | None:
    """Why an item is too expensive at the discounts of its deliveries; None if it is not."""
    ratios = discount_ratios if item.discounted else (0.0,)
    price = policy.charged_unit_price(item)
    limit = constraints.max_unit_prices.get(item.name)
    if limit is not None and price * (1 - min(ratios)) > limit + 1e-9:
        return LeftOutCode.ABOVE_PRICE_LIMIT
    if item.paid is None or not item.discounted or item.name in constraints.required:
        return None
    mean = price * (1 - sum(ratios) / len(ratios))
    if mean > item.paid.mean * (1 + policy.max_more_expensive_ratio) + 1e-9:
        return LeftOutCode.MORE_EXPENSIVE
    return None


def _paid_unit_price(item: PlanItem) -> float:
    """What buying a unit in the shop costs."""
    return item.unit_price if item.paid is None or not item.discounted else item.paid.mean


def _value(item: PlanItem, option: PlanOption) -> float:
    """Value of a delivery; 1 without a price, so that days and boxes still matter."""
    return item.unit_price * option.quantity or 1.0


def _used_units(item: PlanItem) -> float:
    """Units that the household uses in a year."""
    best = item.options[0]
    return YEAR_DAYS / best.interval_days * best.quantity / (best.supply_ratio or 1.0)


def _shop_cost(item: PlanItem, costs: PlanCosts) -> float:
    """What a year without the subscription costs."""
    return (1 + costs.shop_ratio) * _used_units(item) * (_paid_unit_price(item) or 1.0)


class _Search:
    """One search for the best plan of some items."""

    def __init__(
        self,
        items: Sequence[PlanItem],
        policy: PlanPolicy,
        constraints: PlanConstraints,
        as_of_weekday: int,
        digits: int,
    ) -> None:
        self._items = list(items)
        self._policy = policy
        self._constraints = constraints
        self._weekday = as_of_weekday
        self._cent = 10.0**-digits
        self._earliest = max(1, constraints.notice_days)
        self._finalists: list[tuple[_Column, NDArray[np.int64]]] = []
        self._column = _Column(0, None, False)
        self._chosen = np.full(len(items), -1, np.int64)
        self.left_out: dict[str, LeftOutCode] = {}
        self.objective = 0.0
        if items:
            self._build()

    def run(self) -> Binding | None:
        """Searches; returns the constraint that cannot be met, if any."""
        if not self._items:
            return None
        columns = self._columns()
        if not columns:
            code = LeftOutCode.TOO_MANY_BOXES if self._constraints.max_boxes == 0 else LeftOutCode.NO_DELIVERY_DAY
            self.left_out = {item.name: code for item in self._items}
            self.objective = float(self._none_costs.sum())
            names = tuple(item.name for item in self._items if item.name in self._constraints.required)
            if not names:
                return None
            if code is LeftOutCode.TOO_MANY_BOXES:
                return Binding("max_boxes_per_month", 1.0, names)
            return Binding("delivery_weekdays", items=names)
        begun = np.full((len(columns), len(self._items)), -1, np.int64)
        chosen, costs = self._choose(columns, begun, _START_SWEEPS)
        for number in np.argsort(costs, kind="stable").tolist():
            column = columns[number]
            column = _Column(column.phase, column.pattern if column.hard else None, column.hard)
            selection = chosen[number]
            if not any(one == column and (other == selection).all() for one, other in self._finalists):
                self._finalists.append((column, selection))
            if len(self._finalists) == _FINALISTS:
                break
        return self._finish()

    def without(self, names: set[str]) -> Binding | None:
        """Searches again, from the best plans so far, without some items."""
        kept = np.array([item.name not in names for item in self._items])
        self._active &= kept
        self._finalists = [(column, np.where(self._active, chosen, -1)) for column, chosen in self._finalists]
        return self._finish()

    def _finish(self) -> Binding | None:
        """Improves the finalists and chooses the best one that meets the constraints."""
        columns = [column for column, _ in self._finalists]
        begun = np.array([chosen for _, chosen in self._finalists])
        final, _ = self._choose(columns, begun, _MAX_SWEEPS)
        self._finalists = list(zip(columns, final, strict=True))
        best: tuple[float, _Column, NDArray[np.int64]] | None = None
        failed: Binding | None = None
        for column, chosen in self._finalists:
            binding, chosen = self._restrict(column, chosen)
            if binding is not None:
                failed = _easier(failed, binding)
                continue
            cost = self._totals(column, chosen).cost[0]
            if best is None or cost < best[0] - _SMALLEST_GAIN:
                best = cost, column, chosen
        if best is None:
            return failed or Binding("max_boxes_per_month")
        self.objective, self._column, self._chosen = float(best[0]), best[1], best[2]
        self._name_left_out()
        return None

    # --- candidates

    def _build(self) -> None:
        """Arrays of all candidates, one block per item."""
        costs = self._policy.costs
        values = sorted(_value(item, item.options[0]) for item in self._items)
        self._box_cost = costs.box_ratio * values[len(values) // 2]
        rows: list[tuple[float, ...]] = []  # per option
        self._options: list[PlanOption] = []
        none_costs = []
        slot_count = YEAR_DAYS // SLOT_DAYS
        for number, item in enumerate(self._items):
            best = item.options[0]
            used, paid = _used_units(item), _paid_unit_price(item)
            none_costs.append(_shop_cost(item, costs))
            best_annual = YEAR_DAYS / best.interval_days * _value(item, best)
            price = self._policy.charged_unit_price(item)
            ratio = _MAX_SHIFT_RATIO_OF_REGULAR if item.regular else _MAX_SHIFT_RATIO
            factor = costs.regular_factor if item.regular else 1.0
            other_interval_ratio = costs.other_interval_ratio_of_regular if item.regular else costs.other_interval_ratio
            ideal = max(item.best_first_day, self._earliest)
            for option in item.options:
                interval = option.interval_days
                window = max(_MAX_SHIFT_DAYS, int(interval * ratio))
                low = max(0, (ideal - window - self._earliest - SLOT_DAYS + 1) // SLOT_DAYS)
                high = max(0, (ideal + window - self._earliest) // SLOT_DAYS)
                annual = YEAR_DAYS / interval * _value(item, option)
                worse = (
                    costs.stockout_ratio * max(0.0, option.stockout_probability - best.stockout_probability)
                    + costs.overstock_ratio * max(0.0, option.overstock_ratio - best.overstock_ratio)
                    + other_interval_ratio * abs(math.log2(interval / best.interval_days))
                ) * best_annual
                missing = max(0.0, 1.0 - option.supply_ratio) * used
                rows.append(
                    (
                        number,
                        interval,
                        price * option.quantity,
                        worse + (1 + costs.shop_ratio) * missing * paid,
                        factor * costs.early_ratio * annual / interval,
                        factor * costs.late_ratio * annual / interval,
                        item.best_first_day,
                        ideal,
                        window,
                        math.inf if item.last_day is None else item.last_day,
                        0.0 if item.paid is None or not item.discounted else paid * option.quantity,
                        low,
                        high,
                    )
                )
                slot_count = max(slot_count, high + 1)
                self._options.append(option)
        self._slot_count = slot_count
        self._per_month = max(1, MONTH_DAYS // SLOT_DAYS)
        calendar = Calendar(
            self._earliest,
            SLOT_DAYS,
            slot_count,
            self._per_month,
            (self._weekday - 1 + self._earliest) % DAYS_PER_WEEK,
            sum(1 << (weekday - 1) for weekday in self._constraints.weekdays or range(1, DAYS_PER_WEEK + 1)),
        )
        count = len(self._items)
        self._candidates = make_candidates(np.array(rows, np.float64), count, calendar)
        self._starts = self._candidates.blocks[:-1]
        bounds = self._candidates.blocks.tolist()
        self._blocks: list[tuple[int, int]] = list(itertools.pairwise(bounds))
        self._active = np.ones(count, np.bool_)
        self._required = np.array([item.name in self._constraints.required for item in self._items])
        self._none_costs = np.array(none_costs)
        tiers = self._policy.tiers
        self._ratios = np.array([0.0, *(tiers.of(number).discount_ratio for number in range(1, count + 2))])
        # What comes most often makes the boxes, and the others join them.
        order = sorted(range(count), key=lambda one: (self._items[one].options[0].interval_days, -none_costs[one], one))
        self._terms = Terms(
            np.array(order, np.int64),
            self._active,
            self._required,
            np.array([item.discounted for item in self._items]),
            self._none_costs,
            self._ratios,
            self._box_cost,
            self._cent,
        )

    def _columns(self) -> list["_Column"]:
        """Starts of the search: days of the week, and patterns of slots."""
        constraints = self._constraints
        lowest = np.minimum.reduceat(self._candidates.fixed, self._starts, axis=0)
        impossible = ~np.isfinite(lowest)
        phases = []
        for phase in range(SLOT_DAYS):
            if constraints.weekdays and not self._weekdays_of(phase) & constraints.weekdays:
                continue
            total = float(np.where(impossible[:, phase], 0.0, lowest[:, phase]).sum())
            phases.append((int(impossible[:, phase].sum()), total, phase))
        phases.sort()
        slots = self._per_month
        max_boxes = constraints.max_boxes
        hard = max_boxes is not None and max_boxes < slots
        patterns: list[frozenset[int] | None]
        if not hard:
            patterns = [None]
            if slots % 2 == 0:
                patterns += [frozenset(range(offset, slots, 2)) for offset in (0, 1)]
            if slots <= _MAX_SLOTS_OF_PATTERNS:
                patterns += [frozenset({offset}) for offset in range(slots)]
        elif not max_boxes:
            return []
        elif slots <= _MAX_SLOTS_OF_PATTERNS:
            patterns = [frozenset(some) for some in itertools.combinations(range(slots), max_boxes)]
        else:
            spacing = -(-slots // max_boxes)
            patterns = [frozenset(range(offset, slots, spacing)) for offset in range(spacing)]
        if len(self._items) == 1:
            # There are no boxes to share, so that patterns and other starts lead to the same.
            return [
                _Column(phase, pattern, hard) for *_, phase in phases for pattern in patterns[: None if hard else 1]
            ]
        near = [phase for *_, phase in phases[:_MAX_PHASES]]
        others = [phase for *_, phase in phases[_MAX_PHASES:_MAX_OTHER_PHASES]]
        columns = [_Column(phase, pattern, hard) for phase in near for pattern in patterns]
        columns += [_Column(phase, patterns[0], hard) for phase in others]
        columns += [_Column(phase, patterns[0], hard, best=True) for phase in [*near, *others]]
        if len(self._items) <= _MAX_ITEMS_TO_MOVE:
            columns += [
                _Column(phase, patterns[0], hard, moved)
                for phase in [*near, *others][:_MAX_PHASES_OF_MOVES]
                for moved in range(len(self._items))
            ]
        return columns

    def _weekdays_of(self, phase: int) -> set[int]:
        first = self._weekday - 1 + self._earliest + phase
        count = 1 if SLOT_DAYS % DAYS_PER_WEEK == 0 else DAYS_PER_WEEK
        return {(first + SLOT_DAYS * slot) % DAYS_PER_WEEK + 1 for slot in range(count)}

    def _fixed_of(self, columns: Sequence["_Column"]) -> NDArray[np.float64]:
        """Fixed costs of all candidates by column; infinite where the column does not allow a candidate."""
        starts = [
            (
                column.phase,
                -1 if column.pattern is None else sum(1 << slot for slot in column.pattern),
                column.hard,
                -1 if column.moved is None else column.moved,
                column.best,
            )
            for column in columns
        ]
        return start_costs(self._candidates, np.array(starts, np.int64))

    # --- search

    def _choose(
        self, columns: Sequence["_Column"], begun: NDArray[np.int64], sweeps: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The best candidate of each item in each column, and the costs."""
        return choose(self._candidates, self._terms, self._fixed_of(columns), begun, self._slot_count, sweeps)

    # --- totals, and constraints on the whole plan

    def _totals(
        self, column: "_Column", chosen: NDArray[np.int64], changed: NDArray[np.int64] | None = None, sign: int = 1
    ) -> "_Totals":
        """Cost, price of the most expensive 28 days, and saving of a plan.

        With `changed`, of the plans that differ from it by one candidate more (or less) each.
        """
        variants = _UNCHANGED if changed is None else changed
        span = -(-MONTH_DAYS // SLOT_DAYS)
        return _Totals(
            *sum_up(self._candidates, self._terms, column.phase, chosen, variants, sign, self._slot_count, span)
        )

    def _restrict(self, column: "_Column", chosen: NDArray[np.int64]) -> tuple[Binding | None, NDArray[np.int64]]:
        """Leaves items out until budget, boxes and savings are met."""
        constraints = self._constraints
        chosen = chosen.copy()
        missing = [item.name for item, due in zip(self._items, self._required & (chosen < 0), strict=True) if due]
        if missing:
            fewer = constraints.max_boxes is not None
            return Binding("max_boxes_per_month" if fewer else "delivery_weekdays", items=tuple(missing)), chosen
        binding = None
        if constraints.budget is not None:
            binding = self._fit_budget(column, chosen, constraints.budget)
        if binding is None and constraints.min_annual_savings is not None:
            binding = self._fit_savings(column, chosen, constraints.min_annual_savings)
        return binding, chosen

    def _fit_budget(self, column: "_Column", chosen: NDArray[np.int64], budget: float) -> Binding | None:
        """Leaves out the items that give least for their cost, then adds what still fits."""
        while (now := self._totals(column, chosen)).peak[0] > budget:
            numbers = np.flatnonzero((chosen >= 0) & ~self._required)
            if not len(numbers):
                names = tuple(item.name for item, due in zip(self._items, self._required, strict=True) if due)
                return Binding(
                    "budget_per_month", math.ceil(float(now.peak[0]) / self._cent - 1e-6) * self._cent, names
                )
            left = self._totals(column, chosen, chosen[numbers], -1)
            relief = now.peak - left.peak
            loss = left.cost + self._none_costs[numbers] - now.cost
            # What is not in the most expensive month only goes when nothing else does.
            score = np.where(relief > _SMALLEST_GAIN, loss / np.maximum(relief, _SMALLEST_GAIN), np.inf)
            position = int(score.argmin()) if np.isfinite(score).any() else int(loss.argmin())
            chosen[numbers[position]] = -1
        fixed = self._fixed_of([column])[0]
        waiting = np.flatnonzero((chosen < 0) & self._active).tolist()
        for number in sorted(waiting, key=lambda one: (-self._none_costs[one], one)):
            begin, end = self._blocks[number]
            candidates = np.arange(begin, end)[np.isfinite(fixed[begin:end])]
            if not len(candidates):
                continue
            now = self._totals(column, chosen)
            more = self._totals(column, chosen, candidates)
            cost = np.where(more.peak <= budget, more.cost - self._none_costs[number], np.inf)
            if cost.min() < now.cost[0] - _SMALLEST_GAIN:
                chosen[number] = candidates[cost.argmin()]
        return None

    def _fit_savings(self, column: "_Column", chosen: NDArray[np.int64], minimum: float) -> Binding | None:
        """Leaves out the items that save least."""
        while (now := self._totals(column, chosen)).saving[0] < minimum:
            numbers = np.flatnonzero((chosen >= 0) & ~self._required)
            savings = self._totals(column, chosen, chosen[numbers], -1).saving + 2 * self._cent
            if not len(numbers) or savings.max() <= now.saving[0] + _SMALLEST_GAIN:
                return Binding("min_annual_savings", math.floor(float(now.saving[0]) / self._cent) * self._cent)
            chosen[numbers[savings.argmax()]] = -1
        return None

    def _name_left_out(self) -> None:
        constraints = self._constraints
        self.left_out = {}
        if not ((self._chosen < 0) & self._active).any():
            return
        allowed = np.isfinite(np.minimum.reduceat(self._fixed_of([self._column])[0], self._starts))
        possible = np.isfinite(np.minimum.reduceat(self._candidates.fixed[:, self._column.phase], self._starts))
        for number in np.flatnonzero((self._chosen < 0) & self._active).tolist():
            if not possible[number]:
                code = LeftOutCode.NO_DELIVERY_DAY
            elif not allowed[number]:
                code = LeftOutCode.TOO_MANY_BOXES
            elif constraints.budget is not None:
                code = LeftOutCode.OVER_BUDGET
            elif constraints.min_annual_savings is not None:
                code = LeftOutCode.SAVES_TOO_LITTLE
            else:
                code = LeftOutCode.NOT_WORTH_A_BOX
            self.left_out[self._items[number].name] = code

    def empty_bindings(self) -> Iterable[Binding]:
        """Why a plan is empty, and the least that would fit one item."""
        codes = set(self.left_out.values())
        if LeftOutCode.OVER_BUDGET in codes:
            cheapest = math.inf
            fixed = self._fixed_of([self._column])[0]
            for number, (begin, end) in enumerate(self._blocks):
                possible = np.arange(begin, end)[np.isfinite(fixed[begin:end])]
                if self._active[number] and len(possible):
                    none = np.full(len(self._items), -1, np.int64)
                    cheapest = min(cheapest, float(self._totals(self._column, none, possible).peak.min()))
            if math.isfinite(cheapest):
                yield Binding("budget_per_month", round(math.ceil(cheapest / self._cent - 1e-6) * self._cent, 6))
        elif LeftOutCode.TOO_MANY_BOXES in codes:
            yield Binding("max_boxes_per_month", 1.0 if self._constraints.max_boxes == 0 else None)
        elif LeftOutCode.SAVES_TOO_LITTLE in codes:
            yield Binding("min_annual_savings", 0.0)
        elif LeftOutCode.NO_DELIVERY_DAY in codes:
            yield Binding("delivery_weekdays")

    def planned(self) -> list[PlannedItem]:
        """The items of the best plan, with their deliveries."""
        numbers = np.flatnonzero(self._chosen >= 0)
        if not len(numbers):
            return []
        candidates = self._candidates
        slots_of = []
        counts = np.zeros(self._slot_count, np.int64)
        for number in numbers.tolist():
            one = self._chosen[number]
            first, step = int(candidates.first[one]), int(candidates.step[one])
            slots = slice(first, first + step * int(candidates.deliveries[one]), step)
            slots_of.append(slots)
            if self._items[number].discounted:
                counts[slots] += 1
        ratios = self._ratios[counts].tolist()
        result = []
        begin = self._earliest + self._column.phase
        for slots, number in zip(slots_of, numbers.tolist(), strict=True):
            item = self._items[number]
            days = tuple(range(begin + SLOT_DAYS * slots.start, begin + SLOT_DAYS * slots.stop, SLOT_DAYS * slots.step))
            reached = tuple(ratios[slots]) if item.discounted else (0.0,) * len(days)
            option = self._options[candidates.option[self._chosen[number]]]
            result.append(PlannedItem(item, option, days, reached))
        return result


class _Column(NamedTuple):
    """One start of the search."""

    phase: int
    """Days from the earliest day to the first slot."""
    pattern: frozenset[int] | None
    """Slots of 28 days with deliveries; None for all."""
    hard: bool
    """Whether the pattern is a constraint; otherwise it is only a start."""
    moved: int | None = None
    """Number of an item that does not start with its best candidate; None for all with theirs."""
    best: bool = False
    """Whether items start with their best options."""


class _Totals(NamedTuple):
    """Figures of plans, one or several."""

    cost: NDArray[np.float64]
    """The objective."""
    peak: NDArray[np.float64]
    """Price of the most expensive 28 days in a row."""
    saving: NDArray[np.float64]
    """Of a year, against what was paid; 0 for items whose paid price is unknown."""


def _easier(one: Binding | None, other: Binding) -> Binding:
    """Of two constraints that cannot be met on different days, the one that is nearer to being met."""
    if one is None:
        return other
    if one.constraint != other.constraint or other.fitting_value is None:
        return one
    if one.fitting_value is None:
        return other
    if other.constraint == "min_annual_savings":
        return max(one, other, key=lambda binding: binding.fitting_value or 0.0)
    return min(one, other, key=lambda binding: binding.fitting_value or 0.0)
