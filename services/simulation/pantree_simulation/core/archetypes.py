"""Archetypes: the kinds of shopper that can be simulated."""

import dataclasses
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pantree_domain.catalog import CATEGORIES

_LONGEST_ID = 128
_LONGEST_GAP_DAYS, _LARGEST_BASKET = 365, 1000
_TEXTS = ("id", "display_name", "description")


@dataclass(frozen=True)
class Archetype:
    """A kind of shopper."""

    id: str
    display_name: str
    description: str
    mean_trip_gap_days: float
    """Mean number of days between two shopping trips."""
    mean_basket_items: float
    """Mean number of distinct items in a trip's basket."""
    price_level_ratio: float
    """Where in an item's price range they buy: 0 the cheapest, 1 the dearest."""
    promotion_ratio: float
    """Share of receipt lines with a saving."""
    multiple_units_ratio: float
    """Share of receipt lines with more units than usual."""
    category_weights: Mapping[str, float] = dataclasses.field(hash=False)
    """Shares of purchases by category, largest first; they sum to 1."""

    def __post_init__(self) -> None:
        if not self.id or len(self.id) > _LONGEST_ID or self.id != self.id.strip():
            raise ValueError(f"id {self.id[:_LONGEST_ID]!r} must be 1 to {_LONGEST_ID} characters without outer blanks")
        unknown = self.category_weights.keys() - set(CATEGORIES)
        if unknown:
            raise ValueError(
                f"category_weights of archetype {self.id!r} has unknown categories {sorted(unknown)}; "
                f"use {list(CATEGORIES)}"
            )
        weights = self.category_weights.values()
        if not weights or min(weights) < 0 or not math.isclose(sum(weights), 1, abs_tol=1e-6):
            raise ValueError(f"category_weights of archetype {self.id!r} must be positive and sum to 1")
        for name, most in (("mean_trip_gap_days", _LONGEST_GAP_DAYS), ("mean_basket_items", _LARGEST_BASKET)):
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} of archetype {self.id!r} must lie between 1 and {most}")
        for name in ("price_level_ratio", "promotion_ratio", "multiple_units_ratio"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} of archetype {self.id!r} must lie between 0 and 1")


@dataclass(frozen=True)
class ArchetypePage:
    """Some archetypes, and where the next ones begin."""

    archetypes: tuple[Archetype, ...]
    next_id: str
    """Id of the first archetype of the next page; empty on the last page."""
    default_id: str
    """Id that applies when a request names none."""


class Archetypes:
    """The archetypes by id, in a stable order.

    Args:
        archetypes: at least one; their ids are distinct.
        default_id: id of the one that applies when a request names none.
    """

    def __init__(self, archetypes: Sequence[Archetype], default_id: str) -> None:
        self._by_id = {archetype.id: archetype for archetype in archetypes}
        self.ids = tuple(self._by_id)
        self.default_id = default_id
        if len(self.ids) != len(archetypes) or default_id not in self.ids:
            raise ValueError(f"archetype ids must be distinct and {default_id!r} be among them")

    @property
    def all(self) -> tuple[Archetype, ...]:
        """The archetypes in their order."""
        return tuple(self._by_id.values())

    def get(self, archetype_id: str) -> Archetype | None:
        """The archetype of an id; the default one for an empty id, None for an unknown one."""
        return self._by_id.get(archetype_id or self.default_id)

    def page(self, first_id: str, size: int) -> ArchetypePage:
        """At most `size` archetypes, beginning with `first_id`, which must be known; empty means the first one."""
        start = self.ids.index(first_id) if first_id else 0
        ids = self.ids[start : start + size]
        next_id = next(iter(self.ids[start + size :]), "")
        return ArchetypePage(tuple(self._by_id[archetype_id] for archetype_id in ids), next_id, self.default_id)


def parse_archetypes(text: str, known: Archetypes | None = None) -> Archetypes:
    """Archetypes written in TOML, in the form of `archetypes.toml`.

    Args:
        text: the file.
        known: archetypes to begin with. Those of the file come after them, or in their place when ids are equal, and
            the default stays unless the file names one. Without them, it is the file's first unless it names one.

    Raises:
        ValueError: when it is not TOML, or when a figure is missing, unknown or makes no sense, naming it and the
            archetype.
    """
    document = tomllib.loads(text)
    unknown = document.keys() - {"archetypes", "default"}
    if unknown:
        raise ValueError(f"{sorted(unknown)} is unknown; give [[archetypes]] and, if need be, default")
    tables = document.get("archetypes")
    if not isinstance(tables, list) or not tables or not all(isinstance(fields, dict) for fields in tables):
        raise ValueError("archetypes is missing; begin each archetype with [[archetypes]]")
    read = [_read(number, fields) for number, fields in enumerate(tables, start=1)]
    if len({archetype.id for archetype in read}) != len(read):
        raise ValueError("archetype ids must be distinct")
    default_id = document.get("default", known.default_id if known else read[0].id)
    merged = {archetype.id: archetype for archetype in (*(known.all if known else ()), *read)}
    return Archetypes(list(merged.values()), default_id)


def _read(number: int, fields: Mapping[str, Any]) -> Archetype:
    """The archetype of a table of the file, the `number`-th one."""
    named = fields.get("id")
    name = f"archetype {named!r}" if isinstance(named, str) else f"archetype number {number}"
    known = {field.name for field in dataclasses.fields(Archetype)}
    for difference, what in ((known - fields.keys(), "has no"), (fields.keys() - known, "has an unknown")):
        if difference:
            raise ValueError(f"{name} {what} {', '.join(sorted(difference))}")
    weights = fields["category_weights"]
    if not isinstance(weights, dict):
        raise ValueError(f"category_weights of {name} must be a table of categories and shares")
    for field in sorted(known - {"category_weights"}):
        if field in _TEXTS and not isinstance(fields[field], str):
            raise ValueError(f"{field} of {name} must be a text")
        if field not in _TEXTS and not _is_number(fields[field]):
            raise ValueError(f"{field} of {name} must be a number")
    for category, weight in weights.items():
        if not _is_number(weight):
            raise ValueError(f"category_weights.{category} of {name} must be a number")
    return Archetype(**{**fields, "category_weights": _largest_first(weights)})


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _largest_first(weights: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(weights.items(), key=lambda category_weight: -category_weight[1]))
