"""The review of subscriptions on real households: `make review-quality`.

    python -m pantree_research.quality.review [--split validation] [--level type] [--households 500]

Subscriptions begin at 2017-05-31 by the plan of that day, and are reviewed every week until 2017-08-31; the household
follows each advice at once. They are compared with the same subscriptions without a review. Real baskets know no
deliveries, so what these would have changed is assumed, in two ways:

* displaced: delivered units take the place of the next purchases, and the review sees only the purchases that remain.
  A delivery is early if the first of its units is needed more than seven days later; a purchase that remains is a
  run-out.
* extra: deliveries displace nothing, so the review sees every purchase. Then every delivery is early, nothing runs out,
  and fewer units delivered are better.

Units delivered over used are those of the days from the first planned delivery on. Intervals are bootstrapped over
households. Thresholds of the rules were chosen on fitting households (`--split fitting`).
"""

import argparse
import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pantree_domain.days import day_number
from pantree_domain.purchases import PurchaseHistory
from pantree_recommendation.core.plan import PlannedItem, PlanPolicy
from pantree_recommendation.core.planner import plan_deliveries
from pantree_recommendation.core.review import review
from pantree_recommendation.core.review_evidence import ADVISED
from pantree_recommendation.core.review_state import (
    FORECAST_DAYS,
    DeliveryRecord,
    DeliveryStatus,
    ItemPurchase,
    ReviewAction,
    ReviewRequest,
    SubscriptionReview,
    SubscriptionState,
)
from pantree_research.quality.households import FIRST_DAY, LAST_DAY, Level, Split
from pantree_research.quality.plans import HouseholdPlans

BEGIN = date(2017, 5, 31)
END = date(2017, 8, 31)
EARLY_DAYS = 7
CUT_OFF_DAYS = 2
DAYS_PER_WEEK = 7
BOOTSTRAP_SAMPLES = 2000
FOLDER = Path("build/quality")
DISPLACED, EXTRA = "displaced", "extra"


@dataclass
class Subscription:
    """A subscription that is followed from day to day."""

    name: str
    interval_days: int
    quantity: int
    needs: dict[int, int]
    """Units really bought, by day, after it began."""
    earlier: tuple[ItemPurchase, ...]
    deliveries: list[DeliveryRecord] = field(default_factory=list)
    bought: list[ItemPurchase] = field(default_factory=list)
    """Purchases that remain."""
    stock: deque[list[int]] = field(default_factory=deque)
    """Units left and their position among the arrivals."""
    arrivals: list[tuple[int, int, int | None]] = field(default_factory=list)
    """Day, units, and day on which the first of them was needed."""
    stopped: bool = False

    def state(self, as_of_day: int) -> SubscriptionState:
        """What a review sees."""
        return SubscriptionState(
            subscription_id=self.name,
            item_name=self.name,
            interval_days=self.interval_days,
            quantity=self.quantity,
            deliveries=tuple(
                one._replace(can_change=one.day - CUT_OFF_DAYS > as_of_day)
                for one in self.deliveries
                if one.day <= as_of_day + FORECAST_DAYS
            ),
            purchases=(*self.earlier, *self.bought),
        )

    def pass_day(self, day: int, displaced: bool) -> None:
        """Delivers what is planned, then meets the needs of the day."""
        for one in self.deliveries:
            if one.day == day and one.status is DeliveryStatus.PLANNED:
                self.stock.append([one.quantity, len(self.arrivals)])
                self.arrivals.append((day, one.quantity, None))
        missing = self.needs.get(day, 0)
        while displaced and missing and self.stock:
            position = self.stock[0][1]
            used = min(missing, self.stock[0][0])
            if self.arrivals[position][2] is None:
                self.arrivals[position] = (*self.arrivals[position][:2], day)
            self.stock[0][0] -= used
            missing -= used
            if not self.stock[0][0]:
                self.stock.popleft()
        if missing:
            self.bought.append(ItemPurchase(day, missing))

    def follow(self, advice: SubscriptionReview) -> None:
        """Does what a review advises."""
        if advice.before is None:
            return
        sequence = advice.before.sequence
        match advice.action:
            case ReviewAction.STOP:
                self.deliveries = [one for one in self.deliveries if one.sequence < sequence]
                self.stopped = True
            case ReviewAction.SKIP_NEXT:
                self._skip(ADVISED, lambda one: one.sequence == sequence)
            case ReviewAction.PAUSE:
                until = advice.change.pause_until or 0
                self._skip("paused", lambda one: sequence <= one.sequence and one.day < until)
            case ReviewAction.CHANGE_QUANTITY:
                self.quantity = advice.change.quantity or self.quantity
                self.deliveries = [
                    one._replace(quantity=self.quantity) if one.sequence >= sequence else one for one in self.deliveries
                ]
            case ReviewAction.LENGTHEN | ReviewAction.SHORTEN:
                self.interval_days = advice.change.interval_days or self.interval_days
                last_day = max(one.day for one in self.deliveries)
                kept = [one for one in self.deliveries if one.sequence <= sequence]
                self.deliveries = kept + scheduled(
                    kept[-1].day + self.interval_days, self.interval_days, self.quantity, last_day, sequence + 1
                )

    def _skip(self, reason: str, chosen: Any) -> None:
        self.deliveries = [
            one._replace(status=DeliveryStatus.SKIPPED, reason=reason)
            if one.status is DeliveryStatus.PLANNED and chosen(one)
            else one
            for one in self.deliveries
        ]


