from datetime import date
from pathlib import Path

import pytest

from pantree_cli.inputs import in_lines_of_file, read_history, read_request, without_envelope
from pantree_client import FieldViolation, InvalidInput, Purchase


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
    assert read_history(file) == [
        Purchase("Bananas", date(2026, 5, 22), 1.99, 2, "produce", 0.3),
        Purchase("Milk", date(2026, 5, 29), 5.49),
    ]


def test_history_with_other_column_names_order_and_byte_order_mark(tmp_path: Path) -> None:
    file = csv_file(tmp_path, "\ufeffQty,Name,Date,Unit_Price\n3,Milk,2026-05-29,5.49\n")
    assert read_history(file) == [Purchase("Milk", date(2026, 5, 29), 5.49, 3)]


def test_history_without_a_needed_column_says_which(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as raised:
        read_history(csv_file(tmp_path, "date,item\n2026-05-29,Milk\n"))
    assert "price" in raised.value.message


def test_every_wrong_line_is_named(tmp_path: Path) -> None:
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


def test_empty_history_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no purchases"):
        read_history(csv_file(tmp_path, "date,item,price\n"))


def test_history_that_is_no_text_says_so(tmp_path: Path) -> None:
    file = tmp_path / "purchases.csv"
    file.write_bytes(b"date,item,price\n2026-05-29,Caf\xe9,1\n")
    with pytest.raises(InvalidInput, match="UTF-8"):
        read_history(file)


def test_request_is_the_json_of_the_gateway() -> None:
    message = read_request('{"customer_id": "cust_001", "items": [{"name": "Bananas", "price": 1.99}]}')
    assert message.items[0].price == 1.99
    assert not message.items[0].HasField("quantity")


@pytest.mark.parametrize("text", ["{", '{"colour": "red"}', '{"items": [{"price": "cheap"}]}', "[]"])
def test_request_that_is_none_is_invalid(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_request(text)


def test_violations_are_told_in_the_words_of_the_input() -> None:
    error = InvalidInput(
        [FieldViolation("input.history[4].price", "is -1"), FieldViolation("input.as_of", "is no day")]
    )
    assert [violation.field for violation in in_lines_of_file(error).violations] == ["purchase 5, price", "input.as_of"]
    assert without_envelope(error).violations[0].field == "history[4].price"
