"""Answers depend on what was bought, not on the order in which lines, items and spellings are given."""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantree.frequency.v1 import frequency_service_pb2 as messages
from pantree.purchase.v1.purchase_pb2 import PurchaseColumns
from pantree_domain.days import calendar_day
from pantree_frequency import convert
from pantree_frequency.core import Options, analyze_histories, cadence_changes
from pantree_frequency.core.bulk_statistics import bulk_statistics
from pantree_frequency.rules import check_history
from pantree_runtime.validation import validate
from tests.frequency.histories import AS_OF_DAY, bundled_models

_FULL = messages.ITEM_FREQUENCY_VIEW_FULL
FEW = settings(deadline=None, max_examples=20)


class Line(NamedTuple):
    """A receipt line with what the dictionary holds of its item."""

    name: str
    category: str
    type_: str
    day: int
    quantity: int
    price: float
    saving: float


# Spellings of one item, each with a category and type of its own; days on which items are equals.
_SPELLINGS = [
    ("Milk", "dairy", "milk"),
    ("MILK", "", "fluid milk"),
    ("milk ", "fridge", ""),
    ("Tea", "", ""),
    ("tea", "drinks", "tea"),
    ("Rice", "pantry", "grain"),
    ("Soap", "care", "soap"),
    ("Oats", "pantry", "grain"),
    ("Pears", "produce", "fruit"),
]
lines = st.lists(
    st.builds(
        lambda spelling, weeks, quantity, cents, share: Line(
            spelling[0],
            spelling[1],
            spelling[2],
            AS_OF_DAY - 7 * weeks,
            quantity,
            cents / 100,
            round(cents * quantity * share) / 100,
        ),
        st.sampled_from(_SPELLINGS),
        st.integers(0, 40),
        st.integers(1, 4),
        st.sampled_from([99, 149, 333, 1_007]),
        st.sampled_from([0.0, 0.07, 0.21]),
    ),
    min_size=1,
    max_size=60,
)


def household(rows: Sequence[Line]) -> messages.HouseholdHistory:
    """The lines in this order; items in the order in which they first occur."""
    entries = list(dict.fromkeys((row.name, row.category, row.type_) for row in rows))
    purchases = PurchaseColumns(
        item_names=[name for name, _, _ in entries],
        item_categories=[category for _, category, _ in entries],
        item_indices=[entries.index((row.name, row.category, row.type_)) for row in rows],
        days=[row.day for row in rows],
        quantities=[row.quantity for row in rows],
        prices=[row.price for row in rows],
        savings=[row.saving for row in rows],
    )
    return messages.HouseholdHistory(
        purchases=purchases, item_types=[type_ for *_, type_ in entries], as_of=calendar_day(AS_OF_DAY).isoformat()
    )


def answers(*households: Sequence[Line]) -> list[bytes]:
    """The response to each household; all are analyzed together, as in a bulk request."""
    given_households = [household(rows) for rows in households]
    for message in given_households:
        validate(message, check_history)
    requests = [convert.analysis_request(message) for message in given_households]
    analyses = analyze_histories(requests, bundled_models(), Options())
    responses = [convert.analysis_response(analysis, AS_OF_DAY, _FULL) for analysis in analyses]
    return [response.SerializeToString(deterministic=True) for response in responses]


def shuffled(rows: Sequence[Line], random: Random) -> list[Line]:
    return random.sample(rows, len(rows))


@FEW
@given(lines, lines, st.randoms(use_true_random=False))
def test_order_of_items_and_lines_does_not_change_a_byte(rows: list[Line], others: list[Line], random: Random) -> None:
    first, second = answers(rows, others)
    assert answers(shuffled(rows, random), shuffled(others, random)) == [first, second]
    assert answers(shuffled(rows, random)) == answers(rows)


@FEW
@given(lines, st.data())
def test_line_that_is_split_is_the_same_purchase(rows: list[Line], data: st.DataObject) -> None:
    split: list[Line] = []
    for row in rows:
        own = data.draw(st.integers(0, row.quantity - 1))
        split += [row._replace(quantity=row.quantity - own)]
        split += [row._replace(quantity=own, saving=0.0)] if own else []
    assert answers(split) == answers(rows)


@FEW
@given(lines)
def test_items_bought_alike_are_forecast_alike(rows: list[Line]) -> None:
    twins = [Line(name, "", "", *row[3:]) for row in rows for name in ("Widget", "Gadget")]
    response = messages.AnalyzeHistoryResponse.FromString(answers(rows + twins)[0])
    first, second = (item for item in response.items if item.name in ("Gadget", "Widget"))
    assert (first.name, second.name) == ("Gadget", "Widget")
    second.name = first.name
    assert second == first


@settings(deadline=None, max_examples=5)
@given(lines, st.randoms(use_true_random=False))
def test_order_does_not_change_when_a_cadence_changes(rows: list[Line], random: Random) -> None:
    def changes(of: list[Line]) -> list[object]:
        request = convert.analysis_request(household(of))
        names = sorted(request.history.item_names)
        return list(cadence_changes(request, names, bundled_models(), Options()))

    assert changes(shuffled(rows, random)) == changes(rows)


@FEW
@given(st.lists(st.tuples(st.sampled_from("abc"), lines), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_order_of_rows_does_not_change_a_file(baskets: list[tuple[str, list[Line]]], random: Random) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    from pantree_frequency.backends import arrow

    def written(rows: list[dict[str, object]]) -> bytes:
        purchases = arrow.purchases_of(pa.Table.from_pylist(rows))
        assert purchases.histories.item_categories == categories_of(rows)
        target = pa.BufferOutputStream()
        parquet.write_table(arrow.table_of(purchases, bulk_statistics(purchases.histories, AS_OF_DAY)), target)
        return bytes(target.getvalue())

    rows = [
        {
            "household": name, "item": line.name, "category": line.category, "date": calendar_day(line.day),
            "quantity": line.quantity, "price": line.price, "saving": line.saving,
        }
        for name, own in baskets
        for line in own
    ]  # fmt: skip
    assert written(random.sample(rows, len(rows))) == written(rows)


def categories_of(rows: list[dict[str, object]]) -> tuple[str, ...]:
    """Of each item by name, the first category of those that it has."""
    known: dict[object, list[str]] = {}
    for row in rows:
        known.setdefault(row["item"], []).append(str(row["category"]))
    return tuple(min(filter(None, known[name]), default="") for name in sorted(known, key=str))
