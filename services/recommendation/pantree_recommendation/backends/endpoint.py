"""Calls a SageMaker endpoint through boto3. The README lists which failures are retried."""

import contextlib
import re
from dataclasses import dataclass
from typing import Any

import boto3
from botocore import exceptions
from botocore.config import Config

from pantree_recommendation.backends.bodies import MAX_BODY_BYTES, BodyFormat

_CHUNK_BYTES = 1 << 20

# Messages for the documented errors. SageMaker's own messages are not passed on, since they contain account ids.
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
_REMEDIES = {
    "ValidationError": "it rejected the request; check SAGEMAKER_ENDPOINT, AWS_REGION and the input of the model",
    "ModelError": "the model in the endpoint failed; see the endpoint's log",
    "ModelNotReadyException": "the model is still loading; try again later",
    "InternalFailure": "it had an internal error; try again later",
    "ServiceUnavailable": "it is overloaded or down; try again later",
    "InternalDependencyException": "one of its dependencies failed; try again later",
    "ThrottlingException": "it received more requests than its quota allows; try again later",
}
_RETRYABLE = {"InternalFailure", "ServiceUnavailable", "ThrottlingException", "TooManyRequestsException"}
# For other error codes, such as those of a proxy. Not 504: the proxy has already waited for the model.
_RETRYABLE_STATUSES = {500, 502, 503}


class EndpointFailure(Exception):
    """An endpoint returned no response. The message is shown to callers, so it never contains a secret."""

    def __init__(self, message: str, *, is_retryable: bool = False) -> None:
        super().__init__(message)
        self.is_retryable = is_retryable
        """Whether a retry may help and would not make the model process the same request twice."""


@dataclass(frozen=True)
class AwsConnection:
    """Settings of connections to AWS."""

    region: str
    connect_timeout_seconds: float
    read_timeout_seconds: float
    """Between two reads."""
    max_calls: int
    """Size of the connection pool."""
    access_key_id: str | None = None
    """The ordinary AWS chain when None."""
    secret_access_key: str | None = None
    session_token: str | None = None

    def client(self, service: str, url: str | None = None) -> Any:
        """boto3's client of a service; blocks for a moment.

        The client makes one attempt per call. The caller retries, because botocore would also retry read timeouts.

        Raises:
            OSError: when the AWS configuration of this machine is invalid, for example if the profile does not exist.
        """
        try:
            session = boto3.session.Session(
                aws_access_key_id=self.access_key_id,
                aws_secret_access_key=self.secret_access_key,
                aws_session_token=self.session_token,
                region_name=self.region,
            )
            # All explicit: botocore's defaults have changed between versions.
            config = Config(
                connect_timeout=self.connect_timeout_seconds,
                read_timeout=self.read_timeout_seconds,
                retries={"mode": "standard", "total_max_attempts": 1},
                max_pool_connections=self.max_calls,
            )
            return session.client(service, endpoint_url=url, config=config)
        except (exceptions.BotoCoreError, ValueError) as error:
            raise OSError(f"the AWS client cannot be created: {error}") from error


class BotoEndpoint:
    """An endpoint called through boto3's client of `sagemaker-runtime`, which `close` closes."""

    def __init__(self, client: Any, name: str, *, target_variant: str = "", inference_component: str = "") -> None:
        self.name = name
        self._client = client
        target = {"TargetVariant": target_variant, "InferenceComponentName": inference_component}
        self._target = {parameter: value for parameter, value in target.items() if value}

    def invoke(self, body: bytes, body_format: BodyFormat) -> bytes:
        """Body of the response, in the format of the request; blocks.

        Raises:
            EndpointFailure: when there is no response.
        """
        try:
            response = self._client.invoke_endpoint(
                EndpointName=self.name, ContentType=body_format, Accept=body_format, Body=body, **self._target
            )
            with contextlib.closing(response["Body"]) as stream:
                return _read_all(stream)
        except exceptions.ClientError as error:
            raise _service_failure(error) from error
        except exceptions.BotoCoreError as error:
            raise _connection_failure(error) from error

    def close(self) -> None:
        self._client.close()


def _read_all(stream: Any) -> bytes:
    """All bytes of a response. botocore detects truncated responses only when they are read to the end."""
    chunks: list[bytes] = []
    size = 0
    while chunk := stream.read(_CHUNK_BYTES):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise EndpointFailure(f"its response is larger than {MAX_BODY_BYTES:,} bytes")
    return b"".join(chunks)


def _service_failure(error: exceptions.ClientError) -> EndpointFailure:
    """Failure for an error that SageMaker returned."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    remedy = _REMEDIES.get(code)
    if remedy is None and status in (401, 403):
        remedy = "it denied access; check the AWS credentials and the permission sagemaker:InvokeEndpoint"
    is_retryable = code in _RETRYABLE or (code not in _REMEDIES and status in _RETRYABLE_STATUSES)
    # A proxy may return anything as the code.
    shown_code = code if re.fullmatch(r"[A-Za-z]{1,64}", code) else "unknown error"
    message = f"{remedy or 'it rejected the request'} ({shown_code}, HTTP {status})"
    return EndpointFailure(message, is_retryable=is_retryable)


def _connection_failure(error: exceptions.BotoCoreError) -> EndpointFailure:
    """Failure for an error without a response from SageMaker."""
    match error:
        case exceptions.NoCredentialsError() | exceptions.PartialCredentialsError():
            return EndpointFailure(
                "there are no AWS credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a role"
            )
        case exceptions.ReadTimeoutError():
            return EndpointFailure("it took too long")
        case exceptions.IncompleteReadError() | exceptions.ResponseStreamingError():
            return EndpointFailure("its response was cut off")
        case exceptions.ConnectTimeoutError() | exceptions.EndpointConnectionError():
            return EndpointFailure("it cannot be reached; check AWS_REGION and the network", is_retryable=True)
        case exceptions.SSLError():
            return EndpointFailure("its certificate is not trusted; check the URL and the certificate authorities")
        case exceptions.ConnectionError() | exceptions.ConnectionClosedError():
            return EndpointFailure(f"the connection failed ({type(error).__name__})", is_retryable=True)
        case _:
            return EndpointFailure(f"the connection failed ({type(error).__name__})")
