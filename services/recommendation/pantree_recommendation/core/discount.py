"""Subscription discounts by the number of items in a delivery."""

import itertools
from dataclasses import dataclass


@dataclass(frozen=True)
class DiscountTier:
    """A discount on the shelf price, and the smallest delivery that gets it."""

    min_items_per_delivery: int
    """At least 1."""
    discount_ratio: float
    """0 to 1."""


@dataclass(frozen=True)
class DiscountTiers:
    """Discounts, smallest delivery first. A larger delivery never gets a smaller discount.

    Raises:
        ValueError: when the tiers are not in this order, or the first one does not apply to a single item.
    """

    tiers: tuple[DiscountTier, ...]

    def __post_init__(self) -> None:
        if not self.tiers or self.tiers[0].min_items_per_delivery != 1:
            raise ValueError("the first tier must have min_items_per_delivery = 1")
        if not all(0 <= tier.discount_ratio <= 1 for tier in self.tiers):
            raise ValueError("every discount_ratio must be a number from 0 to 1")
        for smaller, larger in itertools.pairwise(self.tiers):
            if larger.min_items_per_delivery <= smaller.min_items_per_delivery:
                raise ValueError("tiers must be ordered by min_items_per_delivery, each greater than the one before")
            if larger.discount_ratio < smaller.discount_ratio:
                raise ValueError("a tier of more items must not have a smaller discount")

    def of(self, item_count: int) -> DiscountTier:
        """The tier of a delivery of `item_count` items, at least 1."""
        return next(tier for tier in reversed(self.tiers) if tier.min_items_per_delivery <= item_count)


DEFAULT_TIERS = DiscountTiers((DiscountTier(1, 0.05), DiscountTier(5, 0.15)))
"""Same as `discounts.toml`."""
