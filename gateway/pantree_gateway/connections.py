"""HTTP and WebSocket connections that limit what clients may send, leave unfinished, or not read.

uvicorn reads headers of any size for any time, before any of our code runs. These protocols count what a client sends
before its request is complete; a sweep closes connections that make no progress. The values are those that Envoy
recommends at the edge (https://www.envoyproxy.io/docs/envoy/latest/configuration/best_practices/edge), or stricter.
"""

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Protocol

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from pantree.error.v1 import error_pb2
from pantree_gateway.transcoding.caller import address_group
from pantree_gateway.transcoding.problem import problem_for
from pantree_runtime import telemetry
from pantree_runtime.fair_shares import FairShares, Hold, Holder

_log = structlog.get_logger(__name__)

_SWEEP_SECONDS = 1.0
# A WebSocket message of `Limits.body_bytes` in fragments of 4 KiB, which are small ones.
_MAX_FRAGMENTS = 4096
# More than that is only buffered if the client sends pings and does not read the answers.
_MAX_UNREAD_BYTES = 1 << 20
# Pipelined requests that wait for the response to an earlier one; browsers send none.
_MAX_PIPELINED = 8
_TOO_SLOW = 1008
_TRY_AGAIN_LATER = 1013
_MESSAGES = {
    400: (error_pb2.ERROR_REASON_INVALID_INPUT, "this is not an HTTP request"),
    408: (error_pb2.ERROR_REASON_REQUEST_TIMEOUT, "the headers of the request did not arrive in time"),
    414: (error_pb2.ERROR_REASON_TOO_LARGE, "the URL is too long"),
    431: (error_pb2.ERROR_REASON_TOO_LARGE, "the headers are too long or too many"),
}


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits of connections."""

    max_connections: int = 1024
    header_bytes: int = 32 * 1024
    """Of all headers of a request, and of the rest of it that is not its body."""
    header_count: int = 100
    url_bytes: int = 8 * 1024
    header_seconds: float = 10.0
    """From the start of a connection, or of a request on it, to the end of the headers."""
    message_seconds: float = 10.0
    """How long a WebSocket message may take, plus its size over `min_bytes_per_second`, and a pause within it."""
    min_bytes_per_second: float = 16 * 1024
    unread_seconds: float = 30.0
    """How long a client may leave a response unread without reading any of it."""
    unsent_seconds: float = 2.0
    """How long a client may go on sending a body that the response did not wait for."""


class _Connection(Protocol):
    transport: asyncio.Transport
    client: tuple[str, int] | None
    is_waiting: bool
    """Whether no request is in flight."""

    def overdue(self, now: float) -> None:
        """Closes the connection if the client takes too long to send."""


class Connections:
    """The open connections of a server: limits their number, and closes those that make no progress."""

    def __init__(self, limits: ConnectionLimits, message_bytes: FairShares) -> None:
        self.limits = limits
        self.message_bytes = message_bytes
        """Shared by incomplete WebSocket messages and the bodies of requests."""
        # In the order in which they were opened. Values are the unread bytes at the last sweep, and since when the
        # client has read none of them.
        self._open: dict[_Connection, tuple[int, float]] = {}
        self._sweeping = False

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: _Connection) -> None:
        """Adds a connection. If there are too many, closes the oldest one without a request of the busiest address."""
        if len(self._open) >= self.limits.max_connections:
            telemetry.CALLS_REFUSED.labels("connections").inc()
            self._evict(connection)
        self._open[connection] = (0, time.monotonic())
        if not self._sweeping:
            self._sweeping = True
            asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)

    def discard(self, connection: _Connection) -> None:
        """Removes a connection."""
        self._open.pop(connection, None)

    def _evict(self, newest: _Connection) -> None:
        waiting = [connection for connection in self._open if connection.is_waiting]
        if not waiting:
            newest.transport.abort()
            return
        counts = Counter(address_group(connection.client) for connection in waiting)
        busiest, _ = counts.most_common(1)[0]
        oldest = next(connection for connection in waiting if address_group(connection.client) == busiest)
        self.discard(oldest)
        oldest.transport.abort()

    def _sweep(self) -> None:
        now = time.monotonic()
        for connection, (unread, since) in list(self._open.items()):
            size = connection.transport.get_write_buffer_size()
            if not size or size < unread:
                since = now
            elif now - since > self.limits.unread_seconds:
                telemetry.CALLS_REFUSED.labels("unread_response").inc()
                connection.transport.abort()
                continue
            self._open[connection] = (size, since)
            connection.overdue(now)
        self._sweeping = bool(self._open)
        if self._sweeping:
            asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)


class _LimitExceeded(Exception):
    """Ends parsing."""


class HttpConnection(HttpToolsProtocol):
    """uvicorn's HTTP protocol with limits; `protocols` makes a subclass with the connections of a server."""

    open_connections: Connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Adds the connection."""
        super().connection_made(transport)
        self.is_waiting = True
        self._in_message = False
        self._had_request = False
        self._refusal = 400
        self._is_refused = False
        # Bytes since the last part of a body or the last complete request.
        self._unfinished_bytes = 0
        self._header_count = 0
        self._header_bytes = 0
        self._headers_since: float | None = time.monotonic()
        self._unsent_since: float | None = None
        self.open_connections.add(self)

    @property
    def awaits_first_request(self) -> bool:
        """Whether no request has arrived yet."""
        return not self._had_request and not self.transport.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Removes the connection."""
        self.open_connections.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses data, and closes the connection if the request exceeds a limit."""
        if self._is_refused or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self._unfinished_bytes += len(data)
        if self._headers_since is None and not self._in_message:
            self._headers_since = time.monotonic()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.open_connections.discard(self)
                self.handle_websocket_upgrade()
        except httptools.HttpParserError:
            self._refuse(self._refusal)
        else:
            if self._unfinished_bytes > self.open_connections.limits.header_bytes:
                self._refuse(431)

    def overdue(self, now: float) -> None:
        """Closes the connection if the client takes too long to send headers or goes on with an unwanted body."""
        limits = self.open_connections.limits
        headers_since = None if self._is_refused or not self.is_waiting else self._headers_since
        if headers_since is not None and now - headers_since > limits.header_seconds:
            if self._unfinished_bytes or self._in_message:
                self._refuse(408)
            else:
                self.transport.close()
        elif self._unsent_since is not None and now - self._unsent_since > limits.unsent_seconds:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Starts counting."""
        super().on_message_begin()
        self._in_message = True
        if self._headers_since is None:
            self._headers_since = time.monotonic()
        self._header_count = self._header_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Adds to the URL."""
        super().on_url(url)
        if len(self.url) > self.open_connections.limits.url_bytes:
            self._stop_parsing(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Adds a header or trailer."""
        limits = self.open_connections.limits
        self._header_count += 1
        self._header_bytes += len(name) + len(value)
        if self._header_count > limits.header_count or self._header_bytes > limits.header_bytes:
            self._stop_parsing(431)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Starts the request."""
        self._headers_since = None
        self._had_request = True
        self.is_waiting = False
        if len(self.pipeline) >= _MAX_PIPELINED:
            self._stop_parsing(400)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Adds to the body."""
        self._unfinished_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Ends the request."""
        self._unfinished_bytes = 0
        self._in_message = False
        self._unsent_since = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Waits for the next request, or for the end of a body that nobody has read."""
        super().on_response_complete()
        if not self.pipeline and self.cycle.more_body:
            self._unsent_since = time.monotonic()
        self.is_waiting = not self.pipeline

    def _stop_parsing(self, status: int) -> None:
        self._refusal = status
        raise _LimitExceeded

    def _refuse(self, status: int) -> None:
        """Sends a problem document, unless a response is on its way, and closes the connection."""
        telemetry.CALLS_REFUSED.labels(f"http_{status}").inc()
        if self.cycle is None or self.cycle.response_complete:
            reason, detail = _MESSAGES[status]
            document = replace(problem_for(reason, detail), status=status).document("")
            content = json.dumps(document).encode()
            headers = (
                b"content-type: application/problem+json\r\nconnection: close\r\nx-content-type-options: nosniff\r\n"
                b"content-length: %d\r\n\r\n" % len(content)
            )
            self.transport.write(STATUS_LINE[status] + headers + content)
            self._linger()
        else:
            self.transport.close()

    def _linger(self) -> None:
        """Waits a little for the client to stop sending: closing at once would discard the response."""
        self._is_refused = True
        self._unsent_since = time.monotonic()
        if self.transport.can_write_eof():
            self.transport.write_eof()


