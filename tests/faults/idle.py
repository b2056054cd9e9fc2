"""An idle mesh for an hour; counts pings and reads every GOAWAY between its parts: `python -m tests.faults.idle`."""

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from pantree_cli.mesh import ALL_PARTS, HOST, ServiceKind, free_ports, port_settings, start_processes
from pantree_runtime.channel import KEEPALIVE_MS, open_channel
from tests.faults.proxy import Proxy
from tests.logs import errors_written_to

# RFC 9113: the preface, frame header, types, flags and errors of HTTP/2.
_PREFACE_BYTES = 24
_HEADER_BYTES = 9
_PING, _GOAWAY = 6, 7
_ACKNOWLEDGED = 1
_NO_ERROR = 0
_BODY = {"customer_id": "idle", "items": [{"name": "Milk", "price": 3.49}], "simulation_months": 3}


@dataclass
class Frames:
    """What was sent on all connections to a part."""

    connections: int = 0
    pings: int = 0
    """Without acknowledgments."""
    planned: int = 0
    """GOAWAY without an error: the server has closed a connection of its maximum age."""
    errors: Counter[str] = field(default_factory=Counter)
    """Other GOAWAY, by code and text."""

    def reader(self, *, is_from_caller: bool) -> Callable[[bytes], None]:
        """Function that reads the bytes of one direction of a connection."""
        rest = bytearray()
        to_skip = _PREFACE_BYTES if is_from_caller else 0
        self.connections += is_from_caller

        def read(chunk: bytes) -> None:
            nonlocal to_skip
            rest.extend(chunk)
            if len(rest) < to_skip:
                return
            del rest[:to_skip]
            to_skip = 0
            while len(rest) >= _HEADER_BYTES:
                end = _HEADER_BYTES + int.from_bytes(rest[:3], "big")
                if len(rest) < end:
                    return
                self._count(rest[3], rest[4], bytes(rest[_HEADER_BYTES:end]))
                del rest[:end]

        return read

    def _count(self, kind: int, flags: int, payload: bytes) -> None:
        if kind == _PING and not flags & _ACKNOWLEDGED:
            self.pings += 1
        if kind == _GOAWAY:
            code = int.from_bytes(payload[4:8], "big")
            if code == _NO_ERROR:
                self.planned += 1
            else:
                self.errors[f"{code} {payload[8:].decode(errors='replace')}"] += 1


class ReadingProxy(Proxy):
    """Reads the frames that it forwards."""

    def __init__(self, target_port: int) -> None:
        super().__init__(target_port)
        self.frames = Frames()

    def _observer(self, *, is_from_caller: bool) -> Callable[[bytes], None]:
        return self.frames.reader(is_from_caller=is_from_caller)


@dataclass(frozen=True)
class IdleReport:
    """What happened between the parts."""

    frames: dict[str, Frames]
    log: str
    """What the parts wrote: nothing, when nothing is wrong."""
    first_response: str
    """Status of a request after the idle time."""

    @property
    def is_fine(self) -> bool:
        """Whether no connection ended with an error and the mesh still serves."""
        errors = sum(sum(one.errors.values()) for one in self.frames.values())
        return not errors and not self.log and self.first_response == "200"

    def table(self) -> str:
        """The report as a Markdown table with one row per part."""
        rows = ["| part | connections | pings | GOAWAY of their age | other GOAWAY |", "|---|--:|--:|--:|---|"]
        for name, one in self.frames.items():
            errors = ", ".join(f"{count} x {text}" for text, count in one.errors.items()) or "none"
            rows.append(f"| {name} | {one.connections} | {one.pings} | {one.planned} | {errors} |")
        return "\n".join([*rows, f"\nfirst request afterwards: {self.first_response}; log: {self.log or 'empty'}"])


@contextlib.asynccontextmanager
async def _proxies(parts: list[ServiceKind], ports: dict[str, int]) -> AsyncIterator[dict[str, ReadingProxy]]:
    proxies: dict[str, ReadingProxy] = {part.name: ReadingProxy(ports[part.name]) for part in parts}
    for proxy in proxies.values():
        await proxy.open()
    try:
        yield proxies
    finally:
        for proxy in proxies.values():
            await proxy.close()


async def idle(seconds: float) -> IdleReport:
    """Starts a mesh with all parts, sends one request and a client's connection to each part, and waits."""
    called = [part for part in ALL_PARTS if part.name != "gateway"]
    ports: dict[str, int] = dict(zip((part.name for part in called), free_ports(len(called)), strict=True))
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        async with _proxies(called, ports) as proxies, contextlib.AsyncExitStack() as stack:
            settings = port_settings(own_ports=True, parts=ALL_PARTS)
            settings |= {part.port_variable: str(ports[part.name]) for part in called}
            settings |= {part.address_variable: f"{HOST}:{proxies[part.name].port}" for part in called}
            settings |= {
                "PANTREE_GATEWAY_CACHE_SECONDS": "0",
                "PANTREE_HISTORY_STORE_URL": f"sqlite://{folder}/history.db",
                # Errors of gRPC itself, such as too_many_pings.
                "GRPC_VERBOSITY": "ERROR",
            }
            with errors_written_to(log):
                mesh = await start_processes(settings, lambda part, state: None, parts=ALL_PARTS)
            try:
                url = f"http://{settings['PANTREE_GATEWAY_ADDRESS']}/api/v1/process"
                async with httpx.AsyncClient(timeout=60) as client:
                    (await client.post(url, json=_BODY)).raise_for_status()
                clients = []
                for proxy in proxies.values():
                    channel = await stack.enter_async_context(open_channel(f"{HOST}:{proxy.port}", timeout_seconds=10))
                    await channel.channel_ready()
                    clients.append(channel)
                began_at = time.monotonic()
                while (left := began_at + seconds - time.monotonic()) > 0:
                    await asyncio.sleep(min(left, 1))
                    for channel in clients:
                        channel.get_state(try_to_connect=True)
                # Read first: what follows may close connections.
                text = log.read_text()
                async with httpx.AsyncClient(timeout=60) as client:
                    response = await client.post(url, json=_BODY)
                status = str(response.status_code)
            finally:
                await mesh.stop()
            return IdleReport({name: proxy.frames for name, proxy in proxies.items()}, text, status)


def main() -> None:
    """Waits; exits with 1 if a connection ended with an error or a part wrote anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    minutes = parser.parse_args().minutes
    report = asyncio.run(idle(60 * minutes))
    print(f"{minutes:g} idle minutes, a ping each {KEEPALIVE_MS / 1000:g} s\n\n{report.table()}")
    raise SystemExit(not report.is_fine)


if __name__ == "__main__":
    main()