def scheduled(first: int, interval_days: int, quantity: int, last: int, sequence: int = 1) -> list[DeliveryRecord]:
    """Planned deliveries from a day to another."""
    return [
        DeliveryRecord(sequence + number, day, DeliveryStatus.PLANNED, quantity, day)
        for number, day in enumerate(range(first, last + 1, interval_days))
    ]


@dataclass(frozen=True)
class Counts:
    """What subscriptions of a household add up to."""

    subscriptions: int = 0
    deliveries: int = 0
    early: int = 0
    run_outs: int = 0
    delivered: int = 0
    used: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))


def counts_of(subscription: Subscription, first_day: int, end: int, displaced: bool) -> Counts:
    """What became of a subscription.

    Args:
        subscription: followed beyond the last day, so that it is known when units were needed.
        first_day: of the first planned delivery.
        end: last day that counts.
        displaced: whether deliveries displaced purchases.
    """
    arrived = [one for one in subscription.arrivals if one[0] <= end]
    early = [one for one in arrived if one[2] is None or one[2] - one[0] > EARLY_DAYS]
    window = range(first_day, end + 1)
    return Counts(
        subscriptions=1,
        deliveries=len(arrived),
        early=len(early) if displaced else len(arrived),
        run_outs=sum(one.day in window for one in subscription.bought) if displaced else 0,
        delivered=sum(units for _, units, _ in arrived),
        used=sum(units for day, units in subscription.needs.items() if day in window),
    )


def follow_household(
    items: Sequence[PlannedItem], history: PurchaseHistory, begin: int, end: int, *, displaced: bool, reviewed: bool
) -> tuple[Counts, list[ReviewAction]]:
    """Follows the subscriptions of a household from their beginning on; what became of them, and what was advised.

    Args:
        items: of the plan.
        history: all purchases.
        begin: day of the plan.
        end: last day that counts.
        displaced: whether deliveries displace purchases.
        reviewed: whether they are reviewed every week.
    """
    trips = tuple(history.trip_days.tolist())
    subscriptions, first_days = [], []
    for planned in items:
        units = _units_by_day(history, planned.item.name)
        first_days.append(begin + planned.days[0])
        interval, quantity = planned.option.interval_days, planned.option.quantity
        subscriptions.append(
            Subscription(
                planned.item.name,
                interval,
                quantity,
                {day: count for day, count in units.items() if day > begin},
                tuple(ItemPurchase(day, count) for day, count in sorted(units.items()) if day <= begin),
                scheduled(first_days[-1], interval, quantity, end + FORECAST_DAYS),
            )
        )
    actions: list[ReviewAction] = []
    # Beyond the end only to see when what was delivered is needed: nothing more is delivered then.
    for day in range(begin + 1, LAST_DAY + 1):
        as_of_day = day - 1
        if reviewed and as_of_day > begin and (as_of_day - begin) % DAYS_PER_WEEK == 0 and as_of_day <= end:
            open_ones = [one for one in subscriptions if not one.stopped]
            request = ReviewRequest(
                as_of_day, tuple(one.state(as_of_day) for one in open_ones), tuple(one for one in trips if one < day)
            )
            for one, advice in zip(open_ones, review(request), strict=True):
                one.follow(advice)
                if advice.action is not ReviewAction.KEEP:
                    actions.append(advice.action)
        if day == end + 1:
            for one in subscriptions:
                one.deliveries = [delivery for delivery in one.deliveries if delivery.day <= end]
        for one in subscriptions:
            one.pass_day(day, displaced)
    counts = [
        counts_of(one, first_day, end, displaced) for one, first_day in zip(subscriptions, first_days, strict=True)
    ]
    return sum(counts, Counts()), actions


def _units_by_day(history: PurchaseHistory, name: str) -> dict[int, int]:
    lines = history.item_indices == history.item_names.index(name)
    units: dict[int, int] = {}
    for day, count in zip(history.days[lines].tolist(), history.quantities[lines].tolist(), strict=True):
        units[day] = units.get(day, 0) + count
    return units