class WebSocketConnection(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol with limits; `protocols` makes a subclass with the connections of a server."""

    open_connections: Connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Adds the connection."""
        super().connection_made(transport)
        self.is_waiting = False
        self._message_since: float | None = None
        self._refused_since: float | None = None
        self._data_at = 0.0
        self._hold = Hold(self.open_connections.message_bytes, Holder(address_group(self.client)))
        self.open_connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Removes the connection."""
        self.open_connections.discard(self)
        self._hold.release()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses data, and closes the connection if too many incomplete messages are held."""
        if self._refused_since is not None:
            return
        super().data_received(data)
        self._data_at = time.monotonic()
        size = self._incomplete_bytes()
        if not size:
            self._message_since = None
        elif self._message_since is None:
            self._message_since = self._data_at
        if not self._hold.resize(size):
            telemetry.CALLS_REFUSED.labels("overloaded").inc()
            self._close_with(_TRY_AGAIN_LATER, "too many incomplete messages; try again later")

    def handle_cont(self, event: Any) -> None:
        """Adds a fragment to a message."""
        if len(self.frames) >= _MAX_FRAGMENTS:
            self._close_with(_TOO_SLOW, f"a message has more than {_MAX_FRAGMENTS:,} fragments")
            return
        super().handle_cont(event)

    def handle_ping(self) -> None:
        """Answers a ping."""
        if self.transport.get_write_buffer_size() > _MAX_UNREAD_BYTES:
            self.transport.abort()
            return
        super().handle_ping()

    def overdue(self, now: float) -> None:
        """Closes the connection if the client takes too long to send a message."""
        limits = self.open_connections.limits
        if self._refused_since is not None:
            if now - self._refused_since > limits.unsent_seconds:
                self.transport.abort()
            return
        if self._message_since is None or self.read_paused:
            return
        allowed = limits.message_seconds + self._incomplete_bytes() / limits.min_bytes_per_second
        if now - self._message_since > allowed or now - self._data_at > limits.message_seconds:
            telemetry.CALLS_REFUSED.labels("slow_message").inc()
            self._close_with(_TOO_SLOW, "the message did not arrive in time")

    def _incomplete_bytes(self) -> int:
        return sum(map(len, self.frames)) + len(self.conn.reader.buffer)

    def _close_with(self, code: int, reason: str) -> None:
        if not self.close_sent and self.handshake_complete and not self.transport.is_closing():
            self.conn.send_close(code, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        # Closing at once would discard the close frame if the client is still sending.
        self._refused_since = time.monotonic()
        self._hold.release()
        self.frames = []


def protocols(connections: Connections) -> tuple[type[HttpConnection], type[WebSocketConnection]]:
    """Protocol classes whose connections are among those of a server."""
    attributes = {"open_connections": connections}
    return type("Http", (HttpConnection,), attributes), type("WebSocket", (WebSocketConnection,), attributes)
