"""Inputs of the kinds that people have: each is answered, or refused with the line and the remedy."""

import itertools
from datetime import date
from pathlib import Path

import pytest

from pantree_reader import ReadOptions, read_file
from pantree_runtime.errors import InvalidInput

CASES = Path(__file__).parent / "cases"
TODAY = date(2026, 11, 29)

# Households, purchases of the first one, its first line (name, quantity, price, saving), and the notes.
ANSWERED: dict[str, tuple[int, int, tuple[str, int, float | None, float], list[str]]] = {
    "amazon_orders.csv": (1, 16, ("Cat litter 10L", 1, 8.99, 0), []),
    "category_later.csv": (1, 16, ("Zorblax", 1, 2.0, 0), []),
    "currency_sign.csv": (1, 16, ("Cat litter 10L", 1, 8.99, 0), []),
    "discount_line.csv": (1, 16, ("Batteries AA", 1, 20.99, 2.0), ["discount_line"]),
    "dunnhumby_like.csv": (1, 16, ("10", 1, 1.99, 0.6), ["relative_days"]),
    "epoch_row.csv": (1, 16, ("Milk 2L", 1, 1.49, 0), ["placeholder_day"]),
    "fees.csv": (1, 16, ("Milk 2L", 1, 1.49, 0), ["charge", "charge", "charge"]),
    "formula_name.csv": (1, 16, ('=HYPERLINK("http://x.example","Milk")', 1, 1.49, 0), []),
    "future_row.csv": (1, 16, ("Milk 2L", 1, 1.49, 0), ["future_day"]),
    "german.csv": (1, 16, ("Käse jung", 1, 2.49, 0), []),
    "instacart_like.csv": (1, 16, ("Organic Bananas", 1, None, 0), ["relative_days", "no_prices"]),
    "name_is_order_number.csv": (1, 16, ("Coffee beans 1kg", 1, 14.0, 0), []),
    "name_variants.csv": (1, 16, ("Milk 2L", 1, 1.49, 0), []),
    "negative_saving.csv": (1, 16, ("Soup", 1, 1.39, 0.3), []),
    "newline_name.csv": (1, 16, ("Coffee beans 1kg", 1, 14.0, 0), ["control_characters"]),
    "no_price.csv": (1, 16, ("whole milk", 1, None, 0), ["no_prices"]),
    "no_price_named.csv": (1, 16, ("whole milk", 1, None, 0), ["no_prices"]),
    "refund_negative.csv": (1, 15, ("Coffee beans 1kg", 1, 14.0, 0), ["refund"]),
    "same_day_twice.csv": (1, 16, ("Milk 2L", 1, 1.49, 0), ["duplicate"]),
    "semicolon_english.csv": (1, 16, ("Cheese", 1, 2.49, 0), []),
    "sentinel_row.csv": (1, 16, ("Milk 2L", 1, 1.49, 0), ["future_day"]),
    "sep_hint.csv": (1, 16, ("Cheese", 1, 2.49, 0), []),
    "shopify_orders.csv": (1, 16, ("Coffee beans 1kg", 1, 14.0, 0), []),
    "spaced_headers.csv": (1, 16, ("Cat litter 10L", 1, 8.99, 0), []),
    "stale_two_years.csv": (1, 16, ("Milk 2L", 1, 1.49, 0), ["stale"]),
    "tabs.tsv": (1, 16, ("Cheese", 1, 2.49, 0), []),
    "tafeng_like.csv": (1, 16, ("5001", 1, 20.0, 0), []),
    "thousands.csv": (1, 16, ("Champagne", 1, 1234.5, 0), []),
    "timestamps.csv": (1, 16, ("Cat litter 10L", 1, 8.99, 0), []),
    "timestamps_space.csv": (1, 16, ("Cat litter 10L", 1, 8.99, 0), []),
    "two_households.csv": (2, 16, ("Milk 2L", 1, 1.49, 0), []),
    "uci_like.csv": (1, 16, ("T-LIGHT HOLDER", 6, 2.55, 0), []),
    "us_dates.csv": (1, 16, ("Cat litter 10L", 1, 8.99, 0), []),
    "weight_kg.csv": (1, 16, ("Beef mince", 1, 6.0093, 0), ["weight"]),
}
REFUSED = {
    "discount_percent.csv": ("line 2, discount", "--map saving_percent=COLUMN"),
    "open_quote_small.csv": ("line 5", "close it at the end of the cell"),
    "postage.csv": ("file", "'POSTAGE' is a charge"),
    "quantity_barcode.csv": ("line 17, quantity", "looks like a barcode"),
    "underscore_price.csv": ("line 2, price", "must be a number such as 1.99; is '1_49'"),
}


@pytest.mark.parametrize("name", ANSWERED)
def test_case_is_read(name: str) -> None:
    households, count, line, codes = ANSWERED[name]
    file = read_file(CASES / name, ReadOptions(today=TODAY))
    assert len(file.households) == households
    purchases = file.households[0].purchases
    assert len(purchases) == count
    assert (purchases[0].name, purchases[0].quantity, purchases[0].price, purchases[0].saving) == line
    assert [note.code for note in file.notes] == codes
    gaps = {(later.day - earlier.day).days for earlier, later in itertools.pairwise(purchases)}
    assert gaps == {7}


@pytest.mark.parametrize("name", REFUSED)
def test_case_is_refused_with_line_and_remedy(name: str) -> None:
    field, remedy = REFUSED[name]
    with pytest.raises(InvalidInput) as caught:
        read_file(CASES / name, ReadOptions(today=TODAY))
    assert caught.value.violations[0].field == field
    assert remedy in caught.value.violations[0].description


def test_long_name_is_cut_and_noted() -> None:
    file = read_file(CASES / "long_name.csv", ReadOptions(today=TODAY))
    assert {len(line.name) for line in file.households[0].purchases} == {200}
    assert [(note.code, note.lines[0]) for note in file.notes] == [("long_name", 2)]


def test_percentages_are_read_when_given() -> None:
    options = ReadOptions(today=TODAY, columns={"saving_percent": "discount"})
    assert read_file(CASES / "discount_percent.csv", options).households[0].purchases[0].saving == 1.4


def test_open_quote_in_a_large_file_names_its_line(tmp_path: Path) -> None:
    lines = [f"2026-08-13,Milk {number},1.49" for number in range(20_000)]
    lines[3] = '2026-08-13,"Best Milk,1.49'
    (tmp_path / "large.csv").write_text("\n".join(["date,item,price", *lines]))
    with pytest.raises(InvalidInput) as caught:
        read_file(tmp_path / "large.csv", ReadOptions(today=TODAY))
    assert caught.value.violations[0].field == "line 5"


def test_every_case_is_tested() -> None:
    assert {file.name for file in CASES.iterdir()} == {*ANSWERED, *REFUSED, "long_name.csv"}
