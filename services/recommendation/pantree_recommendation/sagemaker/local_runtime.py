"""A SageMaker runtime for tests and demos: checks what boto3 signed and forwards it to a running container.

What it speaks: `POST /endpoints/{name}/invocations`, and `…/async-invocations` where it is given an S3 client. Errors
come in the shapes that AWS documents. It holds what SageMaker holds: the limit of 6,291,456 bytes, 60 s for the model,
and `ModelError` 424 around whatever the container answers besides 200.
"""

import asyncio
import contextlib
import datetime
import hashlib
import hmac
import re
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
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

MODEL_SECONDS = 60.0
"""How long a model may take."""
_MOST_SKEW = datetime.timedelta(minutes=15)
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<day>\d{8})/(?P<region>[a-z0-9-]+)/sagemaker/aws4_request, "
    r"SignedHeaders=(?P<headers>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)
_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


class Refusal(Exception):
    """An error of the runtime, in AWS's shape."""

    def __init__(self, code: str, status: int, message: str, more: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.more = dict(more or {})

    def response(self) -> Response:
        """The answer that boto3 turns into an exception of that name."""
        return JSONResponse(
            {"Message": str(self), **self.more}, self.status, headers={"x-amzn-ErrorType": self.code}
        )  # fmt: skip


@dataclass(frozen=True)
class LocalEndpoint:
    """An endpoint's variants, each with the URL of its container; the first answers unless a request names another."""

    variants: Mapping[str, str]


class LocalRuntime:
    """The runtime as an ASGI application."""

    def __init__(
        self,
        endpoints: Mapping[str, LocalEndpoint],
        secrets: Mapping[str, str],
        *,
        s3: Any = None,
        model_seconds: float = MODEL_SECONDS,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        """Takes what it knows.

        Args:
            endpoints: by name.
            secrets: secret access key of each access key id that may ask.
            s3: boto3's client for S3, for asynchronous inference; without it there is none.
            model_seconds: how long a model may take.
            now: the time, against which signatures are checked.
        """
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
            body = await self._authentic_body(request)
            if len(body) > MAX_BODY_BYTES:
                raise Refusal("ValidationError", 400, f"the body has more than {MAX_BODY_BYTES} bytes")
            variant, url = self._variant(request)
            answer = await self._model_answer(url, body, request.headers)
        except Refusal as refusal:
            return refusal.response()
        headers = {"x-Amzn-Invoked-Production-Variant": variant}
        if _ATTRIBUTES in answer.headers:
            headers[_ATTRIBUTES] = answer.headers[_ATTRIBUTES]
        return Response(answer.content, media_type=answer.headers.get("content-type"), headers=headers)

    async def _async_invocations(self, request: Request) -> Response:
        try:
            await self._authentic_body(request)
            _, url = self._variant(request)
            if self._s3 is None:
                raise Refusal("ValidationError", 400, "this endpoint is not configured for asynchronous inference")
            location = request.headers.get("X-Amzn-SageMaker-InputLocation", "")
            match = re.fullmatch(r"s3://([^/]+)/(.+)", location)
            if match is None:
                raise Refusal("ValidationError", 400, "InputLocation is no S3 URI")
        except Refusal as refusal:
            return refusal.response()
        bucket, key = match.groups()
        number = uuid.uuid4().hex
        output, failure = f"async-outputs/{number}.out", f"async-outputs/{number}-error.out"
        job = asyncio.create_task(self._run(url, bucket, key, output, failure, dict(request.headers)))
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        headers = {
            "X-Amzn-SageMaker-OutputLocation": f"s3://{bucket}/{output}",
            "X-Amzn-SageMaker-FailureLocation": f"s3://{bucket}/{failure}",
        }
        return JSONResponse({"InferenceId": number}, 202, headers=headers)

    async def _run(
        self, url: str, bucket: str, key: str, output: str, failure: str, headers: Mapping[str, str]
    ) -> None:
        """Carries out an asynchronous inference."""
        # An asynchronous request has no body; these say what the object in S3 is, and what the answer is to be.
        asked = {
            "content-type": headers.get("x-amzn-sagemaker-content-type", "application/json"),
            "accept": headers.get("x-amzn-sagemaker-accept", "*/*"),
        }
        try:
            body = await asyncio.to_thread(lambda: self._s3.get_object(Bucket=bucket, Key=key)["Body"].read())
            answer = await self._model_answer(url, body, asked)
            result, content = output, answer.content
        except Refusal as refusal:
            result, content = failure, str(refusal).encode()
        await asyncio.to_thread(lambda: self._s3.put_object(Bucket=bucket, Key=result, Body=content))

    async def _authentic_body(self, request: Request) -> bytes:
        body = await request.body()
        verify(request, body, self._secrets, self._now())
        return body

    def _variant(self, request: Request) -> tuple[str, str]:
        """Name of the variant that is to answer, and its URL."""
        name = request.path_params["name"]
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            raise Refusal("ValidationError", 400, f"Endpoint {name} not found.")
        wanted = request.headers.get("X-Amzn-SageMaker-Target-Variant") or request.headers.get(
            "X-Amzn-SageMaker-Inference-Component"
        )
        variant = wanted or next(iter(endpoint.variants))
        if variant not in endpoint.variants:
            raise Refusal("ValidationError", 400, f"Variant or component {variant} of endpoint {name} not found.")
        return variant, endpoint.variants[variant]

    async def _model_answer(self, url: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """What the container answers with 200.

        Raises:
            Refusal: for everything else.
        """
        passed_on = {name: headers[name] for name in ("content-type", "accept") if name in headers}
        try:
            answer = await self._containers.post(f"{url}/invocations", content=body, headers=passed_on)
        except httpx.ConnectError:
            raise Refusal("ServiceUnavailable", 503, "no instance of the model is in service") from None
        except httpx.TimeoutException:
            raise _model_error(0, "Your invocation timed out while waiting for a response from container.") from None
        except httpx.HTTPError as error:
            raise _model_error(0, f"The container ended the connection ({type(error).__name__}).") from None
        if answer.status_code != 200:
            raise _model_error(answer.status_code, answer.text[:1024])
        return answer


def verify(request: Request, body: bytes, secrets: Mapping[str, str], now: datetime.datetime) -> None:
    """Checks a request's signature, version 4, as AWS does: with the secret, over what arrived.

    Args:
        request: what arrived.
        body: its body.
        secrets: secret access key of each access key id.
        now: the time.

    Raises:
        Refusal: when it is not signed, not by somebody known, not now, or not as it arrived.
    """
    given = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    if given is None:
        raise Refusal("MissingAuthenticationTokenException", 403, "Missing Authentication Token")
    secret = secrets.get(given["key"])
    if secret is None:
        raise Refusal("UnrecognizedClientException", 403, "The security token included in the request is invalid.")
    timestamp = request.headers.get("x-amz-date", "")
    if not _is_recent(timestamp, now) or not timestamp.startswith(given["day"]):
        raise Refusal("InvalidSignatureException", 403, "Signature expired or not of the day it names.")
    names = given["headers"].split(";")
    digest = hashlib.sha256(body).hexdigest()
    if "host" not in names or request.headers.get("x-amz-content-sha256", digest) != digest:
        raise Refusal("InvalidSignatureException", 403, "The host or the body is not what was signed.")
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
        raise Refusal(
            "InvalidSignatureException",
            403,
            "The request signature we calculated does not match the signature you provided.",
        )


def _is_recent(timestamp: str, now: datetime.datetime) -> bool:
    try:
        at = datetime.datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
    except ValueError:
        return False
    return abs(now - at) <= _MOST_SKEW


def _model_error(status: int, message: str) -> Refusal:
    return Refusal(
        "ModelError",
        424,
        f"Received {'server' if status >= 500 or not status else 'client'} error ({status}) from model: {message}",
        {"OriginalStatusCode": status, "OriginalMessage": message, "LogStreamArn": ""},
    )
