from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_domain.catalog import CATEGORIES, OTHER, Perishability, load_catalog
from pantree_enrichment.backends.reply import INTERVAL_REASONS
from pantree_enrichment.core.facts import CheckResult, FactChecker
from pantree_enrichment.core.item import (
    EnrichedItem,
    FactSources,
    IntervalReason,
    ItemToEnrich,
    ModelAnswer,
    RelatedItem,
    Relation,
)
from pantree_enrichment.core.rules import RulesEnricher

CATALOG = load_catalog()
RULES = RulesEnricher(CATALOG)
CHECKER = FactChecker(CATALOG)
ANSWER = ModelAnswer(
    category="snacks",
    certainty_ratio=0.9,
    perishability=Perishability.MONTHS,
    suggested_interval_days=21,
    interval_reason=IntervalReason("lasts_long", INTERVAL_REASONS["lasts_long"]),
    related_items=(RelatedItem("bananas", Relation.COMPLEMENT), RelatedItem("evil.example", Relation.SUBSTITUTE)),
)
SHELF_LIVES = list(Perishability)


def merged(name: str, answer: ModelAnswer, category: str = "") -> tuple[EnrichedItem, EnrichedItem, CheckResult]:
    """The rules' answer, the merged one, and the result."""
    item = ItemToEnrich(name, category)
    by_rules = RULES.enrich_item(item)
    return by_rules, *CHECKER.merge(by_rules, answer, is_known=RULES.knows(item))


answers = st.builds(
    ModelAnswer,
    category=st.sampled_from(CATEGORIES),
    certainty_ratio=st.floats(0, 1),
    perishability=st.sampled_from(SHELF_LIVES),
    suggested_interval_days=st.integers(1, 365),
    interval_reason=st.just(ANSWER.interval_reason),
    related_items=st.lists(
        st.builds(RelatedItem, st.sampled_from(["Milk", "Cola", "evil.example", ""]), st.sampled_from(Relation))
    ).map(tuple),
    plain_name=st.sampled_from(["", "Whole milk", "Chicken thighs", "hot dogs", "evil.example"]),
)


@given(st.sampled_from([item.name for item in CATALOG.items]), answers)
def test_no_answer_changes_a_fact_of_the_catalog(name: str, answer: ModelAnswer) -> None:
    for spelling in (name, f"OG {name.upper()} 2LB", f"Zorblax {name}"):
        by_rules, item, _ = merged(spelling, answer)
        if not RULES.knows(ItemToEnrich(spelling)):
            continue
        related = item.related_items if by_rules.related_items else by_rules.related_items
        plain_name = "" if by_rules.plain_name else item.plain_name
        sources = replace(
            item.sources, related_items=by_rules.sources.related_items, plain_name=by_rules.sources.plain_name
        )
        same = replace(item, related_items=related, plain_name=by_rules.plain_name, sources=sources)
        assert same == by_rules
        assert plain_name == "" or CATALOG.categorize(plain_name).category == by_rules.category


def test_chicken_thighs_keep_for_days_whatever_a_model_says() -> None:
    by_rules, item, result = merged("Chicken Thighs", replace(ANSWER, category="protein"))
    assert item == by_rules
    assert item.perishability is Perishability.DAYS
    assert result is CheckResult.NOTHING_NEW


def test_known_item_without_related_items_gets_those_of_the_model() -> None:
    by_rules, item, result = merged("Pineapple", replace(ANSWER, category="produce"))
    assert (by_rules.related_items, result) == ((), CheckResult.USED)
    assert item.related_items == (RelatedItem("Bananas", Relation.COMPLEMENT),)
    assert item.sources == FactSources("rules", "rules", "rules", "nim")
    assert item.source == "nim"


def test_terse_name_of_a_known_item_gets_the_words_of_the_model() -> None:
    said = replace(ANSWER, category="dairy", plain_name="reduced fat milk")
    by_rules, item, result = merged("KRO RDCD FAT MLK", said)
    assert (by_rules.plain_name, result) == ("", CheckResult.USED)
    assert (item.plain_name, item.sources.plain_name) == ("Reduced fat milk", "nim")
    assert replace(item, plain_name="", sources=by_rules.sources) == by_rules
    assert RULES.lacks_facts(ItemToEnrich("KRO RDCD FAT MLK"))
    assert not RULES.lacks_facts(ItemToEnrich("WHL MLK")), "its words are known, so a model is not asked"


def test_unknown_item_gets_the_facts_of_the_model_with_their_source() -> None:
    _, item, result = merged("Zorblax", ANSWER)
    assert result is CheckResult.USED
    assert (item.category, item.perishability, item.suggested_interval_days) == ("snacks", Perishability.MONTHS, 21)
    assert item.certainty_ratio == pytest.approx(0.72)
    assert item.sources == FactSources("nim", "nim", "nim", "nim")


def test_fact_that_the_rules_have_keeps_its_source() -> None:
    _, item, _ = merged("Zorblax Wafers", replace(ANSWER, related_items=()), "Household")
    assert item.sources.category == "rules"
    assert item.sources.suggested_interval == "nim"


@pytest.mark.parametrize("certainty_ratio", [0, 0.1, 0.49])
def test_answer_that_the_model_doubts_is_not_used(certainty_ratio: float) -> None:
    by_rules, item, result = merged("Zorblax", replace(ANSWER, certainty_ratio=certainty_ratio))
    assert (item, result) == (by_rules, CheckResult.UNCERTAIN)


def test_less_certain_category_than_that_of_the_rules_is_a_disagreement() -> None:
    by_rules = RULES.enrich_item(ItemToEnrich("Zorblax Crisps"))
    assert by_rules.category == "snacks"
    item, result = CHECKER.merge(by_rules, replace(ANSWER, category="pet", certainty_ratio=0.6), is_known=False)
    assert (item, result) == (by_rules, CheckResult.DISAGREED)


@pytest.mark.parametrize(
    "changes",
    [
        {"perishability": Perishability.DAYS},  # no snack spoils within days
        {"suggested_interval_days": 365},
        {"suggested_interval_days": 1},
        {"category": "produce"},  # no produce keeps for months
    ],
)
def test_fact_that_the_category_does_not_allow_is_left_out(changes: dict[str, object]) -> None:
    _, item, result = merged("Zorblax", replace(ANSWER, **changes))  # type: ignore[arg-type]
    assert result is CheckResult.OUT_OF_BOUNDS
    assert item.suggested_interval_days is None
    assert item.sources.perishability != "nim"


@given(st.text(max_size=30), st.sampled_from(["", "Bakery", "Frozen food", "Produce"]), answers)
def test_facts_are_within_what_the_category_allows_and_never_lengthen_a_shelf_life(
    name: str, category: str, answer: ModelAnswer
) -> None:
    by_rules, item, _ = merged(name, answer, category)
    if by_rules.perishability is not None:
        assert item.perishability is not None
        assert SHELF_LIVES.index(item.perishability) <= SHELF_LIVES.index(by_rules.perishability)
    if item.sources.suggested_interval == "nim":
        assert item.category != OTHER
        similar = [one for one in CATALOG.items_in(item.category) if one.perishability is item.perishability]
        days = [one.typical_interval_days for one in similar]
        assert item.suggested_interval_days is not None
        assert min(days) <= item.suggested_interval_days <= max(days)
