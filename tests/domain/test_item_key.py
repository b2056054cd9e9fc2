import time
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_domain.item_key import distinct_positions, item_key
from pantree_domain.purchases import PurchaseHistory, fold_items, fold_labels

Line = tuple[str, str, int]


def history(lines: list[Line]) -> PurchaseHistory:
    """Name, category and day of each line; the first line of a name has its category."""
    entries = {name: category for name, category, _ in reversed(lines)}
    names = list(dict.fromkeys(name for name, _, _ in lines))
    count = len(lines)
    return PurchaseHistory(
        item_names=tuple(names),
        item_categories=tuple(entries[name] for name in names),
        item_indices=np.array([names.index(name) for name, _, _ in lines], np.int32),
        days=np.array([day for _, _, day in lines], np.int32),
        quantities=np.ones(count, np.int32),
        prices=np.ones(count),
        savings=np.zeros(count),
    )


@pytest.mark.parametrize(
    "spelling",
    [
        "Cafe\u0301 au lait",
        "CAF\u00c9 AU LAIT",
        " Caf\u00e9\tau  lait ",
        "Caf\u00e9\u00a0au\u00a0lait",
        "Caf\u00e9 au\u200b lait\ufeff",
        "Ca\u00adf\u00e9 au lait\ufe0f",
    ],
)
def test_spellings_of_one_item_have_one_key(spelling: str) -> None:
    assert item_key(spelling) == "caf\u00e9 au lait"


@pytest.mark.parametrize("other", ["Cafe au lait", "Caf\u00e9-au-lait", "Caf\u00e9 au lait 2", "Caf\u00e9 aulait"])
def test_other_letters_are_another_item(other: str) -> None:
    assert item_key(other) != item_key("Caf\u00e9 au lait")


def test_name_without_visible_characters_is_its_own_key() -> None:
    assert item_key("\u200b") == "\u200b"


@given(st.text(min_size=1))
def test_key_is_stable_whatever_the_form_of_the_name(name: str) -> None:
    key = item_key(name)
    assert item_key(key) == key
    assert item_key(unicodedata.normalize("NFD", name)) == item_key(name) or key == name


def test_positions_of_distinct_names_are_none() -> None:
    assert distinct_positions(["Milk", "Rice"]) is None
    assert distinct_positions(["Milk", "Rice", "MILK"]) == [0, 1, 0]


def test_history_without_variants_stays_the_same_object() -> None:
    given_history = history([("Rice", "", 3), ("Milk", "dairy", 1)])
    assert fold_items(given_history) is given_history


def test_spellings_of_one_item_are_folded() -> None:
    folded = fold_items(history([("Milk", "", 1), ("Rice", "pantry", 1), ("MILK ", "dairy", 9), ("Milk", "", 5)]))
    assert folded.item_names == ("MILK ", "Rice")  # the spelling of the latest line
    assert folded.item_categories == ("dairy", "pantry")
    assert folded.item_indices.tolist() == [0, 1, 0, 0]
    assert folded.days.tolist() == [1, 1, 9, 5]


@given(st.permutations([("Milk", "", 9), ("MILK", "", 9), ("milk ", "b", 4), ("MILk", "a", 4), ("Rice", "", 2)]))
def test_spelling_and_labels_do_not_depend_on_the_order_of_lines(lines: list[Line]) -> None:
    given_history = history(lines)
    folded = fold_items(given_history)
    assert set(zip(folded.item_names, folded.item_categories, strict=True)) == {("MILK", "a"), ("Rice", "")}
    assert fold_labels(given_history, given_history.item_categories) == folded.item_categories


def test_labels_of_distinct_items_stay_as_they_are() -> None:
    given_history = history([("Rice", "", 3), ("Milk", "dairy", 1)])
    assert fold_labels(given_history, ["grain", ""]) == ("grain", "")
    assert fold_labels(given_history, []) == ()


def test_folding_80_items_takes_less_than_a_tenth_of_a_millisecond() -> None:
    given_history = history([(f"Caf\u00e9 number {line % 80}", "", line) for line in range(400)])
    fold_items(given_history)

    def seconds() -> float:
        began_at = time.perf_counter()
        fold_items(given_history)
        return time.perf_counter() - began_at

    assert min(seconds() for _ in range(50)) < 1e-4
