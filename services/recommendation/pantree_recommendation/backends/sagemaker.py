"""Ranks items on a SageMaker endpoint.

Request and answer, one instance per item with the fields of `ItemFeatures`, one score from 0 to 1 per instance:

    {"instances": [{"name": "Bananas", "purchase_count": 8, "mean_interval_days": 7.2, …}, …]}
    {"predictions": [0.83, …]}

What the endpoint says is checked; whatever is wrong with it becomes a `RankerFailure`.
"""

import asyncio
import contextlib
import dataclasses
import json
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import structlog
from botocore import exceptions
from botocore.config import Config

from pantree_recommendation.core import ItemFeatures, ModelName, RankerFailure
from pantree_runtime import telemetry
from pantree_runtime.deadline import LEAST_SECONDS, remaining_seconds

_log = structlog.get_logger(__name__)

# Limit of InvokeEndpoint on the body of a request, and as much as is read of an answer.
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
MAX_BODY_BYTES = 6_291_456
# What is kept of a request's time, so that the embedded model can still answer when SageMaker does not.
SECONDS_KEPT_FOR_FALLBACK = 0.25

_BEFORE, _BETWEEN, _AFTER = b'{"instances":[', b",", b"]}"

# The errors that the API documents, and what helps. What SageMaker says itself is not passed on: it names accounts.
_REMEDIES = {
    "ValidationError": "it refused the request; check SAGEMAKER_ENDPOINT, AWS_REGION and what the model takes",
    "ModelError": "the model in the endpoint failed; the endpoint's log tells why",
    "ModelNotReadyException": "the model is still being loaded; ask again later",
    "InternalFailure": "it failed by itself; ask again later",
    "ServiceUnavailable": "it is overloaded or down; ask again later",
    "InternalDependencyException": "something that it depends on failed; ask again later",
}


def open_client(
    *,
    region: str,
    url: str | None = None,
    access_key_id: str | None = None,
    secret_access_key: str | None = None,
    session_token: str | None = None,
    total_max_attempts: int,
    connect_timeout_seconds: float,
    read_timeout_seconds: float,
    max_calls: int,
) -> Any:
    """Client of the SageMaker runtime. Takes a moment: call it once, off the event loop.

    Args:
        region: AWS region.
        url: where the runtime is; AWS's own address when None.
        access_key_id: credentials; the ordinary AWS chain when None.
        secret_access_key: goes with `access_key_id`.
        session_token: goes with temporary credentials.
        total_max_attempts: attempts per call. botocore repeats connection errors, read timeouts, 500, 502, 503 and 504.
        connect_timeout_seconds: how long an attempt may take to connect.
        read_timeout_seconds: how long an attempt may wait for the next bytes.
        max_calls: connections that are kept.

    Raises:
        OSError: when the AWS configuration of this machine is wrong, such as a profile that does not exist.
    """
    try:
        session = boto3.session.Session(
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret_access_key,
            aws_session_token=session_token,
            region_name=region,
        )
        return session.client(
            "sagemaker-runtime",
            endpoint_url=url,
            # All stated: botocore's defaults have changed between versions.
            config=Config(
                connect_timeout=connect_timeout_seconds,
                read_timeout=read_timeout_seconds,
                retries={"mode": "standard", "total_max_attempts": total_max_attempts},
                max_pool_connections=max_calls,
            ),
        )
    except (exceptions.BotoCoreError, ValueError) as error:
        raise OSError(f"the SageMaker client cannot be set up: {error}") from error


