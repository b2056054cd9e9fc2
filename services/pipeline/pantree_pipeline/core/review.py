"""The purchases that belong to a subscribed item, for the review of subscriptions."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pantree_domain.listed_deliveries import units_not_delivered
from pantree_domain.purchases import PurchaseHistory
from pantree_pipeline.core.household import Household
from pantree_pipeline.core.what_if import packs_in

_UNIT_DIGITS = 6
_MIN_UNITS = 1e-6


class PurchasedUnits(NamedTuple):
    """Units of an item that were bought on a day."""

    day: int
    """Days since 1970-01-01."""
    units: float
    """Of the item; a share of one for a smaller pack."""


class PurchasesOfItem(NamedTuple):
    """What a household bought of an item, and instead of it."""

    purchases: tuple[PurchasedUnits, ...]
    """By day."""
    alternative: str
    """Name of the item that took its place; empty for none."""
    alternative_purchases: tuple[PurchasedUnits, ...]
    unit_price: float
    """Latest shelf price of a unit; 0 when unknown."""


def purchases_of(history: PurchaseHistory, household: Household, name: str) -> PurchasesOfItem:
    """What a household bought of an item in all its pack sizes, and of the item that took its place.

    Args:
        history: the household's, from which it was prepared.
        household: the household.
        name: of the item, as in the history.
    """
    need_of = {other: need for need, pack in household.packs.items() for other in pack.names}
    need = need_of.get(name, name)
    alternative = household.replaced.get(name) or household.replaced.get(need, "")
    return PurchasesOfItem(
        _units(history, household, name),
        alternative,
        _units(history, household, alternative) if alternative else (),
        _latest_price(history, name),
    )


def without_deliveries(
    purchases: Sequence[PurchasedUnits], delivered: Sequence[PurchasedUnits]
) -> list[PurchasedUnits]:
    """Purchases without those that are deliveries (`units_not_delivered`)."""
    left = units_not_delivered(purchases, delivered)
    return [
        one._replace(units=round(units, _UNIT_DIGITS))
        for one, units in zip(purchases, left, strict=True)
        if units >= _MIN_UNITS
    ]


def packs_of(household: Household, name: str) -> frozenset[str]:
    """All names of an item and its pack sizes."""
    return frozenset({name, *next((pack.names for pack in household.packs.values() if name in pack.names), ())})


def _units(history: PurchaseHistory, household: Household, name: str) -> tuple[PurchasedUnits, ...]:
    names = packs_of(household, name)
    ratios = {position: packs_in(other, name) for position, other in enumerate(history.item_names) if other in names}
    units: defaultdict[int, float] = defaultdict(float)
    lines = np.isin(history.item_indices, list(ratios))
    columns = (history.item_indices, history.days, history.quantities)
    for item, day, quantity in zip(*(column[lines].tolist() for column in columns), strict=True):
        units[day] += quantity * ratios[item]
    return tuple(PurchasedUnits(day, max(round(units[day], _UNIT_DIGITS), _MIN_UNITS)) for day in sorted(units))


def _latest_price(history: PurchaseHistory, name: str) -> float:
    if name not in history.item_names:
        return 0.0
    lines = (history.item_indices == history.item_names.index(name)) & (history.prices > 0)
    if not lines.any():
        return 0.0
    days = history.days[lines]
    return float(history.prices[lines][len(days) - 1 - int(np.argmax(days[::-1]))])
