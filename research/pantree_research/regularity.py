"""Regular needs, generated: is each one recommended, in the right amount, from the right day?

A household shops every week, and buys one item in a rhythm of its own: every I days with a jitter, perhaps with a
missed purchase, a doubled quantity, or a changed rhythm. The history goes through the frequency analysis and the
recommender as the services run them. An item is

- *recommended* if it is among the recommendations;
- *supplied* if the units delivered a day are .8 to 1.25 of those used a day;
- *on time* if the first delivery is within a quarter of I (at least 4 days) of the day the next purchase is due.

    python -m pantree_research.regularity
"""

import argparse
import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pantree_domain.purchases import PurchaseHistory
from pantree_frequency.backends import model_files
from pantree_frequency.core import AnalysisRequest, Models, Options, analyze_histories
from pantree_research.quality.recommendations import recommend

INTERVALS = (3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 21, 24, 28, 31, 35, 42, 49, 56, 63, 70, 84, 98, 112, 140, 168)
JITTERS = (0.0, 0.12, 0.25, 0.4, 0.6, 1.0)
PHASES = (0.15, 0.5, 0.9)
KINDS = ("plain", "missed", "doubled", "faster", "slower")
AS_OF = 20_000
NAME = "Item"
# Bought on each weekly trip, with some irregularity, so that the item is not alone.
_OTHERS = ("Bread", "Tomatoes", "Apples", "Cheese", "Pasta", "Yogurt")


@dataclass(frozen=True)
class Case:
    """One household with one regular need."""

    interval_days: int
    jitter: float
    """CV of the intervals."""
    count: int
    """Purchases."""
    phase: float
    """Time since the last purchase over the interval."""
    kind: str
    units: int
    days: tuple[int, ...]
    quantities: tuple[int, ...]

    @property
    def due_day(self) -> float:
        """When the next purchase is due: later after a doubled one."""
        return self.days[-1] + self.interval_days * self.quantities[-1] / self.units


def cases(seed: int, per_cell: int = 1) -> Iterator[Case]:
    """Cases over all intervals, jitters, phases and kinds.

    Args:
        seed: of the generator.
        per_cell: cases of each combination.
    """
    generator = np.random.default_rng(seed)
    for interval in INTERVALS:
        for jitter in JITTERS:
            for phase in PHASES:
                for kind in _kinds(jitter):
                    for _ in range(per_cell):
                        yield _case(generator, interval, jitter, phase, kind)


def _kinds(jitter: float) -> tuple[str, ...]:
    """What may happen to a rhythm. After three intervals, a change cannot be told apart from much jitter."""
    if jitter > 0.25:
        return ("plain",)
    return KINDS if jitter < 0.2 else ("plain", "missed", "doubled")


def _case(generator: np.random.Generator, interval: int, jitter: float, phase: float, kind: str) -> Case:
    count = int(generator.integers(7 if kind != "plain" else 5, 14))
    units = int(generator.choice([1, 1, 1, 2, 3]))
    gaps = interval * (np.ones(count - 1) if jitter == 0 else generator.gamma(1 / jitter**2, jitter**2, count - 1))
    quantities = np.full(count, units)
    if kind == "missed":
        gaps[generator.integers(0, count - 1)] *= 2
    elif kind == "doubled":
        place = int(generator.integers(0, count - 1))
        quantities[place] *= 2
        gaps[place] *= 2
    elif kind in ("faster", "slower"):
        gaps[:-3] *= 1.6 if kind == "faster" else 0.6
    days = np.rint(np.cumsum(np.maximum(gaps, 1)[::-1])[::-1]).astype(int)
    last = AS_OF - round(phase * interval)
    purchase_days = np.unique(np.append(last - days, last))
    return Case(
        interval, jitter, count, phase, kind, units, tuple(purchase_days.tolist()),
        tuple(quantities[-len(purchase_days):].tolist()),
    )  # fmt: skip


