"""Reading of requests and histories, valid and invalid."""

import io
import json
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pantree_cli.inputs import HouseholdHistory, columns_of, households_of, read_request, read_text
from pantree_client import FieldViolation, History, InvalidInput, Purchase
from pantree_reader import read_file


def fields_of(error: pytest.ExceptionInfo[InvalidInput]) -> list[str]:
    return [violation.field for violation in error.value.violations]


def csv_file(folder: Path, text: str) -> Path:
    file = folder / "purchases.csv"
    file.write_text(text, encoding="utf-8")
    return file


def household_of(folder: Path, text: str) -> HouseholdHistory:
    (history,) = households_of(read_file(csv_file(folder, text)), "")
    return history


def test_history_with_all_columns(tmp_path: Path) -> None:
    text = (
        "date,item,price,quantity,category,saving\n2026-05-22,Bananas,1.99,2,produce,0.30\n\n2026-05-29,Milk,5.49,1,,\n"
    )
    purchases = [
        Purchase("Bananas", date(2026, 5, 22), 1.99, 2, "produce", 0.3),
        Purchase("Milk", date(2026, 5, 29), 5.49),
    ]
    assert household_of(tmp_path, text) == HouseholdHistory("", purchases, [2, 4])


def test_one_household_of_several(tmp_path: Path) -> None:
    file = read_file(csv_file(tmp_path, "customer_id,date,item,price\na,2026-05-22,Milk,1\nb,2026-05-23,Eggs,2\n"))
    assert [one.household for one in households_of(file, "")] == ["a", "b"]
    (only,) = households_of(file, "b")
    assert [purchase.name for purchase in only.purchases] == ["Eggs"]
    with pytest.raises(InvalidInput, match="must be one of 'a', 'b'; is 'c'"):
        households_of(file, "c")


def test_columns_of_roles() -> None:
    assert columns_of(["date=Order Date", "saving="]) == {"date": "Order Date", "saving": ""}
    for text in ("date", "flavor=Red"):
        with pytest.raises(InvalidInput, match="must be ROLE=COLUMN"):
            columns_of([text])


@pytest.mark.parametrize("line_count", [30, 25_000], ids=["rows", "columns"])
def test_value_out_of_range_is_reported_at_its_line(tmp_path: Path, line_count: int) -> None:
    lines = ["2026-05-22,Milk,1.49,1"] * line_count
    file = household_of(tmp_path, "date,item,price,quantity\n\n" + "\n".join(lines))
    file.purchases[20] = Purchase("Milk", date(2026, 5, 22), 1.49, 5_000_112_548_167)
    with pytest.raises(InvalidInput) as raised:
        History("cust_001", file.purchases).message()
    error = file.name_lines(raised.value)
    assert error.violations == (FieldViolation("line 23, quantity", "is out of range: 5000112548167"),)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("history[1].price", "line 5, price"),
        ("history[1].name", "line 5, item"),
        ("history_columns.quantities[2]", "line 6, quantity"),
        ("history_columns.days[0]", "line 2, date"),
        ("history_columns.item_names[1]", "line 6, item"),
        ("history[1]", "line 5"),
        ("as_of", "as_of"),
    ],
)
def test_field_of_the_request_is_named_by_its_line(field: str, expected: str) -> None:
    milk, eggs = (Purchase(name, date(2026, 5, 29), 1) for name in ("Milk", "Eggs"))
    file = HouseholdHistory("", [milk, milk, eggs], [2, 5, 6])
    error = file.name_lines(InvalidInput([FieldViolation(field, "is wrong")], 3))
    assert error.violations[0].field == expected
    assert error.omitted_count == 3


@pytest.mark.parametrize(("data", "valid"), [(b"\xef\xbb\xbf{}", True), (b"\xe9", False)])
def test_standard_input_is_decoded_like_a_file(data: bytes, valid: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    if valid:
        assert read_text(None) == "{}"
    else:
        with pytest.raises(InvalidInput, match="standard input: must be UTF-8"):
            read_text(None)


def test_request_is_the_json_of_the_gateway() -> None:
    message = read_request('{"customer_id": "cust_001", "items": [{"name": "Bananas", "price": 1.99}]}')
    assert message.items[0].price == 1.99
    assert not message.items[0].HasField("quantity")


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000, "1" * 5_000])
def test_request_that_is_not_a_json_object_is_invalid(text: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        read_request(text)
    assert fields_of(raised) == ["request"]


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        ({"size": "red", "seed": -1}, ["size", "seed"]),
        ({"items": [{"price": "cheap", "quantity": 5e12}, 5, {"name": 5}]},
         ["items[0].price", "items[0].quantity", "items[1]", "items[2].name"]),
        ({"items": {"name": "Milk"}}, ["items"]),
        ({"history_columns": {"days": [1, "two"]}}, ["history_columns.days[1]"]),
        ({"include_omitted": "yes", "as_of": 20260529}, ["include_omitted", "as_of"]),
    ],
)  # fmt: skip
def test_every_field_that_does_not_fit_is_named(document: dict[str, Any], fields: list[str]) -> None:
    with pytest.raises(InvalidInput) as raised:
        read_request(json.dumps(document))
    assert fields_of(raised) == fields
