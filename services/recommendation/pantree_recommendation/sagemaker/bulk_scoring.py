"""Scores many items on SageMaker through S3, by asynchronous inference or by a batch transform job.

`start` uploads the items in parts and writes a description of the operation to S3. With it, any other process can get
the progress, wait for the end, fetch the scores in the order of the items, or cancel the operation.

    s3://bucket/prefix/<id>/operation.json      the operation
    s3://bucket/prefix/<id>/input/00000.jsonl   the parts
    s3://bucket/prefix/<id>/output/…            scores, one line per item (batch transform)
"""

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from botocore import exceptions
from pydantic import TypeAdapter, ValidationError

from pantree_recommendation.backends.bodies import BodyFormat, predictions, request_bodies
from pantree_recommendation.backends.invalid_fields import problems_of
from pantree_recommendation.core.ranking import ItemFeatures, RankerFailure

_SUFFIXES = {BodyFormat.JSON_LINES: "jsonl", BodyFormat.CSV: "csv"}

Kind = Literal["async", "transform"]


class BulkFailure(Exception):
    """A bulk operation failed. The message never contains a secret."""


@dataclass(frozen=True)
class Part:
    """A part of the items and where its scores will be written."""

    input: str
    """S3 URI."""
    count: int
    """Number of items."""
    output: str
    """S3 URI; exists when the part is done."""
    failure: str = ""
    """S3 URI; exists when the part has failed. Empty for a transform job, which reports its own failures."""


@dataclass(frozen=True)
class Operation:
    """A started bulk operation."""

    location: str
    """S3 URI of the operation."""
    kind: Kind
    target: str
    """Name of the endpoint (async) or of the transform job."""
    body_format: BodyFormat
    parts: tuple[Part, ...]


_OPERATION = TypeAdapter(Operation)


@dataclass(frozen=True)
class Progress:
    """Progress of an operation."""

    state: Literal["running", "succeeded", "failed", "cancelled"]
    parts_done: int
    part_count: int
    error: str = ""
    """Why it failed."""

    @property
    def progress_ratio(self) -> float:
        """Share of the parts that are done, 0 to 1; 1 only when the operation has succeeded."""
        if self.state == "succeeded":
            return 1.0
        return self.parts_done / self.part_count if self.part_count else 0.0


@dataclass(frozen=True)
class TransformResources:
    """Model and instances of a batch transform job."""

    model_name: str
    """SageMaker's name of the model: the container image and the model artifact."""
    instance_type: str = "ml.m5.large"
    instance_count: int = 1


