"""Plans for the tests: random items, and an oracle with a cost of its own, written from `docs/plan.md`."""

import itertools
import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median_high

from pantree_recommendation.core.candidate import PaidPrice
from pantree_recommendation.core.plan import PlanItem, PlanOption, PlanPolicy

LADDER = (7, 14, 21, 28, 35, 42, 56, 84, 112, 168)


def random_items(count: int, seed: int) -> list[PlanItem]:
    """Items as households have them: most are monthly, and a third is lately bought on promotion."""
    generator = random.Random(seed)
    items = []
    for number in range(count):
        interval = generator.choice((7, 14, 14, 21, 28, 28, 28, 42, 56, 84))
        quantity = generator.choice((1, 1, 1, 2))
        step = LADDER.index(interval)
        options = [PlanOption(interval, quantity, 1.0, 0.3, 0.3)]
        for other in (step + 1, step - 1, step + 2):
            if 0 <= other < len(LADDER):
                units = max(1, round(quantity * LADDER[other] / interval))
                ratio = units / quantity * interval / LADDER[other]
                options.append(PlanOption(LADDER[other], units, ratio, generator.uniform(0.2, 0.4), 0.3))
        price = generator.choice((0.99, 1.99, 2.49, 3.99, 5.99))
        paid = PaidPrice(price * generator.uniform(0.8, 1.0), 0.1, purchase_count=8)
        regular = generator.random() < 0.2
        items.append(
            PlanItem(f"item {number}", tuple(options), generator.randint(1, interval), price, paid, True, regular)
        )
    return items


def candidates_of(item: PlanItem) -> list[tuple[PlanOption, int]]:
    """All ways to deliver an item: an option and a first day."""
    found = []
    for option in item.options:
        window = max(3, int(option.interval_days * (1 / 16 if item.regular else 1 / 3)))
        first = item.best_first_day
        # In the first week, what is due earlier comes as soon as it can.
        last = max(first + window, 7 if first <= 7 else 0)
        found += [(option, day) for day in range(max(1, first - window), last + 1)]
    return found


def value_of(item: PlanItem, option: PlanOption) -> float:
    """Value of a delivery; without a price, days and boxes still matter."""
    return item.unit_price * option.quantity or 1.0


def shop_price(item: PlanItem) -> float:
    """What a unit costs in the shop."""
    return item.paid.mean if item.paid is not None and item.discounted else item.unit_price


def shop_cost(item: PlanItem) -> float:
    """The objective of a year without the item: what it costs in the shop, and the trouble."""
    best = item.options[0]
    used = best.quantity * 365 / best.interval_days / (best.supply_ratio or 1.0)
    return 2.0 * used * (shop_price(item) or 1.0)


def cost_of(items: Sequence[PlanItem], choice: Iterable[tuple[PlanOption, int]], policy: PlanPolicy) -> float:
    """The objective of a plan that delivers every item, term by term as documented."""
    chosen = list(choice)
    start = min(day for _, day in chosen) % 7
    weeks = max(52, max(day for _, day in chosen) // 7 + 1)
    days_of = [list(range(day, (start or 7) + 7 * weeks, option.interval_days)) for option, day in chosen]
    items_on = Counter(day for days in days_of for day in days)
    total = 0.15 * median_high(sorted(item.unit_price * item.options[0].quantity for item in items)) * len(items_on)
    for item, (option, day), days in zip(items, chosen, days_of, strict=True):
        ratios = [policy.tiers.of(items_on[one]).discount_ratio for one in days]
        per_year = 365 / option.interval_days
        value = item.unit_price * option.quantity * per_year
        total += value * (1 - sum(ratios) / len(ratios))
        total += fixed_cost(item, option, day)
    return total


def fixed_cost(item: PlanItem, option: PlanOption, first_day: int) -> float:
    """The terms of the objective that do not depend on the other items."""
    best = item.options[0]
    value = value_of(item, option) * 365 / option.interval_days
    shift = first_day - item.best_first_day
    factor = 2.0 if item.regular else 1.0
    total = factor * value * (0.05 * -shift if shift < 0 else 0.15 * shift) / option.interval_days
    best_value = value_of(item, best) * 365 / best.interval_days
    total += best_value * (
        0.3 * max(0.0, option.stockout_probability - best.stockout_probability)
        + 0.1 * max(0.0, option.overstock_ratio - best.overstock_ratio)
        + (0.1 if item.regular else 0.02) * abs(math.log2(option.interval_days / best.interval_days))
    )
    used = best.quantity * 365 / best.interval_days / (best.supply_ratio or 1.0)
    return total + 2.0 * max(0.0, 1 - option.supply_ratio) * used * shop_price(item)


def best_cost(items: Sequence[PlanItem], policy: PlanPolicy) -> float:
    """The lowest cost of all plans whose deliveries are on one day of the week, by trying all."""
    lowest = math.inf
    for weekday in range(7):
        allowed = [[one for one in candidates_of(item) if one[1] % 7 == weekday] for item in items]
        for choice in itertools.product(*allowed):
            lowest = min(lowest, cost_of(items, choice, policy))
    return lowest
