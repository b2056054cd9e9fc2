"""Plans of deliveries on validation households: what they cost compared with what was paid, and what is lost.

    python -m pantree_research.quality.plans [--households 100] [--level sku] [--cutoff 2017-08-31]

Each household's history up to a cut-off goes through the frequency analysis, the filter of the recommendation service
and the planner, with the reference prices that the pipeline computes. The frontier shows, for several limits of how
much more than was paid an item may cost, how many recommendations remain and what share of them costs more than was
paid at the discounts that the plan reaches. Baselines: each item alone at the first discount, all items at the largest
one, all monthly on one day, and each at its own cadence rounded to 14 days on a common start.
"""

import argparse
import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np

from pantree_domain.days import day_number
from pantree_domain.household.prices import PaidLine, reference_price
from pantree_domain.purchases import PurchaseHistory
from pantree_fitting.recommendation import labels
from pantree_frequency.backends import model_files
from pantree_frequency.core import AnalysisRequest, Options, analyze_histories
from pantree_recommendation.backends.embedded import EmbeddedRanker
from pantree_recommendation.core.candidate import Candidate, PaidPrice
from pantree_recommendation.core.plan import PlanItem, PlanPolicy
from pantree_recommendation.core.planner import plan_deliveries
from pantree_recommendation.core.policy import Policy
from pantree_recommendation.core.recommender import filter_candidates, score, select
from pantree_recommendation.core.selection import Models as RankingModels
from pantree_recommendation.core.selection import Selection, Share
from pantree_research.quality.households import Level, Split, load_receipt_lines
from pantree_research.quality.recommendations import history_before

FOLLOW_UP_DAYS = 84
NO_LIMIT = 10.0
MAX_ITEMS = 20
LIMITS = (NO_LIMIT, 0.2, 0.1, 0.05, 0.02, 0.0)
# What was paid for a unit of each item after the cut-off, and its shelf price then.
Later = dict[str, tuple[float, float]]
_MODELS = RankingModels({"embedded": EmbeddedRanker()}, Selection((Share("embedded", 1.0),), "embedded"))


@dataclass
class Tally:
    """What plans of one kind add up to."""

    items: int = 0
    more: int = 0
    """Items that cost more than was paid."""
    clearly_more: int = 0
    """By more than 2 %."""
    empty: int = 0
    deliveries: int = 0
    best_tier: int = 0
    boxes: list[float] = field(default_factory=list)
    promised: float = 0.0
    real: float = 0.0

    def add(self, charged: float, paid: float) -> None:
        """Adds an item with a price that is known."""
        self.more += charged > paid + 1e-9
        self.clearly_more += charged > paid * 1.02


