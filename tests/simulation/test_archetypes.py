import re

import pytest

from pantree_simulation.core.archetypes import parse_archetypes
from tests.simulation.scenarios import our_archetypes

ONE_ARCHETYPE = """
default = "{default}"
[[archetypes]]
id = "student"
display_name = "Student"
description = "Lives on noodles."
mean_trip_gap_days = {gap}
mean_basket_items = 5
price_level_ratio = {price_level}
promotion_ratio = 0.5
multiple_units_ratio = 0.1
[archetypes.category_weights]
{weights}
"""


def text_of_archetype(
    default: str = "student", gap: float = 4, price_level: float = 0.1, weights: str = "snacks = 0.25\npantry = 0.75"
) -> str:
    return ONE_ARCHETYPE.format(default=default, gap=gap, price_level=price_level, weights=weights)


def test_archetypes_are_the_documented_four() -> None:
    archetypes = our_archetypes().page("", 100).archetypes
    assert {archetype.id: archetype.mean_trip_gap_days for archetype in archetypes} == {
        "health_conscious": 8,
        "busy_family": 12,
        "budget_conscious": 12,
        "single_professional": 6,
    }
    weights = {archetype.id: archetype.category_weights for archetype in archetypes}
    assert (weights["health_conscious"]["produce"], weights["health_conscious"]["protein"]) == (0.30, 0.25)
    assert (weights["busy_family"]["snacks"], weights["busy_family"]["protein"]) == (0.20, 0.20)
    assert len(set(weights["budget_conscious"].values())) == 1
    assert weights["single_professional"]["protein"] == 0.25


def test_archetypes_with_the_same_trip_gap_differ_in_basket_and_weights() -> None:
    family, budget = our_archetypes().get("busy_family"), our_archetypes().get("budget_conscious")
    assert family is not None
    assert budget is not None
    assert family.mean_basket_items > 1.5 * budget.mean_basket_items
    assert family.category_weights != budget.category_weights


def test_empty_id_means_the_default_archetype() -> None:
    default = our_archetypes().get("")
    assert default is not None
    assert default.id == our_archetypes().default_id == "health_conscious"
    assert our_archetypes().get("nobody") is None


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_pages_together_hold_every_archetype_once(size: int) -> None:
    archetypes = our_archetypes()
    page = archetypes.page("", size)
    ids = [archetype.id for archetype in page.archetypes]
    while page.next_id:
        page = archetypes.page(page.next_id, size)
        ids += [archetype.id for archetype in page.archetypes]
    assert tuple(ids) == archetypes.ids


def test_weights_of_a_file_are_sorted() -> None:
    student = parse_archetypes(text_of_archetype()).get("student")
    assert student is not None
    assert list(student.category_weights.items()) == [("pantry", 0.75), ("snacks", 0.25)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (text_of_archetype(weights="snacks = 0.5\npantry = 0.6"), r"archetypes\[0\].category_weights: must sum to 1"),
        (text_of_archetype(weights="snacks = -0.5\npantry = 1.5"), r"archetypes\[0\].category_weights.snacks: "),
        (
            text_of_archetype(weights="furniture = 1.0"),
            r"archetypes\[0\].category_weights.furniture: is not a category",
        ),
        (text_of_archetype(gap=0.5), r"archetypes\[0\].mean_trip_gap_days: "),
        (text_of_archetype(gap=float("nan")), r"archetypes\[0\].mean_trip_gap_days: "),
        (text_of_archetype(price_level=2), r"archetypes\[0\].price_level_ratio: "),
        (text_of_archetype(default="nobody"), "default: 'nobody' is not the id of an archetype"),
    ],
)
def test_value_out_of_range_is_an_error_that_names_the_field(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_archetypes(text)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("promotion_ratio = 0.5", "", "archetypes[0].promotion_ratio: Field required"),
        ("promotion_ratio = 0.5", "promotion_ratio = 0.5\nshoe_size = 43", "archetypes[0].shoe_size: Unexpected"),
        ("promotion_ratio = 0.5", 'promotion_ratio = "often"', "archetypes[0].promotion_ratio: "),
        ('display_name = "Student"', "display_name = 3", "archetypes[0].display_name: "),
        ("snacks = 0.25", "snacks = true", "archetypes[0].category_weights.snacks: "),
        ('id = "student"', "", "archetypes[0].id: Field required"),
        ('id = "student"', 'id = ""', "archetypes[0].id: "),
        ("[[archetypes]]", "[[shoppers]]", "shoppers: Unexpected"),
    ],
)
def test_wrong_missing_or_unknown_field_is_an_error_that_names_it(before: str, after: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_archetypes(text_of_archetype().replace(before, after))


def test_two_archetypes_with_one_id_are_an_error() -> None:
    archetype = text_of_archetype().partition("[[archetypes]]")[2]
    with pytest.raises(ValueError, match="ids must be distinct"):
        parse_archetypes(f"{text_of_archetype()}\n[[archetypes]]{archetype}")


def test_archetypes_of_a_file_follow_the_known_ones_or_replace_them() -> None:
    merged = parse_archetypes(text_of_archetype().replace('default = "student"', ""), our_archetypes())
    assert merged.ids == (*our_archetypes().ids, "student")
    assert merged.default_id == "health_conscious"
    text = text_of_archetype(default="busy_family").replace('id = "student"', 'id = "busy_family"')
    replaced = parse_archetypes(text, our_archetypes())
    assert replaced.ids == our_archetypes().ids
    family = replaced.get("")
    assert family is not None
    assert (family.id, family.display_name) == ("busy_family", "Student")
