import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_domain.catalog import normalize_name


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("OG BNLS CHKN BRST 2LB", "organic boneless chicken breast"),
        ("Bananas", "banana"),
        ("  Strawberries,   16 oz. ", "strawberry"),
        ("Roma Tomatoes (per lb)", "roma tomato"),
        ("2% Milk 1 Gallon", "milk"),
        ("Sparkling Water 12-pack 355ml", "sparkling water"),
        ("Eggs, 1 dozen", "egg"),
        ("Mac & Cheese", "macaroni and cheese"),
        ("Jalapeño Crème", "jalapeno creme"),
        ("Kellogg's", "kellogg"),
        ("WHL WHT BRD", "whole wheat bread"),
        ("OJ", "orange juice"),
        ("Sandwiches", "sandwich"),
        ("Cookies", "cookie"),
        ("Hummus", "hummus"),
        ("Asparagus", "asparagus"),
        ("Lemon grass", "lemon grass"),
        ("French fries", "french fry"),
        ("Tea w/o sugar, w/lemon", "tea without sugar with lemon"),
        ("Water 24-16.9 OZ", "water"),
        ("Cola 6x330ml", "cola"),
        ("CRACKERS 12/12 OZ", "cracker"),
        ("Cola 20 OZ PET", "cola"),
        ("Pet food 20 OZ CAN", "pet food"),
        ("Apples, 3-lb bag", "apple"),
        ("Milk, half gallon", "milk"),
        ("Detergent 150 fl. oz", "detergent"),
        ("V8 juice", "v8 juice"),
        ("7", "7"),
        ("365", "365"),
        ("7UP", "7up"),
        ("...", ""),
    ],
)
def test_normalized_name(text: str, normalized: str) -> None:
    assert normalize_name(text) == normalized


@given(st.text(max_size=200))
def test_normalized_name_is_plain(text: str) -> None:
    normalized = normalize_name(text)
    assert normalized == " ".join(normalized.split())
    assert normalized == normalized.lower()


@pytest.mark.parametrize("name", ["バター", "パン", "バン", "ハン", "दाल", "दिल", "яйца", "한우", "7 up", "ananas"])
def test_names_of_other_languages_are_left_alone(name: str) -> None:
    assert normalize_name(name) == name
    assert normalize_name(unicodedata.normalize("NFD", name.upper())) == name


def test_size_is_removed_from_a_name_with_a_number() -> None:
    assert normalize_name("7 UP 12 PACK") == "7 up"
