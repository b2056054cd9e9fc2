"""Full load for ten minutes; prints memory and open files of every part: `python -m tests.faults.soak`."""

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
from pantree_client.bulk_calls import bulk_responses
from pantree_domain.days import day_number
from pantree_runtime.channel import open_channel
from tests.e2e.mesh import mesh_of_processes
from tests.faults.load import Load, Outcome, requests_of
from tests.faults.run import references_of

# Caches and thread pools grow at first. Growth after a third of the time is a leak.
_WARM_UP_SHARE = 1 / 3
_SECONDS_PAUSE_BETWEEN_SAMPLES = 5.0
MAX_MIB_PER_MINUTE = 1.0
# milvus-lite keeps writes in memory until it has four files of a size to merge. With eight households of sixty items,
# memory grew for about 800 writes and then stayed within the same bounds for 3,200 more. Ten minutes of requests are
# not enough to get there, so the store is filled first.
_INITIAL_WRITES = 1_500
_ITEMS_OF_A_WRITE = 60


def _writes(customer_ids: Sequence[str]) -> Iterator[IndexHistoriesRequest]:
    """Writes of the same customers, as requests cause them."""
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
    for number in range(_INITIAL_WRITES):
        customer_id = customer_ids[number % len(customer_ids)]
        yield IndexHistoriesRequest(
            histories=[IndexHistoryRequest(customer_id=customer_id, purchases=purchases, as_of="2026-07-01")]
        )


async def _fill_store(address: str, requests: Sequence[dict[str, Any]]) -> None:
    async with open_channel(address, timeout_seconds=60) as channel:
        writes = _writes([request["customer_id"] for request in requests])
        async for _ in bulk_responses("vector", VectorServiceStub(channel).IndexHistories, writes):
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
                await asyncio.sleep(_SECONDS_PAUSE_BETWEEN_SAMPLES)
            load.stop()
            await loading
    counts = {outcome: load.tally.total(outcome) for outcome in Outcome}
    print(f"\n{seconds:.0f} s, {clients} clients, {sum(counts.values())} requests: {counts}\n")
    print("| part | memory after warm-up, MiB | at the end, MiB | slope, MiB/min | files after warm-up | at the end |")
    print("|---|--:|--:|--:|--:|--:|")
    flat = True
    for part, all_of_part in samples.items():
        kept = [sample for sample in all_of_part if sample[0] >= seconds * _WARM_UP_SHARE]
        slope = statistics.linear_regression([one[0] / 60 for one in kept], [one[1] for one in kept]).slope
        first, last = kept[0], kept[-1]
        print(f"| {part} | {first[1]:.1f} | {last[1]:.1f} | {slope:+.2f} | {first[2]} | {last[2]} |")
        flat = flat and slope <= MAX_MIB_PER_MINUTE and last[2] <= first[2] + clients
    return flat and counts[Outcome.WRONG] == counts[Outcome.HANG] == 0


def main() -> None:
    """Runs the load; exits with 1 if memory or files grow or an answer is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--clients", type=int, default=6)
    arguments = parser.parse_args()
    raise SystemExit(0 if asyncio.run(_main(arguments.seconds, arguments.seed, arguments.clients)) else 1)


if __name__ == "__main__":
    main()
