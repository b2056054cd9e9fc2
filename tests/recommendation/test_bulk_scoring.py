"""Bulk scoring with real boto3, moto's S3 and SageMaker, and the real container."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.stub import Stubber
from moto import mock_aws
from moto.sagemaker.models import sagemaker_backends

from pantree_recommendation.backends.bodies import BodyFormat, items_of, request_bodies
from pantree_recommendation.backends.embedded import EmbeddedRanker
from pantree_recommendation.core.ranking import ItemFeatures
from pantree_recommendation.sagemaker.__main__ import main
from pantree_recommendation.sagemaker.bulk_scoring import BulkFailure, BulkScoring, Operation, TransformResources
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

REGION, ACCOUNT = "us-west-2", "123456789012"
LOCATION = "s3://bucket/bulk/monday"
RESOURCES = TransformResources("pantree-ranker")


@pytest.fixture(scope="module")
def running() -> Iterator[ContainerProcess]:
    with container() as started:
        yield started


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AWS simulated by moto, with a bucket and a model."""
    for name, value in (("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", SECRET), ("AWS_REGION", REGION)):
        monkeypatch.setenv(name, value)
    with mock_aws():
        boto3.client("s3", region_name=REGION).create_bucket(
            Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        boto3.client("sagemaker", region_name=REGION).create_model(
            ModelName="pantree-ranker", ExecutionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/sagemaker"
        )
        yield


@pytest.fixture
def bulk(aws: None) -> BulkScoring:
    return BulkScoring(*(boto3.client(name, region_name=REGION) for name in ("s3", "sagemaker-runtime", "sagemaker")))


def items(count: int) -> list[ItemFeatures]:
    return [features(cadence_probability=number / count, name=f"Item {number}") for number in range(count)]


def set_status(job: str, status: str, reason: str = "") -> None:
    """Sets the status of moto's job, which is completed at once."""
    known = sagemaker_backends[ACCOUNT][REGION].transform_jobs[job]
    known.transform_job_status, known.failure_reason = status, reason


async def transform(job: str, container_url: str, *, parts: slice = slice(None)) -> None:
    """Runs some parts of a batch transform job like SageMaker: lines in payloads, one output per input."""
    await until_loaded(container_url)
    s3 = boto3.client("s3", region_name=REGION)
    description = boto3.client("sagemaker", region_name=REGION).describe_transform_job(TransformJobName=job)
    given, wanted = description["TransformInput"], description["TransformOutput"]
    assert (given["SplitType"], wanted["AssembleWith"]) == ("Line", "Line")
    prefix = given["DataSource"]["S3DataSource"]["S3Uri"].removeprefix("s3://bucket/")
    listed = s3.list_objects_v2(Bucket="bucket", Prefix=prefix)["Contents"]
    async with httpx.AsyncClient(base_url=container_url, timeout=30) as client:
        for key in sorted(entry["Key"] for entry in listed)[parts]:
            lines = s3.get_object(Bucket="bucket", Key=key)["Body"].read().splitlines(keepends=True)
            outputs = []
            for begin in range(0, len(lines), 7):
                response = await client.post(
                    "/invocations",
                    content=b"".join(lines[begin : begin + 7]),
                    headers={"content-type": given["ContentType"], "accept": wanted["Accept"]},
                )
                assert response.status_code == 200
                outputs.append(response.content)
            target = f"{wanted['S3OutputPath'].removeprefix('s3://bucket/')}/{key.rsplit('/', 1)[-1]}.out"
            s3.put_object(Bucket="bucket", Key=target, Body=b"".join(outputs))


@pytest.mark.parametrize("body_format", [BodyFormat.JSON_LINES, BodyFormat.CSV])
async def test_batch_transform_returns_the_embedded_scores_in_order(
    bulk: BulkScoring, running: ContainerProcess, body_format: BodyFormat
) -> None:
    sent = items(300)
    started = bulk.start(sent, LOCATION, transform=RESOURCES, body_format=body_format, part_bytes=9_000)
    assert len(started.parts) > 2
    set_status("monday", "InProgress")
    operation = bulk.find(LOCATION)  # like another process
    assert operation == started
    assert bulk.progress(operation).state == "running"
    assert bulk.progress(operation).progress_ratio == 0
    await transform("monday", running.url, parts=slice(1))
    assert bulk.progress(operation).progress_ratio == 1 / len(started.parts)
    await transform("monday", running.url, parts=slice(1, None))
    assert bulk.progress(operation).state == "running"  # SageMaker has not completed the job
    with pytest.raises(BulkFailure, match="must have succeeded; it is running"):
        bulk.scores(operation)
    set_status("monday", "Completed")
    assert (bulk.progress(operation).state, bulk.progress(operation).progress_ratio) == ("succeeded", 1.0)
    assert bulk.scores(operation) == list(await EmbeddedRanker().scores(sent))


def test_job_settings_keep_the_order(bulk: BulkScoring) -> None:
    bulk.start(items(3), LOCATION, transform=TransformResources("pantree-ranker", "ml.c5.large", 2))
    job = boto3.client("sagemaker", region_name=REGION).describe_transform_job(TransformJobName="monday")
    assert (job["BatchStrategy"], job["MaxPayloadInMB"]) == ("MultiRecord", 6)
    assert job["TransformResources"] == {"InstanceType": "ml.c5.large", "InstanceCount": 2}
    assert job["TransformInput"]["ContentType"] == job["TransformOutput"]["Accept"] == "application/jsonlines"


@pytest.mark.parametrize(
    ("status", "reason", "state", "expected"),
    [
        ("Failed", "ClientError: see the log", "failed", "ClientError: see the log"),
        ("Stopped", "", "cancelled", ""),
        ("Stopping", "", "running", ""),
        ("Completed", "", "failed", f"the job has ended, but there is no {LOCATION}/output/00000.jsonl.out"),
    ],
)
def test_end_of_a_job_is_reported(bulk: BulkScoring, status: str, reason: str, state: str, expected: str) -> None:
    operation = bulk.start(items(3), LOCATION, transform=RESOURCES)
    set_status("monday", status, reason)
    progress = bulk.progress(operation)
    assert (progress.state, progress.error, progress.progress_ratio) == (state, expected, 0.0)


def test_job_can_be_canceled(bulk: BulkScoring) -> None:
    operation = bulk.start(items(3), LOCATION, transform=RESOURCES)
    sagemaker = boto3.client("sagemaker", region_name=REGION)
    with Stubber(sagemaker) as stubber:  # moto does not implement StopTransformJob
        stubber.add_response("stop_transform_job", {}, {"TransformJobName": "monday"})
        BulkScoring(boto3.client("s3", region_name=REGION), None, sagemaker).cancel(operation)
        stubber.assert_no_pending_responses()
    with Stubber(sagemaker) as stubber:
        stubber.add_client_error("stop_transform_job", "ValidationException", f"job of {ACCOUNT} has ended", 400)
        with pytest.raises(BulkFailure, match=r"^AWS rejected StopTransformJob \(ValidationException\)"):
            BulkScoring(None, None, sagemaker).cancel(operation)


async def test_wait_yields_progress_until_the_end(bulk: BulkScoring, running: ContainerProcess) -> None:
    operation = bulk.start(items(60), LOCATION, transform=RESOURCES, part_bytes=8_000)
    set_status("monday", "InProgress")
    count = len(operation.parts)
    checks = bulk.wait(operation, every_seconds=0, sleep=lambda _: None)
    assert next(checks).progress_ratio == 0
    await transform("monday", running.url, parts=slice(count - 1))
    assert next(checks).progress_ratio == (count - 1) / count
    await transform("monday", running.url)
    set_status("monday", "Completed")
    assert [progress.state for progress in checks] == ["succeeded"]


def test_wrong_number_of_scores_is_rejected(bulk: BulkScoring) -> None:
    operation = bulk.start(items(3), LOCATION, transform=RESOURCES)
    boto3.client("s3", region_name=REGION).put_object(
        Bucket="bucket", Key="bulk/monday/output/00000.jsonl.out", Body=b'{"prediction":0.5}\n'
    )
    with pytest.raises(BulkFailure, match="returned 1 predictions for 3 items"):
        bulk.scores(operation)


def test_location_cannot_be_used_twice(bulk: BulkScoring) -> None:
    bulk.start(items(3), LOCATION, transform=RESOURCES)
    with pytest.raises(BulkFailure, match="already has an operation"):
        bulk.start(items(3), LOCATION, transform=RESOURCES)


@pytest.mark.parametrize(
    ("sent", "location", "options", "expected"),
    [
        ([], LOCATION, {"endpoint": "e"}, "no items"),
        (items(1), "bucket/bulk", {"endpoint": "e"}, "must be an S3 URI"),
        (items(1), LOCATION, {}, "use either an endpoint"),
        (items(1), LOCATION, {"endpoint": "e", "transform": RESOURCES}, "use either an endpoint"),
        (items(1), LOCATION, {"endpoint": "e", "body_format": BodyFormat.JSON}, "cannot be split by line"),
        (items(1), "s3://bucket/ü", {"transform": RESOURCES}, "must have a letter or a digit"),
    ],
)
def test_invalid_arguments_are_rejected(
    bulk: BulkScoring, sent: list[ItemFeatures], location: str, options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        bulk.start(sent, location, **options)


@pytest.mark.parametrize(
    ("location", "expected"),
    [("s3://nobody/bulk/monday", "NoSuchBucket"), (LOCATION, r"AWS rejected GetObject \(NoSuchKey\)")],
)
def test_missing_operation_is_reported_without_account_ids(bulk: BulkScoring, location: str, expected: str) -> None:
    with pytest.raises(BulkFailure, match=expected) as raised:
        bulk.find(location)
    assert ACCOUNT not in str(raised.value)


@pytest.fixture
async def runtime(aws: None, running: ContainerProcess) -> AsyncIterator[Any]:
    """boto3's client of a local runtime with asynchronous inference."""
    await until_loaded(running.url)
    async with serving(runtime_of({"A": running.url}, s3=boto3.client("s3", region_name=REGION))) as url:
        yield boto3.client(
            "sagemaker-runtime",
            region_name=REGION,
            endpoint_url=url,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )


async def end_of(bulk: BulkScoring, operation: Operation) -> str:
    """Final state of an operation."""
    async with asyncio.timeout(60):
        while (progress := await asyncio.to_thread(bulk.progress, operation)).state == "running":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return f"{progress.state} {progress.parts_done}/{progress.part_count} {progress.error}".strip()


async def test_asynchronous_inference_returns_the_embedded_scores_in_order(aws: None, runtime: Any) -> None:
    bulk = BulkScoring(boto3.client("s3", region_name=REGION), runtime, None)
    sent = items(300)
    operation = await asyncio.to_thread(
        lambda: bulk.start(sent, LOCATION, endpoint="subscribe-save", part_bytes=40_000)
    )
    assert operation.kind == "async"
    count = len(operation.parts)
    assert count > 2
    assert await end_of(bulk, operation) == f"succeeded {count}/{count}"
    assert bulk.scores(bulk.find(LOCATION)) == list(await EmbeddedRanker().scores(sent))
    with pytest.raises(BulkFailure, match="cannot be canceled"):
        bulk.cancel(operation)


async def test_failure_of_asynchronous_inference_is_reported(aws: None, runtime: Any) -> None:
    bulk = BulkScoring(boto3.client("s3", region_name=REGION), runtime, None)
    wrong = [features(), features(cadence_probability=2.0)]
    operation = await asyncio.to_thread(lambda: bulk.start(wrong, LOCATION, endpoint="subscribe-save"))
    ended = await end_of(bulk, operation)
    assert ended.startswith(f"failed 0/1 {LOCATION}/input/00000.jsonl: Received client error (400)")
    assert '"position":2' in ended


def lines_file(folder: Path, count: int) -> Path:
    ((body, _),) = request_bodies(items(count), BodyFormat.JSON_LINES)
    path = folder / "items.jsonl"
    path.write_bytes(body)
    return path


async def test_command_line_runs_an_operation(
    aws: None, running: ContainerProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = lines_file(tmp_path, 40)
    assert main(["bulk", "start", str(path), LOCATION, "--model", "pantree-ranker"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "operation": LOCATION, "kind": "transform", "parts": 1, "items": 40
    }  # fmt: skip
    set_status("monday", "InProgress")
    assert main(["bulk", "status", LOCATION]) == 3
    assert json.loads(capsys.readouterr().out)["state"] == "running"
    assert main(["bulk", "fetch", LOCATION, str(tmp_path / "scores.jsonl")]) == 1
    await transform("monday", running.url)
    set_status("monday", "Completed")
    assert main(["bulk", "wait", LOCATION, "--every-seconds", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["progress_ratio"] == 1.0
    assert main(["bulk", "fetch", LOCATION, str(tmp_path / "scores.jsonl")]) == 0
    lines = (tmp_path / "scores.jsonl").read_text().splitlines()
    expected = await EmbeddedRanker().scores(items_of(path.read_bytes(), BodyFormat.JSON_LINES))
    assert [json.loads(line)["prediction"] for line in lines] == list(expected)


def test_command_line_reports_invalid_lines(aws: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = lines_file(tmp_path, 3)
    path.write_bytes(path.read_bytes() + b"?\n" + json.dumps({**dataclasses.asdict(features()), "name": 3}).encode())
    assert main(["bulk", "start", str(path), LOCATION, "--endpoint", "e"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"error: {path}:4: Invalid JSON: expected value at line 1 column 1",
        f"error: {path}:5: name: Input should be a valid string",
    ]
    assert main(["bulk", "start", str(tmp_path / "items.parquet"), LOCATION, "--endpoint", "e"]) == 1
    assert "must be a file of type .jsonl or .csv" in capsys.readouterr().err


def test_invalid_operation_is_reported_with_the_field(bulk: BulkScoring) -> None:
    boto3.client("s3", region_name=REGION).put_object(
        Bucket="bucket", Key="bulk/monday/operation.json", Body=b'{"location": 1}'
    )
    with pytest.raises(BulkFailure, match=r"operation\.json is invalid: location: Input should be a valid string"):
        bulk.find(LOCATION)
