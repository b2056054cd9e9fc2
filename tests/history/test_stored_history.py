"""Stored purchases through the gateway and the pipeline, by the REST API and the Python client."""

import asyncio
import contextlib
import csv
import json
import os
import shutil
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from pantree_client import (
    AlreadyExists,
    ComponentUnavailable,
    CustomerErased,
    NotFound,
    PantreeClient,
    QuotaExceeded,
    ReceiptLine,
)
from pantree_frequency.__main__ import build as build_frequency
from pantree_frequency.settings import FrequencySettings
from pantree_gateway.server import start as start_gateway
from pantree_gateway.settings import GatewaySettings
from pantree_history.__main__ import build as build_history
from pantree_history.settings import HistorySettings
from pantree_pipeline.__main__ import build as build_pipeline
from pantree_pipeline.settings import PipelineSettings
from pantree_recommendation.__main__ import build as build_recommendation
from pantree_recommendation.settings import RecommendationSettings
from pantree_runtime.server import running
from pantree_vector.__main__ import build as build_vector
from pantree_vector.settings import VectorSettings

LAST = date(2026, 5, 30)
WEEKLY = [LAST - timedelta(days=7 * number) for number in range(20)]


@contextlib.asynccontextmanager
async def mesh(
    with_history: bool = True, store_url: str = "sqlite://:memory:", tenants: str = ""
) -> AsyncIterator[str]:
    """URL of a gateway in front of real parts; enrichment and simulation are not running."""
    async with contextlib.AsyncExitStack() as stack:

        async def address(spec: Any) -> str:
            return (await stack.enter_async_context(running(spec))).address

        history = await address(await build_history(HistorySettings(store_url=store_url, tenants=tenants)))
        settings = PipelineSettings(port=0).model_copy(
            update={
                "history_address": history if with_history else "",
                "vector_address": await address(await build_vector(VectorSettings(store_url="memory://"))),
                "frequency_address": await address(await build_frequency(FrequencySettings())),
                "recommendation_address": await address(await build_recommendation(RecommendationSettings())),
                "enrichment_address": "",
                "simulation_address": "127.0.0.1:1",
            }
        )
        pipeline = await address(await build_pipeline(settings))
        gateway = await start_gateway(
            GatewaySettings(port=0).model_copy(
                update={"pipeline_address": pipeline, "history_address": settings.history_address}
            )
        )
        stack.push_async_callback(gateway.stop, 0)
        yield f"http://{gateway.address}"


def lines(name: str = "Milk", price: float = 1.49) -> list[dict[str, object]]:
    return [
        {"order_id": f"o-{day}", "line_id": name, "name": name, "date": day.isoformat(), "price": price}
        for day in WEEKLY
    ]


def without(answer: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in names}


async def test_stored_purchases_are_answered_like_those_of_a_request_until_the_customer_is_erased() -> None:
    async with mesh() as url, httpx.AsyncClient(base_url=url, timeout=60) as rest, PantreeClient(url) as client:
        customer = "/api/v1/customers/47%20%2B%2F%C3%A911"
        stored = await rest.post(f"{customer}/purchases", json={"purchases": lines()})
        assert stored.json() == {
            "customer_id": "47 +/é11",
            "added_count": 20,
            "duplicate_count": 0,
            "history_version": stored.json()["history_version"],
        }
        again = (await rest.post(f"{customer}/purchases", json={"purchases": lines()})).json()
        assert (again["added_count"], again["history_version"]) == (0, stored.json()["history_version"])

        query = {"as_of": LAST.isoformat()}
        answer = (await rest.get(f"{customer}/recommendations", params=query)).json()
        (milk,) = answer["recommendations"]["recommendations"]
        assert (milk["name"], milk["subscription"]["frequency"]) == ("Milk", "weekly")
        assert answer["history_version"] == stored.json()["history_version"]
        own = [{key: line[key] for key in ("name", "date", "price")} for line in lines()]
        sent = (await rest.post("/api/v1/process", json={"customer_id": "47 +/é11", "history": own})).json()
        assert without(sent, "history_version", "recommendation_id") == without(
            answer, "history_version", "recommendation_id"
        )
        body = {"customer_id": "47 +/é11", "stored_history": True, **query, "seed": 1}
        posted = await rest.post("/api/v1/process", json=body)
        assert posted.json() == answer
        assert "x-cache" not in posted.headers, "stored purchases may change"
        basket = (await rest.get(f"{customer}/next-basket")).json()
        assert [item["name"] for item in basket["items"]][:1] == ["Milk"]
        today = (await rest.get(f"{customer}/recommendations")).json()
        assert date.fromisoformat(today["as_of"]) >= max(LAST, datetime.now(UTC).date() - timedelta(days=1))

        corrected = await rest.post(
            f"{customer}/purchases:correct", json={"removed": [{"order_id": f"o-{LAST}", "line_id": "Milk"}]}
        )
        assert corrected.json()["removed_count"] == 1
        page = (await rest.get(f"{customer}/purchases", params={"page_size": 5})).json()
        assert (len(page["purchases"]), bool(page["next_page_token"])) == (5, True)
        changed = (await rest.get(f"{customer}/recommendations", params=query)).json()
        assert changed["history_summary"]["purchase_count"] == 19
        assert changed["history_version"] == corrected.json()["history_version"]

        exported = [piece async for piece in client.export_customer("47 +/é11")]
        assert [len(piece.stored_lines.lines) for piece in exported] == [0, 20]
        assert len([line async for line in client.purchases("47 +/é11")]) == 19
        bread = ReceiptLine("o-1", "1", "Bread", LAST, 2.5, category="bakery")
        assert (await client.append_purchases("47 +/é11", [bread])).added_count == 1
        with pytest.raises(AlreadyExists):
            await client.append_purchases("47 +/é11", [ReceiptLine("o-1", "1", "Rice", LAST)])

        receipt = (await rest.delete(customer)).json()
        assert {one["component"]: one["removed_count"] > 0 for one in receipt["removed"]} == {
            "history": True,
            "vector": True,
        }
        for path in ("recommendations", "next-basket", "purchases", "export"):
            gone = await rest.get(f"{customer}/{path}")
            assert (gone.status_code, gone.json()["code"]) == (404, "NOT_FOUND"), path
        with pytest.raises(CustomerErased):
            await client.append_purchases("47 +/é11", [bread])
        assert (await client.erase_customer("47 +/é11")).removed_counts == {"history": 0, "vector": 0}
        with pytest.raises(NotFound):
            await client.recommendations("47 +/é11")


