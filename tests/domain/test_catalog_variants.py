"""What a shop sells: makes and packs of the catalog's items."""

import pytest

from pantree_domain.catalog import PackClass, Trait, load_catalog
from pantree_domain.catalog.variants import content
from pantree_domain.household.pack import read_pack

VARIANTS = load_catalog().variants


def test_variant_names_are_distinct_and_find_their_item() -> None:
    assert len({variant.name for variant in VARIANTS}) == len(VARIANTS)
    for variant in VARIANTS:
        categorization = load_catalog().categorize(variant.name)
        assert (categorization.item, categorization.certainty_ratio) == (variant.item, 1), variant.name


def test_names_read_like_a_shop() -> None:
    names = {variant.name for variant in VARIANTS}
    assert {
        "Bananas", "Greek Yogurt, 32 oz", "Organic Spinach, 8 oz", "Store Brand White Rice, 5 lb",
        "Eggs, family pack, 24 ct", "Canned Tuna, family pack, 4 x 5 oz", "Milk, 0.5 gal", "Whole Chicken",
    } <= names  # fmt: skip


def test_larger_packs_cost_less_per_content_and_store_brands_less_than_the_plain_make() -> None:
    for item in load_catalog().items:
        own = [variant for variant in VARIANTS if variant.item is item]
        for variant in own:
            (plain,) = (one for one in own if one.make is None and one.pack_class is variant.pack_class)
            if variant.make is Trait.STORE_BRAND:
                assert variant.price_high < plain.price_high
            if variant.make is Trait.ORGANIC:
                assert variant.price_high > plain.price_high
        plain_packs = sorted((one for one in own if one.make is None), key=lambda one: one.content_ratio)
        unit_prices = [one.price_high / one.content_ratio for one in plain_packs]
        assert unit_prices == sorted(unit_prices, reverse=True), item.name
        classes = [one.pack_class for one in plain_packs]
        assert classes == sorted(classes, key=[PackClass.SMALL, PackClass.REGULAR, PackClass.FAMILY].index), item.name


def test_packs_of_one_make_are_one_need_and_makes_are_several() -> None:
    names = ["White Rice, 5 lb", "White Rice, 2 lb", "White Rice, family pack, 20 lb", "Store Brand White Rice, 5 lb"]
    needs = [read_pack(name).need for name in names]
    assert needs[0] == needs[1] == needs[2] != needs[3]


@pytest.mark.parametrize(("pack", "amount"), [("4 x 15 oz", 3.75), ("0.5 gal", 0.5), ("1 qt", 0.25), ("24 ct", 24)])
def test_content_of_a_pack(pack: str, amount: float) -> None:
    assert content(pack) == amount
