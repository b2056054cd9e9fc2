"""The subscription's discounts, by how many items come on one day."""

import itertools
from dataclasses import dataclass


@dataclass(frozen=True)
class DiscountTier:
    """A discount, and from how many items on it holds."""

    min_items_per_delivery: int
    """Items that come on the same day, at least 1."""
    discount_ratio: float
    """Off the shelf price, 0 to 1."""


@dataclass(frozen=True)
class DiscountTiers:
    """Discounts, fewest items first; more items never mean less discount."""

    tiers: tuple[DiscountTier, ...]

    def __post_init__(self) -> None:
        """Checks the tiers.

        Raises:
            ValueError: when they are not as the class says, or the first does not hold from one item on.
        """
        if not self.tiers or self.tiers[0].min_items_per_delivery != 1:
            raise ValueError("the first tier must hold from one item on")
        if not all(0 <= tier.discount_ratio <= 1 for tier in self.tiers):
            raise ValueError("a discount_ratio is a share of the price, 0 to 1")
        for fewer, more in itertools.pairwise(self.tiers):
            if more.min_items_per_delivery <= fewer.min_items_per_delivery:
                raise ValueError("tiers must be ordered by min_items_per_delivery, each greater than the one before")
            if more.discount_ratio < fewer.discount_ratio:
                raise ValueError("a tier of more items must not have less discount")

    @property
    def first(self) -> DiscountTier:
        """The tier of an item that comes alone."""
        return self.tiers[0]

    def of(self, item_count: int) -> DiscountTier:
        """The tier of a delivery of so many items, at least 1."""
        return next(tier for tier in reversed(self.tiers) if tier.min_items_per_delivery <= item_count)


DEFAULT_TIERS = DiscountTiers((DiscountTier(1, 0.05), DiscountTier(5, 0.15)))
"""What `discounts.toml` holds."""