async def test_merged_customers_are_one_and_are_erased_together() -> None:
    async with mesh() as url, httpx.AsyncClient(base_url=url, timeout=60) as rest, PantreeClient(url) as client:
        for customer, kept in (("card 1", WEEKLY[:12]), ("app", WEEKLY[12:])):
            own = [one for one in lines() if one["date"] in {day.isoformat() for day in kept}]
            await rest.post(f"/api/v1/customers/{customer}/purchases", json={"purchases": own})
            await rest.get(f"/api/v1/customers/{customer}/recommendations", params={"as_of": LAST.isoformat()})
        wrong = await rest.post("/api/v1/customers/app:merge", json={"merged_customer_id": "app"})
        assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "merged_customer_id")
        merged = await rest.post(
            "/api/v1/customers/card%201:merge", json={"merged_customer_id": "app", "actor": "anna"}
        )
        assert (merged.status_code, merged.json()["moved_line_count"]) == (200, 8)
        again = await client.merge_customers("card 1", "app")
        assert (again.customer_id, again.merged_at, again.moved_line_count) == ("card 1", merged.json()["merged_at"], 0)
        query = {"as_of": LAST.isoformat()}
        for customer in ("card%201", "app"):
            answer = (await rest.get(f"/api/v1/customers/{customer}/recommendations", params=query)).json()
            assert answer["history_summary"]["purchase_count"] == 20
        exported = [piece async for piece in client.export_customer("app")]
        assert (exported[-1].stored_merge.merged_customer_id, exported[-1].stored_merge.actor) == ("app", "anna")
        erasure = await client.erase_customer("card 1")
        assert (erasure.removed_counts["history"], erasure.merged_customer_ids) == (20, ("app",))
        assert erasure.removed_counts["vector"] >= 2, "the profiles of both ids"
        for customer in ("card 1", "app"):
            with pytest.raises(CustomerErased):
                await client.append_purchases(customer, [ReceiptLine("o-1", "1", "Bread", LAST)])


async def test_exceeded_quota_is_429_without_a_time_to_retry() -> None:
    limits = '{"": {"max_lines": 2}}'
    async with (
        mesh(tenants=limits) as url,
        httpx.AsyncClient(base_url=url, timeout=60) as rest,
        PantreeClient(url) as client,
    ):
        refused = await rest.post("/api/v1/customers/a/purchases", json={"purchases": lines()[:3]})
        assert (refused.status_code, refused.json()["code"]) == (429, "QUOTA_EXCEEDED")
        assert "max_lines is 2 lines" in refused.json()["detail"]
        assert "retry-after" not in refused.headers
        with pytest.raises(QuotaExceeded, match="nothing of it was stored"):
            await client.append_purchases("a", [ReceiptLine("o", str(number), "Bread", LAST) for number in range(3)])


async def test_without_the_part_the_original_calls_work_and_the_others_say_why() -> None:
    async with mesh(with_history=False) as url, httpx.AsyncClient(base_url=url, timeout=60) as rest:
        own = [{"name": "Milk", "date": day.isoformat()} for day in WEEKLY]
        assert (await rest.post("/api/v1/process", json={"customer_id": "a", "history": own})).status_code == 200
        for call in (
            rest.post("/api/v1/process", json={"customer_id": "a", "stored_history": True}),
            rest.get("/api/v1/customers/a/recommendations"),
            rest.get("/api/v1/customers/a/purchases"),
            rest.get("/api/v1/customers/a/export"),
        ):
            answer = await call
            assert (answer.status_code, answer.json()["component"]) == (503, "history")
            assert "disabled" in answer.json()["detail"]
        receipt = (await rest.delete("/api/v1/customers/a")).json()
        assert [one["component"] for one in receipt["removed"]] == ["vector"]
        async with PantreeClient(url) as client:
            with pytest.raises(ComponentUnavailable):
                await client.recommendations("a", timeout_seconds=1)