def _household_items(history: PurchaseHistory, candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates with the reference prices of a history."""
    full = float((history.prices * history.quantities).sum())
    usual = min(1.0, max(0.0, float(history.savings.sum()) / full)) if full else 0.0
    lines: dict[str, list[PaidLine]] = {}
    columns = (history.item_indices, history.days, history.quantities, history.prices, history.savings)
    for item, *rest in sorted(zip(*(column.tolist() for column in columns), strict=True), key=lambda row: row[1]):
        lines.setdefault(history.item_names[item], []).append(PaidLine(*rest))
    result = []
    for candidate in candidates:
        price = reference_price(lines[candidate.name], usual)
        if price is None:
            result.append(candidate)
            continue
        paid = PaidPrice(
            price.paid,
            price.deviation,
            price.latest_paid,
            price.purchase_count,
            price.usual_discount_ratio,
            price.promoted,
        )
        result.append(candidate._replace(latest_unit_price=price.shelf, paid_price=paid))
    return result


def _tally_plan(tally: Tally, items: Sequence[PlanItem], policy: PlanPolicy, later: Later) -> None:
    result = plan_deliveries(items, policy)
    tally.items += len(result.items)
    tally.empty += not result.items
    best = policy.tiers.tiers[-1].discount_ratio
    days: set[int] = set()
    for entry in result.items:
        days.update(entry.days)
        tally.deliveries += len(entry.days)
        tally.best_tier += sum(ratio >= best for ratio in entry.discount_ratios)
        units = entry.option.quantity * sum(day <= FOLLOW_UP_DAYS for day in entry.days)
        _tally_item(tally, entry.item, entry.mean_discount_ratio, policy, later, units)
    if result.items:
        tally.boxes.append(len(days) * 28 / 365)


def _tally_item(tally: Tally, item: PlanItem, ratio: float, policy: PlanPolicy, later: Later, units: int) -> None:
    if item.paid is None or not item.discounted:
        return
    charged = policy.charged_unit_price(item) * (1 - ratio)
    tally.add(charged, item.paid.mean)
    if item.name in later:
        paid, shelf = later[item.name]
        tally.promised += units * (item.paid.mean - charged)
        real_charged = shelf if not policy.promotional_prices else (shelf + paid) / 2
        tally.real += units * (paid - real_charged * (1 - ratio))


def _tally_fixed(
    tally: Tally,
    items: Sequence[PlanItem],
    policy: PlanPolicy,
    intervals: Sequence[int],
    later: Later,
) -> None:
    """A baseline: all items from one day on, at given intervals."""
    on = Counter(day for interval in intervals for day in range(interval, 365 + 1, interval))
    tally.items += len(items)
    tally.empty += not items
    for item, interval in zip(items, intervals, strict=True):
        ratios = [policy.tiers.of(on[day]).discount_ratio for day in range(interval, 366, interval)]
        tally.deliveries += len(ratios)
        tally.best_tier += sum(ratio >= policy.tiers.tiers[-1].discount_ratio for ratio in ratios)
        units = round(item.options[0].quantity * FOLLOW_UP_DAYS / item.options[0].interval_days)
        _tally_item(tally, item, sum(ratios) / len(ratios), policy, later, units)
    if items:
        tally.boxes.append(len(on) * 28 / 365)


class HouseholdPlans:
    """What the plans of households are made of, as of a day."""

    def __init__(self, level: Level, cutoff: date, split: Split = Split.VALIDATION) -> None:
        self._cutoff = day_number(cutoff)
        self._histories = load_receipt_lines().of(split).histories(level)
        self._types = dict(zip(self._histories.item_names, self._histories.item_types, strict=True))
        self._models = model_files.models_of(model_files.load(), thread_count=1)

    @property
    def count(self) -> int:
        """Number of households."""
        return self._histories.household_count

    def has_history(self, household: int) -> bool:
        """Whether it bought anything until the day."""
        return len(history_before(self._histories, household, self._cutoff)) > 0

    def history(self, household: int, first: int, last: int) -> PurchaseHistory:
        """What it bought from a day to another, inclusive."""
        return history_before(self._histories, household, last, first)

    def items(self, household: int) -> list[PlanItem]:
        """The items that a plan chooses from, at any price."""
        history = history_before(self._histories, household, self._cutoff)
        types = tuple(self._types[name] for name in history.item_names)
        (analysis,) = analyze_histories([AnalysisRequest(history, self._cutoff, types)], self._models, Options())
        request = labels.recommendation_request(analysis, self._cutoff, MAX_ITEMS)
        candidates = tuple(_household_items(history, request.candidates))
        request = replace(request, candidates=candidates, include_analysis=True)
        filtered = filter_candidates(request, Policy(max_more_expensive_ratio=NO_LIMIT), _MODELS)
        (scored,) = asyncio.run(score([filtered]))
        return list(select(scored).analysis or ())

    def later(self, household: int) -> Later:
        """What it paid afterwards."""
        after = history_before(self._histories, household, self._cutoff + FOLLOW_UP_DAYS, self._cutoff + 1)
        later = {}
        for number, name in enumerate(after.item_names):
            lines = after.item_indices == number
            units = float(after.quantities[lines].sum())
            shelf = float((after.prices[lines] * after.quantities[lines]).sum())
            later[name] = ((shelf - float(after.savings[lines].sum())) / units, shelf / units)
        return later


def main() -> None:
    """Prints the frontier and the baselines."""
    parser = argparse.ArgumentParser(prog="python -m pantree_research.quality.plans", description=__doc__)
    parser.add_argument("--households", type=int, default=100)
    parser.add_argument("--level", type=Level, default=Level.SKU)
    parser.add_argument("--cutoff", type=date.fromisoformat, default=date(2017, 8, 31))
    options = parser.parse_args()
    households = HouseholdPlans(options.level, options.cutoff)
    tallies: dict[tuple[str, str], Tally] = {}
    count = min(options.households, households.count)
    for household in range(count):
        if not households.has_history(household):
            continue
        items, later = households.items(household), households.later(household)
        for name, promotional in (("shelf", False), ("promotional", True)):
            base = PlanPolicy(promotional_prices=promotional)
            for limit in LIMITS:
                label = "plan, no limit" if limit == NO_LIMIT else f"plan, at most {limit:.0%} more"
                tally = tallies.setdefault((name, label), Tally())
                _tally_plan(tally, items, replace(base, max_more_expensive_ratio=limit), later)
            for label, ratio in (("alone, 5 %", 0.05), ("all at 15 %", 0.15)):
                tally = tallies.setdefault((name, label), Tally())
                tally.items += len(items)
                tally.empty += not items
                for item in items:
                    units = round(item.options[0].quantity * FOLLOW_UP_DAYS / item.options[0].interval_days)
                    _tally_item(tally, item, ratio, base, later, units)
            _tally_fixed(tallies.setdefault((name, "monthly, one day"), Tally()), items, base, [28] * len(items), later)
            rounded = [max(14, 14 * round(item.options[0].interval_days / 14)) for item in items]
            _tally_fixed(tallies.setdefault((name, "rounded to 14 days"), Tally()), items, base, rounded, later)
    print(f"{count} validation households, {options.level.value}, {options.cutoff}")
    headings = "".join(f"{heading:>7}" for heading in ("items", "ratio", "more", ">2 %", "empty", "best", "boxes"))
    print(f"{'prices':12}{'plan':24}{headings}{'promised/real':>16}")
    for (name, label), tally in tallies.items():
        today = tallies[name, "alone, 5 %"].items
        items_count = max(1, tally.items)
        best_ratio = tally.best_tier / tally.deliveries if tally.deliveries else 0.0
        boxes = float(np.mean(tally.boxes)) if tally.boxes else 0.0
        ratio = tally.promised / tally.real if tally.real else float("nan")
        print(
            f"{name:12}{label:24}{tally.items:7}{tally.items / max(1, today):7.2f}{tally.more / items_count:7.2f}"
            f"{tally.clearly_more / items_count:7.2f}{tally.empty:7}{best_ratio:7.2f}{boxes:7.2f}"
            f"{tally.promised:8.0f}/{tally.real:.0f}={ratio:.2f}"
        )


if __name__ == "__main__":
    main()