FIGURES = {
    "early deliveries of a subscription": ("early", "subscriptions"),
    "share of deliveries that are early": ("early", "deliveries"),
    "run-outs of a subscription": ("run_outs", "subscriptions"),
    "units delivered over used": ("delivered", "used"),
}
RATIO = "units delivered over used"
DISTANCE = "distance of that from 1"


def figures(counts: NDArray[np.float64]) -> dict[str, float]:
    """The figures of sums.

    Args:
        counts: float64[6], in the order of `Counts`.
    """
    sums = dict(zip(Counts.__dataclass_fields__, counts.tolist(), strict=True))
    found = {name: sums[top] / max(sums[bottom], 1.0) for name, (top, bottom) in FIGURES.items()}
    return {**found, DISTANCE: abs(found[RATIO] - 1)}


def compared(alone: Sequence[Counts], reviewed: Sequence[Counts], samples: int, seed: int = 1) -> dict[str, Any]:
    """Each figure unchanged and reviewed, with the difference and its 95 % interval over households."""
    tables = [np.array([list(vars(one).values()) for one in counts], np.float64) for counts in (alone, reviewed)]
    before, after = (figures(table.sum(axis=0)) for table in tables)
    generator = np.random.default_rng(seed)
    differences: dict[str, list[float]] = {name: [] for name in before}
    for _ in range(samples):
        chosen = generator.integers(0, len(alone), len(alone))
        one, other = (figures(table[chosen].sum(axis=0)) for table in tables)
        for name in differences:
            differences[name].append(other[name] - one[name])
    return {
        name: {
            "alone": before[name],
            "reviewed": after[name],
            "difference": after[name] - before[name],
            "interval": np.percentile(differences[name], [2.5, 97.5]).tolist(),
        }
        for name in before
    }


def evaluate(split: Split, level: Level, max_households: int, samples: int) -> dict[str, Any]:
    """The comparison on the households of a split, under both assumptions."""
    households = HouseholdPlans(level, BEGIN, split)
    begin, end = day_number(BEGIN), day_number(END)
    sums: dict[tuple[str, bool], list[Counts]] = {(name, on): [] for name in (DISPLACED, EXTRA) for on in (False, True)}
    advised: dict[str, dict[str, int]] = {DISPLACED: {}, EXTRA: {}}
    for household in range(min(households.count, max_households)):
        if not households.has_history(household):
            continue
        items = plan_deliveries(households.items(household), PlanPolicy()).items
        if not items:
            continue
        history = households.history(household, FIRST_DAY, LAST_DAY)
        for (assumption, on), found in sums.items():
            counts, actions = follow_household(
                items, history, begin, end, displaced=assumption == DISPLACED, reviewed=on
            )
            found.append(counts)
            for action in actions:
                advised[assumption][action] = advised[assumption].get(action, 0) + 1
    return {
        "split": split.value,
        "level": level.value,
        "households": len(sums[DISPLACED, False]),
        "subscriptions": sum(one.subscriptions for one in sums[DISPLACED, False]),
        "advised": advised,
        "figures": {name: compared(sums[name, False], sums[name, True], samples) for name in (DISPLACED, EXTRA)},
    }


def print_result(result: dict[str, Any]) -> None:
    """Prints a comparison."""
    print(
        f"{result['subscriptions']} subscriptions of {result['households']} {result['split']} households, "
        f"items by {result['level']}, {BEGIN} to {END}"
    )
    for assumption, rows in result["figures"].items():
        print(f"\n{assumption}: advised {result['advised'][assumption]}")
        for name, row in rows.items():
            low, high = row["interval"]
            better = "better" if high < 0 else "WORSE" if low > 0 else ""
            if name == RATIO and assumption == DISPLACED:
                better = ""
            print(
                f"  {name:36}{row['alone']:8.3f} → {row['reviewed']:6.3f}  {row['difference']:+.3f} "
                f"({low:+.3f} to {high:+.3f}) {better}"
            )


def main() -> None:
    """Prints the comparison and writes `build/quality/review.json`."""
    parser = argparse.ArgumentParser(prog="python -m pantree_research.quality.review", description=__doc__)
    parser.add_argument("--households", type=int, default=10_000)
    parser.add_argument("--level", type=Level, nargs="+", default=[Level.TYPE, Level.SKU])
    parser.add_argument("--split", type=Split, default=Split.VALIDATION)
    parser.add_argument("--samples", type=int, default=BOOTSTRAP_SAMPLES)
    options = parser.parse_args()
    results = []
    for level in options.level:
        results.append(evaluate(options.split, level, options.households, options.samples))
        print_result(results[-1])
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "review.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
