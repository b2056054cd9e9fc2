"""Archetypes: the kinds of shopper that can be simulated."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pantree_domain.catalog import CATEGORIES


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
    category_weights: Mapping[str, float]
    """Shares of purchases by category, largest first; they sum to 1."""

    def __post_init__(self) -> None:
        unknown = self.category_weights.keys() - set(CATEGORIES)
        if unknown:
            raise ValueError(f"archetype {self.id!r} has unknown categories {sorted(unknown)}; use {list(CATEGORIES)}")
        if min(self.category_weights.values()) < 0 or not math.isclose(sum(self.category_weights.values()), 1):
            raise ValueError(f"the category weights of archetype {self.id!r} must be positive and sum to 1")
        if self.mean_trip_gap_days < 1 or self.mean_basket_items < 1:
            raise ValueError(f"archetype {self.id!r} must have a mean trip gap and a mean basket of at least 1")
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
            the file need not name a default.

    Raises:
        ValueError: when a figure makes no sense, naming the archetype.
        TypeError: when a figure is missing or unknown.
        KeyError: when the archetypes, their category weights or the default are missing.
    """
    document = tomllib.loads(text)
    read = [
        Archetype(**{**fields, "category_weights": _largest_first(fields["category_weights"])})
        for fields in document["archetypes"]
    ]
    if known is None:
        return Archetypes(read, document["default"])
    if len({archetype.id for archetype in read}) != len(read):
        raise ValueError("archetype ids must be distinct")
    merged = {archetype.id: archetype for archetype in (*known.all, *read)}
    return Archetypes(list(merged.values()), document.get("default", known.default_id))


def _largest_first(weights: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(weights.items(), key=lambda category_weight: -category_weight[1]))
