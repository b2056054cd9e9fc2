"""Archetypes choose by traits, and first purchases anchor a household's staples."""

from collections import Counter

import numpy as np
import pytest

from pantree_domain.catalog import PackClass, Trait, load_catalog
from pantree_simulation.core.archetypes import parse_archetypes
from pantree_simulation.core.choices import Choices, alias_table
from pantree_simulation.core.scenario import FirstItem
from tests.simulation.scenarios import OUR_BEHAVIOR, a_scenario, all_lines_of, our_archetypes
from tests.simulation.test_archetypes import text_of_archetype

CHOICES = Choices(load_catalog(), OUR_BEHAVIOR)


def test_alias_table_chooses_by_shares() -> None:
    shares = np.array([0.5, 0.25, 0.2, 0.05])
    ratios, aliases = alias_table(shares)
    places = (np.arange(400_000) + 0.5) / 100_000
    whole = places.astype(int)
    chosen = np.where(places - whole < ratios[whole], whole, aliases[whole])
    assert np.bincount(chosen) / len(chosen) == pytest.approx(shares, abs=1e-4)


def share_of(names: list[str], *, trait: Trait | None = None, pack_class: PackClass | None = None) -> float:
    variants = [variant for name in names if (variant := load_catalog().variant_by_name.get(name))]
    return sum(trait in one.traits or one.pack_class is pack_class for one in variants) / len(variants)


def test_archetypes_keep_their_promises() -> None:
    names = {
        archetype: [line[1] for seed in range(8) for line in all_lines_of(a_scenario(archetype=archetype, seed=seed))]
        for archetype in our_archetypes().ids
    }
    assert share_of(names["health_conscious"], trait=Trait.ORGANIC) > 0.35
    assert share_of(names["budget_conscious"], trait=Trait.ORGANIC) < 0.05
    assert share_of(names["budget_conscious"], trait=Trait.STORE_BRAND) > 0.3
    assert share_of(names["single_professional"], trait=Trait.STORE_BRAND) < 0.1
    assert share_of(names["busy_family"], pack_class=PackClass.FAMILY) > 0.2
    assert share_of(names["single_professional"], pack_class=PackClass.FAMILY) < 0.05


def lines_with(*first_names: str, archetype: str = "busy_family") -> list[str]:
    items = tuple(FirstItem(name, 9.99, 1, "") for name in first_names)
    return [
        line[1] for seed in range(6) for line in all_lines_of(a_scenario(archetype=archetype, items=items, seed=seed))
    ]


def test_staples_of_the_first_purchase_recur_and_occasions_do_not() -> None:
    counts = Counter(lines_with("Milk", "Birthday Cake"))
    assert counts["Milk"] > 6 * 6
    assert counts["Birthday Cake"] < 6 * 2


@pytest.mark.parametrize(
    ("first", "never"), [("Diapers", "Training Pants"), ("Training Pants", "Diapers"), ("Cat Food", "Dog Food")]
)
def test_baby_or_pet_has_the_needs_of_its_stage(first: str, never: str) -> None:
    bought = lines_with(first)
    assert bought.count(first) > 6 * 4
    assert not [name for name in bought if never in name]


def test_weights_of_unknown_traits_and_packs_are_errors() -> None:
    text = text_of_archetype()
    for line, message in (
        ("trait_weights = { tasty = 2 }", "is not a trait"),
        ("pack_weights = { huge = 2 }", "is not a pack"),
    ):
        with pytest.raises(ValueError, match=message):
            parse_archetypes(text.replace("promotion_ratio", f"{line}\npromotion_ratio"))


def test_trait_weights_leave_the_tables_of_others_alone() -> None:
    plain = parse_archetypes(text_of_archetype()).all[0]
    text = text_of_archetype().replace("promotion_ratio", "trait_weights = { organic = 5.0 }\npromotion_ratio")
    organic = parse_archetypes(text).all[0]
    assert (CHOICES.tables_of(plain).popularity == CHOICES.tables_of(organic).popularity).all()
    assert (CHOICES.tables_of(plain).choice_ratios != CHOICES.tables_of(organic).choice_ratios).any()
