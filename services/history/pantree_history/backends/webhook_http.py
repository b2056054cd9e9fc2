"""Sends events over HTTP.

Names are resolved here, and connections go to the checked addresses, so that a name that changes its address between a
check and a connection is of no use. Redirects are not followed, and proxies of the environment are not used.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import httpcore

from pantree_history.core.webhooks.addresses import is_public, url_problem
from pantree_history.core.webhooks.events import CONTENT_TYPE
from pantree_history.core.webhooks.sending import Answer, Sender
from pantree_runtime import telemetry

_MAX_CONNECTIONS = 64
_MAX_IDLE = 16
_IDLE_SECONDS = 30.0
# Of an answer; more is not read, and the connection is closed.
_MAX_ANSWER_BYTES = 16 * 1024
_MAX_RETRY_AFTER_SECONDS = 86_400
_USER_AGENT = "pantree"


class RefusedAddress(httpcore.ConnectError):
    """The name has an address that events may not be sent to."""


Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Addresses of a host and port."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """Addresses of a host, without repetitions."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore.ConnectError("the host cannot be resolved") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class CheckedBackend(httpcore.AnyIOBackend):
    """Connects to public addresses only.

    Args:
        allow_private: whether to connect to any address.
        resolve: finds addresses.
    """

    def __init__(self, *, allow_private: bool, resolve: Resolve = resolve) -> None:
        self._allow_private = allow_private
        self._resolve = resolve

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 # of the interface
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._resolve(host, port)
        if not self._allow_private and not all(map(is_public, addresses)):
            raise RefusedAddress("the host has a private, loopback, link-local or reserved address")
        error: httpcore.ConnectError | None = None
        for address in addresses:
            try:
                return await super().connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError as failure:
                error = failure
        raise error or httpcore.ConnectError("the host has no address")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 # of the interface
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise RefusedAddress("events are not sent to sockets of this machine")


class HttpSender(Sender):
    """Sends events.

    Args:
        timeout_seconds: of a request, from its connection to the end of the answer.
        allow_http: whether to send without TLS.
        allow_private: whether to send to private addresses.
        ssl_context: for TLS; by default one that verifies certificates.
        resolve: finds addresses.
    """

    def __init__(
        self,
        *,
        timeout_seconds: float,
        allow_http: bool = False,
        allow_private: bool = False,
        ssl_context: ssl.SSLContext | None = None,
        resolve: Resolve = resolve,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._allow_http = allow_http
        self._allow_private = allow_private
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context,
            max_connections=_MAX_CONNECTIONS,
            max_keepalive_connections=_MAX_IDLE,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=CheckedBackend(allow_private=allow_private, resolve=resolve),
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._pool.aclose()

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        # The setting may have changed since the webhook was created.
        problem = url_problem(url, allow_http=self._allow_http, allow_private=self._allow_private)
        if problem:
            return Answer(0, f"the URL {problem}")
        began_at = time.monotonic()
        sent = {"content-type": CONTENT_TYPE, "user-agent": _USER_AGENT, **headers}
        try:
            # Not the headers of the trace: a receiver is not part of it.
            with telemetry.external_call("webhook", "send"):
                async with asyncio.timeout(self._timeout_seconds):
                    status, retry_after = await self._post(url, sent, body)
        except TimeoutError:
            error = f"no answer within {self._timeout_seconds:g} seconds"
        except RefusedAddress as failure:
            error = str(failure)
        except httpcore.ConnectError as failure:
            error = f"cannot connect: {_reason(failure)}"
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as failure:
            error = f"the connection failed: {_reason(failure)}"
        else:
            failed = "" if 200 <= status < 300 else f"the receiver answered with status {status}"
            return Answer(status, failed, time.monotonic() - began_at, retry_after)
        return Answer(0, error, time.monotonic() - began_at)

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, float]:
        """Status of the answer, and how long it asks to wait."""
        async with self._pool.stream("POST", url, headers=list(headers.items()), content=body) as response:
            size = 0
            async for chunk in response.aiter_stream():
                size += len(chunk)
                if size > _MAX_ANSWER_BYTES:
                    break
            requested = next((value for name, value in response.headers if name.lower() == b"retry-after"), b"")
            return response.status, min(int(requested), _MAX_RETRY_AFTER_SECONDS) if requested.isdigit() else 0.0


def _reason(error: Exception) -> str:
    """What is wrong, for people; never what a receiver sent."""
    cause = error.__cause__ or error.__context__ or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {cause.verify_message}"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return type(error).__name__
