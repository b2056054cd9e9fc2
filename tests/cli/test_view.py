"""What people and programs get to see of an answer."""

import csv
import io

import pytest

from pantree_cli.view import CSV_COLUMNS, sparkline, spend_line, write_csv
from pantree_client import FirstPurchase, Item, MonthlyUpdate, Recommendation, Result
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
def test_bars_stand_for_values_from_nothing_to_the_largest(values: list[float], bars: str) -> None:
    assert sparkline(values) == bars


def events() -> tuple[list[MonthlyUpdate], list[Recommendation]]:
    fake = FakePantree([("Bananas", "weekly"), ('Milk, "whole"', "biweekly")])
    with fake.sync_client() as client:
        answers = list(client.stream(BASKET))
    assert isinstance(answers[-1], Result)
    return [event for event in answers if isinstance(event, MonthlyUpdate)], list(answers[-1].recommendations)


def test_spend_is_told_for_the_months_that_were_simulated() -> None:
    months, _ = events()
    line = spend_line(months)
    assert f"{months[0].month_display} to {months[-1].month_display}" in line
    assert sparkline([month.total_spend for month in months]) in line
    assert line.endswith(f"to {max(month.total_spend for month in months):.2f}")


def test_csv_has_a_row_for_each_recommendation_and_quotes_what_needs_it() -> None:
    _, recommendations = events()
    file = io.StringIO()
    write_csv(file, recommendations)
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert [row["name"] for row in rows] == ["Bananas", 'Milk, "whole"']
    assert [row["frequency"] for row in rows] == ["weekly", "biweekly"]
    assert tuple(rows[0]) == CSV_COLUMNS
    for row, recommendation in zip(rows, recommendations, strict=True):
        assert row["next_due_date"] == recommendation.next_due_date.isoformat()
        assert float(row["annual_cost"]) == recommendation.annual_cost
        savings = recommendation.honest_savings
        assert row["honest_annual_savings"] == ("" if savings is None else str(savings.expected))


def test_csv_without_recommendations_has_its_header() -> None:
    file = io.StringIO()
    write_csv(file, [])
    assert file.getvalue() == ",".join(CSV_COLUMNS) + "\n"
