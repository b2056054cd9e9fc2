"""Output for people and programs."""

import csv
import io

import pytest
from rich.console import Console

from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree.recommendation.v1 import recommendation_service_pb2 as recommendations_v1
from pantree_cli.view import CSV_COLUMNS, print_result, shown_name, sparkline, spend_line, write_csv
from pantree_client import FirstPurchase, Item, MonthlyUpdate, Result
from pantree_client.results import to_result
from pantree_client.testing import FakePantree

BASKET = FirstPurchase("cust_001", [Item("Bananas", 1.99)])


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ([], ""),
        ([0, 0], "▁▁"),
        ([5.0], "█"),
        ([0, 7, 14], "▁▅█"),
        ([100, 200], "▅█"),
        ([-3, 10], "▁█"),
    ],
)
def test_sparkline_is_proportional_to_the_values(values: list[float], bars: str) -> None:
    assert sparkline(values) == bars


def events(name: str = 'Milk, "whole"') -> tuple[list[MonthlyUpdate], Result]:
    fake = FakePantree([("Bananas", "weekly"), (name, "biweekly")])
    with fake.sync_client() as client:
        answers = list(client.stream(BASKET))
    assert isinstance(answers[-1], Result)
    return [event for event in answers if isinstance(event, MonthlyUpdate)], answers[-1]


def test_spend_line_covers_all_months() -> None:
    months, _ = events()
    line = spend_line(months)
    assert f"{months[0].month_display} to {months[-1].month_display}" in line
    assert sparkline([month.total_spend for month in months]) in line
    assert line.endswith(f"to {max(month.total_spend for month in months):.2f}")


def test_csv_has_a_quoted_row_for_each_recommendation() -> None:
    _, result = events()
    file = io.StringIO()
    write_csv(file, [result])
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert [row["name"] for row in rows] == ["Bananas", 'Milk, "whole"']
    assert [row["frequency"] for row in rows] == ["weekly", "biweekly"]
    assert tuple(rows[0]) == CSV_COLUMNS
    for row, recommendation in zip(rows, result.recommendations, strict=True):
        assert row["next_due_date"] == recommendation.next_due_date.isoformat()
        assert row["first_delivery_date"] == recommendation.first_delivery_date.isoformat()
        assert float(row["annual_cost"]) == recommendation.annual_cost
        savings = recommendation.savings_vs_paid
        assert row["annual_savings_vs_paid"] == ("" if savings is None else str(savings.expected))


def test_csv_without_recommendations_has_its_header() -> None:
    file = io.StringIO()
    write_csv(file, [])
    assert file.getvalue() == ",".join(CSV_COLUMNS) + "\n"


