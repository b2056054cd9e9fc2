import numpy as np
import pytest

from pantree_domain.catalog import load_catalog
from pantree_domain.household.needs import Needs, fold_needs
from pantree_domain.household.pack import read_pack
from pantree_domain.purchases import PurchaseHistory

AS_OF = 1_000


def folded(lines: list[tuple[str, int]], price: float = 4.0) -> Needs:
    """Needs of lines with a name and an age."""
    names = tuple(dict.fromkeys(name for name, _ in lines))
    history = PurchaseHistory(
        item_names=names,
        item_categories=("",) * len(names),
        item_indices=np.array([names.index(name) for name, _ in lines], np.int32),
        days=np.array([AS_OF - age for _, age in lines], np.int32),
        quantities=np.ones(len(lines), np.int32),
        prices=np.full(len(lines), price),
        savings=np.zeros(len(lines)),
    )
    return fold_needs(history, AS_OF, load_catalog())


@pytest.mark.parametrize(
    ("some", "other"),
    [
        ("Milk Whole 1 gal", "WHOLE MILK 1GAL"), ("Milk 2L", "Milk, 2 liters"),
        ("Toilet Paper 4 rolls", "toilet paper 24-rolls"),
        ("2% Milk", "MILK 2%"), ("Organic Bananas", "BANANAS ORGANIC"), ("Diapers Size 3", "Diapers Size 3 120 ct"),
    ],
)  # fmt: skip
def test_names_of_one_need(some: str, other: str) -> None:
    assert read_pack(some).need == read_pack(other).need


@pytest.mark.parametrize(
    ("some", "other"),
    [
        ("2% Milk", "1% Milk"), ("Chocolate Milk", "Milk Chocolate"), ("Whole Milk", "Milk"),
        ("Sunscreen SPF 30", "Sunscreen SPF 50"),
        ("Strawberry Yogurt", "Peach Yogurt"), ("Red Wine Vinegar", "White Wine Vinegar"),
    ],
)  # fmt: skip
def test_names_of_different_needs(some: str, other: str) -> None:
    assert read_pack(some).need != read_pack(other).need


@pytest.mark.parametrize(
    ("name", "content", "unit"),
    [
        ("Cola 6 x 0,33 l", 1980.0, "ml"), ("Eggs 1 dozen", 12.0, "pieces"), ("Rice 2 lb", 907.2, "g"),
        ("Coke 12 pk 12 fl oz", 4258.08, "ml"), ("Flour 1.5kg", 1500.0, "g"),
    ],
)  # fmt: skip
def test_content_of_a_pack(name: str, content: float, unit: str) -> None:
    found = read_pack(name)
    assert found.content == pytest.approx(content)
    assert found.unit == unit


def test_pack_sizes_add_up_in_the_size_usually_bought() -> None:
    needs = folded([("Paper 12 rolls", 10), ("Paper 12 rolls", 40), ("Paper 4 rolls", 70), ("Paper 24 rolls", 90)])
    assert needs.history.item_names == ("Paper 12 rolls",)
    assert needs.packs["Paper 12 rolls"].units == 3
    assert needs.history.quantities.tolist() == [3, 3, 1, 6]
    assert needs.history.prices.tolist() == pytest.approx([4 / 3, 4 / 3, 4.0, 4 / 6])
    assert float(needs.history.paid.sum()) == pytest.approx(16.0)


def test_different_units_stay_apart() -> None:
    assert len(folded([("Ham 200 g", 3), ("Ham 10 pieces", 5)]).history.item_names) == 2


def test_next_size_inherits_and_the_old_one_is_replaced() -> None:
    needs = folded([*(("Diapers Size 3", age) for age in (31, 45, 59)), ("Diapers Size 4", 3), ("Diapers Size 4", 17)])
    assert needs.history.item_names == ("Diapers Size 4",)
    assert needs.replaced == {"Diapers Size 3": "Diapers Size 4"}


def test_sizes_of_two_children_stay_apart() -> None:
    lines = [(f"Diapers Size {size}", 3 + 14 * number) for size in (3, 5) for number in range(6)]
    assert len(folded(lines).history.item_names) == 2


def test_new_brand_of_a_kind_inherits() -> None:
    lines = [*(("Acme Dry Dog Food", age) for age in (62, 90, 118, 146)), ("Bravo Dry Dog Food", 6)]
    assert folded(lines).replaced == {"Acme Dry Dog Food": "Bravo Dry Dog Food"}


@pytest.mark.parametrize(
    ("new", "inherits"), [("Bravo Shower Gel", True), ("Bravo Hair Gel", False), ("Shower Cap", False)]
)
def test_new_brand_of_an_unknown_kind_inherits_if_the_names_end_alike(new: str, inherits: bool) -> None:
    lines = [*(("Acme Shower Gel", age) for age in (62, 90, 118, 146)), (new, 6)]
    assert folded(lines).replaced == ({"Acme Shower Gel": new} if inherits else {})


def test_brand_that_was_bought_all_along_is_no_successor() -> None:
    lines = [
        *(("Acme Dry Dog Food", age) for age in (62, 90, 118, 146)),
        *(("Bravo Dry Dog Food", age) for age in (6, 34, 100)),
    ]
    assert folded(lines).replaced == {}


def test_history_with_one_name_per_need_is_unchanged() -> None:
    needs = folded([("Milk", 3), ("Eggs", 3), ("Milk", 10)])
    assert needs.history.item_names == ("Milk", "Eggs")
    assert (needs.packs, needs.replaced) == ({}, {})


def test_order_of_lines_does_not_matter() -> None:
    lines = [("Paper 12 rolls", 10), ("PAPER 4 ROLLS", 70), ("paper 12 rolls", 40), ("Paper 24 rolls", 90)]
    some, other = folded(lines), folded(lines[::-1])
    assert some.history.item_names == other.history.item_names
    assert some.packs == other.packs
