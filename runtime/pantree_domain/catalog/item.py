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
    """Shelf life of an item at home."""

    DAYS = "days"
    """Spoils within about a week, such as berries or fresh fish."""
    WEEKS = "weeks"
    """Keeps for some weeks, such as eggs, cheese or apples."""
    MONTHS = "months"
    """Keeps for months or longer, such as rice or detergent."""


@dataclass(frozen=True)
class CatalogItem:
    """An ordinary grocery item."""

    name: str
    kind: str
    """Items of one kind, such as `milk`, replace each other."""
    category: str
    """One of `CATEGORIES`."""
    pack: str
    """One unit, such as `2 lb bag`."""
    price_low: float
    """Shelf price of one unit at a cheap shop."""
    price_high: float
    """Shelf price of one unit at an expensive shop."""
    perishability: Perishability
    typical_interval_days: float
    """Days between purchases of a household that uses it steadily."""
    complements: tuple[str, ...]
    """Kinds that it is used with."""