ODD_NAMES = [
    "[bold]Milk[/bold]",
    "[/] Bread",
    "Coffee :coffee: [link=http://x.example]beans[/link]",
    "Käse 🧀 100 %",
    "牛乳 1L",
    "שוקולד",
    "e\u0301clair",
    'Tea "green", 20 bags',
    "\\[escaped]",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_name_comes_out_of_the_table_and_the_csv_as_it_is(name: str) -> None:
    _, result = events(name)
    file = io.StringIO()
    print_result(Console(file=file, width=300, markup=True, emoji=True), result)
    assert name in file.getvalue()
    file = io.StringIO()
    write_csv(file, [result])
    assert [row["name"] for row in csv.DictReader(io.StringIO(file.getvalue()))] == ["Bananas", name]


def test_terminal_codes_in_a_name_are_shown_and_not_sent() -> None:
    assert shown_name("Milk\x9b2J").plain == "Milk\\x9b2J"


@pytest.mark.parametrize("name", ['=HYPERLINK("http://x.example","Milk")', "+1", "-1", "@sum"])
def test_csv_has_no_formulas(name: str) -> None:
    _, result = events(name)
    file = io.StringIO()
    write_csv(file, [result])
    assert [row["name"] for row in csv.DictReader(io.StringIO(file.getvalue()))] == ["Bananas", f"'{name}"]


def printed(recommendations: messages.RecommendationSet) -> str:
    file = io.StringIO()
    message = messages.ProcessResult(customer_id="cust_001", as_of="2026-06-20", recommendations=recommendations)
    print_result(Console(file=file, width=200), to_result(message))
    return file.getvalue()


def test_answer_without_recommendations_shows_near_misses() -> None:
    reason = recommendations_v1.Reason(
        code="LOW_PROBABILITY", text="A purchase has a probability of 0.6, below 0.65 [sic]."
    )
    text = printed(
        messages.RecommendationSet(near_misses=[recommendations_v1.OmittedItem(name="Bananas", reason=reason)])
    )
    assert "worth a subscription" in text
    assert "Bananas: A purchase has a probability of 0.6, below 0.65 [sic]." in text


def test_suggestions_are_marked_as_such() -> None:
    reasons = [recommendations_v1.Reason(text="Bought regularly by 25 of the 50 customers most like you.")]
    suggestion = recommendations_v1.Suggestion(name="Eggs", category="dairy", reasons=reasons)
    text = printed(messages.RecommendationSet(suggestions=[suggestion]))
    assert "not habits of this household" in text
    assert "Eggs: Bought regularly by 25 of the 50 customers most like you." in text


def test_names_of_receipts_are_followed_by_what_they_mean() -> None:
    answer = messages.RecommendationSet()
    for name, plain_name in (("WHL MLK", "Whole Milk"), ("BANANAS", "Bananas"), ("ZRBLX", "")):
        item = answer.recommendations.add(name=name, last_date="2026-06-18", next_due_date="2026-06-25")
        item.subscription.frequency, item.subscription.first_delivery_date = "weekly", "2026-06-27"
        if plain_name:
            answer.plain_names.add(name=name, plain_name=plain_name, source="rules")
    text = printed(answer)
    first_column = [line.strip().split("  ")[0] for line in text.splitlines()]
    at = first_column.index("WHL MLK")
    assert first_column[at : at + 4] == ["WHL MLK", "Whole Milk", "BANANAS", "ZRBLX"]
    file = io.StringIO()
    write_csv(file, [to_result(messages.ProcessResult(as_of="2026-06-20", recommendations=answer))])
    plain_names = [row["plain_name"] for row in csv.DictReader(io.StringIO(file.getvalue()))]
    assert plain_names == ["Whole Milk", "Bananas", ""]


def test_calendar_fits_into_80_columns_and_the_year_adds_up() -> None:
    message = messages.ProcessResult(as_of="2026-06-20", history_summary=messages.HistorySummary(has_prices=True))
    plan = message.recommendations.plan
    plan.item_count, plan.annual_cost, plan.annual_paid, plan.annual_savings_vs_paid = 2, 100.01, 110.02, 10.01
    plan.end_date = "2026-09-12"
    for name, cost, saving in (("Whole Milk, organic, half a gallon", 60.0, 7.01), ("Oat Drink", 40.01, 3.0)):
        item = message.recommendations.recommendations.add(
            name=name, last_date="2026-06-18", next_due_date="2026-06-25"
        )
        item.subscription.annual_cost, item.subscription.annual_savings_in_plan = cost, saving
        item.subscription.frequency, item.subscription.first_delivery_date = "weekly", "2026-06-27"
    box = plan.deliveries.add(date="2026-06-27", discount_ratio=0.05, price=10.5, savings_vs_paid=-0.3)
    for item in message.recommendations.recommendations:
        box.items.add(name=item.name, quantity=2, price=5.25, savings_vs_paid=-0.15)
    console = Console(width=80, file=io.StringIO())
    print_result(console, to_result(message))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any(
        line.split()[:3] == ["Sat", "27", "Jun"] and line.split()[-3:] == ["5%", "10.50", "-0.30"] for line in lines
    )
    text = " ".join(" ".join(lines).split())
    assert "A year: 110.02 as paid so far, 100.01 by subscription: saves 10.01." in text
