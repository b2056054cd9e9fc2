"""Whether a grocer recognizes the simulated shoppers: what each archetype buys, and how first purchases are answered.

Each archetype is simulated from several first purchases with many seeds, for six months before the as-of date, and its
history goes through the frequency analysis and the recommender as the services run them. The simulation goes on for six
more months, which show what the households then use.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from pantree_domain.catalog import PackClass, Trait, Variant, load_catalog
from pantree_domain.days import calendar_day, day_number
from pantree_domain.months import add_months
from pantree_domain.purchases import PurchaseHistory
from pantree_frequency.backends import model_files
from pantree_frequency.core import AnalysisRequest, Options, analyze_histories
from pantree_recommendation.core.discount import DEFAULT_TIERS
from pantree_recommendation.core.recommender import Recommendation, RecommendationResult
from pantree_research.quality.recommendations import recommend
from pantree_research.realism.simulated import our_behavior
from pantree_simulation.core.archetypes import Archetype
from pantree_simulation.core.scenario import FirstItem, Scenario
from pantree_simulation.core.simulation import Simulator

AS_OF = date(2026, 11, 26)
_MONTHS = 6
_BATCH = 50
_CELEBRATION = "Birthday Cake"
FIRST_PURCHASES: tuple[Mapping[str, float], ...] = (
    {"Bananas": 1.99, "Chicken Breast": 12.99},
    {"Spinach": 3.49, "Greek Yogurt": 5.49, "Chicken Breast": 9.99, "Bananas": 1.79, "Eggs": 3.49, "Almond Milk": 3.99},
    {"Milk": 3.99, "Cereal": 4.49, "Diapers": 27.99, "Baby Wipes": 12.99, "Bread": 2.79, "Bananas": 1.79},
    {"Rice": 4.99, "Eggs": 3.49, "Bread": 2.49, "Milk": 3.79, "Onions": 2.99, "Coffee": 8.99},
    {"Coffee": 9.49, "Cat Food": 15.99, "Cat Litter": 11.99, "Milk": 3.99, "Bread": 3.29},
    {"Milk": 3.99, "Bread": 2.99, "Eggs": 3.29, "Butter": 4.99, "Apples": 4.49, _CELEBRATION: 18.99},
    {"Yogurt": 3.49, "Spinach": 2.99, "Tomatoes": 2.99, "Bread": 3.49, "Cheddar Cheese": 3.99},
    {"Coffee": 8.49, "Milk": 3.79, "Orange Juice": 4.29, "Toilet Paper": 11.99},
    {"Training Pants": 24.99, "Milk": 3.99, "Cereal": 4.29, "Bananas": 1.69, "Yogurt": 3.79},
    {"Dog Food": 24.99, "Ground Beef": 5.99, "Potatoes": 3.99, "Eggs": 3.19, "Milk": 3.59},
)
"""Names and prices; all but the birthday cake are staples."""


@dataclass(frozen=True)
class Shopper:
    """One simulated household and its answer."""

    first_purchase: Mapping[str, float]
    past: PurchaseHistory
    """Until the as-of date."""
    future: PurchaseHistory
    """The six months from the as-of date on, and the six before."""
    result: RecommendationResult


def shoppers_of(archetype: Archetype, seed_count: int, models_directory: Path = model_files.BUNDLED) -> list[Shopper]:
    """Households of an archetype, one for each seed; they take turns with the first purchases."""
    simulator = Simulator(load_catalog(), our_behavior())
    models = model_files.models_of(model_files.load(models_directory))
    found = []
    for start in range(0, seed_count, _BATCH):
        seeds = range(start, min(start + _BATCH, seed_count))
        firsts = [FIRST_PURCHASES[seed % len(FIRST_PURCHASES)] for seed in seeds]
        futures = [_history(simulator, archetype, first, seed) for first, seed in zip(firsts, seeds, strict=True)]
        pasts = [_before(history, day_number(AS_OF)) for history in futures]
        requests = [AnalysisRequest(history, day_number(AS_OF)) for history in pasts]
        for first, past, future, analysis in zip(
            firsts, pasts, futures, analyze_histories(requests, models, Options()), strict=True
        ):
            result = asyncio.run(recommend(analysis, day_number(AS_OF), max_recommendations=20))
            found.append(Shopper(first, past, future, result))
    return found


def _history(simulator: Simulator, archetype: Archetype, first: Mapping[str, float], seed: int) -> PurchaseHistory:
    items = tuple(FirstItem(name, price, 1, "") for name, price in first.items())
    start = add_months(AS_OF, -_MONTHS)
    scenario = Scenario(f"shopper-{seed}", archetype, items, start, 2 * _MONTHS, seed)
    names: dict[str, int] = {}
    categories: list[str] = []
    columns: list[list[float]] = [[], [], [], [], []]
    for month in simulator.months(scenario):
        lines = month.purchases
        for name, category in zip(lines.item_names, lines.item_categories, strict=True):
            if name not in names:
                names[name] = len(names)
                categories.append(category)
        columns[0] += [names[lines.item_names[item]] for item in lines.item_indices]
        columns[1] += lines.days
        columns[2] += lines.quantities
        columns[3] += lines.prices
        columns[4] += lines.savings
    items_, days, quantities = (np.array(column, np.int32) for column in columns[:3])
    prices, savings = map(np.array, columns[3:])
    return PurchaseHistory(tuple(names), tuple(categories), items_, days, quantities, prices, savings)


def _before(history: PurchaseHistory, day: int) -> PurchaseHistory:
    seen = history.days < day
    kept = np.unique(history.item_indices[seen])
    return PurchaseHistory(
        item_names=tuple(history.item_names[item] for item in kept),
        item_categories=tuple(history.item_categories[item] for item in kept),
        item_indices=np.searchsorted(kept, history.item_indices[seen]).astype(np.int32),
        days=history.days[seen],
        quantities=history.quantities[seen],
        prices=history.prices[seen],
        savings=history.savings[seen],
    )


@dataclass(frozen=True)
class Figures:
    """What the households of one archetype buy, and how they are answered."""

    organic_ratio: float
    """Share of organic items among the receipt lines."""
    lean_ratio: float
    """Share of lean protein in all protein."""
    processed_ratio: float
    """Share of processed meat in all protein."""
    store_brand_ratio: float
    family_pack_ratio: float
    anchored_ratio: float
    """Share of the staples of the first purchase that are recommended."""
    without_offer_ratio: float
    """Share of answers without a recommendation."""
    more_expensive_ratio: float
    """Share of the recommendations that cost more than was paid, with the discount for so many items."""
    supply_ratio: float
    """Units delivered over units used in the six months after the as-of date, median."""
    supply_vs_past_ratio: float
    """The same over units used before."""


def figures_of(shoppers: Sequence[Shopper]) -> Figures:
    """Figures of households of one archetype."""
    variants = [_bought_variants(shopper.past) for shopper in shoppers]
    lines = [variant for of_shopper in variants for variant in of_shopper]

    def share(has: Callable[[Variant], bool], category: str = "") -> float:
        compared = [variant for variant in lines if category in ("", variant.item.category)]
        return sum(map(has, compared)) / len(compared)

    answers = [{one.candidate.name for one in shopper.result.recommendations} for shopper in shoppers]
    anchors = [
        name in answer
        for shopper, answer in zip(shoppers, answers, strict=True)
        for name in shopper.first_purchase
        if name != _CELEBRATION
    ]
    offers = [(shopper, one) for shopper in shoppers for one in shopper.result.recommendations]
    return Figures(
        organic_ratio=share(lambda variant: Trait.ORGANIC in variant.traits),
        lean_ratio=share(lambda variant: Trait.LEAN in variant.traits, "protein"),
        processed_ratio=share(lambda variant: Trait.PROCESSED in variant.traits, "protein"),
        store_brand_ratio=share(lambda variant: Trait.STORE_BRAND in variant.traits),
        family_pack_ratio=share(lambda variant: variant.pack_class is PackClass.FAMILY),
        anchored_ratio=float(np.mean(anchors)),
        without_offer_ratio=float(np.mean([not answer for answer in answers])),
        more_expensive_ratio=float(np.mean([_is_more_expensive(*offer) for offer in offers])),
        supply_ratio=float(np.median([_supply_ratio(shopper.future, one, AS_OF) for shopper, one in offers])),
        supply_vs_past_ratio=float(np.median([_supply_ratio(shopper.past, one, date.min) for shopper, one in offers])),
    )


def _bought_variants(history: PurchaseHistory) -> list[Variant]:
    """The variant of each line; of an item of the first purchase, the plain one."""
    catalog = load_catalog()
    plain = {variant.item.name: variant for variant in reversed(catalog.variants)}
    by_item = []
    for name in history.item_names:
        item = catalog.categorize(name).item
        by_item.append(catalog.variant_by_name.get(name) or (plain[item.name] if item else None))
    return [variant for item in history.item_indices.tolist() if (variant := by_item[item]) is not None]


def _lines(history: PurchaseHistory, name: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.asarray(history.item_indices == history.item_names.index(name))


def _is_more_expensive(shopper: Shopper, one: Recommendation) -> bool:
    lines = _lines(shopper.past, one.candidate.name)
    prices, quantities = shopper.past.prices[lines], shopper.past.quantities[lines]
    paid = float((prices * quantities - shopper.past.savings[lines]).sum() / quantities.sum())
    count = len(shopper.result.recommendations)
    discount = max(tier.discount_ratio for tier in DEFAULT_TIERS.tiers if tier.min_items_per_delivery <= count)
    return float(prices[-1]) * (1 - float(discount)) > paid


def _supply_ratio(history: PurchaseHistory, one: Recommendation, since: date) -> float:
    """Units delivered a day over units bought a day; infinite when none are bought."""
    end = int(history.days.max()) + 1
    start = max(int(history.days.min()), day_number(since))
    lines = _lines(history, one.candidate.name) & (history.days >= start)
    units = int(history.quantities[lines].sum())
    delivered = one.offer.quantity / one.offer.cadence.interval_days
    return delivered * (end - start) / units if units else np.inf


def typical_month(archetype: Archetype, seed: int = 0) -> str:
    """The fourth month of one household, a trip a line, as a grocer reads it."""
    simulator = Simulator(load_catalog(), our_behavior())
    items = (
        FirstItem("Bananas", 1.99, 1, ""),
        FirstItem("Milk", 3.99, 1, ""),
        FirstItem("Chicken Breast", 9.99, 1, ""),
    )
    scenario = Scenario("typical", archetype, items, add_months(AS_OF, -_MONTHS), 4, seed)
    lines = list(simulator.months(scenario))[-1].purchases
    trips: dict[int, list[str]] = {}
    for item, day, quantity in zip(lines.item_indices, lines.days, lines.quantities, strict=True):
        name = lines.item_names[item]
        trips.setdefault(day, []).append(f"{quantity} × {name}" if quantity > 1 else name)
    paid = sum(price * quantity for price, quantity in zip(lines.prices, lines.quantities, strict=True))
    saved = sum(lines.savings)
    heading = f"{archetype.display_name}: {len(trips)} trips, {paid - saved:.2f} paid, {saved:.2f} saved"
    rows = [f"  {calendar_day(day):%a %d %b}  {'; '.join(names)}" for day, names in trips.items()]
    return "\n".join([heading, *rows])


def rows_of(figures: Mapping[str, Figures]) -> list[tuple[str, str, str, bool]]:
    """Rows of the table: figure, values of the archetypes in order, level, and whether it is reached."""
    health, family, budget, single = (
        figures[one] for one in ("health_conscious", "busy_family", "budget_conscious", "single_professional")
    )
    every = list(figures.values())
    others = max(one.store_brand_ratio for one in every if one is not budget)

    def text(name: str) -> str:
        return " ".join(f"{getattr(one, name):.2f}" for one in every)

    return [
        (
            "organic share of lines", text("organic_ratio"), "health ≥ .35, ≥ 5 × budget",
            health.organic_ratio >= max(0.35, 5 * budget.organic_ratio),
        ),
        ("lean protein, share of protein", text("lean_ratio"), "health ≥ .65", health.lean_ratio >= 0.65),
        ("processed meat, share of protein", text("processed_ratio"), "health ≤ .05", health.processed_ratio <= 0.05),
        (
            "store brands, share of lines", text("store_brand_ratio"), "budget ≥ .30, ≥ 4 × others",
            budget.store_brand_ratio >= max(0.30, 4 * others),
        ),
        (
            "family packs, share of lines", text("family_pack_ratio"), "family ≥ .20, single ≤ .05",
            family.family_pack_ratio >= 0.20 and single.family_pack_ratio <= 0.05,
        ),
        (
            "staples of the first purchase recommended", text("anchored_ratio"), "≥ .60",
            min(one.anchored_ratio for one in every) >= 0.60,
        ),
        (
            "answers without a recommendation", text("without_offer_ratio"), "≤ .02",
            max(one.without_offer_ratio for one in every) <= 0.02,
        ),
        (
            "more expensive than paid, with the plan's tier", text("more_expensive_ratio"), "≤ .30",
            max(one.more_expensive_ratio for one in every) <= 0.30,
        ),
        (
            "units delivered over units used then, median", text("supply_ratio"), ".90 to 1.15",
            all(0.90 <= one.supply_ratio <= 1.15 for one in every),
        ),
        ("units delivered over units used before, median", text("supply_vs_past_ratio"), "shown only", True),
    ]  # fmt: skip
