"""`pantree fit` and `pantree evaluate` on a made-up retailer."""

import dataclasses
from datetime import date
from pathlib import Path

import pytest

pytest.importorskip("lightgbm", reason="models are fitted with it")
pytest.importorskip("matplotlib", reason="plots are made with it")
pytest.importorskip("pyarrow", reason="purchases are read with it")

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet
from typer.testing import CliRunner

from pantree.purchase.v1.purchase_pb2 import PurchaseColumns
from pantree.recommendation.v1 import recommendation_service_pb2 as messages
from pantree.recommendation.v1 import recommendation_service_pb2_grpc as rpc
from pantree_cli.app import app
from pantree_domain.days import calendar_day, day_number
from pantree_domain.item_key import item_key
from pantree_fitting.frequency.models import Plan
from pantree_fitting.next_basket.evaluation import evaluate, judge
from pantree_fitting.next_basket.models import BasketPlan, basket_of, household_history
from pantree_fitting.retailer.evaluation import BUNDLED, FITTED, Report, evaluate_retailer
from pantree_fitting.retailer.fit import UNFINISHED, FitPlan, fit_retailer, only_part, part_of
from pantree_fitting.retailer.model_card import write_card
from pantree_fitting.retailer.purchase_lines import InvalidPurchases, read_purchases
from pantree_frequency.backends import model_files
from pantree_recommendation.__main__ import build
from pantree_recommendation.backends import basket_files
from pantree_recommendation.core.next_basket import NextBasketRequest
from pantree_recommendation.settings import RecommendationSettings
from tests.fitting.second_retailer import write_purchases
from tests.loopback import loopback

TINY = FitPlan(
    frequency=Plan(days_before_end=(28, 55), fold_count=2, step_rows=5_000, rounds=5, closed_form_rows=200),
    baskets=BasketPlan(rounds=2, first_rounds=1, fold_count=2, trees=5, min_leaf_rows=20),
)


@pytest.fixture(scope="module")
def purchases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("retailer") / "purchases.parquet"
    write_purchases(path)
    return path


@pytest.fixture(scope="module")
def models(purchases: Path) -> Path:
    """Models fitted by the command line."""
    out = purchases.parent / "models"
    result = CliRunner().invoke(app, ["fit", str(purchases), "--out", str(out), "--name", "second", "--quick"])
    assert result.exit_code == 0, result.output
    assert f"PANTREE_RECOMMENDATION_NEXT_BASKET_DIR={out / 'next_basket'}" in result.output
    return out


@pytest.fixture(scope="module")
def report(purchases: Path, models: Path) -> Report:
    return evaluate_retailer(read_purchases(purchases), models)


def test_fitted_models_beat_the_bundled_ones_on_households_held_out(report: Report) -> None:
    fitted, bundled = report.frequency["fitted: hazard"], report.frequency["bundled: hazard"]
    assert fitted["log loss"][1][1] < bundled["log loss"][1][0]  # even the intervals do not overlap
    assert fitted["auc"][0] > bundled["auc"][0]
    assert fitted["ece"][0] < bundled["ece"][0]
    for measure in ("recall@10", "NDCG@10"):
        assert report.baskets[FITTED][measure][0] > report.baskets[BUNDLED][measure][0]
        assert report.baskets[FITTED][measure][0] > report.baskets["most popular overall"][measure][0]


def test_evaluate_writes_the_same_card_and_plots_each_time(report: Report, purchases: Path, models: Path) -> None:
    result = CliRunner().invoke(app, ["evaluate", str(purchases), "--models", str(models)])
    assert result.exit_code == 0, result.output
    assert "fitted: hazard" in result.output
    write_card(report, models.parent / "again")
    for name in ("MODEL_CARD.md", "plots/frequency.png", "plots/next_basket.png"):
        assert (models / name).read_bytes() == (models.parent / "again" / name).read_bytes(), name


def test_held_out_households_are_used_for_nothing(purchases: Path, models: Path) -> None:
    lines = read_purchases(purchases)
    plan = FitPlan.quick()
    sizes = {
        part: only_part(lines.histories, plan, part).household_count for part in ("fitting", "calibration", "held_out")
    }
    assert sum(sizes.values()) == lines.histories.household_count
    assert all(sizes.values())
    description = basket_files.load(models / "next_basket").training_data
    assert description.startswith(f"{sizes['fitting']} households")
    assert part_of(1, plan) == part_of(1, dataclasses.replace(plan, baskets=BasketPlan()))


def test_the_services_take_the_directories(models: Path) -> None:
    fitted = model_files.models_of(model_files.load(models / "frequency"))
    assert fitted.named("").version.startswith("second-")


