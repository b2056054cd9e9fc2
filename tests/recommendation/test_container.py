"""SageMaker's contract with a container, tested on a real process."""

import asyncio
import dataclasses
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from pantree_recommendation.backends import model_artifact
from pantree_recommendation.backends.bodies import MAX_PROBLEMS, BodyFormat, predictions, request_bodies
from pantree_recommendation.backends.embedded import EmbeddedRanker
from pantree_recommendation.core.ranking import FEATURES, ItemFeatures
from tests.recommendation.container_process import container, until_loaded
from tests.recommendation.evidence import features

LINES = 10_000
MISSING = f"{', '.join(FEATURES)}: Field required"
MAX_SECONDS = 100.0
MAX_PING_SECONDS = 2.0  # SageMaker's timeout


def items(count: int) -> list[ItemFeatures]:
    """Items with distinct scores."""
    return [features(cadence_probability=number / count, name=f"Item {number}, “fine”") for number in range(count)]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """URL of a container that the tests share."""
    with container() as running:
        yield running.url


@pytest.fixture
async def client(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Client of a container whose model is loaded."""
    await until_loaded(url)
    async with httpx.AsyncClient(base_url=url, timeout=MAX_SECONDS) as opened:
        yield opened


async def test_ping_is_503_until_the_model_is_loaded(tmp_path: Path) -> None:
    model_artifact.save(model_artifact.default_model(), tmp_path)
    content = (tmp_path / "model.json").read_bytes()
    (tmp_path / "model.json").unlink()
    os.mkfifo(tmp_path / "model.json")  # reading blocks until something is written
    with container(tmp_path) as running:
        async with httpx.AsyncClient(base_url=running.url, timeout=MAX_PING_SECONDS) as client:
            for _ in range(3):
                assert (await client.get("/ping")).status_code == 503
            refused = await client.post("/invocations", content=b"{}", headers={"content-type": "application/json"})
            assert (refused.status_code, "still loading" in refused.json()["error"]) == (503, True)
            await asyncio.to_thread((tmp_path / "model.json").write_bytes, content)
            await until_loaded(running.url)
        assert running.stop() == 0


async def test_sigterm_while_loading_stops_the_container(tmp_path: Path) -> None:
    model_artifact.save(model_artifact.default_model(), tmp_path)
    (tmp_path / "model.json").unlink()
    os.mkfifo(tmp_path / "model.json")
    with container(tmp_path) as running:
        async with httpx.AsyncClient(base_url=running.url) as client:
            assert (await client.get("/ping")).status_code == 503
        assert running.stop() == 0


def test_container_with_a_changed_model_logs_an_error_and_exits(tmp_path: Path) -> None:
    model_artifact.save(model_artifact.default_model(), tmp_path)
    with (tmp_path / "model.json").open("a") as file:
        file.write(" ")
    with container(tmp_path) as running:
        _, expected = running.process.communicate(timeout=30)
    assert running.process.returncode == 1
    assert "its manifest has" in expected


@pytest.mark.parametrize("body_format", BodyFormat)
async def test_order_is_kept_over_ten_thousand_items(client: httpx.AsyncClient, body_format: BodyFormat) -> None:
    sent = items(LINES)
    ((body, _),) = request_bodies(sent, body_format)
    response = await client.post("/invocations", content=body, headers={"content-type": body_format})
    assert response.headers["content-type"].startswith(body_format)
    assert response.headers["x-amzn-sagemaker-custom-attributes"] == "model=embedded-heuristic/2"
    scores = predictions(response.content, LINES, body_format)
    assert scores == list(await EmbeddedRanker().scores(sent))
    assert scores == sorted(scores)
    assert len(set(scores)) == LINES


async def test_ping_answers_while_ten_thousand_items_are_scored(client: httpx.AsyncClient) -> None:
    ((body, _),) = request_bodies(items(LINES), BodyFormat.JSON_LINES)
    sent = [
        client.post("/invocations", content=body, headers={"content-type": "application/jsonlines"}) for _ in range(3)
    ]
    scoring = asyncio.gather(*sent)
    answers = [(await client.get("/ping", timeout=MAX_PING_SECONDS)).status_code for _ in range(20)]
    assert answers == [200] * 20
    assert {response.status_code for response in await scoring} == {200}


async def test_malformed_lines_are_reported_by_position(client: httpx.AsyncClient) -> None:
    ((body, _),) = request_bodies(items(LINES), BodyFormat.JSON_LINES)
    lines = body.split(b"\n")
    lines[16] = b'{"name": "Bana'
    lines[7_000] = json.dumps({**dataclasses.asdict(features()), "cadence_probability": "high"}).encode()
    lines[9_998] = b""
    response = await client.post(
        "/invocations", content=b"\n".join(lines), headers={"content-type": "application/jsonlines"}
    )
    assert response.status_code == 400
    assert response.json() == {
        "error": "item 17: Invalid JSON: EOF while parsing a string at line 1 column 14",
        "problems": [
            {"position": 17, "problem": "Invalid JSON: EOF while parsing a string at line 1 column 14"},
            {"position": 7_001, "problem": "cadence_probability: Input should be a valid number"},
            {"position": 9_999, "problem": "Invalid JSON: EOF while parsing a value at line 1 column 0"},
        ],
    }


@pytest.mark.parametrize(
    ("body_format", "body", "problems"),
    [
        (BodyFormat.JSON, b"[", [(1, "the body is not valid JSON (line 1, column 2)")]),
        (BodyFormat.JSON, b"\xff", [(1, "the body is not valid JSON")]),
        (BodyFormat.JSON, b"[" * 100_000, [(1, "the body is not valid JSON")]),
        (BodyFormat.JSON, b"{}", [(1, 'the body must have a list of "instances"')]),
        (
            BodyFormat.JSON,
            b'{"instances": [3, {}]}',
            [
                (1, "Input should be a valid dictionary or instance of Item"),
                (2, MISSING),
            ],
        ),
        (BodyFormat.CSV, b"a,b\n", [(1, f"must have {len(FEATURES)} columns, {', '.join(FEATURES)}; has 2")]),
        (BodyFormat.CSV, b'"a\n', [(1, "is not valid CSV in UTF-8")]),
        (BodyFormat.CSV, b"\xff\n", [(1, "is not valid CSV in UTF-8")]),
    ],
)
async def test_invalid_body_is_rejected(
    client: httpx.AsyncClient, body_format: BodyFormat, body: bytes, problems: list[tuple[int, str]]
) -> None:
    response = await client.post("/invocations", content=body, headers={"content-type": body_format})
    assert response.status_code == 400
    assert [(entry["position"], entry["problem"]) for entry in response.json()["problems"]] == problems


async def test_features_out_of_range_are_reported_by_position(client: httpx.AsyncClient) -> None:
    wrong = [features(), features(cadence_probability=2.0), features(perishability="forever")]
    ((body, _),) = request_bodies(wrong)
    response = await client.post("/invocations", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert [entry["position"] for entry in response.json()["problems"]] == [2, 3]


async def test_only_the_first_problems_are_reported(client: httpx.AsyncClient) -> None:
    response = await client.post("/invocations", content=b"?\n" * 1_000, headers={"content-type": "text/csv"})
    assert len(response.json()["problems"]) == MAX_PROBLEMS


async def test_accept_sets_the_format_of_the_response(client: httpx.AsyncClient) -> None:
    ((body, _),) = request_bodies([features()], BodyFormat.CSV)

    async def answer(accept: str, content_type: str = "text/csv; charset=utf-8") -> httpx.Response:
        return await client.post("/invocations", content=body, headers={"content-type": content_type, "accept": accept})

    expected = list(await EmbeddedRanker().scores([features()]))
    assert predictions((await answer("*/*")).content, 1, BodyFormat.CSV) == expected
    assert predictions((await answer("application/json")).content, 1) == expected
    assert (await answer("image/png")).status_code == 406
    assert (await answer("*/*", "image/png")).status_code == 415


async def test_empty_body_gets_an_empty_response(client: httpx.AsyncClient) -> None:
    response = await client.post("/invocations", content=b"", headers={"content-type": "text/csv"})
    assert (response.status_code, response.content) == (200, b"")


async def test_execution_parameters_suit_batch_transform(client: httpx.AsyncClient) -> None:
    parameters = (await client.get("/execution-parameters")).json()
    assert parameters["BatchStrategy"] == "MULTI_RECORD"
    assert parameters["MaxPayloadInMB"] == 6
    assert parameters["MaxConcurrentTransforms"] >= 1


async def test_request_in_flight_is_answered_after_sigterm() -> None:
    sent = items(200)
    ((body, _),) = request_bodies(sent)
    with container() as running:
        await until_loaded(running.url)
        head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        port = int(running.url.rsplit(":", 1)[1])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{head}\r\n\r\n".encode() + body[:1_000])
        await writer.drain()
        async with httpx.AsyncClient() as client:  # one more round trip: the bytes written before have arrived
            assert (await client.get(f"{running.url}/ping")).status_code == 200
        running.process.terminate()
        while True:  # until it accepts no more connections
            try:
                (await asyncio.open_connection("127.0.0.1", port))[1].close()
            except OSError:
                break
        writer.write(body[1_000:])
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200")
        assert predictions(answer.partition(b"\r\n\r\n")[2], 200) == list(await EmbeddedRanker().scores(sent))
        assert await asyncio.to_thread(running.process.wait, 20) == 0


def test_port_in_use_is_reported(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environment = {
            **os.environ,
            "SAGEMAKER_BIND_TO_PORT": str(taken.getsockname()[1]),
            "PANTREE_SAGEMAKER_HOST": "127.0.0.1",
        }
        command = [sys.executable, "-m", "pantree_recommendation.sagemaker", "serve"]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert "set SAGEMAKER_BIND_TO_PORT" in result.stderr
