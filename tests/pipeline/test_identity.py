"""Items by the shop's id and variant; amounts in currencies with other decimal places; histories without prices."""

from datetime import date
from typing import Any

import pytest

from pantree.pipeline.v1.pipeline_service_pb2 import ProcessInput, ProcessRequest, RecommendationSet
from pantree.purchase.v1.purchase_pb2 import BasketItem, Purchase, PurchaseColumns
from pantree.recommendation.v1.recommendation_service_pb2 import OmittedItem, Recommendation
from pantree_domain.days import calendar_day
from pantree_domain.purchases import PurchaseHistory, PurchaseLines
from pantree_pipeline import convert
from pantree_pipeline.core.history import Month
from pantree_pipeline.core.identity import ItemIdentity
from pantree_pipeline.core.job import Job
from pantree_pipeline.rules import check_input
from pantree_runtime.validation import Violations

DAY = 20_600


def job_of(*lines: tuple[str, str, str], prices: bool = True) -> tuple[Job, PurchaseHistory]:
    """Job with lines (name, id, variant), a week apart."""
    rows = [
        Purchase(
            name=name,
            item_id=item_id,
            variant=variant,
            date=calendar_day(DAY + 7 * week).isoformat(),
            price=1.5 if prices else None,
        )
        for week, (name, item_id, variant) in enumerate(lines)
    ]
    job = convert.job_of(ProcessInput(customer_id="c1", history=rows), None, date(2026, 11, 29), 0)
    assert isinstance(job.source, PurchaseHistory)
    return job, job.source


def test_lines_of_one_id_are_one_item_with_its_latest_name() -> None:
    job, history = job_of(("Milk", "M1", ""), ("Fresh Milk", "M1", ""), ("fresh milk", "", ""))
    assert history.item_names == ("fresh milk",)
    assert history.item_indices.tolist() == [0, 0, 0]
    assert job.identities["fresh milk"] == ItemIdentity("fresh milk", "M1")


def test_variants_and_ids_of_one_name_are_items_of_their_own() -> None:
    job, history = job_of(("Coffee", "", "250 g"), ("Coffee", "", "1 kg"), ("Tea", "T1", ""), ("Tea", "T2", ""))
    assert history.item_names == ("Coffee (250 g)", "Coffee (1 kg)", "Tea (T1)", "Tea (T2)")
    assert [job.identities[name].variant for name in history.item_names] == ["250 g", "1 kg", "", ""]
    answer = RecommendationSet(
        recommendations=[Recommendation(name="Coffee (1 kg)")], near_misses=[OmittedItem(name="Tea (T2)")]
    )
    convert._name_items(answer, job.identities)
    assert (answer.recommendations[0].name, answer.recommendations[0].variant) == ("Coffee", "1 kg")
    assert (answer.near_misses[0].name, answer.near_misses[0].item_id) == ("Tea", "T2")


def test_names_stay_within_their_bound_and_distinct() -> None:
    name = "x" * 200
    _, history = job_of((name, "a", ""), (name, "b", ""), (name, "c", "y" * 200))
    assert len(set(history.item_names)) == 3
    assert max(map(len, history.item_names)) <= 200


def test_items_without_ids_have_none() -> None:
    job, _ = job_of(("Milk", "", ""), ("MILK", "", ""))
    assert job.identities == {}


def test_first_purchase_keeps_its_ids() -> None:
    message = ProcessInput(customer_id="c1", items=[BasketItem(name="Milk", price=1, item_id="M1", variant="2 L")])
    assert convert.job_of(message, None, date(2026, 11, 29), 0).identities == {
        "Milk": ItemIdentity("Milk", "M1", "2 L")
    }


def test_columns_and_rows_with_ids_are_the_same_history() -> None:
    columns = PurchaseColumns(
        item_names=["Milk", "Milk 2"],
        item_ids=["M1", "M1"],
        item_indices=[0, 1],
        days=[DAY, DAY + 7],
        quantities=[1, 1],
    )
    message = ProcessInput(customer_id="c1", history_columns=columns)
    violations = Violations()
    check_input(ProcessRequest(input=message), violations)
    violations.raise_if_any()
    job = convert.job_of(message, None, date(2026, 11, 29), 0)
    rows, history = job_of(("Milk", "M1", ""), ("Milk 2", "M1", ""), prices=False)
    assert isinstance(job.source, PurchaseHistory)
    assert job.source.item_names == history.item_names
    assert job.source.prices.tolist() == history.prices.tolist() == [0.0, 0.0]
    assert job.identities == rows.identities


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ({"item_ids": ["a", "b"]}, "item_ids"),
        ({"item_variants": ["a", "b"]}, "item_variants"),
        ({"prices": [1.0], "savings": []}, "savings"),
        ({"prices": [], "savings": [1.0]}, "savings[0]"),
    ],
)
def test_columns_must_fit_one_another(columns: dict[str, Any], field: str) -> None:
    message = PurchaseColumns(item_names=["Milk"], item_indices=[0], days=[DAY], quantities=[1], **columns)
    violations = Violations()
    request = ProcessInput(customer_id="c1", history_columns=message)
    check_input(ProcessRequest(input=request), violations)
    with pytest.raises(Exception, match=field.replace("[", r"\[")):
        violations.raise_if_any()


@pytest.mark.parametrize(("code", "spend"), [("", 1.11), ("JPY", 1.0), ("KWD", 1.112)])
def test_sums_of_a_month_have_the_digits_of_the_currency(code: str, spend: float) -> None:
    job, history = job_of(("Milk", "M1", "2 L"))
    month = Month(1, 1, date(2026, 5, 1), date(2026, 5, 31), _lines(history))
    event = convert.event_message(month, job._replace(currency_code=code))
    assert event.monthly_update.total_spend == spend
    (purchase,) = event.monthly_update.purchases
    assert (purchase.item_id, purchase.variant) == ("M1", "2 L")


def _lines(history: PurchaseHistory) -> PurchaseLines:
    return PurchaseLines(history.item_names, history.item_categories, [0], [DAY], [1], [1.1115], [0.0])
