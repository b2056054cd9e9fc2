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


class Trait(enum.StrEnum):
    """What shoppers choose an item or a make of it by."""

    ORGANIC = "organic"
    STORE_BRAND = "store_brand"
    WHOLE = "whole"
    """Whole grain, legumes and nuts."""
    LEAN = "lean"
    """Protein with little fat."""
    PROCESSED = "processed"
    """Cured meat, sweets, salty snacks and ready meals."""
    PLANT_BASED = "plant_based"
    """In place of meat or dairy."""
    CONVENIENCE = "convenience"
    """Ready to eat or heat, or in single servings."""
    OCCASION = "occasion"
    """For an occasion or a mishap; no household needs it regularly."""

    @property
    def display_name(self) -> str:
        """As in the name of an item, such as `Store Brand`."""
        return self.value.replace("_", " ").title()


@dataclass(frozen=True)
class CatalogItem:
    """An ordinary grocery item."""

    name: str
    kind: str
    """Such as `milk`; items of one kind are substitutes."""
    category: str
    """One of `CATEGORIES`."""
    pack: str
    """One unit of the regular size, such as `2 lb bag`."""
    small_pack: str
    """One unit for one person; empty if there is none."""
    family_pack: str
    """One unit for many people; empty if there is none."""
    price_low: float
    """Shelf price of one unit at an inexpensive shop."""
    price_high: float
    """Shelf price of one unit at an expensive shop."""
    perishability: Perishability
    typical_interval_days: float
    """Days between purchases by a household that uses the item regularly."""
    popularity: float
    """Share of households that buy its kind in an ordinary quarter, in percent; of those with a baby or a pet, for
    their kinds. A judgment that orders the kinds of a category."""
    traits: frozenset[Trait]
    """Traits of all its variants."""
    makes: tuple[Trait, ...]
    """Makes that shops offer in addition to the plain one."""
    stages: frozenset[str]
    """Such as `infant` or `cat`: who in the household uses it; empty for anyone."""
    complements: tuple[str, ...]
    """Kinds of items that it is used with."""
