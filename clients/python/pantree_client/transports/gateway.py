"""The transport through the gateway, over REST and WebSocket. It needs `pip install 'pantree-client[http]'`."""

import asyncio
import contextlib
import inspect
import json
import random
import re
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import websockets
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message

from pantree.history.v1 import history_service_pb2 as history
from pantree.pipeline.v1 import pipeline_service_pb2 as pipeline
from pantree.simulation.v1 import simulation_service_pb2 as simulation
from pantree.subscription.v1 import subscription_service_pb2 as subscription
from pantree.subscription.v1 import webhook_service_pb2 as webhook
from pantree_client.transports import Secret
from pantree_runtime.deadline import call_timeout
from pantree_runtime.errors import (
    AlreadyExists,
    ComponentUnavailable,
    CustomerErased,
    DeadlineExceeded,
    DeadlineTooShort,
    EtagMismatch,
    FieldViolation,
    InternalError,
    InvalidInput,
    InvalidState,
    NotFound,
    Overloaded,
    PantreeError,
    PermissionDenied,
    QuotaExceeded,
    RequestIdReused,
    StoreMismatch,
    TooLarge,
    Unauthenticated,
)

_TIMEOUT_HEADER = "X-Request-Timeout"
# The gateway reports a deadline itself and says why. The client gives up this much later.
_GRACE_SECONDS = 1.0
# The same as for gRPC channels: pantree_runtime.channel.
_MAX_ATTEMPTS = 4
_INITIAL_BACKOFF_SECONDS = 0.1
_MAX_BACKOFF_SECONDS = 1.0

_ERROR_BY_REASON: Mapping[str, type[PantreeError]] = {
    error.reason: error
    for error in (
        AlreadyExists,
        CustomerErased,
        InvalidState,
        EtagMismatch,
        RequestIdReused,
        QuotaExceeded,
        NotFound,
        StoreMismatch,
        TooLarge,
        DeadlineExceeded,
        DeadlineTooShort,
        Unauthenticated,
        PermissionDenied,
        InternalError,
    )
}
# For other reasons, and for responses of proxies.
_ERROR_BY_STATUS: Mapping[int, type[PantreeError]] = {
    401: Unauthenticated,
    403: PermissionDenied,
    404: NotFound,
    413: TooLarge,
    504: DeadlineExceeded,
}
_UNAVAILABLE_STATUSES = (502, 503)
_PROBLEM_TYPE = "application/problem+json"
_MORE = re.compile(r"and ([0-9,]+) more")
_STATES = {
    "healthy": pipeline.COMPONENT_STATE_SERVING,
    "degraded": pipeline.COMPONENT_STATE_DEGRADED,
    "unavailable": pipeline.COMPONENT_STATE_UNAVAILABLE,
    "disabled": pipeline.COMPONENT_STATE_DISABLED,
}

ResultT = TypeVar("ResultT")
MessageT = TypeVar("MessageT", bound=Message)
_StreamRequest = pipeline.ProcessInput | pipeline.WhatIfInput


