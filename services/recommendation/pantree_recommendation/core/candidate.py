"""The evidence on one item."""

import enum
from dataclasses import dataclass
from datetime import date

from pantree_domain.catalog import Perishability


class Trend(enum.Enum):
    """How the intervals of an item change."""

    UNKNOWN = "unknown"
    STABLE = "stable"
    ACCELERATING = "accelerating"
    SLOWING = "slowing"


@dataclass(frozen=True)
class Candidate:
    """How regularly a household buys one item, and what is known of such items."""

    name: str
    category: str
    """An empty string when unknown."""
    purchase_count: int
    """Distinct days on which it was bought."""
    mean_interval_days: float | None
    """None for one purchase."""
    consistency_ratio: float
    """1 / (1 + coefficient of variation of the intervals), 0 to 1; 0 when unknown."""
    recency_weight_ratio: float
    """1 while the item is not yet due, halving with every further mean interval."""
    trend: Trend
    confidence: float
    """0 to 100."""
    last_day: date
    """Day of the latest purchase."""
    next_due_day: date | None
    """When it is needed again by its intervals alone; None for one purchase."""
    latest_unit_price: float
    """Shelf price of one unit."""
    typical_quantity: int
    """Units per purchase, at least 1."""
    perishability: Perishability | None = None
    """None when nobody knows."""
    suggested_interval_days: int | None = None
    """How often such items are typically bought; None when unknown."""
