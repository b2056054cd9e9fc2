"""Two spellings of one item are one item, whether a history comes as rows or as columns."""

from datetime import date

from pantree.pipeline.v1.pipeline_service_pb2 import ProcessInput
from pantree.purchase.v1.purchase_pb2 import Purchase, PurchaseColumns
from pantree_domain.days import calendar_day
from pantree_domain.purchases import PurchaseHistory
from pantree_pipeline import convert

SPELLINGS = ["Milk 2L", "MILK 2L", "Milk  2L", "Milk\u00a02L", "Milk 2L "]
DAYS = [20_600 + 7 * week for week in range(16)]


def source_of(message: ProcessInput) -> PurchaseHistory:
    message.customer_id = "c1"
    source = convert.job_of(message, None, date(2026, 11, 29), 0).source
    assert isinstance(source, PurchaseHistory)
    return source


def test_category_of_an_item_is_that_of_its_latest_row_that_has_one() -> None:
    rows = [
        Purchase(name="Thing", category=category, date=calendar_day(day).isoformat(), price=1.0)
        for category, day in (("pantry", 20_600), ("care", 20_607), ("", 20_614))
    ]
    for history in (rows, rows[::-1]):
        source = source_of(ProcessInput(history=history))
        assert (source.item_names, source.item_categories) == (("Thing",), ("care",))


def test_rows_and_columns_are_folded_alike() -> None:
    names = [SPELLINGS[week % len(SPELLINGS)] for week in range(len(DAYS))]
    rows = source_of(
        ProcessInput(
            history=[
                Purchase(name=name, date=calendar_day(day).isoformat(), price=1.49)
                for name, day in zip(names, DAYS, strict=True)
            ]
        )
    )
    columns = source_of(
        ProcessInput(
            history_columns=PurchaseColumns(
                item_names=SPELLINGS,
                item_indices=[week % len(SPELLINGS) for week in range(len(DAYS))],
                days=DAYS,
                quantities=[1] * len(DAYS),
                prices=[1.49] * len(DAYS),
                savings=[0.0] * len(DAYS),
            )
        )
    )
    assert rows.item_names == columns.item_names == (names[-1],)
    assert rows.item_categories == columns.item_categories == ("dairy",)
    for column in ("item_indices", "days", "quantities", "prices", "savings"):
        assert getattr(rows, column).tolist() == getattr(columns, column).tolist()
