from hypothesis import given
from hypothesis import strategies as st

from pantree.purchase.v1.purchase_pb2 import PurchaseColumns
from pantree_domain.purchases import PurchaseLines
from pantree_runtime.purchase_columns import columns_of_lines, lines_of

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
