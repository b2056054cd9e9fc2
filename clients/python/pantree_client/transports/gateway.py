"""Through the gateway, over REST and WebSocket. It needs httpx and websockets: `pip install 'pantree[client]'`."""

import asyncio
import contextlib
import json
import random
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import websockets
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message

from pantree.pipeline.v1 import pipeline_service_pb2 as pipeline
from pantree.simulation.v1 import simulation_service_pb2 as simulation
from pantree_runtime.deadline import call_timeout
from pantree_runtime.errors import (
    ComponentUnavailable,
    DeadlineExceeded,
    DeadlineTooShort,
    FieldViolation,
    InternalError,
    InvalidInput,
    NotFound,
    PantreeError,
    StoreMismatch,
    TooLarge,
)

_TIMEOUT_HEADER = "X-Request-Timeout"
# The gateway is the one to say that time is over, and why; only when it does not, the client says it.
_GRACE_SECONDS = 1.0
# As the channels of the mesh do it: pantree_runtime.channel.
_MOST_ATTEMPTS = 4
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0

_BY_REASON: Mapping[str, type[PantreeError]] = {
    error.reason: error
    for error in (NotFound, StoreMismatch, TooLarge, DeadlineExceeded, DeadlineTooShort, InternalError)
}
# For what comes from elsewhere than the contract: a proxy, or the gateway's own routes.
_BY_STATUS: Mapping[int, type[PantreeError]] = {404: NotFound, 413: TooLarge, 504: DeadlineExceeded}
_UNAVAILABLE_STATUSES = (502, 503)
_STATES = {
    "healthy": pipeline.COMPONENT_STATE_SERVING,
    "degraded": pipeline.COMPONENT_STATE_DEGRADED,
    "unavailable": pipeline.COMPONENT_STATE_UNAVAILABLE,
    "disabled": pipeline.COMPONENT_STATE_DISABLED,
}

Answer = TypeVar("Answer")
AnswerMessage = TypeVar("AnswerMessage", bound=Message)