class GatewayTransport:
    """Calls the gateway. A call to a gateway or part that is unavailable is retried, up to four attempts in all.

    Args:
        url: URL of the gateway; its path is prepended to every route.
        ssl_context: trusted authorities and client certificate for `https`; the system's authorities if None.
        api_key: sent as `X-API-Key`; None for none.
        token: sent as `Authorization: Bearer`; None for none.
    """

    def __init__(
        self,
        url: str,
        ssl_context: ssl.SSLContext | None = None,
        api_key: Secret | None = None,
        token: Secret | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._ssl_context = ssl_context
        self._credentials = _Credentials(api_key, token)
        self._client: httpx.AsyncClient | None = None

    async def open(self) -> None:
        self._client = httpx.AsyncClient(verify=self._ssl_context or True, timeout=None)  # noqa: S113 # see _Deadline

    async def close(self) -> None:
        """Closes the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def process(self, request: pipeline.ProcessInput, timeout_seconds: float) -> pipeline.ProcessResult:
        document = await self._request("POST", "/api/v1/process", timeout_seconds, json=_to_json(request))
        return _to_message(document, pipeline.ProcessResult())

    async def stream_process(
        self, request: pipeline.ProcessInput, timeout_seconds: float
    ) -> AsyncGenerator[pipeline.StreamProcessResponse]:
        async with aclosing(self._frames("/ws/stream", request, timeout_seconds)) as frames:
            async for frame in frames:
                yield _to_message(frame, pipeline.StreamProcessResponse())

    async def next_basket(self, request: pipeline.NextBasketInput, timeout_seconds: float) -> pipeline.NextBasketResult:
        document = await self._request("POST", "/api/v1/next-basket", timeout_seconds, json=_to_json(request))
        return _to_message(document, pipeline.NextBasketResult())

    async def get_recommendations(
        self, request: pipeline.GetRecommendationsRequest, timeout_seconds: float
    ) -> pipeline.ProcessResult:
        path, rest = _customer_path(request, "recommendations")
        return _to_message(await self._request("GET", path, timeout_seconds, params=rest), pipeline.ProcessResult())

    async def get_next_basket(
        self, request: pipeline.GetNextBasketRequest, timeout_seconds: float
    ) -> pipeline.NextBasketResult:
        path, rest = _customer_path(request, "next-basket")
        return _to_message(await self._request("GET", path, timeout_seconds, params=rest), pipeline.NextBasketResult())

    async def review_subscriptions(
        self, request: pipeline.ReviewSubscriptionsRequest, timeout_seconds: float
    ) -> pipeline.SubscriptionReviews:
        path, rest = _customer_path(request, "subscriptions:review")
        document = await self._request("GET", path, timeout_seconds, params=rest)
        return _to_message(document, pipeline.SubscriptionReviews())

    async def erase_customer(
        self, request: pipeline.EraseCustomerRequest, timeout_seconds: float
    ) -> pipeline.EraseCustomerResponse:
        path, _ = _customer_path(request)
        return _to_message(await self._request("DELETE", path, timeout_seconds), pipeline.EraseCustomerResponse())

    async def append_purchases(
        self, request: history.AppendPurchasesRequest, timeout_seconds: float
    ) -> history.AppendPurchasesResponse:
        path, rest = _customer_path(request, "purchases")
        document = await self._request("POST", path, timeout_seconds, json=rest)
        return _to_message(document, history.AppendPurchasesResponse())

    async def correct_purchases(
        self, request: history.CorrectPurchasesRequest, timeout_seconds: float
    ) -> history.CorrectPurchasesResponse:
        path, rest = _customer_path(request, "purchases:correct")
        document = await self._request("POST", path, timeout_seconds, json=rest)
        return _to_message(document, history.CorrectPurchasesResponse())

    async def merge_customers(
        self, request: history.MergeCustomersRequest, timeout_seconds: float
    ) -> history.MergeCustomersResponse:
        path, rest = _customer_path(request)
        document = await self._request("POST", f"{path}:merge", timeout_seconds, json=rest)
        return _to_message(document, history.MergeCustomersResponse())

    async def list_purchases(
        self, request: history.ListPurchasesRequest, timeout_seconds: float
    ) -> history.ListPurchasesResponse:
        path, rest = _customer_path(request, "purchases")
        document = await self._request("GET", path, timeout_seconds, params=rest)
        return _to_message(document, history.ListPurchasesResponse())

    async def export_customer(
        self, request: history.ExportCustomerRequest, timeout_seconds: float
    ) -> AsyncGenerator[history.ExportCustomerResponse]:
        path, _ = _customer_path(request, "export")
        for line in await self._lines(path, timeout_seconds):
            if line["type"] == "error":
                raise _error_of_problem(line["problem"])
            yield _to_message({line["type"]: line["data"]}, history.ExportCustomerResponse())

    async def create_offer(
        self, request: subscription.CreateOfferRequest, timeout_seconds: float
    ) -> subscription.CreateOfferResponse:
        path, rest = _customer_path(request, "offers")
        document = await self._request("POST", path, timeout_seconds, json=rest)
        return _to_message(document, subscription.CreateOfferResponse())

    async def list_offers(
        self, request: subscription.ListOffersRequest, timeout_seconds: float
    ) -> subscription.ListOffersResponse:
        path, rest = _customer_path(request, "offers")
        document = await self._request("GET", path, timeout_seconds, params=rest)
        return _to_message(document, subscription.ListOffersResponse())

    async def create_subscription(
        self, request: subscription.CreateSubscriptionRequest, timeout_seconds: float
    ) -> subscription.CreateSubscriptionResponse:
        path, rest = _customer_path(request, "subscriptions")
        document = await self._request("POST", path, timeout_seconds, json=rest)
        return _to_message(document, subscription.CreateSubscriptionResponse())

    async def get_subscription(
        self, request: subscription.GetSubscriptionRequest, timeout_seconds: float
    ) -> subscription.GetSubscriptionResponse:
        path, _ = _subscription_path(request)
        document = await self._request("GET", path, timeout_seconds)
        return _to_message(document, subscription.GetSubscriptionResponse())

    async def list_subscriptions(
        self, request: subscription.ListSubscriptionsRequest, timeout_seconds: float
    ) -> subscription.ListSubscriptionsResponse:
        path, rest = _customer_path(request, "subscriptions")
        document = await self._request("GET", path, timeout_seconds, params=rest)
        return _to_message(document, subscription.ListSubscriptionsResponse())

    async def change_subscription(
        self, request: subscription.ChangeSubscriptionRequest, timeout_seconds: float
    ) -> subscription.ChangeSubscriptionResponse:
        path, rest = _subscription_path(request, ":change")
        document = await self._request("POST", path, timeout_seconds, json=rest)
        return _to_message(document, subscription.ChangeSubscriptionResponse())

    async def pause_subscriptions(
        self, request: subscription.PauseSubscriptionsRequest, timeout_seconds: float
    ) -> subscription.PauseSubscriptionsResponse:
        path, rest = _customer_path(request, "subscriptions:pause")
        document = await self._request("POST", path, timeout_seconds, json=rest)
        return _to_message(document, subscription.PauseSubscriptionsResponse())

    async def resume_subscriptions(
        self, request: subscription.ResumeSubscriptionsRequest, timeout_seconds: float
    ) -> subscription.ResumeSubscriptionsResponse:
        path, rest = _customer_path(request, "subscriptions:resume")
        document = await self._request("POST", path, timeout_seconds, json=rest)
        return _to_message(document, subscription.ResumeSubscriptionsResponse())

    async def get_test_clock(
        self, request: subscription.GetTestClockRequest, timeout_seconds: float
    ) -> subscription.GetTestClockResponse:
        document = await self._request("GET", "/api/v1/test-clock", timeout_seconds)
        return _to_message(document, subscription.GetTestClockResponse())

    async def advance_test_clock(
        self, request: subscription.AdvanceTestClockRequest, timeout_seconds: float
    ) -> subscription.AdvanceTestClockResponse:
        path = "/api/v1/test-clock:advance"
        document = await self._request("POST", path, timeout_seconds, json=_to_json(request))
        return _to_message(document, subscription.AdvanceTestClockResponse())

    async def record_delivery(
        self, request: subscription.RecordDeliveryRequest, timeout_seconds: float
    ) -> subscription.RecordDeliveryResponse:
        path, rest = _subscription_path(request, ":record")
        document = await self._request("POST", path, timeout_seconds, json=rest)
        return _to_message(document, subscription.RecordDeliveryResponse())

    async def list_deliveries(
        self, request: subscription.ListDeliveriesRequest, timeout_seconds: float
    ) -> subscription.ListDeliveriesResponse:
        path, rest = _subscription_path(request, "/deliveries")
        document = await self._request("GET", path, timeout_seconds, params=rest)
        return _to_message(document, subscription.ListDeliveriesResponse())

    async def list_events(
        self, request: subscription.ListEventsRequest, timeout_seconds: float
    ) -> subscription.ListEventsResponse:
        path, rest = _subscription_path(request, "/events")
        document = await self._request("GET", path, timeout_seconds, params=rest)
        return _to_message(document, subscription.ListEventsResponse())

    async def create_webhook(
        self, request: webhook.CreateWebhookRequest, timeout_seconds: float
    ) -> webhook.CreateWebhookResponse:
        document = await self._request("POST", "/api/v1/webhooks", timeout_seconds, json=_to_json(request))
        return _to_message(document, webhook.CreateWebhookResponse())

    async def list_webhooks(
        self, request: webhook.ListWebhooksRequest, timeout_seconds: float
    ) -> webhook.ListWebhooksResponse:
        document = await self._request("GET", "/api/v1/webhooks", timeout_seconds, params=_to_json(request))
        return _to_message(document, webhook.ListWebhooksResponse())

    async def delete_webhook(
        self, request: webhook.DeleteWebhookRequest, timeout_seconds: float
    ) -> webhook.DeleteWebhookResponse:
        path, _ = _webhook_path(request)
        document = await self._request("DELETE", path, timeout_seconds)
        return _to_message(document, webhook.DeleteWebhookResponse())

    async def test_webhook(
        self, request: webhook.TestWebhookRequest, timeout_seconds: float
    ) -> webhook.TestWebhookResponse:
        path, rest = _webhook_path(request, ":test")
        document = await self._request("POST", path, timeout_seconds, json=rest)
        return _to_message(document, webhook.TestWebhookResponse())

    async def rotate_webhook_secret(
        self, request: webhook.RotateWebhookSecretRequest, timeout_seconds: float
    ) -> webhook.RotateWebhookSecretResponse:
        path, rest = _webhook_path(request, ":rotate")
        document = await self._request("POST", path, timeout_seconds, json=rest)
        return _to_message(document, webhook.RotateWebhookSecretResponse())

    async def replay_webhook(
        self, request: webhook.ReplayWebhookRequest, timeout_seconds: float
    ) -> webhook.ReplayWebhookResponse:
        path, rest = _webhook_path(request, ":replay")
        document = await self._request("POST", path, timeout_seconds, json=rest)
        return _to_message(document, webhook.ReplayWebhookResponse())

    async def list_dead_letters(
        self, request: webhook.ListDeadLettersRequest, timeout_seconds: float
    ) -> webhook.ListDeadLettersResponse:
        path, rest = _webhook_path(request, "/dead-letters")
        document = await self._request("GET", path, timeout_seconds, params=rest)
        return _to_message(document, webhook.ListDeadLettersResponse())

    async def plan(self, request: pipeline.PlanInput, timeout_seconds: float) -> pipeline.PlanResult:
        document = await self._request("POST", "/api/v1/plan", timeout_seconds, json=_to_json(request))
        return _to_message(document, pipeline.PlanResult())

    async def what_if(
        self, request: pipeline.WhatIfInput, timeout_seconds: float
    ) -> AsyncGenerator[pipeline.WhatIfResponse]:
        async with aclosing(self._frames("/ws/what-if", request, timeout_seconds)) as frames:
            async for frame in frames:
                yield _to_message(frame, pipeline.WhatIfResponse())

    async def get_what_if(self, request: pipeline.WhatIfInput, timeout_seconds: float) -> pipeline.WhatIfResult:
        document = await self._request("POST", "/api/v1/what-if", timeout_seconds, json=_to_json(request))
        return _to_message(document, pipeline.WhatIfResult())

    async def get_config(self, timeout_seconds: float) -> pipeline.GetConfigResponse:
        return _to_message(await self._request("GET", "/api/v1/config", timeout_seconds), pipeline.GetConfigResponse())

    async def get_status(self, timeout_seconds: float) -> pipeline.GetStatusResponse:
        document = await self._request("GET", "/health", timeout_seconds, accepted_status=503)
        components = dict(document["components"])
        # The gateway adds the pipeline to the parts. A direct call to an unavailable pipeline would raise an error.
        own = components.pop("pipeline")
        if own["status"] == "unavailable":
            raise ComponentUnavailable("pipeline", own["message"])
        return pipeline.GetStatusResponse(
            state=_STATES[document["status"]],
            version=document["version"],
            components=[
                pipeline.ComponentStatus(
                    name=name,
                    state=_STATES[component["status"]],
                    required=component["required"],
                    latency_ms=component["latency_ms"],
                    message=component["message"],
                )
                for name, component in components.items()
            ],
        )

    async def list_archetypes(
        self, request: simulation.ListArchetypesRequest, timeout_seconds: float
    ) -> simulation.ListArchetypesResponse:
        document = await self._request("GET", "/api/v1/archetypes", timeout_seconds, params=_to_json(request))
        return _to_message(document, simulation.ListArchetypesResponse())

    async def list_catalog_items(
        self, request: simulation.ListCatalogItemsRequest, timeout_seconds: float
    ) -> simulation.ListCatalogItemsResponse:
        document = await self._request("GET", "/api/v1/catalog/items", timeout_seconds, params=_to_json(request))
        return _to_message(document, simulation.ListCatalogItemsResponse())

    async def get_models(self, timeout_seconds: float) -> pipeline.GetModelsResponse:
        return _to_message(await self._request("GET", "/api/v1/models", timeout_seconds), pipeline.GetModelsResponse())

    async def _frames(
        self, path: str, request: _StreamRequest, timeout_seconds: float
    ) -> AsyncGenerator[dict[str, Any]]:
        """The events of a stream over WebSocket, `{kind: value}` each, until the one that completes it."""
        deadline = _Deadline(timeout_seconds)
        stream = _Stream(self._url, path, self._ssl_context, self._credentials, request, deadline)
        try:
            while True:
                frame = await (deadline.retry(stream.next_event) if stream.can_resume else stream.next_event())
                yield frame
                if "completed" in frame:
                    return
        finally:
            await stream.close()

    async def _lines(self, path: str, timeout_seconds: float) -> list[dict[str, Any]]:
        """The lines of a stream over HTTP."""
        assert self._client is not None
        client, deadline = self._client, _Deadline(timeout_seconds)

        async def send() -> list[dict[str, Any]]:
            try:
                async with deadline.limit():
                    headers = deadline.headers | await self._credentials.headers()
                    response = await client.get(self._url + path, headers=headers)
            except httpx.TransportError as error:
                raise _unreachable(self._url, error) from error
            if not response.is_success:
                raise _error_of_response(response)
            return [json.loads(line) for line in response.text.splitlines()]

        return await deadline.retry(send)

    async def _request(
        self, verb: str, path: str, timeout_seconds: float, accepted_status: int = 200, **content: Any
    ) -> dict[str, Any]:
        assert self._client is not None
        client = self._client
        deadline = _Deadline(timeout_seconds)

        async def send() -> dict[str, Any]:
            try:
                async with deadline.limit():
                    headers = deadline.headers | await self._credentials.headers()
                    response = await client.request(verb, self._url + path, headers=headers, **content)
            except httpx.TransportError as error:
                raise _unreachable(self._url, error) from error
            is_json = response.headers.get("Content-Type", "").startswith("application/json")
            if response.is_success or (response.status_code == accepted_status and is_json):
                document: dict[str, Any] = response.json()
                return document
            raise _error_of_response(response)

        return await deadline.retry(send)


def _customer_path(request: Message, *parts: str) -> tuple[str, dict[str, Any]]:
    """Path of a route of a customer, and the other fields of the request."""
    rest = _to_json(request)
    customer_id = quote(rest.pop("customer_id", ""), safe="")
    if not customer_id:
        # Such a path has no route. The gateway rejects other invalid IDs.
        raise InvalidInput([FieldViolation("customer_id", "must have 1 to 128 characters")])
    # httpx omits nothing: a parameter that is False would be sent as text.
    rest = {name: str(value).lower() if isinstance(value, bool) and parts else value for name, value in rest.items()}
    return "/".join(("/api/v1/customers", customer_id, *parts)), rest


def _subscription_path(request: Message, suffix: str = "") -> tuple[str, dict[str, Any]]:
    """Path of a route of a subscription, and the other fields of the request."""
    path, rest = _customer_path(request, "subscriptions")
    subscription_id = quote(rest.pop("subscription_id", ""), safe="")
    if not subscription_id:
        raise InvalidInput([FieldViolation("subscription_id", "must have 1 to 128 characters")])
    return f"{path}/{subscription_id}{suffix}", rest


def _webhook_path(request: Message, suffix: str = "") -> tuple[str, dict[str, Any]]:
    """Path of a route of a webhook, and the other fields of the request."""
    rest = _to_json(request)
    webhook_id = quote(rest.pop("webhook_id", ""), safe="")
    if not webhook_id:
        raise InvalidInput([FieldViolation("webhook_id", "must have 1 to 64 characters")])
    return f"/api/v1/webhooks/{webhook_id}{suffix}", rest


class _Stream:
    """The stream of one request, over one or more connections."""

    def __init__(
        self,
        url: str,
        path: str,
        ssl_context: ssl.SSLContext | None,
        credentials: "_Credentials",
        request: _StreamRequest,
        deadline: "_Deadline",
    ) -> None:
        self._url = url
        self._path = path
        self._ssl_context = ssl_context
        self._credentials = credentials
        self._request = request
        self._deadline = deadline
        self._connection: websockets.ClientConnection | None = None
        self._resume_token: str | None = None
        self.can_resume = True
        """Whether a new connection resumes the stream. Older gateways send no tokens and would start from scratch."""

    async def next_event(self) -> dict[str, Any]:
        """Receives the next event; connects first if necessary.

        Raises:
            PantreeError: when the gateway reports an error or the connection is lost. The next call resumes the stream.
        """
        if self._connection is None:
            self._connection = await self._connect()
        try:
            # The limit spans one message: a generator must not leave a timeout running in its caller's code.
            async with self._deadline.limit():
                frame = json.loads(await self._connection.recv())
        except websockets.ConnectionClosed as error:
            await self.close()
            raise ComponentUnavailable("gateway", f"the stream ended before its result ({error}); try again") from error
        except BaseException:
            await self.close()
            raise
        if frame["type"] == "error":
            await self.close()
            raise _error_of_problem(frame["problem"])
        self._resume_token = frame.get("resume_token")
        self.can_resume = self._resume_token is not None
        return {frame["type"]: frame["data"]}

    async def _connect(self) -> websockets.ClientConnection:
        """Opens a WebSocket and sends the request, with the token of the last event if a connection was lost."""
        if not self._request.customer_id:
            # Such a path has no route. The gateway rejects other invalid IDs.
            raise InvalidInput([FieldViolation("customer_id", "must have 1 to 128 characters")])
        url = f"{self._url.replace('http', 'ws', 1)}{self._path}/{quote(self._request.customer_id, safe='')}"
        options: dict[str, Any] = {"ssl": self._ssl_context} if self._ssl_context else {}
        try:
            async with self._deadline.limit():
                headers = self._deadline.headers | await self._credentials.headers()
                connection = await websockets.connect(
                    url, additional_headers=headers, max_size=None, open_timeout=None, **options
                )
        except websockets.InvalidStatus as error:
            raise _error_of_handshake(self._url, error) from error
        except (OSError, websockets.WebSocketException) as error:
            raise _unreachable(self._url, error) from error
        token = {} if self._resume_token is None else {"resume_token": self._resume_token}
        try:
            with contextlib.suppress(websockets.ConnectionClosed):  # receiving the next event raises the reason
                await connection.send(json.dumps(_to_json(self._request) | token))
        except BaseException:
            await connection.close()
            raise
        return connection

    async def close(self) -> None:
        """Closes the connection; the gateway then cancels the work."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


class _Credentials:
    """Headers with the credentials of the caller."""

    def __init__(self, api_key: Secret | None, token: Secret | None) -> None:
        self._api_key = api_key
        self._token = token

    async def headers(self) -> dict[str, str]:
        """The headers; fetches the current key or token."""
        if self._api_key is not None:
            return {"X-API-Key": await _current(self._api_key)}
        if self._token is not None:
            return {"Authorization": f"Bearer {await _current(self._token)}"}
        return {}


async def _current(secret: Secret) -> str:
    value = secret if isinstance(secret, str) else secret()
    return await value if inspect.isawaitable(value) else value


class _Deadline:
    """Deadline and retries of a call.

    Args:
        timeout_seconds: timeout of the call. Within a server's request, its remaining time may be shorter.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._seconds = call_timeout(timeout_seconds) or timeout_seconds
        self._ends_at = asyncio.get_running_loop().time() + self._seconds

    @property
    def _remaining_seconds(self) -> float:
        return self._ends_at - asyncio.get_running_loop().time()

    @property
    def headers(self) -> dict[str, str]:
        """Header with the remaining time, for the gateway."""
        return {_TIMEOUT_HEADER: f"{max(self._remaining_seconds, 0.001):.3f}"}

    @contextlib.asynccontextmanager
    async def limit(self) -> AsyncGenerator[None]:
        """Raises `DeadlineExceeded` when the code inside takes longer than the deadline."""
        try:
            async with asyncio.timeout_at(self._ends_at + _GRACE_SECONDS):
                yield
        except TimeoutError as error:
            raise DeadlineExceeded(f"the gateway did not answer within {self._seconds:g} s") from error

    async def retry(self, attempt: Callable[[], Awaitable[ResultT]]) -> ResultT:
        """Retries after `ComponentUnavailable`, with exponential backoff, while attempts and time remain."""
        for failures in range(1, _MAX_ATTEMPTS):
            try:
                return await attempt()
            except ComponentUnavailable:
                backoff = min(_INITIAL_BACKOFF_SECONDS * 2 ** (failures - 1), _MAX_BACKOFF_SECONDS)
                # Jitter, so that many clients do not retry at the same moment.
                backoff *= random.uniform(0.5, 1)  # noqa: S311 # not security-relevant
                if backoff >= self._remaining_seconds:
                    raise
                await asyncio.sleep(backoff)
        return await attempt()


def _to_json(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)


def _to_message(document: Mapping[str, Any], message: MessageT) -> MessageT:
    # A newer gateway may send fields that this client does not know.
    return ParseDict(dict(document), message, ignore_unknown_fields=True)


def _unreachable(url: str, error: Exception) -> ComponentUnavailable:
    return ComponentUnavailable("gateway", f"cannot connect to {url} ({error}); is the gateway running?")


def _error_of_handshake(url: str, error: websockets.InvalidStatus) -> PantreeError:
    """Error for a WebSocket that the gateway, or a proxy, does not open."""
    status = error.response.status_code
    if status in _ERROR_BY_STATUS and error.response.headers.get("Content-Type", "").startswith(_PROBLEM_TYPE):
        with contextlib.suppress(ValueError, KeyError):
            return _error_of_problem(json.loads(error.response.body or b""))
    if status in _ERROR_BY_STATUS:
        return _ERROR_BY_STATUS[status](f"{url} refuses the WebSocket with status {status}")
    return _unreachable(url, error)


def _error_of_response(response: httpx.Response) -> PantreeError:
    if response.headers.get("Content-Type", "").startswith(_PROBLEM_TYPE):
        return _error_of_problem(response.json(), response.headers.get("Retry-After", ""))
    detail = f"{response.url} returned {response.status_code}: {response.text[:200]}"
    return _error_of_problem({"code": "HTTP_ERROR", "status": response.status_code, "detail": detail})


def _invalid_input(problem: Mapping[str, Any]) -> InvalidInput:
    violations = [FieldViolation(e["field"], e["message"]) for e in problem["errors"]]
    violations = violations or [FieldViolation("", problem["detail"])]
    more = None if violations[-1].field else _MORE.fullmatch(violations[-1].description)
    return InvalidInput(violations[:-1], int(more[1].replace(",", ""))) if more else InvalidInput(violations)


def _error_of_problem(problem: Mapping[str, Any], retry_after: str = "") -> PantreeError:
    """Error for a problem document of the gateway."""
    code, status, detail = problem["code"], problem["status"], problem["detail"]
    error: PantreeError
    if code == InvalidInput.reason:
        error = _invalid_input(problem)
    elif code == ComponentUnavailable.reason or status in _UNAVAILABLE_STATUSES:
        error = ComponentUnavailable(problem.get("component", "gateway"), detail)
    elif status == 429 and code != QuotaExceeded.reason:
        error = Overloaded(detail, float(retry_after) if retry_after.isdecimal() else 1.0)
    else:
        error = (_ERROR_BY_REASON.get(code) or _ERROR_BY_STATUS.get(status) or InternalError)(detail)
    if "trace_id" in problem:
        error.metadata["trace_id"] = problem["trace_id"]
    return error
