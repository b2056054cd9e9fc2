"""boto3 behind a port: one call to a SageMaker endpoint, and what its failures mean.

| what came | asked again | since |
|---|---|---|
| ValidationError 400 | no | the request or the endpoint's name is wrong |
| ModelError 424 | no | the model ran and failed; it would again |
| ModelNotReadyException 429 | no | loading takes longer than a request waits |
| InternalFailure 500 | yes | passes |
| ServiceUnavailable 503 | yes | passes |
| InternalDependencyException 530 | no | AWS says: contact support |
| ThrottlingException, too many requests | yes | passes |
| no connection | yes | nobody was asked |
| connection dropped before an answer | yes | scoring changes nothing, and a kept connection may have gone stale |
| read timeout, answer cut off | no | the model has run, or still does: asking again would double its work |
"""

import contextlib
import re
from typing import Any, Protocol

import boto3
from botocore import exceptions
from botocore.config import Config

from pantree_recommendation.backends.bodies import MAX_BODY_BYTES, BodyFormat

_CHUNK_BYTES = 1 << 20

# The errors that the API documents, and what helps. What SageMaker says itself is not passed on: it names accounts.
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
_REMEDIES = {
    "ValidationError": "it refused the request; check SAGEMAKER_ENDPOINT, AWS_REGION and what the model takes",
    "ModelError": "the model in the endpoint failed; the endpoint's log tells why",
    "ModelNotReadyException": "the model is still being loaded; ask again later",
    "InternalFailure": "it failed by itself; ask again later",
    "ServiceUnavailable": "it is overloaded or down; ask again later",
    "InternalDependencyException": "something that it depends on failed; ask again later",
    "ThrottlingException": "it gets more requests than it is allowed to; ask again later",
}
_PASSING = {"InternalFailure", "ServiceUnavailable", "ThrottlingException", "TooManyRequestsException"}
# Of a proxy, or of SageMaker under another name. Not 504: something behind has been waited for already.
_PASSING_STATUSES = {500, 502, 503}


class EndpointFailure(Exception):
    """An endpoint gave no answer. The message goes to callers: what failed and what to do, never a secret."""

    def __init__(self, message: str, *, is_passing: bool = False) -> None:
        super().__init__(message)
        self.is_passing = is_passing
        """Whether asking again may help, and does not make the model work twice on what it has been asked already."""


class Endpoint(Protocol):
    """A model behind an endpoint."""

    @property
    def name(self) -> str:
        """Its name."""

    def invoke(self, body: bytes, body_format: BodyFormat) -> bytes:
        """Body of the answer to a request, in the same format; blocks.

        Raises:
            EndpointFailure: when there is none.
        """

    def close(self) -> None:
        """Lets go of the connections."""


def open_client(
    *,
    region: str,
    url: str | None = None,
    access_key_id: str | None = None,
    secret_access_key: str | None = None,
    session_token: str | None = None,
    connect_timeout_seconds: float,
    read_timeout_seconds: float,
    max_calls: int,
    service: str = "sagemaker-runtime",
) -> Any:
    """Client of an AWS service, the SageMaker runtime unless told otherwise. Takes a moment: not for the event loop.

    It asks once: whether to ask again is decided by whoever calls, since botocore repeats read timeouts, too.

    Args:
        region: AWS region.
        url: where the service is; AWS's own address when None.
        access_key_id: credentials; the ordinary AWS chain when None.
        secret_access_key: goes with `access_key_id`.
        session_token: goes with temporary credentials.
        connect_timeout_seconds: how long an attempt may take to connect.
        read_timeout_seconds: how long an attempt may wait for the next bytes.
        max_calls: connections that are kept.
        service: AWS's name for the service.

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
            service,
            endpoint_url=url,
            # All stated: botocore's defaults have changed between versions.
            config=Config(
                connect_timeout=connect_timeout_seconds,
                read_timeout=read_timeout_seconds,
                retries={"mode": "standard", "total_max_attempts": 1},
                max_pool_connections=max_calls,
            ),
        )
    except (exceptions.BotoCoreError, ValueError) as error:
        raise OSError(f"the SageMaker client cannot be set up: {error}") from error


class BotoEndpoint:
    """An endpoint asked through boto3."""

    def __init__(self, client: Any, name: str, *, target_variant: str = "", inference_component: str = "") -> None:
        """Takes what it asks with.

        Args:
            client: from `open_client`; closed by `close`.
            name: name of the endpoint.
            target_variant: variant that is to answer; the endpoint chooses when empty.
            inference_component: component that is to answer; for endpoints that host several.
        """
        self.name = name
        self._client = client
        self._target = {
            parameter: value
            for parameter, value in (
                ("TargetVariant", target_variant),
                ("InferenceComponentName", inference_component),
            )
            if value
        }

    def invoke(self, body: bytes, body_format: BodyFormat) -> bytes:
        """Body of the answer; blocks.

        Raises:
            EndpointFailure: when there is none.
        """
        try:
            response = self._client.invoke_endpoint(
                EndpointName=self.name, ContentType=body_format, Accept=body_format, Body=body, **self._target
            )
            with contextlib.closing(response["Body"]) as stream:
                return _all_of(stream)
        except exceptions.ClientError as error:
            raise _refusal(error) from error
        except exceptions.BotoCoreError as error:
            raise _obstacle(error) from error

    def close(self) -> None:
        """Lets go of the connections."""
        self._client.close()


def _all_of(stream: Any) -> bytes:
    """All bytes of an answer. Reading on to the end is what lets botocore notice an answer that was cut off."""
    chunks: list[bytes] = []
    size = 0
    while chunk := stream.read(_CHUNK_BYTES):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise EndpointFailure(f"its answer is larger than {MAX_BODY_BYTES:,} bytes")
    return b"".join(chunks)


def _refusal(error: exceptions.ClientError) -> EndpointFailure:
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
    is_passing = code in _PASSING or (code not in _REMEDIES and status in _PASSING_STATUSES)
    return EndpointFailure(f"{remedy} ({shown}, HTTP {status})", is_passing=is_passing)


def _obstacle(error: exceptions.BotoCoreError) -> EndpointFailure:
    """What came between this machine and SageMaker."""
    match error:
        case exceptions.NoCredentialsError() | exceptions.PartialCredentialsError():
            return EndpointFailure(
                "there are no AWS credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a role"
            )
        case exceptions.ReadTimeoutError():
            return EndpointFailure("it took too long")
        case exceptions.IncompleteReadError() | exceptions.ResponseStreamingError():
            return EndpointFailure("its answer was cut off")
        case exceptions.ConnectTimeoutError() | exceptions.EndpointConnectionError():
            return EndpointFailure("it cannot be reached; check AWS_REGION and the network", is_passing=True)
        case exceptions.SSLError():
            return EndpointFailure("its certificate is not trusted; check the URL and the authorities")
        case exceptions.ConnectionError() | exceptions.ConnectionClosedError():
            return EndpointFailure(f"the connection failed ({type(error).__name__})", is_passing=True)
        case _:
            return EndpointFailure(f"the connection failed ({type(error).__name__})")