class BulkScoring:
    """Starts and monitors bulk operations.

    Args:
        s3: boto3's client of S3.
        runtime: boto3's client of the SageMaker runtime, for asynchronous inference.
        sagemaker: boto3's client of SageMaker, for batch transform.
    """

    def __init__(self, s3: Any, runtime: Any, sagemaker: Any) -> None:
        self._s3 = s3
        self._runtime = runtime
        self._sagemaker = sagemaker

    def start(
        self,
        items: Sequence[ItemFeatures],
        location: str,
        *,
        endpoint: str = "",
        transform: TransformResources | None = None,
        body_format: BodyFormat = BodyFormat.JSON_LINES,
        part_bytes: int = 16 * 1024 * 1024,
    ) -> Operation:
        """Uploads the items and starts scoring them.

        Args:
            items: at least one.
            location: new S3 URI for the operation; its last part is the name of the transform job.
            endpoint: endpoint for asynchronous inference; either this or `transform`.
            transform: model and instances of a batch transform job.
            body_format: JSON Lines or CSV; JSON cannot be split by line.
            part_bytes: maximum size of a part; progress is counted in parts.

        Raises:
            BulkFailure: when S3 or SageMaker rejects the call.
            ValueError: when there are no items or the arguments conflict.
        """
        if not items:
            raise ValueError("there are no items to score")
        if bool(endpoint) == (transform is not None):
            raise ValueError("use either an endpoint for asynchronous inference or the model of a batch transform job")
        if body_format not in _SUFFIXES:
            raise ValueError(f"{body_format} cannot be split by line; use {' or '.join(_SUFFIXES)}")
        location = location.rstrip("/")
        _, key = _bucket_and_key(location)
        with _aws_errors():
            if self._exists(f"{location}/operation.json"):
                raise BulkFailure(f"{location} already has an operation; use another location")
            inputs = []
            for number, (body, count) in enumerate(request_bodies(items, body_format, part_bytes)):
                uri = f"{location}/input/{number:05}.{_SUFFIXES[body_format]}"
                self._put(uri, body)
                inputs.append((uri, count))
            if transform is None:
                parts = tuple(self._invoke(endpoint, uri, count, body_format) for uri, count in inputs)
                operation = Operation(location, "async", endpoint, body_format, parts)
            else:
                job = _job_name(key)
                self._transform(job, location, transform, body_format)
                # Batch transform names an output after its input.
                outputs = [f"{uri.replace('/input/', '/output/')}.out" for uri, _ in inputs]
                parts = tuple(Part(uri, count, output) for (uri, count), output in zip(inputs, outputs, strict=True))
                operation = Operation(location, "transform", job, body_format, parts)
            self._put(f"{location}/operation.json", _OPERATION.dump_json(operation, indent=1))
        return operation

    def find(self, location: str) -> Operation:
        """The operation at a location; another process may have started it.

        Raises:
            BulkFailure: when there is no operation.
        """
        with _aws_errors():
            content = self._get(f"{location.rstrip('/')}/operation.json")
        try:
            return _OPERATION.validate_json(content)
        except ValidationError as error:
            raise BulkFailure(f"{location}/operation.json is invalid: {problems_of(error)}") from error

    def progress(self, operation: Operation) -> Progress:
        """The current progress.

        Raises:
            BulkFailure: when S3 or SageMaker rejects the call.
        """
        with _aws_errors():
            done = sum(self._exists(part.output) for part in operation.parts)
            count = len(operation.parts)
            if operation.kind == "transform":
                return self._progress_of_job(operation, done, count)
            for part in operation.parts:
                if self._exists(part.failure):
                    # Our own container wrote it, so it may be shown to the caller.
                    reason = self._get(part.failure).decode(errors="replace")[:1024]
                    return Progress("failed", done, count, f"{part.input}: {reason}")
            return Progress("succeeded" if done == count else "running", done, count)

    def wait(
        self, operation: Operation, *, every_seconds: float, sleep: Callable[[float], None] = time.sleep
    ) -> Iterator[Progress]:
        """The progress, at the given interval, until the operation ends."""
        while (progress := self.progress(operation)).state == "running":
            yield progress
            sleep(every_seconds)
        yield progress

    def scores(self, operation: Operation) -> list[float]:
        """Scores of all items, in the order of the items.

        Raises:
            BulkFailure: when the operation has not succeeded, or a part does not have one valid score per item.
        """
        progress = self.progress(operation)
        if progress.state != "succeeded":
            raise BulkFailure(f"the operation must have succeeded; it is {progress.state} {progress.error}".rstrip())
        scores: list[float] = []
        with _aws_errors():
            for part in operation.parts:
                try:
                    scores += predictions(self._get(part.output), part.count, operation.body_format)
                except RankerFailure as failure:
                    raise BulkFailure(f"{part.output}: {failure}") from failure
        return scores

    def cancel(self, operation: Operation) -> None:
        """Stops a batch transform job.

        Raises:
            BulkFailure: for asynchronous inference, which AWS cannot cancel, or when the job has ended.
        """
        if operation.kind == "async":
            raise BulkFailure("asynchronous inference cannot be canceled; queued requests run or expire")
        with _aws_errors():
            self._sagemaker.stop_transform_job(TransformJobName=operation.target)

    def _invoke(self, endpoint: str, uri: str, count: int, body_format: BodyFormat) -> Part:
        response = self._runtime.invoke_endpoint_async(
            EndpointName=endpoint, InputLocation=uri, ContentType=body_format, Accept=body_format
        )
        return Part(uri, count, response["OutputLocation"], response.get("FailureLocation", ""))

    def _transform(self, job: str, location: str, resources: TransformResources, body_format: BodyFormat) -> None:
        self._sagemaker.create_transform_job(
            TransformJobName=job,
            ModelName=resources.model_name,
            # Lines are batched up to the limit; the scores of a file are in the order of its lines.
            BatchStrategy="MultiRecord",
            MaxPayloadInMB=6,
            TransformInput={
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"{location}/input/"}},
                "ContentType": body_format,
                "SplitType": "Line",
            },
            TransformOutput={"S3OutputPath": f"{location}/output", "Accept": body_format, "AssembleWith": "Line"},
            TransformResources={
                "InstanceType": resources.instance_type,
                "InstanceCount": resources.instance_count,
            },
        )

    def _progress_of_job(self, operation: Operation, done: int, count: int) -> Progress:
        job = self._sagemaker.describe_transform_job(TransformJobName=operation.target)
        match job["TransformJobStatus"]:
            case "Completed":
                missing = [part.output for part in operation.parts if not self._exists(part.output)]
                if missing:
                    return Progress("failed", done, count, f"the job has ended, but there is no {missing[0]}")
                return Progress("succeeded", count, count)
            case "Failed":
                return Progress("failed", done, count, str(job.get("FailureReason", "SageMaker returned no reason")))
            case "Stopped":
                return Progress("cancelled", done, count)
            case _:  # InProgress, Stopping
                return Progress("running", done, count)

    def _put(self, uri: str, content: bytes) -> None:
        bucket, key = _bucket_and_key(uri)
        self._s3.put_object(Bucket=bucket, Key=key, Body=content)

    def _get(self, uri: str) -> bytes:
        bucket, key = _bucket_and_key(uri)
        return bytes(self._s3.get_object(Bucket=bucket, Key=key)["Body"].read())

    def _exists(self, uri: str) -> bool:
        if not uri:
            return False
        bucket, key = _bucket_and_key(uri)
        try:
            self._s3.head_object(Bucket=bucket, Key=key)
        except exceptions.ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return False
            raise
        return True


@contextlib.contextmanager
def _aws_errors() -> Iterator[None]:
    """Translates the errors of boto3."""
    try:
        yield
    except exceptions.ClientError as error:
        # AWS's own messages contain account ids and roles.
        code = str(error.response.get("Error", {}).get("Code", "unknown error"))
        raise BulkFailure(f"AWS rejected {error.operation_name} ({code}); check names and permissions") from error
    except exceptions.BotoCoreError as error:
        raise BulkFailure(f"AWS cannot be reached ({type(error).__name__}); check credentials and network") from error


def _bucket_and_key(uri: str) -> tuple[str, str]:
    match = re.fullmatch(r"s3://([^/]+)/(.+)", uri)
    if match is None:
        raise ValueError(f"must be an S3 URI such as s3://bucket/prefix; is {uri!r}")
    return match[1], match[2]


def _job_name(key: str) -> str:
    """Name of the transform job: the last part of the location, with the characters that SageMaker allows."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", key.rsplit("/", 1)[-1]).strip("-")[:63].strip("-")
    if not name:
        raise ValueError("the last part of the location must have a letter or a digit: it is the name of the job")
    return name
