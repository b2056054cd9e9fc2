"""The catalog's data files: `items.csv` and `words.toml`."""

import csv
import functools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from pantree_domain.catalog.item import CatalogItem, Perishability, Trait


@dataclass(frozen=True)
class Words:
    """Normalized words that determine the category of free item names."""

    modifiers: Sequence[str]
    """Words that describe how an item is made, not what kind it is."""
    markers: Mapping[str, Sequence[str]]
    """By category: words that decide in any position, before all others."""
    forms: Mapping[str, Sequence[str]]
    """By category: words for products made of ingredients, such as `soup`."""
    ingredients: Mapping[str, Sequence[str]]
    """By category: words that decide only if there are no others."""
    abbreviations: Mapping[str, str]
    """Abbreviations on receipts, and what they mean."""


def read_items() -> tuple[CatalogItem, ...]:
    """The items of `items.csv`, in order."""
    rows = csv.DictReader(_text("items.csv").splitlines())
    return tuple(
        CatalogItem(
            name=row["name"],
            kind=row["kind"],
            category=row["category"],
            pack=row["pack"],
            small_pack=row["small_pack"],
            family_pack=row["family_pack"],
            price_low=float(row["price_low"]),
            price_high=float(row["price_high"]),
            perishability=Perishability(row["perishability"]),
            typical_interval_days=float(row["typical_interval_days"]),
            popularity=float(row["popularity"]),
            traits=frozenset(map(Trait, row["traits"].split())),
            makes=tuple(map(Trait, row["makes"].split())),
            stages=frozenset(row["stages"].split()),
            complements=tuple(row["complements"].split()),
        )
        for row in rows
    )


@functools.cache
def read_words() -> Words:
    """The words of `words.toml`, read once."""
    return Words(**tomllib.loads(_text("words.toml")))


def _text(file_name: str) -> str:
    return (resources.files("pantree_domain.catalog") / file_name).read_text(encoding="utf-8")
