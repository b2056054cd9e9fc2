import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree.purchase.v1.purchase_pb2 import PurchaseColumns
from pantree_domain.purchases import PurchaseLines
from pantree_runtime.errors import FieldViolation, InvalidInput
from pantree_runtime.purchase_columns import check_columns, columns_of_lines, lines_of
from pantree_runtime.validation import Violations

_some_lines = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 84_005), st.integers(1, 9), st.floats(0, 100), st.floats(0, 1))
)


@given(_some_lines)
def test_lines_are_the_same_after_a_message(rows: list[tuple[int, int, int, float, float]]) -> None:
    items, days, quantities, prices, savings = (
        (list(column) for column in zip(*rows, strict=True)) if rows else [[]] * 5
    )
    lines = PurchaseLines(
        ["Milk", "Rice", "Soap"], ["dairy", "", "household"], items, days, quantities, prices, savings
    )
    message = PurchaseColumns.FromString(columns_of_lines(lines).SerializeToString())
    assert lines_of(message) == lines


def test_items_without_categories_have_unknown_ones() -> None:
    lines = lines_of(PurchaseColumns(item_names=["Milk", "Rice"], item_indices=[1], days=[20_000]))
    assert lines.item_categories == ["", ""]


def test_line_without_an_item_is_invalid() -> None:
    columns = PurchaseColumns(item_indices=[0], days=[20_000], quantities=[1], prices=[1.0], savings=[0.0])
    violations = Violations()
    check_columns(columns, "", violations)
    with pytest.raises(InvalidInput) as raised:
        violations.raise_if_any()
    description = "must be a position in item_names, which has 0 elements; is 0"
    assert raised.value.violations == (FieldViolation("item_indices[0]", description),)
