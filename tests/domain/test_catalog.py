from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_domain.catalog import CATEGORIES, OTHER, Catalog, load_catalog, normalize_name
from pantree_domain.catalog.data import read_words


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


def test_categories_are_filled_except_other(catalog: Catalog) -> None:
    counts = Counter(item.category for item in catalog.items)
    assert set(counts) == set(CATEGORIES) - {OTHER}
    assert min(counts.values()) >= 10
    assert len(catalog.items) >= 250


def test_item_names_are_distinct_in_normalized_form(catalog: Catalog) -> None:
    assert len({normalize_name(item.name) for item in catalog.items}) == len(catalog.items)


def test_item_figures_are_plausible(catalog: Catalog) -> None:
    for item in catalog.items:
        assert 0 < item.price_low < item.price_high < 100, item
        assert 1 <= item.typical_interval_days <= 365, item
        assert item.pack, item


def test_complements_are_kinds_of_other_items(catalog: Catalog) -> None:
    for item in catalog.items:
        assert item.kind not in item.complements, item
        for kind in item.complements:
            assert catalog.items_of_kind(kind), (item.name, kind)


def test_items_of_a_kind_share_its_category(catalog: Catalog) -> None:
    for item in catalog.items:
        assert {other.category for other in catalog.items_of_kind(item.kind)} == {item.category}, item.kind


def test_items_are_found_by_category_and_kind(catalog: Catalog) -> None:
    assert {item.name for item in catalog.items_of_kind("milk")} == {"Milk", "Whole Milk", "Organic Milk"}
    assert sum(len(catalog.items_in(category)) for category in CATEGORIES) == len(catalog.items)
    assert catalog.items_in("furniture") == ()
    assert catalog.items_of_kind("sofa") == ()


def test_words_are_written_in_normalized_form() -> None:
    words = read_words()
    for section in (words.markers, words.forms, words.ingredients):
        assert set(section) <= set(CATEGORIES)
        for phrases in section.values():
            assert [normalize_name(phrase) for phrase in phrases] == list(phrases)


def test_each_word_indicates_one_category(catalog: Catalog) -> None:
    words = read_words()
    items = {normalize_name(item.name): item for item in catalog.items}
    for section in (words.markers, words.forms, words.ingredients):
        for category, listed in section.items():
            assert {items[phrase].category for phrase in listed if phrase in items} <= {category}
    phrases = [
        phrase
        for section in (words.markers, words.forms, words.ingredients)
        for listed in section.values()
        for phrase in listed
    ]
    assert [phrase for phrase, count in Counter(phrases).items() if count > 1] == []


