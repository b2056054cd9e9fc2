"""What a household buys: the items of its first purchase and those of the catalogue that it takes to."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pantree_domain.catalog import Catalog, CatalogItem, Categorization
from pantree_simulation.core.scenario import FirstItem, Scenario
from pantree_simulation.core.streams import Purpose, random_stream
from pantree_simulation.core.trips import MEAN_WAIT_RATIO

# Households of one archetype: spread (sigma of a log-normal with mean 1) of trip gap and basket size.
_TRIP_GAP_SPREAD = 0.15
_BASKET_SPREAD = 0.30

# An item is a staple, bought about as often as is typical, or occasional, bought now and then with long pauses.
_STAPLE_SHARE = 0.45
_STAPLE_INTERVAL_SPREAD = 0.25
_STAPLE_VARIATION = 0.45  # coefficient of variation of the time until it is needed again
_OCCASIONAL_INTERVAL_FACTORS = (3.0, 9.0)
_OCCASIONAL_VARIATION = 1.0
_VARIATION_SPREAD = 0.20

# Even a staple is now and then left out.
_MOST_PURCHASES_PER_TRIP = 0.95
# What goes with the first purchase is this much likelier to be bought too.
_COMPLEMENT_PREFERENCE = 3.0
# Share of purchases in a category of the first purchase for which the archetype has none, such as baby or pet.
_ADDED_CATEGORY_WEIGHT = 0.10
_PRICE_SPREAD_RATIO = 0.15


@dataclass(frozen=True)
class Household:
    """How a household differs from its archetype."""

    mean_trip_gap_days: float
    mean_basket_items: float


@dataclass(frozen=True)
class HouseholdItem:
    """An item that a household buys again and again."""

    name: str
    category: str
    price: float
    """Shelf price of one unit."""
    usual_quantity: int
    purchases_per_trip: float
    """Share of the trips on which it is bought, greater than 0 and at most `_MOST_PURCHASES_PER_TRIP`."""
    need_variation: float
    """Coefficient of variation of the time until it is needed again."""

    def mean_need_days(self, mean_trip_gap_days: float) -> float:
        """Mean days from a purchase until the item is needed again; it is then bought on the next trip."""
        return mean_trip_gap_days * (1 / self.purchases_per_trip - MEAN_WAIT_RATIO)


def draw_household(scenario: Scenario) -> Household:
    """The household of a scenario, which differs a little from its archetype."""
    stream = random_stream(scenario.seed, scenario.household_id, Purpose.HOUSEHOLD)
    archetype = scenario.archetype
    return Household(
        mean_trip_gap_days=archetype.mean_trip_gap_days * _factor(stream, _TRIP_GAP_SPREAD),
        mean_basket_items=archetype.mean_basket_items * _factor(stream, _BASKET_SPREAD),
    )


def draw_assortment(scenario: Scenario, household: Household, catalog: Catalog) -> tuple[HouseholdItem, ...]:
    """Items of the first purchase, in its order, then items of the catalogue, category by category.

    Each category gets so many items that its share of the purchases comes to the archetype's weight.
    """
    found = [catalog.categorize(item.name) for item in scenario.items]
    assortment = [
        _first_item(item, categorization, scenario, household, catalog)
        for item, categorization in zip(scenario.items, found, strict=True)
    ]
    candidates = _catalog_items(scenario, household, catalog, [known.item for known in found if known.item])
    for category, weight in _category_weights(scenario, catalog, assortment).items():
        wanted = household.mean_basket_items * weight
        wanted -= sum(item.purchases_per_trip for item in assortment if item.category == category)
        assortment.extend(_items_to_fill(wanted, (item for item in candidates if item.category == category)))
    return tuple(assortment)


def _first_item(
    item: FirstItem, found: Categorization, scenario: Scenario, household: Household, catalog: Catalog
) -> HouseholdItem:
    """A regular item, bought as often as what the catalogue knows of its like."""
    alike = (found.item,) if found.item else catalog.items_in(found.category) or catalog.items
    typical_interval_days = statistics.median(other.typical_interval_days for other in alike)
    stream = random_stream(scenario.seed, scenario.household_id, Purpose.FIRST_ITEM, item.name)
    return HouseholdItem(
        name=item.name,
        category=item.category or found.category,
        price=item.price,
        usual_quantity=item.quantity,
        purchases_per_trip=_purchases_per_trip(
            typical_interval_days * _factor(stream, _STAPLE_INTERVAL_SPREAD), household
        ),
        need_variation=_STAPLE_VARIATION * _factor(stream, _VARIATION_SPREAD),
    )


def _catalog_items(
    scenario: Scenario, household: Household, catalog: Catalog, known: Sequence[CatalogItem]
) -> list[HouseholdItem]:
    """Items of the catalogue that are not in the first purchase: favourites first, seconds of a kind at the end.

    The household's taste is drawn for all items at once, so that the first purchase cannot change it by chance.

    Args:
        scenario: gives the seed, the household and its archetype.
        household: how often it shops.
        catalog: the items.
        known: what the catalogue calls the items of the first purchase.
    """
    stream = random_stream(scenario.seed, scenario.household_id, Purpose.TASTE)
    count = len(catalog.items)
    reluctance = stream.exponential(size=count)
    is_staple = stream.random(count) < _STAPLE_SHARE
    interval_factors = np.where(
        is_staple,
        _factors(stream, _STAPLE_INTERVAL_SPREAD, count),
        stream.uniform(*_OCCASIONAL_INTERVAL_FACTORS, count),
    )
    need_variations = np.where(is_staple, _STAPLE_VARIATION, _OCCASIONAL_VARIATION)
    need_variations *= _factors(stream, _VARIATION_SPREAD, count)
    price_levels = stream.normal(scenario.archetype.price_level_ratio, _PRICE_SPREAD_RATIO, count).clip(0, 1)

    complements = {kind for item in known for kind in item.complements}
    preference = np.array([_COMPLEMENT_PREFERENCE if item.kind in complements else 1.0 for item in catalog.items])
    firsts: list[HouseholdItem] = []
    seconds: list[HouseholdItem] = []
    kinds = {item.kind for item in known}
    for at in np.argsort(reluctance / preference):
        item = catalog.items[at]
        if item in known:
            continue
        household_item = HouseholdItem(
            name=item.name,
            category=item.category,
            price=_shelf_price(item, float(price_levels[at])),
            usual_quantity=1,
            purchases_per_trip=_purchases_per_trip(item.typical_interval_days * interval_factors[at], household),
            need_variation=float(need_variations[at]),
        )
        (seconds if item.kind in kinds else firsts).append(household_item)
        kinds.add(item.kind)
    return firsts + seconds


def _category_weights(scenario: Scenario, catalog: Catalog, first: Iterable[HouseholdItem]) -> dict[str, float]:
    """The archetype's weights, with some for categories that only the first purchase has."""
    weights = dict(scenario.archetype.category_weights)
    for category in dict.fromkeys(item.category for item in first):
        if catalog.items_in(category):
            weights.setdefault(category, _ADDED_CATEGORY_WEIGHT)
    total = sum(weights.values())
    return {category: weight / total for category, weight in weights.items()}


