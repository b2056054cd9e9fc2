"""Scores many items on SageMaker through S3: by asynchronous inference or by a batch transform job.

Both are operations that go on without us: `start` uploads the items in parts and leaves a small document in S3, from
which any other process can later ask how far it is, wait for it, fetch the scores in the order of the items, or cancel
it.

    s3://bucket/prefix/<id>/operation.json      what was started
    s3://bucket/prefix/<id>/input/00000.jsonl   the parts
    s3://bucket/prefix/<id>/output/…            scores, one line for each item (batch transform)
"""

import contextlib
import dataclasses
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from botocore import exceptions

from pantree_recommendation.backends.bodies import BodyFormat, predictions, request_bodies
from pantree_recommendation.core import ItemFeatures, RankerFailure

PART_BYTES = 16 * 1024 * 1024
"""About the size of a part: progress is counted in parts, and one that fails is all that is lost."""
_SUFFIXES = {BodyFormat.JSON_LINES: "jsonl", BodyFormat.CSV: "csv"}

Kind = Literal["async", "transform"]


class BulkFailure(Exception):
    """A bulk operation cannot go on. The message says what failed and what to do, never a secret."""


@dataclass(frozen=True)
class Part:
    """A part of the items, and where its scores will be."""

    input: str
    """S3 URI."""
    count: int
    """Number of items."""
    output: str
    """S3 URI; exists when the part is done."""
    failure: str = ""
    """S3 URI; exists when the part has failed. Empty where a failure is told otherwise."""


@dataclass(frozen=True)
class Operation:
    """What was started."""

    location: str
    """S3 URI of its folder, by which it is found again."""
    kind: Kind
    target: str
    """Name of the endpoint (async), or of the transform job."""
    body_format: BodyFormat
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Progress:
    """How far an operation is."""

    state: Literal["running", "succeeded", "failed", "cancelled"]
    parts_done: int
    part_count: int
    error: str = ""
    """Why it failed."""

    @property
    def progress_ratio(self) -> float:
        """Share of the parts that are done, 0 to 1; 1 only when all is over well."""
        if self.state == "succeeded":
            return 1.0
        return self.parts_done / self.part_count if self.part_count else 0.0


@dataclass(frozen=True)
class TransformResources:
    """What a batch transform job runs on."""

    model_name: str
    """SageMaker's name of the model: the container's image and its artefact."""
    instance_type: str = "ml.m5.large"
    instance_count: int = 1


