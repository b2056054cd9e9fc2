"""`python -m tests.faults.soak`: full load for ten minutes; memory and open files of every part, with their slopes."""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import psutil

from pantree.purchase.v1.purchase_pb2 import PurchaseColumns
from pantree.vector.v1.vector_service_pb2 import IndexHistoriesRequest, IndexHistoryRequest
from pantree.vector.v1.vector_service_pb2_grpc import VectorServiceStub
from pantree_client.bulk import answered
from pantree_domain.days import day_number
from pantree_runtime.channel import open_channel
from tests.e2e.mesh import mesh_of_processes
from tests.faults.load import Load, Verdict, requests_of
from tests.faults.run import references_of

# Caches fill and pools of threads grow at first; what still grows after a third of the time is a leak.
_WARM_UP_SHARE = 1 / 3
_SECONDS_BETWEEN_SAMPLES = 5.0
MOST_MIB_PER_MINUTE = 1.0
# milvus-lite keeps what was written in memory until there are four files of a size to merge, and four of the next; with
# eight households of sixty items, memory rose for some 800 writes and went up and down between the same bounds for the
# 3,200 after them. Ten minutes of requests would be over before, so the store is written to that often beforehand.
_WRITES_BEFOREHAND = 1_500
_ITEMS_OF_A_WRITE = 60


def _writes(customer_ids: Sequence[str]) -> Iterator[IndexHistoriesRequest]:
    """The same customers over and over, as requests write them."""
    count = _ITEMS_OF_A_WRITE
    purchases = PurchaseColumns(
        item_names=[f"Item {number}" for number in range(count)],
        item_categories=["pantry"] * count,
        item_indices=range(count),
        days=[day_number(date(2026, 6, 1))] * count,
        quantities=[1] * count,
        prices=[2.5] * count,
        savings=[0.0] * count,
    )
    for number in range(_WRITES_BEFOREHAND):
        customer_id = customer_ids[number % len(customer_ids)]
        yield IndexHistoriesRequest(
            histories=[IndexHistoryRequest(customer_id=customer_id, purchases=purchases, as_of="2026-07-01")]
        )


async def _fill_store(address: str, requests: Sequence[dict[str, Any]]) -> None:
    async with open_channel(address, timeout_seconds=60) as channel:
        writes = _writes([request["customer_id"] for request in requests])
        async for _ in answered("vector", VectorServiceStub(channel).IndexHistories, writes):
            pass


async def _main(seconds: float, seed: int, clients: int) -> bool:
    generator = random.Random(seed)
    requests = requests_of(8, generator)
    references = await references_of(requests)
    samples: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        async with mesh_of_processes(
            PANTREE_GATEWAY_CACHE_SECONDS="0",
            PANTREE_LOG_LEVEL="ERROR",
            PANTREE_VECTOR_STORE_URL=f"milvus+lite://{Path(folder)}/vectors.db",
        ) as mesh:
            await _fill_store(mesh.address("vector"), requests)
            load = Load([mesh.address("gateway")], requests, references, lambda: "")
            loading = asyncio.create_task(load.run(clients, generator))
            processes = {part: psutil.Process(number) for part, number in mesh.process_ids.items()}
            began_at = time.monotonic()
            while (passed := time.monotonic() - began_at) < seconds:
                for part, process in processes.items():
                    samples[part].append((passed, process.memory_info().rss / 2**20, process.num_fds()))
                await asyncio.sleep(_SECONDS_BETWEEN_SAMPLES)
            load.stop()
            await loading
    counts = {verdict: load.tally.total(verdict) for verdict in Verdict}
    print(f"\n{seconds:.0f} s, {clients} clients, {sum(counts.values())} requests: {counts}\n")
    print("| part | memory after warm-up, MiB | at the end, MiB | slope, MiB/min | open files then | at the end |")
    print("|---|--:|--:|--:|--:|--:|")
    flat = True
    for part, all_of_part in samples.items():
        kept = [sample for sample in all_of_part if sample[0] >= seconds * _WARM_UP_SHARE]
        slope = statistics.linear_regression([one[0] / 60 for one in kept], [one[1] for one in kept]).slope
        first, last = kept[0], kept[-1]
        print(f"| {part} | {first[1]:.1f} | {last[1]:.1f} | {slope:+.2f} | {first[2]} | {last[2]} |")
        flat = flat and slope <= MOST_MIB_PER_MINUTE and last[2] <= first[2] + clients
    return flat and counts[Verdict.WRONG] == counts[Verdict.HANG] == 0


def main() -> None:
    """Soaks a mesh; ends with 1 when something grows or went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--clients", type=int, default=6)
    arguments = parser.parse_args()
    raise SystemExit(0 if asyncio.run(_main(arguments.seconds, arguments.seed, arguments.clients)) else 1)


if __name__ == "__main__":
    main()
