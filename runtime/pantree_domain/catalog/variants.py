"""What a shop sells of an item: its makes in its pack sizes."""

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pantree_domain.catalog.item import CatalogItem, Trait

# Prices over those of the plain make. Judgments after US shelf prices: store brands cost a fifth to a third less.
_PRICE_RATIOS = {None: 1.0, Trait.ORGANIC: 1.35, Trait.STORE_BRAND: 0.74}
# A pack with twice the content costs about 1.8 times as much: unit prices fall with the size.
_PRICE_PER_CONTENT = 0.85
# Packages such as `bunch` and `each` are not part of a name.
_AMOUNT = re.compile(r"(?:(\d+) x )?(\d+(?:\.\d+)?) (\w+)")
# How much of one unit another one has.
_CONTENTS = {"gal": ("gal", 1.0), "qt": ("gal", 0.25), "pt": ("gal", 0.125), "lb": ("lb", 1.0), "oz": ("lb", 0.0625)}


class PackClass(enum.StrEnum):
    """How many people a pack is for."""

    SMALL = "small"
    REGULAR = "regular"
    FAMILY = "family"


@dataclass(frozen=True)
class Variant:
    """One make and pack of an item, as it stands on a shelf."""

    name: str
    """Such as `Store Brand White Rice, 5 lb`."""
    item: CatalogItem
    make: Trait | None
    """`ORGANIC` or `STORE_BRAND`; None for the plain make."""
    pack_class: PackClass
    content_ratio: float
    """Content over that of the item's regular pack."""
    price_low: float
    """Shelf price of one unit at an inexpensive shop."""
    price_high: float
    """Shelf price of one unit at an expensive shop."""

    @property
    def traits(self) -> frozenset[Trait]:
        """Traits of the item and of its make."""
        return self.item.traits if self.make is None else self.item.traits | {self.make}


def variants_of(item: CatalogItem) -> Iterator[Variant]:
    """The variants of an item; the plain one in the regular pack comes first."""
    packs = {PackClass.REGULAR: item.pack, PackClass.SMALL: item.small_pack, PackClass.FAMILY: item.family_pack}
    for make in (None, *item.makes):
        for pack_class, pack in packs.items():
            # Shops have few family packs of organic food.
            if not pack or (make is Trait.ORGANIC and pack_class is PackClass.FAMILY):
                continue
            ratio = 1.0 if pack == item.pack else content(pack) / content(item.pack)
            factor = _PRICE_RATIOS[make] * ratio**_PRICE_PER_CONTENT
            yield Variant(
                name=_name(item, make, pack_class, pack),
                item=item,
                make=make,
                pack_class=pack_class,
                content_ratio=ratio,
                price_low=round(item.price_low * factor, 2),
                price_high=round(item.price_high * factor, 2),
            )


def content(pack: str) -> float:
    """Content of a pack such as `4 x 15 oz`, in a unit that packs of one item have in common.

    Raises:
        ValueError: the pack has no amount.
    """
    found = _AMOUNT.match(pack)
    if found is None:
        raise ValueError(f"{pack!r} has no amount")
    return int(found[1] or 1) * float(found[2]) * _CONTENTS.get(found[3], ("", 1.0))[1]


def _name(item: CatalogItem, make: Trait | None, pack_class: PackClass, pack: str) -> str:
    name = f"{make.display_name} {item.name}" if make else item.name
    if pack_class is PackClass.FAMILY:
        name = f"{name}, family pack"
    amount = _AMOUNT.match(pack)
    return f"{name}, {amount[0]}" if amount else name
