"""The client itself."""

import ssl
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Self

from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree.simulation.v1.simulation_service_pb2 import ListArchetypesRequest
from pantree_client.requests import FirstPurchase, History
from pantree_client.results import (
    Archetype,
    Config,
    Event,
    Result,
    Status,
    archetype_of,
    config_of,
    event_of,
    result_of,
    status_of,
)
from pantree_client.transports import Transport
from pantree_client.transports.mesh import MeshTransport
from pantree_runtime.identity import Identity, load_identity

DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_SIMULATION_ADDRESS = "127.0.0.1:50052"


class PantreeClient:
    """Asks Pantree. Use it as an async context manager, inside a running event loop.

    Every method takes `timeout_seconds`, which stands in for the client's own. What does not answer at once is asked
    again up to four times in all, within that time, and a stream before its first event only.

    Args:
        address: where to ask: `host:port` of the pipeline service, or `dns:///name:port` for several replicas, or the
            URL of a gateway, `http://…` or `https://…`, which gives the same results and needs `pantree[client]`.
        simulation_address: `host:port` of the simulation service, which knows the archetypes; a gateway needs none.
        timeout_seconds: longest time for one call, streams included.
        ssl_context: for a gateway at `https://…`: which authorities are trusted, which certificate is shown.
        certificates: for a mesh with TLS, asked directly: folder with `tls.crt`, `tls.key` and `ca.crt` of this client.
        tls_domain: what the names in the certificates of that mesh end with.
        transport: another way to ask, instead of an address; `pantree_client.testing` has one.

    Raises:
        OSError: when the certificates cannot be read.
        ValueError: when an `ssl_context` is given for anything else than `https://…`.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        simulation_address: str = DEFAULT_SIMULATION_ADDRESS,
        timeout_seconds: float = 60.0,
        ssl_context: ssl.SSLContext | None = None,
        certificates: Path | None = None,
        tls_domain: str = "pantree.internal",
        transport: Transport | None = None,
    ) -> None:
        self.address = address
        self._timeout_seconds = timeout_seconds
        self._transport = transport or _transport_to(
            address, simulation_address, ssl_context, load_identity(certificates, tls_domain)
        )
        self._is_open = False

    async def __aenter__(self) -> Self:
        await self._transport.open()
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_open = False
        await self._transport.close()

    async def process(self, request: FirstPurchase | History, *, timeout_seconds: float | None = None) -> Result:
        """Recommendations for one household.

        Raises:
            InvalidInput: naming every wrong field.
            ComponentUnavailable: when a part that the answer needs does not answer.
            DeadlineExceeded: when it took too long.
        """
        return result_of(await self._opened.process(request.message(), self._seconds(timeout_seconds)))

    async def stream(
        self, request: FirstPurchase | History, *, timeout_seconds: float | None = None
    ) -> AsyncGenerator[Event]:
        """One `Started`, a `MonthlyUpdate` for each month as soon as it is there, and the `Result`.

        Closing the generator ends the work in the mesh.

        Raises:
            PantreeError: as `process`, at any moment of the stream.
        """
        async with aclosing(self.stream_message(request.message(), timeout_seconds=timeout_seconds)) as events:
            async for event in events:
                yield event

    async def stream_message(
        self, message: messages.ProcessInput, *, timeout_seconds: float | None = None
    ) -> AsyncGenerator[Event]:
        """As `stream`, for callers who have the contract's own message."""
        async with aclosing(self._opened.stream_process(message, self._seconds(timeout_seconds))) as responses:
            async for response in responses:
                yield event_of(response)

    async def archetypes(
        self, *, page_size: int = 0, timeout_seconds: float | None = None
    ) -> AsyncGenerator[Archetype]:
        """The kinds of shopper that can be simulated, in a stable order; `config` tells which is the default.

        Args:
            page_size: how many to fetch at once; 0 leaves it to the service.
            timeout_seconds: longest time for each page.

        Raises:
            ComponentUnavailable: when simulation does not answer.
        """
        request = ListArchetypesRequest(page_size=page_size)
        while True:
            page = await self._opened.list_archetypes(request, self._seconds(timeout_seconds))
            for archetype in page.archetypes:
                yield archetype_of(archetype)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def status(self, *, timeout_seconds: float | None = None) -> Status:
        """The state of the whole.

        Raises:
            ComponentUnavailable: when the pipeline itself does not answer.
        """
        return status_of(await self._opened.get_status(self._seconds(timeout_seconds)))

    async def config(self, *, timeout_seconds: float | None = None) -> Config:
        """How the pipeline is set up: defaults, limits, parts.

        Raises:
            ComponentUnavailable: when the pipeline or simulation does not answer.
        """
        return config_of(await self._opened.get_config(self._seconds(timeout_seconds)))

    def _seconds(self, timeout_seconds: float | None) -> float:
        return self._timeout_seconds if timeout_seconds is None else timeout_seconds

    @property
    def _opened(self) -> Transport:
        if not self._is_open:
            raise RuntimeError("use the client as a context manager: async with PantreeClient(...) as client")
        return self._transport


def _transport_to(
    address: str, simulation_address: str, ssl_context: ssl.SSLContext | None, identity: Identity | None
) -> Transport:
    if ssl_context is not None and not address.startswith("https://"):
        raise ValueError(f"an ssl_context goes with a gateway at https://… only, not with {address}")
    if not address.startswith(("http://", "https://")):
        return MeshTransport(address, simulation_address, identity)
    try:
        from pantree_client.transports.gateway import GatewayTransport
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"a gateway is asked with httpx and websockets; pip install 'pantree[client]' ({error})", name=error.name
        ) from error
    return GatewayTransport(address, ssl_context)
