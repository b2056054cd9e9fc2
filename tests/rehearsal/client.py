"""Clients of the gateway, in a pod where requests come from: `python -m tests.rehearsal.client HOST:PORT`.

Speaks JSON lines on standard input and output. First `{"requests", "references", "seed"}`; then any of
`{"check": number}`, answered with the verdicts on one request by REST and by WebSocket,
`{"measure": count, "clients": number, "months": number}`, answered with how many of so many requests were answered,
`{"load": clients, "pause": seconds}`, `{"label": text}`, and `{"stop": true}`, answered with what the load saw.
"""

import asyncio
import json
import random
import sys
from typing import Any

import httpx

from tests.faults.load import Load, Reference

_LONGEST_SECONDS = 60.0


async def _main(address: str) -> None:
    # Requests and their answers make one long line.
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
                _say([[verdict.value, why] for verdict, why in outcomes])
            case {"measure": count, "clients": clients, "months": months}:
                _say(await _measure(address, given["requests"], count, clients, months))
            case {"load": clients, "pause": pause}:
                loading = asyncio.create_task(load.run(clients, generator, pause))
            case {"label": text}:
                label = text
            case {"stop": True}:
                load.stop()
                if loading is not None:
                    await loading
                _say(
                    {
                        "counts": load.tally.counts,
                        "troubles": load.tally.troubles,
                        "failed": load.unary_errors,
                    }
                )
                load = new_load()


async def _measure(address: str, requests: list[dict[str, Any]], count: int, clients: int, months: int) -> int:
    """Sends requests none of which was sent before; returns how many were answered."""
    free = asyncio.Semaphore(clients)
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=_LONGEST_SECONDS, trust_env=False) as client:

        async def answered(number: int) -> bool:
            request = {**requests[number % len(requests)], "seed": number, "simulation_months": months}
            async with free:
                return (await client.post("/api/v1/process", json=request)).is_success

        return sum(await asyncio.gather(*(answered(number) for number in range(count))))


def _say(document: Any) -> None:
    print(json.dumps(document), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