def _items_to_fill(wanted_per_trip: float, candidates: Iterable[HouseholdItem]) -> list[HouseholdItem]:
    """The first candidates that together are bought as often as wanted; the last one is bought as rarely as it takes.

    When all candidates together are too few, each is bought more often.
    """
    chosen: list[HouseholdItem] = []
    missing = wanted_per_trip
    for item in candidates:
        if missing <= 0:
            return chosen
        item = replace(item, purchases_per_trip=min(item.purchases_per_trip, missing))
        chosen.append(item)
        missing -= item.purchases_per_trip
    if missing <= 0 or not chosen:
        return chosen
    factor = wanted_per_trip / (wanted_per_trip - missing)
    return [
        replace(item, purchases_per_trip=min(item.purchases_per_trip * factor, _MOST_PURCHASES_PER_TRIP))
        for item in chosen
    ]


def _purchases_per_trip(interval_days: float, household: Household) -> float:
    return float(min(household.mean_trip_gap_days / interval_days, _MOST_PURCHASES_PER_TRIP))


def _shelf_price(item: CatalogItem, level_ratio: float) -> float:
    """Price within the item's range that ends in 9, as shelf prices do."""
    price = item.price_low + level_ratio * (item.price_high - item.price_low)
    return (round(price * 10) * 10 - 1) / 100


def _factor(stream: np.random.Generator, spread: float) -> float:
    return float(_factors(stream, spread, 1)[0])


def _factors(stream: np.random.Generator, spread: float, count: int) -> NDArray[np.float64]:
    """Log-normal factors with mean 1."""
    return stream.lognormal(-(spread**2) / 2, spread, count)
