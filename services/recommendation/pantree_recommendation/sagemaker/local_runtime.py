"""A SageMaker runtime for tests and demos, which verifies boto3's signatures and forwards requests to a container.

It serves `POST /endpoints/{name}/invocations`, and `…/async-invocations` if it has an S3 client. Errors have the format
that AWS documents, and SageMaker's limits apply: bodies of 6,291,456 bytes and 60 s for the model. Any response of the
container other than 200 becomes a `ModelError` 424.
"""

import asyncio
import contextlib
import datetime
import hashlib
import hmac
import re
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pantree_recommendation.backends.bodies import MAX_BODY_BYTES

_MAX_CLOCK_SKEW = datetime.timedelta(minutes=15)
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<day>\d{8})/(?P<region>[a-z0-9-]+)/sagemaker/aws4_request, "
    r"SignedHeaders=(?P<headers>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)
_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


class AwsError(Exception):
    """An error of the runtime, in AWS's format."""

    def __init__(self, code: str, status: int, message: str, more: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.more = dict(more or {})

    def response(self) -> Response:
        """Response that boto3 raises as an exception with this code."""
        content = {"Message": str(self), **self.more}
        return JSONResponse(content, self.status, headers={"x-amzn-ErrorType": self.code})


class LocalRuntime:
    """The runtime as an ASGI application.

    Args:
        endpoints: URL of the container of each variant, by name of the endpoint; the first variant is the default.
        secrets: secret access key of each access key id.
        s3: boto3's client of S3 for asynchronous inference; None to disable it.
        model_seconds: timeout of the model.
        now: the current time, to verify signatures.
    """

    def __init__(
        self,
        endpoints: Mapping[str, Mapping[str, str]],
        secrets: Mapping[str, str],
        *,
        s3: Any = None,
        model_seconds: float = 60.0,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        self._endpoints = endpoints
        self._secrets = secrets
        self._s3 = s3
        self._now = now
        self._containers = httpx.AsyncClient(timeout=model_seconds, trust_env=False)
        self._jobs: set[asyncio.Task[None]] = set()

    def app(self) -> Starlette:
        """The application."""
        return Starlette(
            routes=[
                Route("/endpoints/{name}/invocations", self._invocations, methods=["POST"]),
                Route("/endpoints/{name}/async-invocations", self._async_invocations, methods=["POST"]),
            ],
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        async with self._containers:
            yield
            for job in self._jobs:
                job.cancel()

    async def _invocations(self, request: Request) -> Response:
        try:
            body = await self._verified_body(request)
            if len(body) > MAX_BODY_BYTES:
                raise AwsError("ValidationError", 400, f"the body has more than {MAX_BODY_BYTES} bytes")
            variant, url = self._variant(request)
            response = await self._invoke(url, body, request.headers)
        except AwsError as failure:
            return failure.response()
        headers = {"x-Amzn-Invoked-Production-Variant": variant}
        if _ATTRIBUTES in response.headers:
            headers[_ATTRIBUTES] = response.headers[_ATTRIBUTES]
        return Response(response.content, media_type=response.headers.get("content-type"), headers=headers)

    async def _async_invocations(self, request: Request) -> Response:
        try:
            await self._verified_body(request)
            _, url = self._variant(request)
            if self._s3 is None:
                raise AwsError("ValidationError", 400, "this endpoint is not configured for asynchronous inference")
            location = request.headers.get("X-Amzn-SageMaker-InputLocation", "")
            match = re.fullmatch(r"s3://([^/]+)/(.+)", location)
            if match is None:
                raise AwsError("ValidationError", 400, "InputLocation must be an S3 URI")
        except AwsError as failure:
            return failure.response()
        bucket, key = match.groups()
        number = uuid.uuid4().hex
        output_key, failure_key = f"async-outputs/{number}.out", f"async-outputs/{number}-error.out"
        job = asyncio.create_task(self._run(url, bucket, key, output_key, failure_key, dict(request.headers)))
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        headers = {
            "X-Amzn-SageMaker-OutputLocation": f"s3://{bucket}/{output_key}",
            "X-Amzn-SageMaker-FailureLocation": f"s3://{bucket}/{failure_key}",
        }
        return JSONResponse({"InferenceId": number}, 202, headers=headers)

    async def _run(
        self, url: str, bucket: str, key: str, output_key: str, failure_key: str, headers: Mapping[str, str]
    ) -> None:
        """Runs an asynchronous inference."""
        # An asynchronous request has no body; these headers describe the object in S3 and the response.
        model_headers = {
            "content-type": headers.get("x-amzn-sagemaker-content-type", "application/json"),
            "accept": headers.get("x-amzn-sagemaker-accept", "*/*"),
        }
        try:
            body = await asyncio.to_thread(lambda: self._s3.get_object(Bucket=bucket, Key=key)["Body"].read())
            response = await self._invoke(url, body, model_headers)
            result_key, content = output_key, response.content
        except AwsError as failure:
            result_key, content = failure_key, str(failure).encode()
        await asyncio.to_thread(lambda: self._s3.put_object(Bucket=bucket, Key=result_key, Body=content))

    async def _verified_body(self, request: Request) -> bytes:
        body = await request.body()
        verify(request, body, self._secrets, self._now())
        return body

    def _variant(self, request: Request) -> tuple[str, str]:
        """Name and URL of the requested variant."""
        name = request.path_params["name"]
        variants = self._endpoints.get(name)
        if variants is None:
            raise AwsError("ValidationError", 400, f"Endpoint {name} not found.")
        wanted = request.headers.get("X-Amzn-SageMaker-Target-Variant") or request.headers.get(
            "X-Amzn-SageMaker-Inference-Component"
        )
        variant = wanted or next(iter(variants))
        if variant not in variants:
            raise AwsError("ValidationError", 400, f"Variant or component {variant} of endpoint {name} not found.")
        return variant, variants[variant]

    async def _invoke(self, url: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """Response of the container with status 200.

        Raises:
            AwsError: for any other outcome.
        """
        forwarded = {name: headers[name] for name in ("content-type", "accept") if name in headers}
        try:
            response = await self._containers.post(f"{url}/invocations", content=body, headers=forwarded)
        except httpx.ConnectError:
            raise AwsError("ServiceUnavailable", 503, "no instance of the model is in service") from None
        except httpx.TimeoutException:
            raise _model_error(0, "Your invocation timed out while waiting for a response from container.") from None
        except httpx.HTTPError as error:
            raise _model_error(0, f"The container ended the connection ({type(error).__name__}).") from None
        if response.status_code != 200:
            raise _model_error(response.status_code, response.text[:1024])
        return response


def verify(request: Request, body: bytes, secrets: Mapping[str, str], now: datetime.datetime) -> None:
    """Verifies the AWS signature (version 4) of a request; `secrets` are the secret access keys by access key id.

    Raises:
        AwsError: when the signature is missing, unknown, expired or wrong.
    """
    given = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    if given is None:
        raise AwsError("MissingAuthenticationTokenException", 403, "Missing Authentication Token")
    secret = secrets.get(given["key"])
    if secret is None:
        raise AwsError("UnrecognizedClientException", 403, "The security token included in the request is invalid.")
    timestamp = request.headers.get("x-amz-date", "")
    if not _is_recent(timestamp, now) or not timestamp.startswith(given["day"]):
        raise AwsError("InvalidSignatureException", 403, "Signature expired or not of the day it names.")
    names = given["headers"].split(";")
    digest = hashlib.sha256(body).hexdigest()
    if "host" not in names or request.headers.get("x-amz-content-sha256", digest) != digest:
        raise AwsError("InvalidSignatureException", 403, "The host or the body is not what was signed.")
    signed = AWSRequest(
        method=request.method,
        url=f"http://{request.headers['host']}{request.url.path}",
        params=dict(request.query_params),
        headers={name: request.headers.get(name, "") for name in names},
        data=body,
    )
    signed.context["timestamp"] = timestamp
    signer = SigV4Auth(Credentials(given["key"], secret), "sagemaker", given["region"])
    expected = signer.signature(signer.string_to_sign(signed, signer.canonical_request(signed)), signed)
    if not hmac.compare_digest(expected, given["signature"]):
        raise AwsError(
            "InvalidSignatureException",
            403,
            "The request signature we calculated does not match the signature you provided.",
        )


def _is_recent(timestamp: str, now: datetime.datetime) -> bool:
    try:
        at = datetime.datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
    except ValueError:
        return False
    return abs(now - at) <= _MAX_CLOCK_SKEW


def _model_error(status: int, message: str) -> AwsError:
    return AwsError(
        "ModelError",
        424,
        f"Received {'server' if status >= 500 or not status else 'client'} error ({status}) from model: {message}",
        {"OriginalStatusCode": status, "OriginalMessage": message, "LogStreamArn": ""},
    )
