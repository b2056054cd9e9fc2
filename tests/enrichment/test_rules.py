import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_domain.catalog import CATEGORIES, Perishability, load_catalog, normalize_name
from pantree_enrichment.core.item import EnrichedItem, ItemToEnrich, Relation
from pantree_enrichment.core.rules import RulesEnricher

RULES = RulesEnricher(load_catalog())


def enrich(name: str, category: str = "") -> EnrichedItem:
    return RULES.enrich_item(ItemToEnrich(name, category))


def related(item: EnrichedItem, relation: Relation) -> list[str]:
    return [other.name for other in item.related_items if other.relation is relation]


def test_item_of_the_catalog_is_known_for_certain() -> None:
    milk = enrich("Milk")
    assert (milk.category, milk.certainty_ratio, milk.source) == ("dairy", 1.0, "rules")
    assert milk.suggested_interval_days == 7
    assert "Cereal" in related(milk, Relation.COMPLEMENT)
    assert "Whole Milk" in related(milk, Relation.SUBSTITUTE)
    assert "Milk" not in related(milk, Relation.SUBSTITUTE)


def test_receipt_line_is_recognized() -> None:
    chicken = enrich("OG BNLS CHKN BRST 2LB")
    assert chicken.normalized_name == "organic boneless chicken breast"
    assert (chicken.category, chicken.perishability) == ("protein", Perishability.DAYS)
    assert 0.5 < chicken.certainty_ratio < 1
    assert "Chicken Breast" in related(chicken, Relation.SUBSTITUTE)


def test_interval_has_a_reason() -> None:
    milk, chicken = enrich("Milk"), enrich("OG BNLS CHKN BRST 2LB")
    assert milk.interval_reason is not None
    assert (milk.interval_reason.code, "every 7 days" in milk.interval_reason.text) == ("known_item", True)
    assert chicken.interval_reason is not None
    assert chicken.interval_reason.code == "similar_item"
    assert f"every {chicken.suggested_interval_days} days" in chicken.interval_reason.text


def test_unknown_item_has_the_category_other() -> None:
    item = enrich("Zorblax 3000")
    assert (item.category, item.perishability, item.suggested_interval_days) == ("other", None, None)
    assert (item.related_items, item.interval_reason) == ((), None)
    assert item.certainty_ratio < 0.5


@pytest.mark.parametrize(
    ("shop_category", "category"),
    [
        ("produce", "produce"),
        ("Fresh Produce", "produce"),
        ("Health & Personal Care", "personal_care"),
        ("FROZEN", "frozen"),
        ("Milk and Cream", "dairy"),
        ("Aisle 7", "other"),
    ],
)
def test_category_of_the_shop_is_used_for_an_unknown_name(shop_category: str, category: str) -> None:
    item = enrich("Zorblax", shop_category)
    assert item.category == category
    assert item.certainty_ratio <= 0.5


def test_category_of_the_shop_does_not_overrule_the_name() -> None:
    assert enrich("Milk", "household").category == "dairy"


def test_unknown_item_has_the_perishability_of_a_uniform_category() -> None:
    assert enrich("Zorblax", "frozen").perishability is Perishability.MONTHS
    assert enrich("Zorblax", "produce").perishability is None


@given(st.text(max_size=200), st.text(max_size=40))
def test_every_name_gets_an_answer_within_the_contract(name: str, category: str) -> None:
    item = enrich(name, category)
    assert item.name == name
    assert item.normalized_name == normalize_name(name)
    assert item.category in CATEGORIES
    assert 0 <= item.certainty_ratio <= 1
    assert item.suggested_interval_days is None or 1 <= item.suggested_interval_days <= 365
    assert (item.suggested_interval_days is None) == (item.interval_reason is None)
    assert len(item.related_items) <= 8


def test_every_item_of_the_catalog_has_an_interval_and_is_not_related_to_itself() -> None:
    for known in load_catalog().items:
        item = enrich(known.name)
        assert item.category == known.category
        assert item.suggested_interval_days is not None
        assert known.name not in {other.name for other in item.related_items}
