"""An item of the catalog."""

import enum
from dataclasses import dataclass

OTHER = "other"
CATEGORIES = (
    "produce",
    "protein",
    "dairy",
    "bakery",
    "pantry",
    "snacks",
    "beverages",
    "frozen",
    "household",
    "personal_care",
    "baby",
    "pet",
    OTHER,
)


class Perishability(enum.Enum):
    """How long an item keeps at home."""

    DAYS = "days"
    """About a week at most, such as berries or fresh fish."""
    WEEKS = "weeks"
    """A few weeks, such as eggs, cheese or apples."""
    MONTHS = "months"
    """Months or longer, such as rice or detergent."""


@dataclass(frozen=True)
class CatalogItem:
    """An ordinary grocery item."""

    name: str
    kind: str
    """Such as `milk`; items of one kind are substitutes."""
    category: str
    """One of `CATEGORIES`."""
    pack: str
    """One unit, such as `2 lb bag`."""
    price_low: float
    """Shelf price of one unit at an inexpensive shop."""
    price_high: float
    """Shelf price of one unit at an expensive shop."""
    perishability: Perishability
    typical_interval_days: float
    """Days between purchases by a household that uses the item regularly."""
    complements: tuple[str, ...]
    """Kinds of items that it is used with."""
