"""Reading of requests and histories, valid and invalid."""

import io
import json
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pantree_cli.inputs import HistoryFile, read_history, read_request, read_text
from pantree_client import FieldViolation, History, InvalidInput, Purchase


def fields_of(error: pytest.ExceptionInfo[InvalidInput]) -> list[str]:
    return [violation.field for violation in error.value.violations]


def csv_file(folder: Path, text: str) -> Path:
    file = folder / "purchases.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_history_with_all_columns(tmp_path: Path) -> None:
    file = csv_file(
        tmp_path,
        "date,item,price,quantity,category,saving\n2026-05-22,Bananas,1.99,2,produce,0.30\n\n2026-05-29,Milk,5.49,1,,\n",
    )
    purchases = [
        Purchase("Bananas", date(2026, 5, 22), 1.99, 2, "produce", 0.3),
        Purchase("Milk", date(2026, 5, 29), 5.49),
    ]
    assert read_history(file) == HistoryFile(purchases, [2, 4])


def test_history_with_other_column_names_order_and_byte_order_mark(tmp_path: Path) -> None:
    file = csv_file(tmp_path, "\ufeffQty,Name,Date,Unit_Price\n3,Milk,2026-05-29,5.49\n")
    assert read_history(file).purchases == [Purchase("Milk", date(2026, 5, 29), 5.49, 3)]


def test_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as raised:
        read_history(csv_file(tmp_path, "date,item\n2026-05-29,Milk\n"))
    assert "lacks price" in raised.value.message


def test_every_invalid_cell_is_named(tmp_path: Path) -> None:
    file = csv_file(
        tmp_path,
        "date,item,price,quantity\nyesterday,Milk,5.49,1\n2026-05-29,,cheap,1\n2026-05-29,Milk,1,1.5\n2026-05-29\n",
    )
    with pytest.raises(InvalidInput) as raised:
        read_history(file)
    assert fields_of(raised) == [
        "line 2, date",
        "line 3, item",
        "line 3, price",
        "line 4, quantity",
        "line 5, item",
        "line 5, price",
    ]


def test_many_invalid_cells_are_counted(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as raised:
        read_history(csv_file(tmp_path, "date,item,price\n" + "2026-05-29,Milk,cheap\n" * 300))
    assert raised.value.omitted_count == 280
    assert raised.value.violations[-1].description == "and 280 more"


@pytest.mark.parametrize("line_count", [5, 20_000], ids=["small file", "file over 128 KiB"])
def test_open_quote_is_reported_at_its_line(tmp_path: Path, line_count: int) -> None:
    lines = ["2026-05-22,Milk,1.49,1", '2026-05-29,"Best Milk,1.49,1', *["2026-06-05,Milk,1.49,1"] * line_count]
    with pytest.raises(InvalidInput, match=r"line 3: has a quote \(\"\) that is not closed") as raised:
        read_history(csv_file(tmp_path, "date,item,price,quantity\n" + "\n".join(lines)))
    assert fields_of(raised) == ["line 3"]


@pytest.mark.parametrize("line_count", [30, 25_000], ids=["rows", "columns"])
def test_value_out_of_range_is_reported_at_its_line(tmp_path: Path, line_count: int) -> None:
    lines = ["2026-05-22,Milk,1.49,1"] * line_count
    lines[20] = "2026-05-22,Milk,1.49,5000112548167"
    file = read_history(csv_file(tmp_path, "date,item,price,quantity\n\n" + "\n".join(lines)))
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
    file = HistoryFile([milk, milk, eggs], [2, 5, 6])
    error = file.name_lines(InvalidInput([FieldViolation(field, "is wrong")], 3))
    assert error.violations[0].field == expected
    assert error.omitted_count == 3


def test_empty_history_is_invalid(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no purchases"):
        read_history(csv_file(tmp_path, "date,item,price\n"))


def test_history_must_be_utf8(tmp_path: Path) -> None:
    file = tmp_path / "purchases.csv"
    file.write_bytes(b"date,item,price\n2026-05-29,Caf\xe9,1\n")
    with pytest.raises(InvalidInput, match="UTF-8"):
        read_history(file)


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
