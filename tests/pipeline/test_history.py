import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pantree_domain.days import day_number
from pantree_domain.purchases import PurchaseHistory, PurchaseLines
from pantree_pipeline.core.history import join, month_count, months_of

Line = tuple[str, int, int, float]

lines = st.lists(
    st.tuples(
        st.sampled_from(["Bananas", "Milk", "Rice", "Soap"]),
        st.integers(min_value=18_000, max_value=18_800),
        st.integers(min_value=1, max_value=5),
        st.integers(min_value=0, max_value=2_000).map(lambda cents: cents / 100),
    ),
    min_size=1,
    max_size=60,
)


def history_of(rows: list[Line]) -> PurchaseHistory:
    names = tuple(dict.fromkeys(name for name, *_ in rows))
    return PurchaseHistory(
        item_names=names,
        item_categories=tuple(name[:1] for name in names),
        item_indices=np.array([names.index(name) for name, *_ in rows], dtype=np.int32),
        days=np.array([day for _, day, _, _ in rows], dtype=np.int32),
        quantities=np.array([quantity for _, _, quantity, _ in rows], dtype=np.int32),
        prices=np.array([price for *_, price in rows]),
        savings=np.zeros(len(rows)),
    )


def rows_of(purchases: PurchaseHistory | PurchaseLines) -> list[Line]:
    return [
        (purchases.item_names[item], int(day), int(quantity), float(price))
        for item, day, quantity, price in zip(
            purchases.item_indices, purchases.days, purchases.quantities, purchases.prices, strict=True
        )
    ]


@given(lines)
def test_months_hold_every_line_once_and_in_its_month(rows: list[Line]) -> None:
    history = history_of(rows)
    months = list(months_of(history))
    assert [month.month_number for month in months] == list(range(1, month_count(history) + 1))
    for month in months:
        assert month.period_start.day == 1
        period = range(day_number(month.period_start), day_number(month.period_end) + 1)
        assert all(day in period for day in month.purchases.days)
    assert months[0].purchases.days
    assert months[-1].purchases.days
    assert sorted(row for month in months for row in rows_of(month.purchases)) == sorted(rows)
    assert months[-1].progress == 100


@given(lines)
def test_joined_months_are_the_history_by_day(rows: list[Line]) -> None:
    joined = join([month.purchases for month in months_of(history_of(rows))])
    assert sorted(rows_of(joined)) == sorted(rows)
    assert (np.diff(joined.days) >= 0).all()
    assert all(category == name[:1] for name, category in zip(joined.item_names, joined.item_categories, strict=True))
