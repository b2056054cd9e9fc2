"""A batch gives the answers of REST and of the stream, whatever chunk a household is scored in."""

import asyncio
import contextlib
import json
import random
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import websockets
from google.protobuf import json_format

from pantree.pipeline.v1.pipeline_service_pb2 import ProcessInput, ProcessResult, WhatIfInput
from pantree_batch.layout import batches_of, lay_out
from pantree_batch.method import Replayed, RunOptions
from pantree_batch.scorer import Scorer
from pantree_batch.scoring import score_batches
from tests.batch.populations import write
from tests.e2e.mesh import RunningMesh

AS_OF = date(2026, 6, 1)
ITEMS = (
    ("Whole Milk 1L", "dairy", 1.49), ("Bananas", "", 1.99), ("Ground Coffee 500g", "beverages", 8.99),
    ("Rice", "pantry", 3.5), ("Toilet Paper", "household", 6.99), ("Strawberries", "produce", 3.99),
    ("Dog Food", "pets", 19.0), ("whole milk 1l", "dairy", 1.59),
)  # fmt: skip


def household(seed: int) -> list[dict[str, Any]]:
    """Lines of a made-up household, in no order."""
    chance = random.Random(seed)
    lines = []
    for item, category, price in chance.sample(ITEMS, chance.randint(1, len(ITEMS))):
        interval, day = chance.choice([5, 7, 10, 14, 21, 30]), chance.randint(0, 20)
        while day < 300:
            lines.append(
                {
                    "household": f"household {seed}",
                    "date": AS_OF - timedelta(days=day),
                    "item": item,
                    "category": category,
                    "quantity": chance.choice([1, 1, 1, 2, 3]),
                    "price": price,
                    "saving": chance.choice([0.0, 0.0, 0.25]),
                }
            )
            day += max(1, round(chance.gauss(interval, 0.2 * interval)))
    chance.shuffle(lines)
    return lines


class Recorded:
    """A scorer that keeps the whole results."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self.results: dict[str, ProcessResult] = {}

    def replay(self, households: Sequence[WhatIfInput]) -> list[Replayed | Exception]:
        return self._scorer.replay(households)

    def score(self, households: Sequence[ProcessInput]) -> list[ProcessResult | Exception]:
        outcomes = self._scorer.score(households)
        self.results |= {one.customer_id: one for one in outcomes if isinstance(one, ProcessResult)}
        return outcomes


def comparable(result: ProcessResult) -> bytes:
    """A result without the profile, which a batch does not store, and without the hash that covers it."""
    compared = ProcessResult()
    compared.CopyFrom(result)
    compared.ClearField("customer_profile")
    compared.ClearField("recommendation_id")
    return compared.SerializeToString(deterministic=True)


def batch_answers(
    households: dict[str, list[dict[str, Any]]], directory: Path
) -> tuple[dict[str, ProcessResult], dict[str, list[str]]]:
    """The results of a batch, and the items of its rows, by household."""
    source = write(directory / "in.parquet", [line for lines in households.values() for line in lines])
    table = lay_out(source, directory / "table", 3)
    offers: dict[str, list[str]] = {}
    with contextlib.closing(Scorer()) as scorer:
        recorded = Recorded(scorer)
        for file in table.files:
            for batch in score_batches(batches_of(file, batch_lines=97), recorded, RunOptions("run", AS_OF)):
                offers |= {row["household"]: [offer["item"] for offer in row["offers"]] for row in batch.to_pylist()}
    return recorded.results, offers


async def test_replays_of_a_batch_equal_those_of_rest(mesh: RunningMesh, tmp_path: Path) -> None:
    weeks, begin = 8, AS_OF - timedelta(weeks=9)
    households = {f"household {seed}": household(seed) for seed in range(20, 26)}
    lines = [line for one in households.values() for line in one]
    table = lay_out(write(tmp_path / "in.parquet", lines), tmp_path / "table", 2)
    options = RunOptions("run", begin, week_count=weeks)

    def replays() -> dict[str, Any]:
        with contextlib.closing(Scorer()) as scorer:
            batches = [batch for file in table.files for batch in score_batches(batches_of(file, 97), scorer, options)]
        return {row["household"]: row["result"] for batch in batches for row in batch.to_pylist()}

    found = await asyncio.to_thread(replays)
    assert set(found) == set(households)
    for name, own in households.items():
        history = [
            {
                "name": line["item"],
                "date": line["date"].isoformat(),
                **{key: line[key] for key in ("category", "quantity", "price", "saving")},
            }
            for line in own
        ]
        body = {"customer_id": name, "as_of": begin.isoformat(), "week_count": weeks, "history": history}
        async with httpx.AsyncClient(base_url=mesh.http, timeout=60) as client:
            answer = await client.post("/api/v1/what-if", json=body)
        assert answer.status_code == 200, answer.text
        summary = answer.json()["summary"]
        for field in ("box_count", "delivery_count", "early_delivery_count", "stockout_count", "paid", "savings"):
            assert found[name][field] == summary["totals"][field], (name, field)
        assert found[name]["stock_cost"] == summary["stock_cost"]
        assert found[name]["promised_savings"] == summary.get("promised_savings")
    assert any(one["delivery_count"] for one in found.values())


async def test_batch_rest_and_stream_have_the_same_answers(mesh: RunningMesh, tmp_path: Path) -> None:
    households = {f"household {seed}": household(seed) for seed in range(12)}
    results, offers = await asyncio.to_thread(batch_answers, households, tmp_path)
    assert any(offers.values())
    assert set(results) == set(households)
    for name, lines in households.items():
        rows = [{**line, "name": line["item"], "date": line["date"].isoformat()} for line in lines]
        history = [{key: row[key] for key in row if key not in ("household", "item")} for row in rows]
        body = json.dumps({"customer_id": name, "as_of": AS_OF.isoformat(), "history": history})
        async with httpx.AsyncClient(base_url=mesh.http, timeout=60) as client:
            answer = await client.post("/api/v1/process", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 200, answer.text
        rest = json_format.ParseDict(answer.json(), ProcessResult())
        assert comparable(results[name]) == comparable(rest), name
        assert offers[name] == [one.name for one in rest.recommendations.recommendations]
        url = f"{mesh.websocket}/ws/stream/{name.replace(' ', '%20')}"
        async with websockets.connect(url, max_size=None) as socket:
            await socket.send(body)
            *_, completed = [json.loads(message) async for message in socket]
        assert completed["data"] == answer.json()
