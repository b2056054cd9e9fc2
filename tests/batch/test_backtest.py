"""Backtests: replays of whole tables, and the report that sums them up."""

import json
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from pantree_batch import run
from pantree_batch.changes import changes
from pantree_batch.engines.local import LocalEngine
from pantree_batch.errors import BatchError, InvalidTable
from pantree_batch.layout import lay_out
from pantree_batch.program import report_of
from pantree_batch.report import PAGE, REPORT, page_of
from pantree_batch.run import RunState, ScoreOptions
from tests.batch.populations import lines_of, write

WEEKS = 8
# A day on which most of the households have bought for some months; the purchases end on the day before `AS_OF`.
BEGIN = date(2026, 3, 30)
OPTIONS = ScoreOptions(BEGIN, wave_buckets=2, week_count=WEEKS)
EVIL = "</script><script>alert(1)</script>"


def moved(lines: list[dict[str, Any]], days: int, currency_code: str = "USD") -> list[dict[str, Any]]:
    return [line | {"date": line["date"] + timedelta(days=days), "currency_code": currency_code} for line in lines]


def population() -> list[dict[str, Any]]:
    """Twelve households that go on, and some that don't: those of a day, a later one, and one with two currencies."""
    lines = [line for number in range(12) for line in moved(lines_of(f"h{number:02}", 5 + number % 5, 24), 0)]
    evil = moved(lines_of("evil", 7, 24), 0)
    lines += [line | {"item": EVIL} if line["item"] == "Milk" else line for line in evil]
    stopped = lines_of("stopped", 7, 14)
    lines += moved(stopped, (BEGIN - max(line["date"] for line in stopped)).days)
    lines += moved(lines_of("late", 3, 4), 0)
    mixed = lines_of("mixed", 9, 20)
    return lines + moved(mixed[:9], 0) + moved(mixed[9:], 0, "EUR")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("table")
    lay_out(write(directory / "in.parquet", population()), directory / "table", 3)
    return directory / "table"


@pytest.fixture(scope="module")
def backtest(table: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunState]:
    out = tmp_path_factory.mktemp("backtest")
    return out, run.score(table, out, OPTIONS, engine=LocalEngine(1), max_rejected_ratio=0.5)


def rows(out: Path, run_id: str, name: str) -> list[dict[str, Any]]:
    return [row for file in run.files_of(out, run_id, name).values() for row in parquet.read_table(file).to_pylist()]


def report(backtest: tuple[Path, RunState]) -> dict[str, Any]:
    out, state = backtest
    read: dict[str, Any] = json.loads((out / f"run_id={state.run_id}" / REPORT).read_bytes())
    return read


