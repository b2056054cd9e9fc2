"""Sends events over HTTP.

Names are resolved here, and connections go to the checked addresses, so that a name that changes its address between a
check and a connection is of no use. Redirects are not followed, and proxies of the environment are not used.
"""

import asyncio
import functools
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpcore

from pantree_history.core.webhooks.addresses import is_public, url_problem
from pantree_history.core.webhooks.events import CONTENT_TYPE
from pantree_history.core.webhooks.sending import Answer, Sender
from pantree_runtime import telemetry

# More than `core.webhooks.delivery` sends at the same time, so that no request waits for a connection.
_MAX_CONNECTIONS = 256
_MAX_IDLE = 16
_IDLE_SECONDS = 30.0
# Of an answer; more is not read, and the connection is closed.
_MAX_ANSWER_BYTES = 16 * 1024
_MAX_RETRY_AFTER_SECONDS = 86_400
_MAX_RETRY_AFTER_DIGITS = 9
_USER_AGENT = "pantree"
_NAME_THREADS = 64


class RefusedAddress(httpcore.ConnectError):
    """The name has an address that events may not be sent to."""


Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Addresses of a host and port."""


class Names:
    """Finds addresses in threads of its own.

    A name server that never answers holds one thread for each name, and none of those that the rest of the part works
    with.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_NAME_THREADS, "webhook-names")
        self._running: dict[tuple[str, int], asyncio.Future[list[Any]]] = {}

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Addresses of a host, without repetitions."""
        running = self._running.get((host, port))
        if running is None:
            find = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
            running = asyncio.get_running_loop().run_in_executor(self._threads, find)
            self._running[host, port] = running
            running.add_done_callback(functools.partial(self._ended, (host, port)))
        try:
            found = await asyncio.shield(running)
        except (OSError, UnicodeError) as error:  # the second one for what is no name
            raise httpcore.ConnectError("the host cannot be resolved") from error
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    def close(self) -> None:
        """Ends the threads, which are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ended(self, name: tuple[str, int], found: asyncio.Future[list[Any]]) -> None:
        del self._running[name]
        if not found.cancelled():
            found.exception()  # those who wait have it, if any do


class CheckedBackend(httpcore.AnyIOBackend):
    """Connects to public addresses only.

    Args:
        allow_private: whether to connect to any address.
        resolve: finds addresses.
    """

    def __init__(self, *, allow_private: bool, resolve: Resolve) -> None:
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
        resolve: finds addresses; by default with the name servers of the machine.
    """

    def __init__(
        self,
        *,
        timeout_seconds: float,
        allow_http: bool = False,
        allow_private: bool = False,
        ssl_context: ssl.SSLContext | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._allow_http = allow_http
        self._allow_private = allow_private
        self._names = Names()
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context,
            max_connections=_MAX_CONNECTIONS,
            max_keepalive_connections=_MAX_IDLE,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=CheckedBackend(allow_private=allow_private, resolve=resolve or self._names),
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._pool.aclose()
        self._names.close()

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
        except Exception as failure:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "an event cannot be sent", "exception": failure}
            )
            error = f"the event cannot be sent: {type(failure).__name__}"
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
            return response.status, _retry_seconds(requested)


def _retry_seconds(requested: bytes) -> float:
    """How long a receiver asks to wait; 0 for what is not a number of seconds."""
    if not requested.isdigit():
        return 0.0
    if len(requested) > _MAX_RETRY_AFTER_DIGITS:
        return _MAX_RETRY_AFTER_SECONDS
    return min(int(requested), _MAX_RETRY_AFTER_SECONDS)


def _reason(error: Exception) -> str:
    """What is wrong, for people; never what a receiver sent."""
    cause = error.__cause__ or error.__context__ or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {cause.verify_message}"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return type(error).__name__
