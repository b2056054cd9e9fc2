"""Clients of the gateway, in a pod where requests come from: `python -m tests.rehearsal.client HOST:PORT`.

Speaks JSON lines on standard input and output. First `{"requests", "references", "seed"}`; then any of
`{"check": number}`, answered with the verdicts on one request by REST and by WebSocket,
`{"load": clients, "pause": seconds}`, `{"label": text}`, and `{"stop": true}`, answered with what the load saw.
"""

import asyncio
import json
import random
import sys
from typing import Any

from tests.faults.load import Load, Reference


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


def _say(document: Any) -> None:
    print(json.dumps(document), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