def shape(value: Any) -> Any:
    """Names and kinds of what is in a JSON value."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items() if name != "rejected"}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    # Whole numbers are numbers, and figures may be null.
    return "text" if isinstance(value, str) else "number"


def test_report_that_the_console_is_tested_with_is_one(backtest: tuple[Path, RunState]) -> None:
    file = Path(__file__).parents[2] / "clients/console/test/report.json"
    assert shape(json.loads(file.read_bytes())) == shape(report(backtest))


def test_households_that_stop_are_replayed_and_those_that_start_later_are_not(backtest: tuple[Path, RunState]) -> None:
    out, state = backtest
    replayed = {row["household"]: row for row in rows(out, state.run_id, "households")}
    assert {row["household"]: row["reason"] for row in rows(out, state.run_id, "quarantine")} == {
        "late": "NO_PURCHASES",
        "mixed": "SEVERAL_CURRENCIES",
    }
    assert replayed["stopped"]["delivery_count"] > 0
    assert replayed["stopped"]["need_count"] == 0
    assert replayed["stopped"]["stock_cost"] == pytest.approx(replayed["stopped"]["delivery_cost"])
    assert report(backtest)["rejected"] == {"NO_PURCHASES": 1, "SEVERAL_CURRENCIES": 1}


def test_sums_agree_from_item_to_report(backtest: tuple[Path, RunState]) -> None:
    out, state = backtest
    of_households, subscriptions = (rows(out, state.run_id, name) for name in ("households", "subscriptions"))
    summed = report(backtest)
    for row in of_households:
        own = [one for one in subscriptions if one["household"] == row["household"]]
        assert row["offer_count"] == len(own)
        for name in ("delivery_count", "early_delivery_count", "need_count", "stockout_count", "delivery_cost", "paid"):
            assert row[name] == pytest.approx(sum(one[name] for one in own)), name
        assert row["savings"] == pytest.approx(row["paid"] - row["delivery_cost"] - row["purchase_cost"], abs=0.005)
    assert summed["subscription_count"] == len(subscriptions) == state.offer_count
    early, delivered = (sum(row[name] for row in of_households) for name in ("early_delivery_count", "delivery_count"))
    assert summed["figures"]["early_delivery_ratio"]["value"] == pytest.approx(early / delivered)
    (amounts,) = summed["amounts"]
    assert (amounts["currency_code"], amounts["household_count"]) == (
        "USD",
        sum(row["has_prices"] for row in of_households),
    )
    for name in ("savings", "discount_cost", "stock_cost"):
        expected = sum(row[name] for row in of_households if row["has_prices"])
        assert amounts["figures"][name]["value"] == pytest.approx(expected), name
    judged = [one for one in subscriptions if one["in_plan"] and 1.5 * one["interval_days"] <= 7 * WEEKS]
    again = [
        one
        for one in judged
        if one["first_need_date"] and (one["first_need_date"] - BEGIN).days <= 1.5 * one["interval_days"]
    ]
    assert summed["judged_count"] == len(judged)
    assert summed["figures"]["bought_again_ratio"]["value"] == pytest.approx(len(again) / len(judged))
    assert sum(one["judged_count"] for one in summed["predictions"]["probability"]) == len(judged)
    assert sum(one["subscription_count"] for one in summed["categories"]) == len(subscriptions)
    assert sum(one["subscription_count"] for one in summed["items"]) == len(subscriptions)


def test_discounts_cost_what_is_missing_from_the_shelf_price(backtest: tuple[Path, RunState]) -> None:
    out, state = backtest
    subscriptions = [row for row in rows(out, state.run_id, "subscriptions") if row["delivery_count"]]
    assert subscriptions
    for row in subscriptions:
        price = {"Milk": 1.49, "Bananas": 1.99, "Coffee": 8.99, "Rice": 3.5, EVIL: 1.49}[row["item"]]
        shelf = price * row["delivered_units"]
        # Prices of deliveries are rounded up to a cent.
        assert row["delivery_cost"] + row["discount_cost"] == pytest.approx(shelf, abs=0.02 * row["delivery_count"])


def test_intervals_are_those_of_resampled_households(backtest: tuple[Path, RunState]) -> None:
    out, state = backtest
    of_households = rows(out, state.run_id, "households")
    early = np.array([row["early_delivery_count"] for row in of_households])
    delivered = np.array([row["delivery_count"] for row in of_households])
    draws = np.random.default_rng(5).integers(0, len(early), (4000, len(early)))
    low, high = np.percentile(early[draws].sum(axis=1) / delivered[draws].sum(axis=1), (2.5, 97.5))
    figure = report(backtest)["figures"]["early_delivery_ratio"]
    width = high - low
    assert figure["low"] == pytest.approx(low, abs=0.3 * width)
    assert figure["high"] == pytest.approx(high, abs=0.3 * width)


def test_report_does_not_depend_on_the_division_into_waves(
    table: Path, backtest: tuple[Path, RunState], tmp_path: Path
) -> None:
    options = ScoreOptions(BEGIN, wave_buckets=3, week_count=WEEKS)
    state = run.score(table, tmp_path, options, engine=LocalEngine(1), max_rejected_ratio=0.5)
    other = json.loads((tmp_path / f"run_id={state.run_id}" / REPORT).read_bytes())
    for name in ("categories", "items", "rejected", "subscription_count"):
        values = [json.dumps(one[name]) for one in (other, report(backtest))]
        assert re.sub(r'"(low|high)": [^,}]+', "", values[0]) == re.sub(r'"(low|high)": [^,}]+', "", values[1])


def test_page_stands_alone_and_shows_names_as_they_are(backtest: tuple[Path, RunState]) -> None:
    out, state = backtest
    page = (out / f"run_id={state.run_id}" / PAGE).read_text()
    assert "&lt;/script&gt;" in page
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="(?!#)', page)
    assert page == page_of(report(backtest))


def test_page_of_a_program_without_offers_or_prices(backtest: tuple[Path, RunState], tmp_path: Path) -> None:
    out, state = backtest
    manifest = run.read_manifest(out, state.run_id)
    files = []
    for file in manifest["files"]:
        emptied = tmp_path / f"{file['table']}-{file['bucket']}.parquet"
        parquet.write_table(parquet.read_table(out / f"run_id={state.run_id}" / file["path"]).slice(0, 0), emptied)
        files.append((file["table"], emptied))
    empty = report_of(manifest, files)
    assert empty["figures"]["bought_again_ratio"] == {"value": None, "low": None, "high": None}
    assert "The purchases have no prices." in page_of(empty)


def test_weeks_that_the_table_does_not_have_are_refused(table: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidTable, match=r"the latest purchase of .* 12 weeks from 2026-03-20 end on 2026-06-12"):
        run.score(table, tmp_path, ScoreOptions(date(2026, 3, 20), week_count=12), engine=LocalEngine(1))
    assert not list(tmp_path.iterdir())


def test_changes_of_a_backtest_are_refused(backtest: tuple[Path, RunState]) -> None:
    out, state = backtest
    with pytest.raises(BatchError, match="has no offers: it is a backtest"):
        next(changes(out, state.run_id, state.run_id))