async def test_stored_history_excludes_other_sources() -> None:
    async with mesh() as url, httpx.AsyncClient(base_url=url, timeout=60) as rest:
        items = [{"name": "x", "price": 1}]
        body: dict[str, object] = {"customer_id": "a", "stored_history": True, "items": items}
        answer = await rest.post("/api/v1/process", json=body)
        assert [error["field"] for error in answer.json()["errors"]] == ["items"]
        answer = await rest.post("/api/v1/process", json={"customer_id": "a", "as_known_on": "2026-01-01"})
        assert "as_known_on" in [error["field"] for error in answer.json()["errors"]]


EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def receipts() -> list[dict[str, object]]:
    """The lines of the example file, as they are stored."""
    with (EXAMPLES / "purchases.csv").open(encoding="utf-8") as rows:
        return [
            {
                "order_id": row["order"],
                "line_id": row["sku"],
                "item_id": row["sku"],
                "name": row["item"],
                "date": row["date"],
                "quantity": int(row["quantity"]),
                "price": float(row["price"]),
                "saving": float(row["discount amount"]),
            }
            for row in csv.DictReader(rows)
        ]


async def test_replay_of_stored_purchases_equals_that_of_a_request(tmp_path: Path) -> None:
    store_url = f"sqlite://{tmp_path}/history.db"
    async with mesh(store_url=store_url) as url, httpx.AsyncClient(base_url=url, timeout=60) as rest:
        posted = await rest.post("/api/v1/customers/one/purchases", json={"purchases": receipts()})
        version = posted.json()["history_version"]
    # Another start of all parts: the purchases are read from the file.
    async with mesh(store_url=store_url) as url, httpx.AsyncClient(base_url=url, timeout=60) as rest:
        body = {"customer_id": "one", "week_count": 8, "constraints": {"delivery_weekdays": [6]}}
        own = [{key: row[key] for key in row.keys() - {"order_id", "line_id"}} for row in receipts()]
        sent = (await rest.post("/api/v1/what-if", json={**body, "history": own})).json()
        stored = await rest.post("/api/v1/what-if", json={**body, "stored_history": True})
        assert stored.status_code == 200, stored.text
        answer = stored.json()
        assert answer["started"]["history_version"] == version
        assert without(answer["started"], "history_version") == without(sent["started"], "history_version")
        assert answer["weeks"] == sent["weeks"]
        assert without(answer["summary"], "replay_id") == without(sent["summary"], "replay_id")
        assert answer["summary"]["totals"]["box_count"] > 0
        assert {date.fromisoformat(box["date"]).isoweekday() for box in answer["started"]["plan"]["deliveries"]} == {6}

        async with websockets.connect(f"{url.replace('http', 'ws', 1)}/ws/what-if/one") as socket:
            await socket.send(json.dumps({"stored_history": True, "week_count": 8, "constraints": body["constraints"]}))
            frames = [json.loads(frame) async for frame in socket]
        assert [frame["data"] for frame in frames] == [answer["started"], *answer["weeks"], answer["summary"]]

        # A purchase that is stored later is part of the next replay.
        last = max(str(row["date"]) for row in own)
        new = {"order_id": "new", "line_id": "1", "name": "Bananas", "item_id": "4011", "date": last, "price": 0.69}
        await rest.post("/api/v1/customers/one/purchases", json={"purchases": [new]})
        later = (await rest.post("/api/v1/what-if", json={**body, "stored_history": True})).json()
        assert later["started"]["history_version"] != version
        assert later["summary"]["total_spend"] == pytest.approx(answer["summary"]["total_spend"] + 0.69)

        unknown = await rest.post("/api/v1/what-if", json={"customer_id": "nobody", "stored_history": True})
        assert (unknown.status_code, unknown.json()["code"]) == (404, "NOT_FOUND")
        too_long = await rest.post(
            "/api/v1/what-if", json={**body, "week_count": 12, "as_of": last, "stored_history": True}
        )
        assert [error["field"] for error in too_long.json()["errors"]] == ["as_of"]


@pytest.mark.skipif(not (shutil.which("bash") and shutil.which("curl")), reason="needs bash and curl")
async def test_example_replays_the_file_and_the_stored_purchases_alike() -> None:
    async with mesh() as url:
        command = ("bash", str(EXAMPLES / "what-if.sh"))
        process = await asyncio.create_subprocess_exec(
            *command, env={**os.environ, "PANTREE_URL": url}, stdout=PIPE, stderr=PIPE
        )
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    of_file, stored, of_stored = (json.loads(line) for line in output.decode().splitlines())
    assert stored["added_count"] == len(receipts())
    assert without(of_stored, "replay_id") == without(of_file, "replay_id")
    assert of_file["totals"]["delivered_units"] > 0
