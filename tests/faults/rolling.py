"""A rolling restart of two replicas of every part under load."""

import asyncio
import os
import random
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pantree_cli.mesh import PARTS, ProcessMesh, ServiceKind, free_ports
from tests.faults.load import Load, Outcome, Tally, requests_of
from tests.faults.mesh import MAX_START_SECONDS
from tests.faults.run import references_of
from tests.tcp import HOST

_REPLICAS = 2
_PAUSE_BETWEEN_RESTARTS_SECONDS = 0.5


@dataclass(frozen=True)
class RollingReport:
    """Results of a rolling restart."""

    tally: Tally
    failed_unary_calls: list[str]
    stream_ends: Mapping[str, int]
    """How streams ended that did not complete, with counts."""

    def table(self) -> str:
        """The results as a Markdown table with one row per part."""
        rows = [f"| restarted | requests | {' | '.join(Outcome)} |", "|---|" + "--:|" * (len(Outcome) + 1)]
        for label, counts in sorted(self.tally.counts.items()):
            cells = [label or "none", sum(counts.values()), *(counts[outcome] for outcome in Outcome)]
            rows.append(f"| {' | '.join(map(str, cells))} |")
        rows.append(f"\nfailed unary calls: {len(self.failed_unary_calls)} {self.failed_unary_calls[:5]}")
        rows.append(f"streams that did not complete: {sum(self.stream_ends.values())} {dict(self.stream_ends)}")
        return "\n".join([*rows, *self.tally.problems])


async def rolling_restart(
    seed: int, clients: int, rolls: int = 1, parts: Sequence[ServiceKind] = PARTS
) -> RollingReport:
    """Restarts every replica of every part with SIGTERM, one at a time.

    Args:
        seed: random seed of the requests.
        clients: number of concurrent clients.
        rolls: how often all of them are restarted.
        parts: parts that are restarted.
    """
    generator = random.Random(seed)
    requests = requests_of(4, generator)
    references = await references_of(requests)
    ports: dict[str, list[int]] = {part.name: free_ports(_REPLICAS) for part in PARTS}
    shared = {
        "PANTREE_LOG_LEVEL": "ERROR",
        "PANTREE_GATEWAY_CACHE_SECONDS": "0",
        # Several addresses, as a headless Service has, without a name server.
        **{part.address_variable: "ipv4:" + ",".join(f"{HOST}:{port}" for port in ports[part.name]) for part in PARTS},
    }
    replicas = [_replica(number, ports, shared) for number in range(_REPLICAS)]
    label = ""
    try:
        for replica in replicas:
            for part in PARTS:
                await replica.start(part)
        async with asyncio.timeout(2 * MAX_START_SECONDS):
            await asyncio.gather(*(replica.serving(part) for replica in replicas for part in PARTS))
        load = Load([f"{HOST}:{port}" for port in ports["gateway"]], requests, references, lambda: label)
        loading = asyncio.create_task(load.run(clients, generator))
        restarts = [(part, replica) for _ in range(rolls) for part in parts for replica in replicas]
        for number, (part, replica) in enumerate(restarts, 1):
            label = part.name
            os.kill(replica.process_ids[part.name], signal.SIGTERM)
            await replica.wait(part.name)
            await replica.start(part)
            async with asyncio.timeout(MAX_START_SECONDS):
                await replica.serving(part)
            # As in Kubernetes, the next one is stopped when callers know this one.
            await asyncio.sleep(_PAUSE_BETWEEN_RESTARTS_SECONDS + 2)
            failed = f"{len(load.unary_errors)} calls and {sum(load.stream_ends.values())} streams failed"
            print(f"\r{number} of {len(restarts)} restarts, {failed}", end="", flush=True)
        label = ""
        load.stop()
        await loading
    finally:
        await asyncio.gather(*(replica.stop() for replica in replicas))
    return RollingReport(load.tally, load.unary_errors, load.stream_ends)


def _replica(number: int, ports: Mapping[str, list[int]], shared: Mapping[str, str]) -> ProcessMesh:
    own = {part.port_variable: str(ports[part.name][number]) for part in PARTS}
    addresses: dict[str, str] = {part.name: f"{HOST}:{ports[part.name][number]}" for part in PARTS}
    return ProcessMesh({**os.environ, **shared, **own}, addresses)
