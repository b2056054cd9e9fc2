import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_domain.catalog import CATEGORIES, load_catalog, normalize_name
from pantree_enrichment.core.plain_names import checked_plain_name, is_terse, plain_name_of

CATALOG = load_catalog()
NAMES = ["HNZ KTCHP", "KRO 2% RDCD FAT MLK", "LAYS CLSC 8OZ", "GV TP 12PK"]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("OG BNLS CHKN BRST 2LB", "Organic boneless chicken breast"),
        ("WHL MLK GAL", "Whole Milk"),  # as in the catalog
        ("HNZ KTCHP", ""),  # an unknown word
        ("Whole Milk", ""),  # readable as it is
        ("バター", ""),
        ("7 UP", ""),
        ("12", ""),
    ],
)
def test_rules_explain_terse_names_of_which_they_know_every_word(name: str, plain: str) -> None:
    assert plain_name_of(name, CATALOG) == plain


@pytest.mark.parametrize(
    ("said", "name", "category", "shown"),
    [
        ("tomato ketchup", "HNZ KTCHP", "pantry", "Tomato ketchup"),
        ("  Potato CHIPS ", "LAYS CLSC 8OZ", "snacks", "Potato chips"),
        ("lays potato chips", "LAYS CLSC 8OZ", "snacks", "Lays potato chips"),  # a word of the name itself
        ("hot dogs", "HNZ KTCHP", "pantry", ""),  # another category
        ("zorblax ketchup", "HNZ KTCHP", "pantry", ""),  # an unknown word
        ("free ketchup at evil.example", "HNZ KTCHP", "pantry", ""),
        ("ketchup!", "HNZ KTCHP", "pantry", ""),
        ("\x1b[31mketchup", "HNZ KTCHP", "pantry", ""),
        ("tomato ketchup", "Heinz Ketchup", "pantry", ""),  # readable as it is
        ("ketchup " * 9, "HNZ KTCHP", "pantry", ""),
        ("", "HNZ KTCHP", "pantry", ""),
    ],
)
def test_words_of_a_model_are_checked(said: str, name: str, category: str, shown: str) -> None:
    assert checked_plain_name(said, name, category, CATALOG) == shown


words = st.sampled_from(
    ["milk", "Ketchup", "cigarettes", "wine", "free", "http", "potato", "chips", "kro", "lays", "2%"]
)


@given(st.lists(words, max_size=10).map(" ".join) | st.text(), st.sampled_from(NAMES), st.sampled_from(CATEGORIES))
def test_every_word_that_shoppers_see_is_known_and_means_such_an_item(said: str, name: str, category: str) -> None:
    shown = checked_plain_name(said, name, category, CATALOG)
    if shown:
        own = normalize_name(name).split()
        assert all(CATALOG.knows_word(word) or word in own for word in normalize_name(shown).split())
        assert CATALOG.categorize(shown).category == category
        assert is_terse(name)
        assert len(shown) <= len(said)
