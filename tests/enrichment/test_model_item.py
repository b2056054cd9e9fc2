import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_enrichment.core.item import ItemToEnrich
from pantree_enrichment.core.model_item import has_words, model_item


@pytest.mark.parametrize("name", ["バター", "दाल", "Crème fraîche", "7 Up", "Ananas", "OG BNLS CHKN BRST 2LB", "Ł'été"])
def test_model_gets_the_name_as_the_shop_writes_it(name: str) -> None:
    assert model_item(ItemToEnrich(unicodedata.normalize("NFD", f"  {name} "), name)).name == name
    assert model_item(ItemToEnrich(name, f" {name}")).category == name


def test_spellings_of_one_item_are_equal() -> None:
    assert model_item(ItemToEnrich("Oat  Milk", "Dairy")) == model_item(ItemToEnrich("OAT MILK\u200b", "dairy"))
    assert model_item(ItemToEnrich("Milk", "Dairy")) != model_item(ItemToEnrich("Milk"))


@pytest.mark.parametrize(("one", "other"), [("パン", "バン"), ("バン", "ハン"), ("दाल", "दिल"), ("7 Up", "Up")])
def test_different_names_are_different_items(one: str, other: str) -> None:
    assert model_item(ItemToEnrich(one)) != model_item(ItemToEnrich(other))


@pytest.mark.parametrize(("name", "expected"), [("牛乳", True), ("7", True), ("...", False), ("\u200b", False)])
def test_names_without_letters_and_digits_have_no_words(name: str, expected: bool) -> None:
    assert has_words(ItemToEnrich(name)) is expected


@given(st.text(max_size=200))
def test_only_form_and_white_space_of_a_name_change(name: str) -> None:
    sent = model_item(ItemToEnrich(name)).name
    assert "".join(sent.split()) == "".join(unicodedata.normalize("NFC", name).split())
