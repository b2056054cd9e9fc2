"""End to end without AWS: boto3 → local SageMaker runtime → container process → model."""

import asyncio
import datetime
import os
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore import exceptions
from pydantic import SecretStr
from structlog.testing import capture_logs

from pantree.recommendation.v1 import recommendation_service_pb2 as messages
from pantree.recommendation.v1 import recommendation_service_pb2_grpc as rpc
from pantree_domain.evidence import ModelName
from pantree_recommendation.__main__ import build
from pantree_recommendation.backends import model_artifact
from pantree_recommendation.backends.bodies import BodyFormat
from pantree_recommendation.backends.embedded import EmbeddedRanker
from pantree_recommendation.backends.endpoint import AwsConnection, BotoEndpoint
from pantree_recommendation.backends.sagemaker import SageMakerRanker
from pantree_recommendation.core.calibration import Calibration, Weight
from pantree_recommendation.core.ranking import FEATURES, ItemFeatures, RankerFailure
from pantree_recommendation.core.selection import ModelCard
from pantree_recommendation.settings import RecommendationSettings
from tests.loopback import loopback
from tests.recommendation.container_process import (
    KEY,
    SECRET,
    ContainerProcess,
    container,
    runtime_of,
    serving,
    until_loaded,
)
from tests.recommendation.evidence import features
from tests.recommendation.test_servicer import bananas, request
from tests.tcp import serving_tcp

CALIBRATED = model_artifact.ModelArtifact(
    ModelName("calibrated", "2"),
    Calibration(intercept=0.3, slope=0.7, weights=(Weight("purchase_count", 2.0, 0.5, 0.4),)),
    ModelCard(FEATURES, "test rows"),
)


@pytest.fixture(scope="module")
def default() -> Iterator[ContainerProcess]:
    with container() as running:
        yield running


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerProcess]:
    folder = tmp_path_factory.mktemp("model")
    model_artifact.save(CALIBRATED, folder)
    with container(folder) as running:
        yield running


@pytest.fixture
async def url(default: ContainerProcess, calibrated: ContainerProcess) -> AsyncIterator[str]:
    """URL of a runtime whose endpoint has the default model as variant A and a calibrated one as B."""
    await until_loaded(default.url)
    await until_loaded(calibrated.url)
    async with serving(runtime_of({"A": default.url, "B": calibrated.url})) as runtime:
        yield runtime


def client(url: str, **changes: Any) -> Any:
    options: dict[str, Any] = {
        "region": "us-west-2",
        "access_key_id": KEY,
        "secret_access_key": SECRET,
        "connect_timeout_seconds": 5.0,
        "read_timeout_seconds": 60.0,
        "max_calls": 2,
        **changes,
    }
    return AwsConnection(**options).client("sagemaker-runtime", url)


async def scores(
    url: str, items: list[ItemFeatures], *, endpoint: str = "subscribe-save", **options: Any
) -> list[float]:
    target = {name: options.pop(name) for name in ("target_variant", "inference_component") if name in options}
    ranker = SageMakerRanker(
        BotoEndpoint(client(url), endpoint, **target),
        **{"timeout_seconds": 110.0, "max_calls": 2, "total_max_attempts": 2, "draw": lambda: 0.0, **options},
    )
    try:
        return list(await ranker.scores(items))
    finally:
        await ranker.close()


def varied(count: int) -> list[ItemFeatures]:
    return [
        features(
            cadence_probability=number / count,
            name=f"Item {number}, “fine”",
            consistency_ratio=number % 7 / 7,
            purchase_count=1 + number % 40,
            perishability=("", "days", "weeks", "months")[number % 4],
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("body_format", BodyFormat)
async def test_scores_are_those_of_the_embedded_model(url: str, body_format: BodyFormat) -> None:
    items = varied(500)
    assert await scores(url, items, body_format=body_format) == list(await EmbeddedRanker().scores(items))


async def test_seven_megabytes_are_split_and_keep_their_order(url: str) -> None:
    items = varied(19_000)
    assert await scores(url, items) == list(await EmbeddedRanker().scores(items))


@pytest.mark.parametrize("target", [{"target_variant": "B"}, {"inference_component": "B"}])
async def test_named_variant_answers(url: str, target: dict[str, str]) -> None:
    items = varied(50)
    expected = list(await CALIBRATED.ranker().scores(items))
    assert expected != list(await EmbeddedRanker().scores(items))
    assert await scores(url, items, **target) == expected


def settings(url: str, **changes: Any) -> RecommendationSettings:
    return RecommendationSettings(
        **{
            "sagemaker_endpoint": "subscribe-save",
            "sagemaker_url": url,
            "aws_access_key_id": SecretStr(KEY),
            "aws_secret_access_key": SecretStr(SECRET),
            "aws_session_token": None,
            **changes,
        }
    )


async def recommend(sent: RecommendationSettings) -> messages.RecommendResponse:
    async with loopback(await build(sent)) as channel:
        items = [
            bananas(name=f"Item {number}", category=f"aisle {number % 2}", confidence=80.0 + number)
            for number in range(12)
        ]
        return await rpc.RecommendationServiceStub(channel).Recommend(request(*items))


async def test_service_recommends_the_same_through_sagemaker_and_embedded(url: str) -> None:
    through_sagemaker = await recommend(settings(url))
    embedded = await recommend(RecommendationSettings(sagemaker_endpoint=""))
    assert (through_sagemaker.source, embedded.source) == ("sagemaker", "embedded")
    assert through_sagemaker.fallback_reason == ""
    assert len(embedded.recommendations) == 12
    assert through_sagemaker.recommendations == embedded.recommendations


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sagemaker_endpoint": "another"}, "ValidationError, HTTP 400"),
        ({"sagemaker_variant": "C"}, "ValidationError, HTTP 400"),
        ({"aws_secret_access_key": SecretStr("wrong")}, "InvalidSignatureException, HTTP 403"),
        ({"aws_access_key_id": SecretStr("NOBODY")}, "UnrecognizedClientException, HTTP 403"),
    ],
)
async def test_embedded_model_answers_when_the_runtime_rejects_the_call(
    url: str, changes: dict[str, Any], expected: str
) -> None:
    with capture_logs() as logs:
        response = await recommend(settings(url, **changes))
    assert response.source == "embedded"
    assert response.fallback_reason == RankerFailure.reason
    assert expected in str(logs)
    assert len(response.recommendations) == 12