class GatewayTransport:
    """Calls the gateway. A gateway or part that does not answer is asked again, up to four times in all.

    Args:
        url: of the gateway; what its path holds stands before every route.
        ssl_context: for `https`: which authorities are trusted, which certificate is shown. The system's when None.
    """

    def __init__(self, url: str, ssl_context: ssl.SSLContext | None = None) -> None:
        self._url = url.rstrip("/")
        self._ssl_context = ssl_context
        self._client: httpx.AsyncClient | None = None

    async def open(self) -> None:
        """Makes the pool of connections; they connect with the first call."""
        self._client = httpx.AsyncClient(verify=self._ssl_context or True)

    async def close(self) -> None:
        """Closes the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def process(self, request: pipeline.ProcessInput, timeout_seconds: float) -> pipeline.ProcessResult:
        """As `PipelineService.Process`."""
        document = await self._ask("POST", "/api/v1/process", timeout_seconds, json=_document(request))
        return _message(document, pipeline.ProcessResult())

    async def stream_process(
        self, request: pipeline.ProcessInput, timeout_seconds: float
    ) -> AsyncGenerator[pipeline.StreamProcessResponse]:
        """As `PipelineService.StreamProcess`; a stream whose connection is lost goes on where it was."""
        deadline = _Deadline(timeout_seconds)
        stream = _Stream(self, request, deadline)
        try:
            while True:
                event = await (deadline.attempts(stream.next_event) if stream.may_go_on else stream.next_event())
                yield event
                if event.HasField("completed"):
                    return
        finally:
            await stream.close()

    async def get_config(self, timeout_seconds: float) -> pipeline.GetConfigResponse:
        """As `PipelineService.GetConfig`."""
        return _message(await self._ask("GET", "/api/v1/config", timeout_seconds), pipeline.GetConfigResponse())

    async def get_status(self, timeout_seconds: float) -> pipeline.GetStatusResponse:
        """As `PipelineService.GetStatus`."""
        document = await self._ask("GET", "/health", timeout_seconds, also_fine=(503,))
        components = dict(document["components"])
        # What the gateway adds, and what a call of the pipeline itself would raise.
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
        """As `SimulationService.ListArchetypes`."""
        document = await self._ask("GET", "/api/v1/archetypes", timeout_seconds, params=_document(request))
        return _message(document, simulation.ListArchetypesResponse())

    async def _ask(
        self, verb: str, path: str, timeout_seconds: float, also_fine: tuple[int, ...] = (), **content: Any
    ) -> dict[str, Any]:
        assert self._client is not None
        client = self._client
        deadline = _Deadline(timeout_seconds)

        async def send() -> dict[str, Any]:
            try:
                async with asyncio.timeout_at(deadline.last_moment):
                    response = await client.request(
                        verb, self._url + path, headers=deadline.headers, timeout=None, **content
                    )
            except TimeoutError as error:
                raise deadline.error from error
            except httpx.TransportError as error:
                raise _not_reached(self._url, error) from error
            is_json = response.headers.get("Content-Type", "").startswith("application/json")
            if response.is_success or (response.status_code in also_fine and is_json):
                document: dict[str, Any] = response.json()
                return document
            raise _error_of_response(response)

        return await deadline.attempts(send)

    async def connect(
        self, request: pipeline.ProcessInput, deadline: "_Deadline", resume_token: str | None
    ) -> websockets.ClientConnection:
        """A WebSocket on which the request has been sent.

        Args:
            request: the request.
            deadline: the time that it may take.
            resume_token: that of the last event that came on a connection that was lost; None for the first one.

        Raises:
            PantreeError: when the gateway cannot be reached in time, or the request cannot be sent.
        """
        if not request.customer_id or "/" in request.customer_id:
            # The gateway says what is wrong with others; such an id would not even reach it in a path.
            remedy = "is empty or has a slash; give 1 to 128 other characters"
            raise InvalidInput([FieldViolation("customer_id", remedy)])
        url = f"{self._url.replace('http', 'ws', 1)}/ws/stream/{quote(request.customer_id, safe='')}"
        options: dict[str, Any] = {"ssl": self._ssl_context} if self._ssl_context else {}
        try:
            async with asyncio.timeout_at(deadline.last_moment):
                connection = await websockets.connect(
                    url, additional_headers=deadline.headers, max_size=None, open_timeout=None, **options
                )
        except TimeoutError as error:
            raise deadline.error from error
        except (OSError, websockets.WebSocketException) as error:
            raise _not_reached(self._url, error) from error
        document = _document(request)
        if resume_token is not None:
            document["resume_token"] = resume_token
        try:
            with contextlib.suppress(websockets.ConnectionClosed):  # why it was closed is told by the next event
                await connection.send(json.dumps(document))
        except BaseException:
            await connection.close()
            raise
        return connection


class _Stream:
    """The events of one request, over as many connections as it takes."""

    def __init__(self, transport: GatewayTransport, request: pipeline.ProcessInput, deadline: "_Deadline") -> None:
        self._transport = transport
        self._request = request
        self._deadline = deadline
        self._connection: websockets.ClientConnection | None = None
        self._resume_token: str | None = None
        self.may_go_on = True
        """Whether a new connection would go on where a lost one was; older gateways would begin from the start."""

    async def next_event(self) -> pipeline.StreamProcessResponse:
        """The next event, on a new connection where there is none.

        Raises:
            PantreeError: when the gateway says so, or the connection is lost; then the next call goes on where it was.
        """
        if self._connection is None:
            self._connection = await self._transport.connect(self._request, self._deadline, self._resume_token)
        try:
            event, token = await _next_event(self._connection, self._deadline)
        except BaseException:
            await self.close()
            raise
        self._resume_token, self.may_go_on = token, token is not None
        return event

    async def close(self) -> None:
        """Closes the connection; the gateway then stops the work."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


