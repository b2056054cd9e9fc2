"""What households choose from, and how an archetype chooses: among kinds of things, and among their variants."""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pantree_domain.catalog import CATEGORIES, Catalog, PackClass, Trait, Variant
from pantree_simulation.core.archetypes import Archetype
from pantree_simulation.core.behavior import Behavior
from pantree_simulation.core.records import Floats, Positions

_MAKES = (Trait.ORGANIC, Trait.STORE_BRAND)


class ChoiceTables(NamedTuple):
    """How one archetype chooses; `k` kinds, `m` members of all kinds."""

    popularity: Floats
    """[k + 1], popularity of each kind; 0 for no kind."""
    purchases_a_day: Floats
    """[k], of a household that uses a kind regularly, mean over its members as they are chosen."""
    choice_ratios: Floats
    """[m], see `ArchetypeArrays`."""
    aliases: Positions
    """[m], see `ArchetypeArrays`."""


class Choices:
    """The kinds of a catalog with their variants, which are the members of a kind.

    Args:
        catalog: the items.
        behavior: how often all shoppers together choose makes and packs.
    """

    def __init__(self, catalog: Catalog, behavior: Behavior) -> None:
        self.kinds = {kind: at for at, kind in enumerate(dict.fromkeys(item.kind for item in catalog.items))}
        by_kind: list[list[Variant]] = [[] for _ in self.kinds]
        for variant in catalog.variants:
            by_kind[self.kinds[variant.item.kind]].append(variant)
        self.members = tuple(variant for members in by_kind for variant in members)
        """The variants of all kinds, kind by kind."""
        self.member_counts = np.array(list(map(len, by_kind)))
        self.member_starts = np.cumsum(self.member_counts) - self.member_counts
        self.kind_categories = np.array([CATEGORIES.index(members[0].item.category) for members in by_kind])
        shares = behavior.variants
        self.purchases_a_day = np.array(
            [
                1 / (variant.item.typical_interval_days * variant.content_ratio**shares.interval_per_content)
                for variant in self.members
            ]
        )
        """[m], of a household that uses a variant regularly."""
        self._shares: dict[Trait | PackClass | None, float] = {
            None: 1.0,
            Trait.ORGANIC: shares.organic,
            Trait.STORE_BRAND: shares.store_brand,
            PackClass.SMALL: shares.small,
            PackClass.REGULAR: 1.0,
            PackClass.FAMILY: shares.family,
        }
        self._popularity = np.array(
            [
                0.0
                if all(Trait.OCCASION in variant.item.traits for variant in members)
                else (max(variant.item.popularity for variant in members) / 100) ** behavior.needs.popularity_exponent
                for members in by_kind
            ]
        )
        self.tables_of = functools.lru_cache(maxsize=1024)(self._tables_of)

    def _tables_of(self, archetype: Archetype) -> ChoiceTables:
        of_items = np.array([self._item_weight(variant, archetype) for variant in self.members])
        weights = of_items * [self._variant_weight(variant, archetype) for variant in self.members]
        popularity = np.zeros(len(self.kinds) + 1)
        purchases_a_day = np.zeros(len(self.kinds))
        choice_ratios, aliases = np.zeros(len(weights)), np.zeros(len(weights), np.uint32)
        for kind, (start, count) in enumerate(zip(self.member_starts, self.member_counts, strict=True)):
            members = slice(start, start + count)
            plain = np.array([self._shares[variant.make] * self._shares[variant.pack_class]
                              for variant in self.members[members]])  # fmt: skip
            popularity[kind] = self._popularity[kind] * float(of_items[members] @ plain / plain.sum())
            shares = weights[members] / weights[members].sum()
            purchases_a_day[kind] = shares @ self.purchases_a_day[members]
            choice_ratios[members], others = alias_table(shares)
            aliases[members] = others + start
        return ChoiceTables(popularity, purchases_a_day, choice_ratios, aliases)

    def _item_weight(self, variant: Variant, archetype: Archetype) -> float:
        """How much more often the item is chosen, regardless of its make and pack."""
        return math.prod(
            archetype.trait_weights.get(trait, 1.0) for trait in variant.item.traits if trait not in _MAKES
        )

    def _variant_weight(self, variant: Variant, archetype: Archetype) -> float:
        makes = [trait for trait in variant.traits if trait in _MAKES]
        weight = math.prod(self._shares[make] * archetype.trait_weights.get(make, 1.0) for make in makes)
        return weight * self._shares[variant.pack_class] * archetype.pack_weights.get(variant.pack_class, 1.0)


def alias_table(shares: Sequence[float] | Floats) -> tuple[Floats, NDArray[np.int64]]:
    """An alias table (Walker, 1977; Vose, 1991): one random number chooses one of `n` by their shares.

    With a random number `x` from 0 to below `n`, `int(x)` is chosen if the rest of `x` is less than its ratio, or else
    its alias.

    Args:
        shares: float64[n], they sum to 1.

    Returns:
        float64[n] ratios and int64[n] aliases.
    """
    ratios = np.asarray(shares, dtype=np.float64) * len(shares)
    aliases = np.arange(len(shares))
    small = [at for at, ratio in enumerate(ratios) if ratio < 1]
    large = [at for at, ratio in enumerate(ratios) if ratio >= 1]
    while small and large:
        less, more = small.pop(), large[-1]
        aliases[less] = more
        ratios[more] -= 1 - ratios[less]
        if ratios[more] < 1:
            small.append(large.pop())
    # What is left is 1 but for rounding errors.
    ratios[[*small, *large]] = 2.0
    return ratios, aliases