def test_every_item_is_found_by_its_own_name(catalog: Catalog) -> None:
    for item in catalog.items:
        categorization = catalog.categorize(item.name.upper())
        assert (categorization.item, categorization.category, categorization.certainty_ratio) == (
            item,
            item.category,
            1,
        )


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("Bananas", "produce"),
        ("Chicken Breast", "protein"),
        ("Milk", "dairy"),
        ("2% Reduced Fat Milk, 1 Gallon", "dairy"),
        ("OG BNLS CHKN BRST 2LB", "protein"),
        ("Peanut butter", "pantry"),
        ("crunchy peanut butter", "pantry"),
        ("peanut butter cookies", "snacks"),
        ("chicken soup", "pantry"),
        ("Chicken Noodle Soup 10.75oz", "pantry"),
        ("ice cream", "frozen"),
        ("cookies and cream ice cream", "frozen"),
        ("dog food", "pet"),
        ("Salmon flavored cat food", "pet"),
        ("Hot dogs", "protein"),
        ("hot dog buns", "bakery"),
        ("orange juice", "beverages"),
        ("Juice, orange, no pulp", "beverages"),
        ("potato chips", "snacks"),
        ("Gala apples", "produce"),
        ("apple cider vinegar", "pantry"),
        ("tomato soup", "pantry"),
        ("chocolate milk", "dairy"),
        ("milk chocolate", "snacks"),
        ("butter lettuce", "produce"),
        ("coconut milk", "pantry"),
        ("almond milk", "dairy"),
        ("baby carrots", "produce"),
        ("baby food", "baby"),
        ("baby shampoo", "baby"),
        ("frozen chicken breast", "frozen"),
        ("canned corn", "pantry"),
        ("beans in tomato sauce", "pantry"),
        ("yogurt with fruit", "dairy"),
        ("shampoo with coconut oil", "personal_care"),
        ("shaving cream", "personal_care"),
        ("coffee filters", "household"),
        ("dish soap", "household"),
        ("bread flour", "pantry"),
        ("garlic bread", "bakery"),
        ("SFT DRNK 2 LITER BTL CARB", "beverages"),
        ("APPLES GALA (BULK&BAG)", "produce"),
        ("DRY ROAST PEANUTS", "snacks"),
        ("ICE CREAM TOPPINGS", "pantry"),
        ("TEA MIX W/O SUGAR", "beverages"),
        ("coffee beans", "beverages"),
        ("Refrigerator Water Filter", "household"),
        ("Vacuum Cleaner Bags", "household"),
        ("Steak Knives", "household"),
        ("Water Softener Salt", "household"),
        ("slow cooker pot roast", "protein"),
        ("bread machine yeast", "pantry"),
        ("Contact Lens Solution", "personal_care"),
        ("hydrocortisone cream", "personal_care"),
        ("baby corn", "produce"),
        ("cream of tartar", "pantry"),
    ],
)
def test_category_of_free_name(catalog: Catalog, name: str, category: str) -> None:
    assert catalog.categorize(name).category == category


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("VENDING SIZE CRACKE", "snacks"),  # truncated by a POS system
        ("PLSTC 12CT", "household"),  # consonants alone
        ("Cauliflowr", "produce"),  # misspelled
        ("Broccolli", "produce"),
    ],
)
def test_unknown_words_are_read_as_known_ones(catalog: Catalog, name: str, category: str) -> None:
    categorization = catalog.categorize(name)
    assert categorization.category == category
    assert categorization.certainty_ratio < 0.85


def test_known_words_are_never_read_as_others(catalog: Catalog) -> None:
    assert catalog.categorize("better bacon").certainty_ratio == catalog.categorize("zork bacon").certainty_ratio
    assert catalog.categorize("Better") == catalog.categorize("Zork")


@pytest.mark.parametrize("name", ["Flux capacitor", "牛乳", "100", "", "!!!"])
def test_category_of_unknown_name_is_other_and_uncertain(catalog: Catalog, name: str) -> None:
    categorization = catalog.categorize(name)
    assert (categorization.category, categorization.item) == (OTHER, None)
    assert categorization.certainty_ratio <= 0.2


def test_certainty_falls_with_unknown_words(catalog: Catalog) -> None:
    names = ["Apples", "Organic Gala Apples", "Gala zork apples", "Zork"]
    certainties = [catalog.categorize(name).certainty_ratio for name in names]
    assert certainties == sorted(certainties, reverse=True)
    assert len(set(certainties)) == len(certainties)


@pytest.mark.parametrize(
    ("name", "item_name"),
    [
        ("Gala Apples", "Apples"),
        ("Strawberry Greek Yogurt 5.3oz", "Greek Yogurt"),
        ("vanilla almond milk", "Almond Milk"),
        ("Soda", "Cola"),
    ],
)
def test_nearest_item_of_free_name(catalog: Catalog, name: str, item_name: str) -> None:
    item = catalog.categorize(name).item
    assert item is not None
    assert item.name == item_name


def test_dissimilar_name_has_no_nearest_item(catalog: Catalog) -> None:
    assert catalog.categorize("gluten free pumpernickel").item is None


@given(st.text(max_size=200))
def test_any_name_has_a_category_and_a_certainty(name: str) -> None:
    categorization = load_catalog().categorize(name)
    assert categorization.category in CATEGORIES
    assert 0 <= categorization.certainty_ratio <= 1
    assert categorization.item is None or categorization.item.category == categorization.category


@given(st.lists(st.sampled_from(["organic", "MILK", "chicken", "soup", "dog", "frozen", "with", "zork", "2lb"])))
def test_category_does_not_depend_on_case_or_spacing(words: list[str]) -> None:
    catalog = load_catalog()
    assert catalog.categorize(" ".join(words)) == catalog.categorize("  ".join(words).upper())