def request_of(case: Case) -> AnalysisRequest:
    """The household's history: the item, and other items on weekly trips of the last year."""
    generator = np.random.default_rng(abs(hash((case.interval_days, case.count, case.phase))) % 2**32)
    lines = [(0, day, quantity) for day, quantity in zip(case.days, case.quantities, strict=True)]
    for day in range(AS_OF - 3, AS_OF - 200, -7):
        lines += [(1 + item, day, 1) for item in range(len(_OTHERS)) if generator.random() < 0.4]
    items, days, quantities = (np.array(column, np.int32) for column in zip(*lines, strict=True))
    history = PurchaseHistory(
        item_names=(NAME, *_OTHERS),
        item_categories=("",) * (1 + len(_OTHERS)),
        item_indices=items,
        days=days,
        quantities=quantities,
        prices=np.full(len(lines), 4.0),
        savings=np.zeros(len(lines)),
    )
    return AnalysisRequest(history, AS_OF)


@dataclass(frozen=True)
class Answer:
    """How one case was answered."""

    recommended: bool
    supply_ratio: float
    """Units delivered over units used; NaN without a recommendation."""
    days_off: float
    """Days from the due day to the first delivery; NaN without a recommendation."""
    text: str

    def supplied(self) -> bool:
        """Whether the amount is right."""
        return 0.8 <= self.supply_ratio <= 1.25

    def on_time(self, case: Case) -> bool:
        """Whether the first delivery is near the due day; tomorrow if that is past."""
        return abs(self.days_off) <= max(case.interval_days / 4, 4)


def answers_to(all_cases: Sequence[Case], models: Models) -> list[Answer]:
    """How each case is answered."""
    found = []
    for start in range(0, len(all_cases), 200):
        batch = all_cases[start : start + 200]
        for case, analysis in zip(
            batch, analyze_histories([request_of(case) for case in batch], models, Options()), strict=True
        ):
            result = asyncio.run(recommend(analysis, AS_OF, max_recommendations=20))
            offers = {item.candidate.name: item for item in result.recommendations}
            item = next(item for item in analysis.items if item.statistics.name == NAME)
            text = (
                f"trust {item.regularity_ratio:.2f} P {item.options[0].cadence_probability:.2f} {item.need.name} "
                f"{item.options[0].interval_days} × {item.options[0].quantity}"
            )
            if NAME not in offers:
                found.append(Answer(False, np.nan, np.nan, text))
                continue
            offer = offers[NAME]
            step, quantity = offer.offer.cadence.interval_days, offer.offer.quantity
            ratio = quantity * case.interval_days / (step * case.units)
            due = max(case.due_day, AS_OF + 1)
            first = (offer.first_delivery_day.toordinal() - 719_163) - due
            found.append(Answer(True, ratio, float(first), f"{text} offered {step} × {quantity}"))
    return found


def print_table(all_cases: Sequence[Case], answered: Sequence[Answer], key: str) -> None:
    """Shares of the cases by one of their attributes."""
    print(f"{key:>14} {'cases':>6} {'recommended':>12} {'supplied':>9} {'on time':>8}")
    for value in sorted({getattr(case, key) for case in all_cases}):
        chosen = [(case, one) for case, one in zip(all_cases, answered, strict=True) if getattr(case, key) == value]
        print(
            f"{value!s:>14} {len(chosen):>6} {np.mean([one.recommended for _, one in chosen]):>12.3f}"
            f" {np.mean([one.supplied() for _, one in chosen]):>9.3f}"
            f" {np.mean([one.on_time(case) for case, one in chosen]):>8.3f}"
        )


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--failures", type=int, default=0, help="print this many cases that failed")
    parser.add_argument("--sample", type=float, default=1.0, help="share of the cases")
    parser.add_argument("--models", default=model_files.BUNDLED, type=Path)
    arguments = parser.parse_args()
    models = model_files.models_of(model_files.load(arguments.models))
    all_cases = list(cases(arguments.seed))
    all_cases = all_cases[:: max(round(1 / arguments.sample), 1)]
    answered = answers_to(all_cases, models)
    print_table(all_cases, answered, "jitter")
    regular = [(case, one) for case, one in zip(all_cases, answered, strict=True) if case.jitter <= 0.25]
    print("\nCV up to .25:")
    for key in ("interval_days", "phase", "kind", "count"):
        print_table([case for case, _ in regular], [one for _, one in regular], key)
    failures = [(case, one) for case, one in regular if not (one.recommended and one.supplied() and one.on_time(case))]
    for case, one in failures[: arguments.failures]:
        print(case.interval_days, case.jitter, case.phase, case.kind, case.units, np.diff(case.days).tolist(), one.text,
              f"ratio {one.supply_ratio:.2f} off {one.days_off:.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
