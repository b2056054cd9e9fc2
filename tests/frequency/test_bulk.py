from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantree_domain.days import day_number
from pantree_frequency.core.bulk_statistics import BulkStatistics, bulk_statistics, joined
from pantree_frequency.core.histories import Histories
from pantree_frequency.core.purchases import purchases_by_pair
from pantree_frequency.core.records import BULK_STATISTICS
from pantree_frequency.core.statistics import pair_statistics
from pantree_runtime.errors import InvalidInput
from tests.frequency.histories import AS_OF_DAY, Line, lines
from tests.frequency.test_features import bulk_histories

pa = pytest.importorskip("pyarrow")

NO_DEADLINE = settings(deadline=None, max_examples=25)


def assert_equal(bulk: BulkStatistics, histories: Histories, as_of_day: int) -> None:
    bought = purchases_by_pair(histories, np.full(histories.household_count, as_of_day, np.int32))
    single = pair_statistics(bought)
    np.testing.assert_array_equal(bulk.pair_counts, np.diff(bought.pair_starts))
    np.testing.assert_array_equal(bulk["item"], bought.pairs["item"])
    for name in set(BULK_STATISTICS.names or ()) - {"item"}:
        np.testing.assert_array_equal(bulk[name], single[name], name)


@NO_DEADLINE
@given(
    st.lists(lines, min_size=1, max_size=5),
    st.integers(min_value=1, max_value=4),
    st.integers(min_value=AS_OF_DAY - 300, max_value=AS_OF_DAY),
)
def test_bulk_statistics_equal_those_of_a_request(
    households: list[list[Line]], shard_count: int, as_of_day: int
) -> None:
    histories = bulk_histories(households)
    shards = [bulk_statistics(shard, as_of_day) for shard in histories.split(shard_count)]
    assert len(shards) <= shard_count
    assert_equal(joined(shards), histories, as_of_day)


@pytest.mark.parametrize("by_day", [True, False])
def test_long_histories_are_sorted_alike(by_day: bool) -> None:
    # Enough lines for the counting sort, over more items and days than one digit holds.
    generator = np.random.default_rng(11)
    size, items = 4_000, 1_500
    days = generator.integers(15_000, 17_500, size)
    if by_day:
        days.sort()
    columns = {
        "item_indices": generator.integers(0, items, size),
        "days": days,
        "quantities": generator.integers(1, 5, size),
        "prices": generator.integers(1, 900, size) / 100,
        "savings": np.zeros(size),
    }
    blank = ("",) * items
    histories = Histories.of_lines(
        households=np.zeros(size, np.int64), item_names=blank, item_types=blank, item_categories=blank, **columns
    )
    distinct = np.unique(columns["item_indices"])
    counts = [len(np.unique(days[columns["item_indices"] == item])) for item in distinct]
    found = bulk_statistics(histories, 20_000)
    np.testing.assert_array_equal(found["item"], distinct)
    np.testing.assert_array_equal(found["purchase_count"], counts)
    assert_equal(found, histories, 20_000)


@NO_DEADLINE
@given(st.lists(st.integers(min_value=1, max_value=9), min_size=1, max_size=30), st.integers(min_value=1, max_value=8))
def test_shards_hold_each_household_once(sizes: list[int], count: int) -> None:
    size, blank = sum(sizes), ("",)
    histories = Histories.of_lines(
        households=np.repeat(np.arange(len(sizes)), sizes), item_names=blank, item_types=blank, item_categories=blank,
        item_indices=np.zeros(size), days=np.arange(size), quantities=np.ones(size), prices=np.ones(size),
        savings=np.zeros(size),
    )  # fmt: skip
    shards = histories.split(count)
    assert len(shards) <= count
    assert [id_ for shard in shards for id_ in shard.household_ids.tolist()] == list(range(len(sizes)))
    assert [day for shard in shards for day in shard.lines["day"].tolist()] == list(range(size))
    assert all(len(shard.lines) == shard.household_starts[-1] for shard in shards)


def table(**changed: object) -> object:
    columns: dict[str, object] = {
        "household": ["b", "a", "b", "b"],
        "date": [date(2026, 1, 1) + timedelta(days=days) for days in (0, 3, 14, 7)],
        "item": ["Milk", "Milk", "Milk", "Soap"],
        "category": ["dairy", "dairy", "dairy", "care"],
        "quantity": [1, 2, 3, 1],
        "price": [1.5, 1.5, 2.0, 4.0],
        "saving": [0.0, 0.5, 0.0, 0.0],
    }
    return pa.table({**columns, **changed})


def test_parquet_goes_in_and_comes_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyarrow import parquet

    from pantree_frequency import bulk

    parquet.write_table(table(), tmp_path / "in.parquet")
    arguments = ["bulk", str(tmp_path / "in.parquet"), str(tmp_path / "out.parquet"), "--as-of", "2026-02-01"]
    monkeypatch.setattr("sys.argv", arguments)
    bulk.main()
    rows = {(row["household"], row["item"]): row for row in parquet.read_table(tmp_path / "out.parquet").to_pylist()}
    assert set(rows) == {("a", "Milk"), ("b", "Milk"), ("b", "Soap")}
    milk = rows["b", "Milk"]
    assert (milk["purchase_count"], milk["mean_interval_days"], milk["total_quantity"]) == (2, 14.0, 4)
    assert (milk["first_date"], milk["last_date"]) == (date(2026, 1, 1), date(2026, 1, 15))
    assert milk["total_spend"] == pytest.approx(7.5)
    assert rows["a", "Milk"]["mean_interval_days"] is None
    assert list(tmp_path.glob(".*")) == []


def test_arrow_columns_become_histories() -> None:
    from pantree_frequency.backends.arrow import purchases_of

    purchases = purchases_of(table(household=[7, 3, 7, 7]))
    assert purchases.household_names is None
    assert purchases.histories.household_ids.tolist() == [3, 7]
    assert dict(zip(purchases.histories.item_names, purchases.histories.item_categories, strict=True)) == {
        "Milk": "dairy",
        "Soap": "care",
    }
    assert purchases.histories.lines["day"].min() == day_number(date(2026, 1, 1))


@pytest.mark.parametrize(
    ("changed", "field", "what"),
    [
        ({"quantity": [1, 0, 1, 1]}, "quantity", "row 1"),
        ({"price": [1.0, 1.0, -1.0, 1.0]}, "price", "row 2"),
        ({"saving": [0.0, None, 0.0, 0.0]}, "saving", "1 nulls"),
        ({"date": ["soon"] * 4}, "date", "date32"),
        ({"date": [date(1960, 1, 1)] * 4}, "date", "1970"),
    ],
)
def test_wrong_columns_are_named(changed: dict[str, object], field: str, what: str) -> None:
    from pantree_frequency.backends.arrow import purchases_of

    with pytest.raises(InvalidInput) as refused:
        purchases_of(table(**changed))
    assert field in str(refused.value)
    assert what in str(refused.value)


def test_missing_columns_are_all_named() -> None:
    from pantree_frequency.backends.arrow import purchases_of

    with pytest.raises(InvalidInput, match=r"(?s)item.*price"):
        purchases_of(pa.table({"household": [1], "date": [date(2026, 1, 1)], "quantity": [1], "saving": [0.0]}))