class _Deadline:
    """The time that a call may take, and its attempts.

    Args:
        timeout_seconds: longest time; less when the request being served has less left.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._seconds = call_timeout(timeout_seconds) or timeout_seconds
        self._ends_at = asyncio.get_running_loop().time() + self._seconds

    @property
    def _remaining_seconds(self) -> float:
        return self._ends_at - asyncio.get_running_loop().time()

    @property
    def last_moment(self) -> float:
        """Time of the event loop at which the client itself gives up."""
        return self._ends_at + _GRACE_SECONDS

    @property
    def headers(self) -> dict[str, str]:
        """What tells the gateway how much time is left."""
        return {_TIMEOUT_HEADER: f"{max(self._remaining_seconds, 0.001):.3f}"}

    @property
    def error(self) -> DeadlineExceeded:
        """What to raise when time is over."""
        return DeadlineExceeded(f"the gateway did not answer within {self._seconds:g} s")

    async def attempts(self, attempt: Callable[[], Awaitable[Answer]]) -> Answer:
        """Result of the first attempt that does not end with `ComponentUnavailable`, if time and attempts suffice."""
        for failed in range(1, _MOST_ATTEMPTS):
            try:
                return await attempt()
            except ComponentUnavailable:
                longest = min(_FIRST_PAUSE_SECONDS * 2 ** (failed - 1), _LONGEST_PAUSE_SECONDS)
                # Half of it at random, lest many clients come back at the same moment.
                pause_seconds = longest * random.uniform(0.5, 1)  # noqa: S311 # no secret
                if pause_seconds >= self._remaining_seconds:
                    raise
                await asyncio.sleep(pause_seconds)
        return await attempt()


async def _next_event(
    connection: websockets.ClientConnection, deadline: _Deadline
) -> tuple[pipeline.StreamProcessResponse, str | None]:
    """The next event and its resume token, if any."""
    try:
        # Around one message only: a generator must not leave a timeout running in its caller's code.
        async with asyncio.timeout_at(deadline.last_moment):
            frame = json.loads(await connection.recv())
    except TimeoutError as error:
        raise deadline.error from error
    except websockets.ConnectionClosed as error:
        raise ComponentUnavailable("gateway", f"the stream ended before its result ({error}); try again") from error
    if frame["type"] == "error":
        raise _error_of_problem(frame["problem"])
    event = _message({frame["type"]: frame["data"]}, pipeline.StreamProcessResponse())
    return event, frame.get("resume_token")


def _document(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)


def _message(document: Mapping[str, Any], message: AnswerMessage) -> AnswerMessage:
    # Fields that are newer than this client are no error.
    return ParseDict(dict(document), message, ignore_unknown_fields=True)


def _not_reached(url: str, error: Exception) -> ComponentUnavailable:
    return ComponentUnavailable("gateway", f"{url} cannot be reached ({error}); is the gateway running?")


def _error_of_response(response: httpx.Response) -> PantreeError:
    if response.headers.get("Content-Type", "").startswith("application/problem+json"):
        return _error_of_problem(response.json())
    detail = f"{response.url} answered {response.status_code}: {response.text[:200]}"
    return _error_of_problem({"code": "HTTP_ERROR", "status": response.status_code, "detail": detail})


def _error_of_problem(problem: Mapping[str, Any]) -> PantreeError:
    """Error that a problem document of the gateway stands for."""
    code, status, detail = problem["code"], problem["status"], problem["detail"]
    metadata = {"trace_id": problem["trace_id"]} if "trace_id" in problem else {}
    if code == InvalidInput.reason:
        error: PantreeError = InvalidInput([FieldViolation(e["field"], e["message"]) for e in problem["errors"]])
    elif code == ComponentUnavailable.reason or status in _UNAVAILABLE_STATUSES:
        error = ComponentUnavailable(problem.get("component", "gateway"), detail)
    else:
        error = (_BY_REASON.get(code) or _BY_STATUS.get(status) or InternalError)(detail)
    error.metadata.update(metadata)
    return error
