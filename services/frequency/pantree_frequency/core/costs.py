"""What is lost by a stockout, and by an early delivery, of each item; and the tolerance of stockouts that follows.

A delivery is chosen by a trade-off. Its weight is a tolerance between 0 (avoid stockouts) and 1 (avoid overstock),
which a caller sets for the whole household. The costs of an item move it: its odds are multiplied by the cost of an
early delivery over that of a stockout. So an expensive item that spoils comes later, and baby food comes earlier.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from pantree_domain.catalog import Perishability
from pantree_frequency.core.records import Codes, Floats


@dataclass(frozen=True)
class ItemCosts:
    """Costs of the items of a type or category."""

    keeps: Perishability
    """How long they keep at home."""
    stockout: float
    """Cost of a stockout, relative to an ordinary item; above 0."""


@dataclass(frozen=True)
class Costs:
    """Costs of all items, each relative to an ordinary item at the typical price."""

    typical_price: float = 1.0
    """Of a unit; above 0."""
    min_price: float = 1.0
    """Prices below this multiple of the typical one count as this."""
    max_price: float = 1.0
    """Prices above this multiple of the typical one count as this."""
    storage: float = 1.0
    """Cost of an early delivery that does not depend on the price."""
    loss: Mapping[Perishability, float] = field(
        default_factory=lambda: MappingProxyType(dict.fromkeys(Perishability, 0.0))
    )
    """Cost of an early delivery at the typical price, by how long an item keeps; it grows with the price."""
    ordinary: ItemCosts = ItemCosts(Perishability.WEEKS, 1.0)
    """Of items that are not in `items`."""
    items: Mapping[str, ItemCosts] = field(default_factory=dict)
    """By product type or category, case-folded."""

    def tolerances(
        self, tolerance: float, types: Sequence[str], categories: Sequence[str], items: Codes, prices: Floats
    ) -> Floats:
        """float64[p], the tolerance of stockouts of each pair, above 0 and below 1.

        Args:
            tolerance: of the request, above 0 and below 1.
            types: product type of each of k items; empty when unknown.
            categories: category of each of k items; empty when unknown.
            items: int32[p], the pairs' items.
            prices: float64[p], of a unit; 0 when unknown.
        """
        known = {text: self.items.get(text.strip().casefold()) for text in {*types, *categories}}
        found = [
            known[kind] or known[category] or self.ordinary for kind, category in zip(types, categories, strict=True)
        ]
        stockout = np.array([costs.stockout for costs in found])[items]
        loss = np.array([self.loss[costs.keeps] for costs in found])[items]
        price = np.where(prices > 0, np.clip(prices / self.typical_price, self.min_price, self.max_price), 1.0)
        early = (self.storage + loss * price) / (self.storage + self.loss[self.ordinary.keeps])
        odds = tolerance / (1.0 - tolerance) * early / (stockout / self.ordinary.stockout)
        return np.asarray(odds / (1.0 + odds))