async def test_stopped_container_is_an_unavailable_service() -> None:
    with container() as running:
        await until_loaded(running.url)
        assert running.stop() == 0
        async with serving(runtime_of({"A": running.url})) as url:
            with pytest.raises(RankerFailure, match=r"after 2 attempts: .*ServiceUnavailable, HTTP 503"):
                await scores(url, [features()])


async def test_container_that_is_still_loading_is_a_model_error(tmp_path: Path) -> None:
    model_artifact.save(model_artifact.default_model(), tmp_path)
    (tmp_path / "model.json").unlink()
    os.mkfifo(tmp_path / "model.json")
    with container(tmp_path) as running:
        async with serving(runtime_of({"A": running.url})) as url:
            with pytest.raises(RankerFailure, match="ModelError, HTTP 424"):
                await scores(url, [features()])


async def test_error_of_the_container_reaches_the_caller_of_boto3(url: str) -> None:
    with pytest.raises(exceptions.ClientError) as raised:
        await asyncio.to_thread(
            lambda: client(url).invoke_endpoint(
                EndpointName="subscribe-save", ContentType="application/jsonlines", Body=b'{"name":1}\n?'
            )
        )
    answer: Any = raised.value.response
    assert (answer["Error"]["Code"], answer["OriginalStatusCode"]) == ("ModelError", 400)
    assert '"position":2' in answer["OriginalMessage"]


async def test_body_above_the_limit_is_rejected(url: str) -> None:
    with pytest.raises(exceptions.ClientError, match="ValidationError"):
        await asyncio.to_thread(
            lambda: client(url).invoke_endpoint(EndpointName="subscribe-save", Body=b" " * 6_291_457)
        )


async def test_model_that_takes_too_long_is_a_model_error() -> None:
    async def accept_and_wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)  # until the runtime gives up
        writer.close()

    async with (
        serving_tcp(accept_and_wait) as port,
        serving(runtime_of({"A": f"http://127.0.0.1:{port}"}, model_seconds=0.2)) as url,
    ):
        with pytest.raises(RankerFailure, match="ModelError, HTTP 424"):
            await scores(url, [features()])


async def test_expired_signature_is_rejected(default: ContainerProcess) -> None:
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=20)
    async with serving(runtime_of({"A": default.url}, now=lambda: later)) as url:
        with pytest.raises(RankerFailure, match="InvalidSignatureException, HTTP 403"):
            await scores(url, [features()])


async def test_changed_body_is_rejected(url: str) -> None:
    changed = client(url)

    def change(request: Any, **_: Any) -> None:
        request.body = request.body.replace(b"Bananas", b"Caviar!")

    changed.meta.events.register("before-send", change)
    with pytest.raises(exceptions.ClientError, match="InvalidSignatureException"):
        await asyncio.to_thread(
            lambda: changed.invoke_endpoint(EndpointName="subscribe-save", Body=b'{"instances": ["Bananas"]}')
        )


async def test_unsigned_request_is_rejected(url: str) -> None:
    async with httpx.AsyncClient() as plain:
        response = await plain.post(f"{url}/endpoints/subscribe-save/invocations", content=b"{}")
    assert response.status_code == 403
    assert response.headers["x-amzn-errortype"] == "MissingAuthenticationTokenException"


def test_command_line_serves_a_runtime_and_prints_how_to_use_it() -> None:
    command = [sys.executable, "-m", "pantree_recommendation.sagemaker", "local", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("SAGEMAKER_ENDPOINT="))
        variables = dict(word.partition("=")[::2] for word in shlex.split(line) if "=" in word)
        client_of_variables = client(
            variables["PANTREE_RECOMMENDATION_SAGEMAKER_URL"],
            access_key_id=variables["AWS_ACCESS_KEY_ID"],
            secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        )
        endpoint = BotoEndpoint(client_of_variables, variables["SAGEMAKER_ENDPOINT"])
        try:
            assert endpoint.invoke(b'{"instances": []}', BodyFormat.JSON) == b'{"predictions":[]}'
        finally:
            endpoint.close()
            process.terminate()
        assert process.wait(30) == 0


def test_command_line_without_a_model_is_an_error(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pantree_recommendation.sagemaker",
        "local",
        "--port",
        "0",
        "--model",
        str(tmp_path),
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert result.returncode == 1
    assert "is there a model in the directory?" in result.stderr
    assert "the container ended" in result.stderr
