"""Archetypes: the kinds of shopper that can be simulated."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from pantree_domain.catalog import CATEGORIES, PackClass, Trait
from pantree_simulation.core.toml_file import parse_toml, section

Ratio = Annotated[float, Field(ge=0, le=1)]


def _known_category(category: str) -> str:
    if category not in CATEGORIES:
        raise ValueError(f"is not a category; use one of {', '.join(CATEGORIES)}")
    return category


def _known_trait(trait: str) -> str:
    if trait not in list(Trait):
        raise ValueError(f"is not a trait; use one of {', '.join(Trait)}")
    return trait


def _known_pack_class(pack_class: str) -> str:
    if pack_class not in list(PackClass):
        raise ValueError(f"is not a pack class; use one of {', '.join(PackClass)}")
    return pack_class


Weight = Annotated[float, Field(gt=0, le=1000)]


def _largest_first(weights: Mapping[str, float]) -> Mapping[str, float]:
    if not math.isclose(sum(weights.values()), 1, abs_tol=1e-6):
        raise ValueError("must sum to 1")
    return dict(sorted(weights.items(), key=lambda category_weight: -category_weight[1]))


def _without_outer_spaces(text: str) -> str:
    if text != text.strip():
        raise ValueError("must not begin or end with white space")
    return text


@section
class Archetype:
    """A kind of shopper."""

    id: Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(_without_outer_spaces)]
    display_name: str
    description: str
    mean_trip_gap_days: Annotated[float, Field(ge=1, le=365)]
    """Mean number of days between two shopping trips."""
    mean_basket_items: Annotated[float, Field(ge=1, le=1000)]
    """Mean number of distinct items in a trip's basket."""
    price_level_ratio: Ratio
    """Where in an item's price range they buy: 0 the cheapest, 1 the most expensive."""
    promotion_ratio: Ratio
    """Share of receipt lines with a discount."""
    multiple_units_ratio: Ratio
    """Share of receipt lines with more units than usual."""
    category_weights: Annotated[
        Mapping[Annotated[str, AfterValidator(_known_category)], Ratio], AfterValidator(_largest_first)
    ] = dataclasses.field(hash=False)
    """Shares of purchases by category, largest first; they sum to 1."""
    household_size: Annotated[float, Field(gt=0, le=20)] = 2.5
    """People in the household, who determine how fast things are used up; the catalog's intervals are for 2.5."""
    trait_weights: Mapping[Annotated[str, AfterValidator(_known_trait)], Weight] = dataclasses.field(
        default_factory=dict, hash=False
    )
    """By trait: how much more often items with it are chosen than by all shoppers together; 1 for traits left out."""
    pack_weights: Mapping[Annotated[str, AfterValidator(_known_pack_class)], Weight] = dataclasses.field(
        default_factory=dict, hash=False
    )
    """The same by pack class: `small`, `regular` and `family`."""
    variant_loyalty_ratio: Ratio = 0.9
    """Share of the purchases of a staple that are of the variant that the household keeps to."""
    promotion_depth_ratio: Annotated[float, Field(gt=0, le=1.3)] = 1.0
    """Discounts over those of all shoppers together."""


@dataclasses.dataclass(frozen=True)
class ArchetypePage:
    """A page of archetypes."""

    archetypes: tuple[Archetype, ...]
    next_id: str
    """Id of the first archetype of the next page; empty on the last page."""
    default_id: str
    """Applies when a request names no archetype."""


class Archetypes:
    """The archetypes in a stable order.

    Args:
        archetypes: at least one; their ids are distinct.
        default_id: applies when a request names no archetype.
    """

    def __init__(self, archetypes: Sequence[Archetype], default_id: str) -> None:
        self.by_id = {archetype.id: archetype for archetype in archetypes}
        self.ids = tuple(self.by_id)
        self.all = tuple(archetypes)
        self.default_id = default_id
        if len(self.ids) != len(archetypes):
            raise ValueError("archetypes: ids must be distinct")
        if default_id not in self.ids:
            raise ValueError(f"default: {default_id!r} is not the id of an archetype; use one of {', '.join(self.ids)}")

    def get(self, archetype_id: str) -> Archetype | None:
        """The archetype with this id; the default one for an empty id, None for an unknown one."""
        return self.by_id.get(archetype_id or self.default_id)

    def page(self, first_id: str, size: int) -> ArchetypePage:
        """At most `size` archetypes from `first_id` on, which must be known; from the first one if it is empty."""
        start = self.ids.index(first_id) if first_id else 0
        end = start + size
        return ArchetypePage(self.all[start:end], next(iter(self.ids[end:]), ""), self.default_id)


@section
class _ArchetypesFile:
    archetypes: Annotated[list[Archetype], Field(min_length=1)]
    default: str | None = None


def parse_archetypes(text: str, known: Archetypes | None = None) -> Archetypes:
    """Archetypes from TOML text in the format of `archetypes.toml`.

    Args:
        text: content of the file.
        known: archetypes to extend. An archetype of the file replaces the known one with its id, or follows them all.
            If the file sets no default, the default is that of `known`, or else the file's first archetype.

    Raises:
        ValueError: the text is not TOML, or a field is missing, unknown or invalid; names the fields.
    """
    file = parse_toml(text, _ArchetypesFile)
    own = Archetypes(file.archetypes, file.archetypes[0].id)
    default_id = file.default or (known.default_id if known else own.default_id)
    merged = {archetype.id: archetype for archetype in (*(known.all if known else ()), *own.all)}
    return Archetypes(list(merged.values()), default_id)
