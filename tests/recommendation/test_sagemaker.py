import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_recommendation.backends.bodies import MAX_BODY_BYTES, BodyFormat, predictions, request_bodies
from pantree_recommendation.backends.endpoint import AwsConnection, BotoEndpoint
from pantree_recommendation.backends.sagemaker import SageMakerRanker
from pantree_recommendation.core.ranking import RankerFailure
from pantree_runtime.deadline import set_remaining_seconds
from pantree_runtime.dependencies import CHECK_SECONDS
from tests.recommendation.evidence import features
from tests.recommendation.sagemaker_stub import SageMakerStub, error, rank_by_confidence, reply, serving
from tests.runtime.test_circuit_breaker import Clock

SECRET = "not-a-real-key"


@pytest.fixture
def stub() -> Iterator[SageMakerStub]:
    with serving() as started:
        yield started


@contextlib.asynccontextmanager
async def ranker(
    url: str, *, client: dict[str, Any] | None = None, target: dict[str, str] | None = None, **changes: Any
) -> AsyncIterator[SageMakerRanker]:
    """A ranker on `subscribe-save` that does not wait between attempts.

    Args:
        url: of the runtime.
        client: other options of the client.
        target: variant or inference component.
        changes: other options of the ranker.
    """
    connection: dict[str, Any] = {
        "region": "us-west-2",
        "access_key_id": "AKIDEXAMPLE",
        "secret_access_key": SECRET,
        "connect_timeout_seconds": 2.0,
        "read_timeout_seconds": 5.0,
        "max_calls": 2,
        **(client or {}),
    }
    options = {"timeout_seconds": 20.0, "max_calls": 2, "total_max_attempts": 3, "draw": lambda: 0.0, **changes}
    endpoint = BotoEndpoint(
        AwsConnection(**connection).client("sagemaker-runtime", url), "subscribe-save", **(target or {})
    )
    opened = SageMakerRanker(endpoint, **options)
    try:
        yield opened
    finally:
        await opened.close()


async def failure_of(url: str, *, remaining_seconds: float | None = None, **changes: Any) -> str:
    async with ranker(url, **changes) as opened:
        set_remaining_seconds(remaining_seconds)
        with pytest.raises(RankerFailure) as raised:
            await opened.scores([features()])
    message = str(raised.value)
    assert SECRET not in message
    assert "top-secret" not in message
    assert "123456789012" not in message
    return message


async def test_scores_are_those_of_the_endpoint_in_order(stub: SageMakerStub) -> None:
    items = [features(name="Käse", confidence=70.0), features(confidence=30.0)]
    async with ranker(stub.url) as opened:
        assert await opened.scores(items) == [0.7, 0.3]
    ((path, headers, _),) = stub.requests
    assert path == "/endpoints/subscribe-save/invocations"
    assert headers["content-type"] == headers["accept"] == "application/json"
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert stub.instances[0][0]["name"] == "Käse"
    assert stub.instances[0][1]["mean_interval_days"] == 7.2


async def test_no_items_make_no_call(stub: SageMakerStub) -> None:
    async with ranker(stub.url) as opened:
        assert await opened.scores([]) == []
    assert not stub.requests


@pytest.mark.parametrize(
    ("code", "status", "expected", "attempts"),
    [
        ("ValidationError", 400, "rejected the request; check SAGEMAKER_ENDPOINT", 1),
        ("ModelError", 424, "the model in the endpoint failed", 1),
        ("ModelNotReadyException", 429, "still loading", 1),
        ("InternalFailure", 500, "after 3 attempts: it had an internal error", 3),
        ("ServiceUnavailable", 503, "after 3 attempts: it is overloaded or down", 3),
        ("InternalDependencyException", 530, "one of its dependencies failed", 1),
        ("ThrottlingException", 400, "more requests than its quota allows", 3),
        ("AccessDeniedException", 403, "check the AWS credentials and the permission", 1),
        ("SomethingNew", 418, "rejected the request", 1),
    ],
)
async def test_error_of_sagemaker_is_reported_after_its_number_of_attempts(
    stub: SageMakerStub, code: str, status: int, expected: str, attempts: int
) -> None:
    stub.behavior = error(code, status)
    message = await failure_of(stub.url)
    assert expected in message
    assert message.endswith(f"({code}, HTTP {status})")
    assert len(stub.requests) == attempts