async def test_next_basket_through_the_rpc_equals_what_is_evaluated_without_prices_and_categories(
    tmp_path: Path,
) -> None:
    path = tmp_path / "bare.parquet"
    write_purchases(path, 70, prices=False)
    lines = read_purchases(path)
    fit_retailer(lines, tmp_path / "models", TINY, name="bare", log_line=lambda line: None)
    directory = tmp_path / "models" / "next_basket"
    model = basket_files.load(directory).model()
    held_out = only_part(lines.histories, TINY, "held_out")
    measured = []
    async with loopback(
        await build(RecommendationSettings(sagemaker_endpoint="", next_basket_dir=directory))
    ) as channel:
        for household in range(held_out.household_count):
            day = int(household_history(held_out, household).trip_days[-1])
            history = household_history(held_out, household, day)
            expected = model.predict(NextBasketRequest(history, calendar_day(day)))
            columns = PurchaseColumns(
                item_names=history.item_names, item_indices=history.item_indices.tolist(), days=history.days.tolist(),
                quantities=history.quantities.tolist(), prices=history.prices.tolist(),
                savings=history.savings.tolist(),
            )  # fmt: skip
            request = messages.PredictNextBasketRequest(history=columns, as_of=calendar_day(day).isoformat())
            response = await rpc.RecommendationServiceStub(channel).PredictNextBasket(request)
            assert [(item.name, item.probability) for item in response.items] == [
                (item.name, item.probability) for item in expected.items
            ]
            assert response.model.name == "bare"
            listed = [item_key(item.name) for item in response.items]
            seen = {item_key(name) for name in history.item_names}
            measured.append(judge(listed, basket_of(held_out, household, day), seen))
    evaluated = evaluate({"bare": model}, held_out, model.statistics).measures["bare"]
    for measure, values in evaluated.items():
        np.testing.assert_array_equal(values, [row[measure] for row in measured])


class _Interrupted(Exception):
    pass


def test_an_interrupted_fit_continues_and_gives_the_same_bytes_whatever_the_order_of_lines(tmp_path: Path) -> None:
    write_purchases(tmp_path / "one.parquet", 70)
    write_purchases(tmp_path / "other.parquet", 70, shuffled=True)
    one, other = (read_purchases(tmp_path / f"{name}.parquet") for name in ("one", "other"))
    fit_retailer(one, tmp_path / "one", TINY, name="x", log_line=lambda line: None)

    log: list[str] = []

    def interrupt(line: str) -> None:
        log.append(line)
        if line.startswith("step 4"):
            raise _Interrupted

    with pytest.raises(_Interrupted):
        fit_retailer(other, tmp_path / "other", TINY, name="x", log_line=interrupt)
    log.clear()
    fit_retailer(other, tmp_path / "other", TINY, name="x", log_line=log.append)
    assert [line.endswith("done by an earlier run") for line in log] == [True] * 3 + [False] * 2
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) >= 8
    assert [
        path for path in files if (tmp_path / "one" / path).read_bytes() != (tmp_path / "other" / path).read_bytes()
    ] == []
    assert not (tmp_path / "other" / UNFINISHED).exists()
    log.clear()
    fit_retailer(other, tmp_path / "other", TINY, name="x", log_line=log.append)
    assert log == [f"{tmp_path / 'other'} is up to date"]


def test_csv_and_parquet_with_other_column_names_are_the_same_purchases(tmp_path: Path) -> None:
    days = [date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 2)]
    table = pa.table({"customer": ["a", "b", "a"], "Day": days, "product": ["Milk", "milk ", "Tea"], "qty": [1, 0, 2]})
    parquet.write_table(table, tmp_path / "lines.parquet")
    csv.write_csv(table, tmp_path / "lines.csv")
    one, other = (read_purchases(tmp_path / f"lines.{suffix}") for suffix in ("parquet", "csv"))
    assert one.digest == other.digest
    assert one.omitted_count == 1
    assert one.histories.household_count == 1
    assert one.histories.item_names == ("Milk", "Tea")  # one spelling of milk
    assert (one.first_day, one.last_day) == (day_number(days[0]), day_number(days[1]))
    assert one.histories.lines["quantity"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"household": [1], "item": ["Milk"]}, "lacks date"),
        ({"household": [1], "date": ["yesterday"], "item": ["Milk"]}, "date must be calendar days"),
        ({"household": [1], "date": ["2026-01-01"], "item": [" "]}, "item must not be blank"),
        ({"household": [None, 1], "date": ["2026-01-01"] * 2, "item": ["Milk"] * 2}, "is empty in 1 lines"),
        ({"household": [1], "date": ["2026-01-01"], "item": ["Milk"], "price": [-1.0]}, "price must be at least 0"),
        ({"household": [1], "date": ["2026-01-01"], "item": ["Milk"], "quantity": ["x"]}, "quantity must be numbers"),
        ({"household": [1], "date": ["2026-01-01"], "item": ["Milk"], "quantity": [0]}, "no line has a quantity"),
    ],
)
def test_unusable_purchases_are_rejected_with_a_reason(
    tmp_path: Path, columns: dict[str, list[object]], message: str
) -> None:
    parquet.write_table(pa.table(columns), tmp_path / "lines.parquet")
    with pytest.raises(InvalidPurchases, match=message):
        read_purchases(tmp_path / "lines.parquet")


def test_too_few_purchases_are_rejected_by_the_command(tmp_path: Path) -> None:
    write_purchases(tmp_path / "few.parquet", 20)
    result = CliRunner().invoke(app, ["fit", str(tmp_path / "few.parquet"), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "at least 30 households" in " ".join(result.output.replace("│", " ").split())
