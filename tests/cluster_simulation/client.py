"""Clients of the gateway, run in a pod outside the mesh: `python -m tests.cluster_simulation.client HOST:PORT`.

Reads and writes JSON lines. The first input line is `{"requests", "references", "seed"}`. After it:

- `{"check": number}` returns the outcomes of one request by REST and by WebSocket.
- `{"measure": count, "clients": number, "months": number}` returns how many of these requests succeeded.
- `{"load": clients, "pause": seconds}` starts a load; `{"label": text}` labels what follows.
- `{"stop": true}` stops the load and returns its results.
"""

import asyncio
import json
import random
import sys
from typing import Any

import httpx

from tests.faults.load import Load, Reference

_MAX_SECONDS = 60.0


async def _main(address: str) -> None:
    # Requests and their answers are one long line.
    reader = asyncio.StreamReader(limit=1 << 26)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    given = json.loads(await reader.readline())
    generator = random.Random(given["seed"])
    references = [Reference(*pair) for pair in given["references"]]
    label = ""

    def new_load() -> Load:
        return Load([address], given["requests"], references, lambda: label)

    load, loading = new_load(), None
    while line := await reader.readline():
        match json.loads(line):
            case {"check": number}:
                probe = new_load()
                outcomes = [await probe.process(number), await probe.stream(number)]
                _send([[outcome.value, why] for outcome, why in outcomes])
            case {"measure": count, "clients": clients, "months": months}:
                _send(await _measure(address, given["requests"], count, clients, months))
            case {"load": clients, "pause": pause}:
                loading = asyncio.create_task(load.run(clients, generator, pause))
            case {"label": text}:
                label = text
            case {"stop": True}:
                load.stop()
                if loading is not None:
                    await loading
                _send(
                    {
                        "counts": load.tally.counts,
                        "problems": load.tally.problems,
                        "failed": load.unary_errors,
                    }
                )
                load = new_load()


async def _measure(address: str, requests: list[dict[str, Any]], count: int, clients: int, months: int) -> int:
    """Sends new requests, none repeated; returns how many succeeded."""
    limiter = asyncio.Semaphore(clients)
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=_MAX_SECONDS, trust_env=False) as client:

        async def succeeds(number: int) -> bool:
            request = {**requests[number % len(requests)], "seed": number, "simulation_months": months}
            async with limiter:
                return (await client.post("/api/v1/process", json=request)).is_success

        return sum(await asyncio.gather(*(succeeds(number) for number in range(count))))


def _send(document: Any) -> None:
    print(json.dumps(document), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