class Bulk:
    """Starts bulk operations and follows them."""

    def __init__(self, s3: Any, runtime: Any, sagemaker: Any) -> None:
        """Takes boto3's clients.

        Args:
            s3: of S3.
            runtime: of the SageMaker runtime, for asynchronous inference.
            sagemaker: of SageMaker itself, for batch transform.
        """
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
        part_bytes: int = PART_BYTES,
    ) -> Operation:
        """Uploads the items and starts to score them.

        Args:
            items: at least one.
            location: S3 URI of a new folder for the operation; its last part names the transform job.
            endpoint: name of an endpoint for asynchronous inference; this or `transform` is given.
            transform: what a batch transform job runs on.
            body_format: JSON Lines or CSV, which can be split by line.
            part_bytes: about the size of a part.

        Raises:
            BulkFailure: when S3 or SageMaker refuses.
            ValueError: when there are no items, or the arguments contradict one another.
        """
        if not items:
            raise ValueError("there are no items to score")
        if bool(endpoint) == (transform is not None):
            raise ValueError("give an endpoint for asynchronous inference, or the model of a batch transform job")
        if body_format not in _SUFFIXES:
            raise ValueError(f"{body_format} cannot be split by line; use {' or '.join(_SUFFIXES)}")
        location = location.rstrip("/")
        _, key = _bucket_and_key(location)
        with _told():
            if self._exists(f"{location}/operation.json"):
                raise BulkFailure(f"{location} holds an operation already; give another folder")
            inputs = []
            for number, (body, count) in enumerate(request_bodies(items, body_format, part_bytes)):
                uri = f"{location}/input/{number:05}.{_SUFFIXES[body_format]}"
                self._put(uri, body)
                inputs.append((uri, count))
            if transform is None:
                parts = tuple(self._invoked(endpoint, uri, count, body_format) for uri, count in inputs)
                operation = Operation(location, "async", endpoint, body_format, parts)
            else:
                job = _job_name(key)
                self._transform(job, location, transform, body_format)
                # Batch transform names an output after its input.
                outputs = [f"{uri.replace('/input/', '/output/')}.out" for uri, _ in inputs]
                parts = tuple(Part(uri, count, output) for (uri, count), output in zip(inputs, outputs, strict=True))
                operation = Operation(location, "transform", job, body_format, parts)
            self._put(f"{location}/operation.json", json.dumps(dataclasses.asdict(operation), indent=1).encode())
        return operation

    def find(self, location: str) -> Operation:
        """An operation that was started before, perhaps by somebody else.

        Raises:
            BulkFailure: when there is none.
        """
        with _told():
            content = self._get(f"{location.rstrip('/')}/operation.json")
        try:
            fields = json.loads(content)
            parts = tuple(Part(**part) for part in fields.pop("parts"))
            return Operation(**{**fields, "body_format": BodyFormat(fields["body_format"]), "parts": parts})
        except (ValueError, TypeError, KeyError) as error:
            raise BulkFailure(f"{location}/operation.json holds no operation: {error}") from error

    def progress(self, operation: Operation) -> Progress:
        """How far it is now.

        Raises:
            BulkFailure: when S3 or SageMaker cannot be asked.
        """
        with _told():
            done = sum(self._exists(part.output) for part in operation.parts)
            count = len(operation.parts)
            if operation.kind == "transform":
                return self._progress_of_job(operation, done, count)
            for part in operation.parts:
                if self._exists(part.failure):
                    # What the container said of its input; the model's own words, and the input is the caller's.
                    reason = self._get(part.failure).decode(errors="replace")[:1024]
                    return Progress("failed", done, count, f"{part.input}: {reason}")
            return Progress("succeeded" if done == count else "running", done, count)

    def wait(
        self, operation: Operation, *, every_seconds: float, sleep: Callable[[float], None] = time.sleep
    ) -> Iterator[Progress]:
        """How far it is, again and again, until it is over; the last one tells how it ended.

        Args:
            operation: what is waited for.
            every_seconds: how long to wait between two looks.
            sleep: waits.
        """
        while True:
            progress = self.progress(operation)
            yield progress
            if progress.state != "running":
                return
            sleep(every_seconds)

    def scores(self, operation: Operation) -> list[float]:
        """Scores of all items, in their order.

        Raises:
            BulkFailure: when it has not succeeded, or a part does not hold one usable score for each of its items.
        """
        progress = self.progress(operation)
        if progress.state != "succeeded":
            raise BulkFailure(f"the operation has not succeeded: it is {progress.state} {progress.error}".rstrip())
        scores: list[float] = []
        with _told():
            for part in operation.parts:
                try:
                    scores += predictions(self._get(part.output), part.count, operation.body_format)
                except RankerFailure as failure:
                    raise BulkFailure(f"{part.output}: {failure}") from failure
        return scores

    def cancel(self, operation: Operation) -> None:
        """Stops a batch transform job.

        Raises:
            BulkFailure: for asynchronous inference, which AWS cannot cancel, or when the job is over.
        """
        if operation.kind == "async":
            raise BulkFailure("asynchronous inference cannot be cancelled; what is queued runs or expires")
        with _told():
            self._sagemaker.stop_transform_job(TransformJobName=operation.target)

    def _invoked(self, endpoint: str, uri: str, count: int, body_format: BodyFormat) -> Part:
        response = self._runtime.invoke_endpoint_async(
            EndpointName=endpoint, InputLocation=uri, ContentType=body_format, Accept=body_format
        )
        return Part(uri, count, response["OutputLocation"], response.get("FailureLocation", ""))

    def _transform(self, job: str, location: str, resources: TransformResources, body_format: BodyFormat) -> None:
        self._sagemaker.create_transform_job(
            TransformJobName=job,
            ModelName=resources.model_name,
            # Lines are gathered up to the limit, and the scores of each file come in the order of its lines.
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
                    return Progress("failed", done, count, f"the job is over, but there is no {missing[0]}")
                return Progress("succeeded", count, count)
            case "Failed":
                return Progress("failed", done, count, str(job.get("FailureReason", "SageMaker gives no reason")))
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
def _told() -> Iterator[None]:
    """Turns what boto3 raises into what callers are told."""
    try:
        yield
    except exceptions.ClientError as error:
        # AWS's own message names accounts and roles.
        code = str(error.response.get("Error", {}).get("Code", "unknown error"))
        raise BulkFailure(f"AWS refused {error.operation_name} ({code}); check names and permissions") from error
    except exceptions.BotoCoreError as error:
        raise BulkFailure(f"AWS cannot be asked ({type(error).__name__}); check credentials and network") from error


def _bucket_and_key(uri: str) -> tuple[str, str]:
    match = re.fullmatch(r"s3://([^/]+)/(.+)", uri)
    if match is None:
        raise ValueError(f"{uri!r} is no place in S3; give s3://bucket/folder")
    return match[1], match[2]


def _job_name(key: str) -> str:
    """Name of the transform job: the last part of the folder, as SageMaker's rules allow."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", key.rsplit("/", 1)[-1]).strip("-")[:63].strip("-")
    if not name:
        raise ValueError("the folder's name must have a letter or a digit, since the job is named after it")
    return name
