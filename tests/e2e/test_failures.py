"""Parts are stopped or killed, in real processes."""

import asyncio
import json
import os
import signal
from datetime import date
from typing import Any

import httpx
import pytest
import websockets

from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree.pipeline.v1 import pipeline_service_pb2_grpc as rpc
from pantree_client import FirstPurchase, Item
from pantree_runtime.channel import open_channel
from tests.e2e.mesh import RunningMesh, mesh_of_processes, until_healthy

REQUEST = {
    "customer_id": "cust_001",
    "items": [{"name": "Bananas", "price": 1.99}],
    "seed": 3,
    "max_recommendations": 100,
}


async def process(mesh: RunningMesh) -> httpx.Response:
    async with httpx.AsyncClient(base_url=mesh.http, timeout=40) as client:
        return await client.post("/api/v1/process", json=REQUEST)


def names_of(answer: dict[str, Any]) -> set[str]:
    return {item["name"] for item in answer["recommendations"]["recommendations"]}


async def test_mesh_degrades_fails_and_recovers_part_by_part() -> None:
    async with mesh_of_processes() as mesh:
        whole = (await process(mesh)).json()
        assert whole["warnings"] == []

        mesh.kill("vector")
        mesh.kill("enrichment")
        await until_healthy(mesh, "degraded")
        answer = await process(mesh)
        assert answer.status_code == 200
        degraded = answer.json()
        assert {warning["component"] for warning in degraded["warnings"]} == {"vector", "enrichment"}
        assert names_of(degraded) == names_of(whole)

        mesh.kill("frequency")
        await until_healthy(mesh, "unavailable")
        answer = await process(mesh)
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert (problem["code"], "frequency" in problem["detail"]) == ("COMPONENT_UNAVAILABLE", True)

        with mesh.started_again("frequency"), mesh.started_again("vector"), mesh.started_again("enrichment"):
            await until_healthy(mesh, "healthy")
            assert (await process(mesh)).json() == whole


@pytest.mark.parametrize("part", ["pipeline", "simulation", "gateway"])
async def test_sigterm_lets_a_stream_finish(part: str) -> None:
    async with mesh_of_processes() as mesh:
        body = {**REQUEST, "simulation_months": 60, "archetype": "single_professional"}
        # A reader with a small buffer, so that most of the stream is not sent yet when the signal arrives.
        async with websockets.connect(
            f"{mesh.websocket}/ws/stream/cust_001", max_queue=1, max_size=None, compression=None
        ) as socket:
            await socket.send(json.dumps(body))
            events = [json.loads(await socket.recv()), json.loads(await socket.recv())]
            os.kill(mesh.process_ids[part], signal.SIGTERM)
            await asyncio.sleep(0.5)
            events += [json.loads(message) async for message in socket]
        assert [event["type"] for event in events] == ["started", *["monthly_update"] * 60, "completed"]
        assert socket.close_code == 1000
        assert await mesh.exit_code(part) == 0


async def test_draining_pipeline_finishes_its_stream_and_ends_with_0() -> None:
    purchase = FirstPurchase("cust_001", [Item("Bananas", 1.99)], simulation_months=60, as_of=date(2026, 7, 1), seed=3)
    async with mesh_of_processes() as mesh, open_channel(mesh.address("pipeline"), timeout_seconds=60) as channel:
        request = messages.StreamProcessRequest(input=purchase.message())
        stream = aiter(rpc.PipelineServiceStub(channel).StreamProcess(request))
        first = await anext(stream)
        assert first.HasField("started")
        os.kill(mesh.process_ids["pipeline"], signal.SIGTERM)
        kinds = [event.WhichOneof("event") async for event in stream]
        assert kinds == ["monthly_update"] * 60 + ["completed"]
        assert await mesh.exit_code("pipeline") == 0