class SageMakerRanker:
    """Scores of a model behind a SageMaker endpoint."""

    source = "sagemaker"

    def __init__(
        self,
        client: Any,
        endpoint: str,
        *,
        timeout_seconds: float,
        max_calls: int,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        """Takes what it asks with.

        Args:
            client: from `open_client`; closed by `close`.
            endpoint: name of the endpoint.
            timeout_seconds: how long a request waits at most, all calls and attempts together.
            max_calls: how many calls run at a time; boto3 blocks a thread for each.
            max_body_bytes: a larger request is sent in parts.
        """
        self.model = ModelName(endpoint, "")
        self._client = client
        self._timeout_seconds = timeout_seconds
        self._max_body_bytes = max_body_bytes
        self._threads = ThreadPoolExecutor(max_calls, thread_name_prefix="sagemaker")

    async def scores(self, items: Sequence[ItemFeatures]) -> Sequence[float]:
        """Score of each item, in the order of the items, 0 to 1.

        Raises:
            RankerFailure: when SageMaker cannot answer, not in time, or not with one usable score per item.
        """
        try:
            async with asyncio.timeout(self._seconds_to_wait()):
                bodies = await asyncio.to_thread(lambda: list(request_bodies(items, self._max_body_bytes)))
                scores: list[float] = []
                for body, count in bodies:
                    loop = asyncio.get_running_loop()
                    with telemetry.outside_call("sagemaker", "InvokeEndpoint"):
                        scores += await loop.run_in_executor(self._threads, self._invoke, body, count)
                return scores
        except TimeoutError:
            failure = RankerFailure("SageMaker did not answer in the time there was")
        except RankerFailure as raised:
            failure = raised
        _log.warning("sagemaker failed", reason=str(failure))
        raise failure

    async def close(self) -> None:
        """Lets go of connections and threads; calls that nobody waits for any more end by their own timeouts."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _seconds_to_wait(self) -> float:
        remaining = remaining_seconds()
        if remaining is None:
            return self._timeout_seconds
        left = remaining - SECONDS_KEPT_FOR_FALLBACK
        if left < LEAST_SECONDS:
            raise RankerFailure("SageMaker was not asked: too little of the request's time was left")
        return min(left, self._timeout_seconds)

    def _invoke(self, body: bytes, count: int) -> list[float]:
        """Scores of the instances in a body; blocks."""
        try:
            response = self._client.invoke_endpoint(
                EndpointName=self.model.name, ContentType="application/json", Accept="application/json", Body=body
            )
            with contextlib.closing(response["Body"]) as stream:
                reply = stream.read(MAX_BODY_BYTES + 1)
        except exceptions.ClientError as error:
            raise RankerFailure(f"SageMaker did not answer: {_refusal(error)}") from error
        except exceptions.BotoCoreError as error:
            raise RankerFailure(f"SageMaker did not answer: {_obstacle(error)}") from error
        return predictions(reply, count)


def request_bodies(items: Sequence[ItemFeatures], max_body_bytes: int = MAX_BODY_BYTES) -> Iterator[tuple[bytes, int]]:
    """Bodies that hold all items in order, each with its number of items; as few bodies as the limit allows.

    Args:
        items: what the model sees.
        max_body_bytes: limit of a body; an item that is over it alone gets a body of its own.
    """
    part: list[bytes] = []
    size = len(_BEFORE) + len(_AFTER)
    for item in items:
        instance = json.dumps(dataclasses.asdict(item), ensure_ascii=False, separators=(",", ":")).encode()
        if part and size + len(_BETWEEN) + len(instance) > max_body_bytes:
            yield _body(part), len(part)
            part, size = [], len(_BEFORE) + len(_AFTER)
        size += len(instance) + (len(_BETWEEN) if part else 0)
        part.append(instance)
    if part:
        yield _body(part), len(part)


def _body(instances: Sequence[bytes]) -> bytes:
    return _BEFORE + _BETWEEN.join(instances) + _AFTER


def predictions(reply: bytes, count: int) -> list[float]:
    """Scores that an endpoint's reply holds.

    Args:
        reply: body of the reply; data that nobody has checked.
        count: number of instances that were sent.

    Raises:
        RankerFailure: when it is no JSON object with `count` numbers from 0 to 1 under `predictions`.
    """
    try:
        content = json.loads(reply)
    except (ValueError, RecursionError):
        raise RankerFailure("SageMaker's model gave no valid JSON; it must answer application/json") from None
    scores = content.get("predictions") if isinstance(content, dict) else None
    if not isinstance(scores, list):
        raise RankerFailure('SageMaker\'s model gave no list of "predictions"')
    if len(scores) != count:
        raise RankerFailure(f"SageMaker's model gave {len(scores):,} predictions for {count:,} items")
    for position, score in enumerate(scores):
        # NaN fails the comparison; a bool would pass it.
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
            raise RankerFailure(f"SageMaker's model gave no number from 0 to 1 for item {position}")
    return [float(score) for score in scores]


def _refusal(error: exceptions.ClientError) -> str:
    """What SageMaker refused with, and what helps."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    remedy = _REMEDIES.get(code)
    if remedy is None:
        denied = status in (401, 403)
        remedy = (
            "it denied access; check the AWS credentials and the permission sagemaker:InvokeEndpoint"
            if denied
            else "it refused the request"
        )
    # What stands in for the code may be anything when a proxy answers.
    shown = code if re.fullmatch(r"[A-Za-z]{1,64}", code) else "no known error"
    return f"{remedy} ({shown}, HTTP {status})"


def _obstacle(error: exceptions.BotoCoreError) -> str:
    """What came between this machine and SageMaker."""
    match error:
        case exceptions.NoCredentialsError() | exceptions.PartialCredentialsError():
            return "there are no AWS credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a role"
        case exceptions.ReadTimeoutError():
            return "it took too long"
        case exceptions.ConnectTimeoutError() | exceptions.EndpointConnectionError():
            return "it cannot be reached; check AWS_REGION and the network"
        case _:
            return f"the connection failed ({type(error).__name__})"
