"""A mesh with a proxy in front of every part, into which faults can be injected."""

import asyncio
import contextlib
import os
import resource
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from enum import StrEnum
from pathlib import Path

import psutil

from pantree_cli.mesh import PARTS, ProcessMesh, ServiceKind, free_ports
from tests.faults.proxy import Proxy, proxies_of
from tests.tcp import HOST

MAX_START_SECONDS = 120.0
_NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
_SLOW_SECONDS = 0.08
# Interval at which a part reads the file that sets its clock.
_CLOCK_SECONDS = 1
# Library that fakes the time of day, from Debian's package libfaketime.
FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


class Fault(StrEnum):
    """A kind of fault."""

    KILL = "kill -9"
    STOP = "kill -STOP"
    SLOW = "slow network"
    DROP = "dropped connections"
    CUT = "network cut"
    DISK = "full disk"
    CLOCK = "clock jump"


class FaultyMesh:
    """Real processes that connect through proxies."""

    def __init__(self, processes: ProcessMesh, proxies: Mapping[str, Proxy], clock: Path) -> None:
        self._processes = processes
        self._proxies = proxies
        self._clock = clock

    @property
    def gateway(self) -> str:
        """Address of the gateway's proxy, `host:port`."""
        return f"{HOST}:{self._proxies['gateway'].port}"

    @property
    def process_ids(self) -> Mapping[str, int]:
        """Process id of each part."""
        return self._processes.process_ids

    async def inject(self, part: ServiceKind, fault: Fault, seconds: float) -> None:
        """Injects a fault into a part for some seconds; returns when the part is restored."""
        actions: dict[Fault, Callable[[ServiceKind, float], Awaitable[None]]] = {
            Fault.KILL: self._kill,
            Fault.STOP: self._stop,
            Fault.SLOW: self._slow,
            Fault.DROP: self._drop,
            Fault.CUT: self._cut,
            Fault.DISK: self._fill_disk,
            Fault.CLOCK: self._shift_clock,
        }
        await actions[fault](part, seconds)

    async def _kill(self, part: ServiceKind, seconds: float) -> None:
        os.kill(self.process_ids[part.name], signal.SIGKILL)
        await self._processes.wait(part.name)
        await asyncio.sleep(seconds)
        await self._processes.start(part)
        async with asyncio.timeout(MAX_START_SECONDS):
            await self._processes.serving(part)

    async def _stop(self, part: ServiceKind, seconds: float) -> None:
        os.kill(self.process_ids[part.name], signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            os.kill(self.process_ids[part.name], signal.SIGCONT)

    async def _slow(self, part: ServiceKind, seconds: float) -> None:
        self._proxies[part.name].set_delay(_SLOW_SECONDS)
        await asyncio.sleep(seconds)
        self._proxies[part.name].set_delay(0)

    async def _drop(self, part: ServiceKind, seconds: float) -> None:
        await self._proxies[part.name].drop_connections()
        await asyncio.sleep(seconds)
        await self._proxies[part.name].drop_connections()

    async def _cut(self, part: ServiceKind, seconds: float) -> None:
        await self._proxies[part.name].cut()
        await asyncio.sleep(seconds)
        self._proxies[part.name].restore()

    async def _fill_disk(self, part: ServiceKind, seconds: float) -> None:
        """Simulates a full disk: no file of the process may grow."""
        process = psutil.Process(self.process_ids[part.name])
        affected = [process, *process.children(recursive=True)]
        for one in affected:
            resource.prlimit(one.pid, resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
        await asyncio.sleep(seconds)
        for one in affected:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(one.pid, resource.RLIMIT_FSIZE, _NO_LIMIT)

    async def _shift_clock(self, part: ServiceKind, seconds: float) -> None:
        """Sets the time of day an hour ahead, then back."""
        file = self._clock / part.name
        file.write_text("+3600s\n")
        await asyncio.sleep(seconds + _CLOCK_SECONDS)
        file.write_text("+0s\n")


@contextlib.asynccontextmanager
async def faulty_mesh(folder: Path, *, own_clocks: bool = False) -> AsyncIterator[FaultyMesh]:
    """A mesh with an embedded store on disk.

    Args:
        folder: directory for the store and the clocks.
        own_clocks: whether each part has a clock that can be changed; needs `FAKETIME` and makes starts slow.
    """
    ports: dict[str, int] = dict(zip((part.name for part in PARTS), free_ports(len(PARTS)), strict=True))
    for part in PARTS:
        (folder / part.name).write_text("+0s\n")
    async with proxies_of(ports) as proxies:
        settings = {
            "PANTREE_LOG_LEVEL": "ERROR",
            "PANTREE_DRAIN_SECONDS": "5",
            # Compute every answer again.
            "PANTREE_GATEWAY_CACHE_SECONDS": "0",
            "PANTREE_VECTOR_STORE_URL": f"milvus+lite://{folder}/vectors.db",
        }
        for part in PARTS:
            settings[part.port_variable] = str(ports[part.name])
            settings[part.address_variable] = f"{HOST}:{proxies[part.name].port}"
        addresses: dict[str, str] = {part.name: f"{HOST}:{ports[part.name]}" for part in PARTS}
        clocks = folder if own_clocks else None
        processes = _ClockedMesh({**os.environ, **settings}, addresses, clocks)
        try:
            for part in PARTS:
                await processes.start(part)
            async with asyncio.timeout(MAX_START_SECONDS):
                await asyncio.gather(*(processes.serving(part) for part in PARTS))
            yield FaultyMesh(processes, proxies, folder)
        finally:
            await processes.stop()


class _ClockedMesh(ProcessMesh):
    """Parts that may each have their own clock."""

    def __init__(self, environment: Mapping[str, str], addresses: Mapping[str, str], clocks: Path | None) -> None:
        super().__init__(environment, addresses)
        self._plain = environment
        self._clocks = clocks

    async def start(self, part: ServiceKind) -> None:
        self._environment = dict(self._plain)
        if self._clocks is not None:
            self._environment |= {
                "LD_PRELOAD": str(FAKETIME),
                "FAKETIME_TIMESTAMP_FILE": str(self._clocks / part.name),
                "FAKETIME_CACHE_DURATION": str(_CLOCK_SECONDS),
                # Durations and deadlines use the monotonic clock, which does not jump on real machines.
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        await super().start(part)