async def test_error_page_of_a_proxy_is_not_quoted(stub: SageMakerStub) -> None:
    stub.behavior = reply(b"<html>top-secret</html>", 502, {"Content-Type": "text/html"})
    assert "HTTP 502" in await failure_of(stub.url)
    assert len(stub.requests) == 3


async def test_temporary_failure_is_retried(stub: SageMakerStub) -> None:
    working = stub.behavior

    def fail_once(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        behavior = error("ServiceUnavailable", 503) if len(stub.requests) == 1 else working
        behavior(handler, body)

    stub.behavior = fail_once
    async with ranker(stub.url) as opened:
        assert await opened.scores([features(confidence=40.0)]) == [0.4]
    assert len(stub.requests) == 2


async def test_read_timeout_is_not_retried(stub: SageMakerStub) -> None:
    stub.behavior = stub.hang
    message = await failure_of(stub.url, client={"read_timeout_seconds": 1.5})
    assert message == "SageMaker did not answer: it took too long"
    assert len(stub.requests) == 1


async def test_slow_response_in_time_is_used(stub: SageMakerStub) -> None:
    def slow(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        stub.released.wait(0.3)
        rank_by_confidence(handler, body)

    stub.behavior = slow
    async with ranker(stub.url) as opened:
        assert await opened.scores([features(confidence=40.0)]) == [0.4]
    assert len(stub.requests) == 1


async def test_trickling_response_is_abandoned_after_the_timeout(stub: SageMakerStub) -> None:
    def trickle(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        reply(b"", headers={"Content-Length": "1000"})(handler, body)
        while not stub.released.wait(0.05):  # each byte comes well before the read timeout
            handler.wfile.write(b" ")

    stub.behavior = trickle
    message = await failure_of(stub.url, timeout_seconds=2.0, client={"read_timeout_seconds": 5.0})
    assert message == "SageMaker did not answer in time"
    assert len(stub.requests) == 1


async def test_hanging_call_is_abandoned_after_the_timeout(stub: SageMakerStub) -> None:
    stub.behavior = stub.hang
    message = await failure_of(stub.url, timeout_seconds=1.5, client={"read_timeout_seconds": 3.0})
    assert message == "SageMaker did not answer in time"
    assert len(stub.requests) == 1


async def test_hanging_call_is_abandoned_before_the_deadline_of_the_request(stub: SageMakerStub) -> None:
    stub.behavior = stub.hang
    message = await failure_of(stub.url, remaining_seconds=0.6, client={"read_timeout_seconds": 1.0})
    assert message == "SageMaker did not answer in time"


async def test_call_with_too_little_time_left_is_not_made(stub: SageMakerStub) -> None:
    assert "too little of the request's time was left" in await failure_of(stub.url, remaining_seconds=0.2)
    assert not stub.requests


async def test_unreachable_endpoint_is_reported() -> None:
    with socket.socket() as reserved:  # bound and not listening: connections are refused
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        assert "after 3 attempts: it cannot be reached" in await failure_of(url)


async def test_dropped_connection_is_reported(stub: SageMakerStub) -> None:
    stub.behavior = lambda handler, body: handler.connection.shutdown(socket.SHUT_RDWR)
    assert "after 3 attempts: the connection failed (ConnectionClosedError)" in await failure_of(stub.url)
    assert len(stub.requests) == 3


@pytest.mark.parametrize(
    ("body_format", "beginning"), [(BodyFormat.JSON, b'{"predictions": [0.'), (BodyFormat.CSV, b"0.8")]
)
async def test_truncated_body_is_reported(stub: SageMakerStub, body_format: BodyFormat, beginning: bytes) -> None:
    def cut_off(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        reply(beginning, headers={"Content-Length": "1000"})(handler, body)
        handler.close_connection = True

    stub.behavior = cut_off
    message = await failure_of(stub.url, body_format=body_format)
    assert message == "SageMaker did not answer: its response was cut off"
    assert len(stub.requests) == 1


async def test_response_above_the_limit_is_reported(stub: SageMakerStub) -> None:
    stub.behavior = reply(b" " * (MAX_BODY_BYTES + 1))
    assert "its response is larger than 6,291,456 bytes" in await failure_of(stub.url)
    assert len(stub.requests) == 1


async def test_missing_credentials_are_reported(stub: SageMakerStub, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    message = await failure_of(stub.url, client={"access_key_id": None, "secret_access_key": None})
    assert "there are no AWS credentials" in message
    assert not stub.requests


def test_unknown_profile_prevents_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    with pytest.raises(OSError, match=r"cannot be created: The config profile \(nobody\)"):
        AwsConnection("us-west-2", connect_timeout_seconds=1, read_timeout_seconds=1, max_calls=1).client("s3")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "invalid JSON"),
        (b"the scores are 0.5", "invalid JSON"),
        (b"\xff\xfe", "invalid JSON"),
        (b"[" * 100_000, "invalid JSON"),
        (b"[0.5]", 'no list of "predictions"'),
        (b'{"predictions": 0.5}', 'no list of "predictions"'),
        (b'{"predictions": []}', "returned 0 predictions for 1 items"),
        (b'{"predictions": [0.5, 0.5]}', "returned 2 predictions for 1 items"),
        (b'{"predictions": [1.5]}', "no number from 0 to 1 for item 1"),
        (b'{"predictions": [-0.1]}', "no number from 0 to 1 for item 1"),
        (b'{"predictions": [NaN]}', "no number from 0 to 1 for item 1"),
        (b'{"predictions": [1e999]}', "no number from 0 to 1 for item 1"),
        (b'{"predictions": [' + b"9" * 400 + b"]}", "no number from 0 to 1 for item 1"),
        (b'{"predictions": [true]}', "no number from 0 to 1 for item 1"),
        (b'{"predictions": ["0.5"]}', "no number from 0 to 1 for item 1"),
        (b'{"predictions": [null]}', "no number from 0 to 1 for item 1"),
    ],
)
async def test_invalid_response_is_a_failure(stub: SageMakerStub, body: bytes, expected: str) -> None:
    with pytest.raises(RankerFailure, match=expected):
        predictions(body, 1)
    if len(body) < 20:  # short ones over the wire, too
        stub.behavior = reply(body)
        assert expected in await failure_of(stub.url)
        assert len(stub.requests) == 1


async def test_request_above_the_body_limit_is_split_and_keeps_the_order(stub: SageMakerStub) -> None:
    items = [features(name=f"Item {number}", confidence=float(number)) for number in range(25)]
    async with ranker(stub.url, max_body_bytes=2_000) as opened:
        assert await opened.scores(items) == [number / 100 for number in range(25)]
    assert len(stub.requests) > 1
    assert all(len(body) <= 2_000 for _, _, body in stub.requests)
    assert [instance["name"] for part in stub.instances for instance in part] == [item.name for item in items]


async def test_largest_request_is_split_below_the_limit_of_sagemaker(stub: SageMakerStub) -> None:
    items = [features(name="乾" * 200, category="物" * 200)] * 6_000
    async with ranker(stub.url, timeout_seconds=100.0, client={"read_timeout_seconds": 60.0}) as opened:
        assert len(await opened.scores(items)) == len(items)
    assert len(stub.requests) == 2
    assert all(len(body) <= 6_291_456 for _, _, body in stub.requests)


async def test_request_of_seven_megabytes_is_split_in_two(stub: SageMakerStub) -> None:
    items = [features(name="Oats" * 50)] * 14_000
    assert sum(len(body) for body, _ in request_bodies(items)) > 7_000_000
    async with ranker(stub.url, timeout_seconds=100.0, client={"read_timeout_seconds": 60.0}) as opened:
        assert len(await opened.scores(items)) == len(items)
    assert len(stub.requests) == 2
    assert all(len(body) <= 6_291_456 for _, _, body in stub.requests)


@pytest.mark.parametrize("body_format", BodyFormat)
async def test_every_format_returns_the_same_scores(stub: SageMakerStub, body_format: BodyFormat) -> None:
    items = [features(name='Käse, "jung"', confidence=100 / 3), features(confidence=0.1 + 0.2)]
    async with ranker(stub.url, body_format=body_format) as opened:
        assert await opened.scores(items) == [100 / 3 / 100, (0.1 + 0.2) / 100]
    ((_, headers, _),) = stub.requests
    assert headers["content-type"] == headers["accept"] == body_format


@pytest.mark.parametrize(
    ("target", "header"),
    [
        ({"target_variant": "B"}, "x-amzn-sagemaker-target-variant"),
        ({"inference_component": "B"}, "x-amzn-sagemaker-inference-component"),
    ],
)
async def test_variant_or_component_is_sent(stub: SageMakerStub, target: dict[str, str], header: str) -> None:
    async with ranker(stub.url, target=target) as opened:
        await opened.scores([features()])
    async with ranker(stub.url) as opened:
        await opened.scores([features()])
    assert [headers.get(header) for _, headers, _ in stub.requests] == ["B", None]


async def test_repeated_failures_open_the_circuit_for_a_while(stub: SageMakerStub) -> None:
    seconds = 100.0
    stub.behavior = error("ModelError", 424)
    async with ranker(stub.url, failure_threshold=2, cool_down_seconds=30.0, clock=lambda: seconds) as opened:

        async def failure() -> str:
            with pytest.raises(RankerFailure) as raised:
                await opened.scores([features()])
            return str(raised.value)

        first, second, third = [await failure() for _ in range(3)]
        assert first == second
        assert third == f"SageMaker was not called because its circuit is open: {first}"
        assert len(stub.requests) == 2
        stub.behavior = rank_by_confidence
        assert "was not called" in await failure()
        seconds += 30
        assert await opened.scores([features(confidence=50.0)]) == [0.5]
        assert await opened.scores([features(confidence=60.0)]) == [0.6]
    assert len(stub.requests) == 4


async def test_expired_request_does_not_count_as_a_failure(stub: SageMakerStub) -> None:
    async with ranker(stub.url, failure_threshold=1) as opened:
        set_remaining_seconds(0.1)
        with pytest.raises(RankerFailure, match="too little of the request's time"):
            await opened.scores([features()])
        set_remaining_seconds(None)
        assert len(await opened.scores([features()])) == 1


@given(st.lists(st.text(max_size=9), max_size=8), st.integers(1, 3_000))
def test_bodies_have_all_items_in_order_within_the_limit(names: list[str], limit: int) -> None:
    bodies = list(request_bodies([features(name=name) for name in names], max_body_bytes=limit))
    parts = [json.loads(body)["instances"] for body, _ in bodies]
    assert [instance["name"] for part in parts for instance in part] == names
    assert [len(part) for part in parts] == [count for _, count in bodies]
    assert all(len(body) <= limit or count == 1 for body, count in bodies)


async def test_health_follows_calls_in_flight_and_the_last_one(stub: SageMakerStub) -> None:
    clock = Clock()
    async with ranker(stub.url, clock=clock) as opened:
        assert await opened.check() == ""
        stub.behavior = stub.hang
        call = asyncio.create_task(opened.scores([features()]))
        while not stub.requests:  # noqa: ASYNC110 - another thread
            await asyncio.sleep(0.01)
        clock.seconds += 4
        assert await opened.check() == "a call has had no answer for 4 s"
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert await opened.check() == ""

        stub.behavior = error("ModelError", 424)
        with pytest.raises(RankerFailure):
            await opened.scores([features()])
        assert "ModelError, HTTP 424" in await opened.check()
        stub.behavior = rank_by_confidence
        await opened.scores([features()])
        assert await opened.check() == ""


async def test_after_a_failure_health_and_requests_recover_with_the_next_check(stub: SageMakerStub) -> None:
    clock = Clock()
    async with ranker(stub.url, clock=clock, failure_threshold=1, cool_down_seconds=3_600.0) as opened:
        await opened.scores([features()])
        assert await opened.check() == ""
        assert len(stub.requests) == 1, "an endpoint that works is not called by checks"

        stub.behavior = error("ModelNotReadyException", 429)
        with pytest.raises(RankerFailure):
            await opened.scores([features(name="milk"), features(name="bread")])
        for _ in range(3):
            clock.seconds += CHECK_SECONDS
            assert "ModelNotReadyException" in await opened.check()
            assert "ModelNotReadyException" in await opened.check(), "repeated at once, without a call"
        assert len(stub.requests) == 5
        with pytest.raises(RankerFailure, match="its circuit is open"):
            await opened.scores([features()])

        stub.behavior = rank_by_confidence
        clock.seconds += CHECK_SECONDS
        assert await opened.check() == ""
        assert await opened.scores([features(confidence=50.0)]) == [0.5], "the circuit is closed"


async def test_number_of_checks_that_hang_is_limited(stub: SageMakerStub) -> None:
    clock = Clock()
    async with ranker(stub.url, clock=clock, timeout_seconds=0.2) as opened:
        stub.behavior = stub.hang
        with pytest.raises(RankerFailure):
            await opened.scores([features()])
        for _ in range(5):
            clock.seconds += CHECK_SECONDS
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await opened.check()
        assert len(stub.requests) == 3, "the request and two checks"
