"""B6: vector upsert and search through the service, against pymilvus used directly.

On milvus-lite, and on a server: the one that PANTREE_TEST_MILVUS_URI names, such as `http://localhost:19530`, where
collections named `bench_…` are left, or else one that is started here when it is installed (`make milvus-install`).
Both sides store the same rows in batches of the same size, in collections of the same form and consistency; what is
measured is storing them again. Only the service embeds the names, makes the profiles, and looks for items that are to
be removed.
"""

import asyncio
import contextlib
import os
import sys
import tempfile
import uuid
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pymilvus import MilvusClient

from pantree.vector.v1 import vector_service_pb2 as messages
from pantree.vector.v1 import vector_service_pb2_grpc as rpc
from pantree_domain.purchases import PurchaseHistory
from pantree_runtime.channel import open_channel
from pantree_runtime.purchase_columns import columns_of
from pantree_runtime.server import running
from pantree_vector.__main__ import build, embedder_of, store_of
from pantree_vector.core.embedder import Embedder
from pantree_vector.core.household_points import HistoryToIndex, points_of
from pantree_vector.settings import VectorSettings
from tests.benchmarks.measurement import Measurement, alternate
from tests.milvus_server import is_installed, milvus_server

_DAY = 20_020
_AS_OF = "2024-10-24"
_BATCHES = 5
_HOUSEHOLDS = 100
"""In each batch."""
_ITEMS = 10
_UPSERT_LEVEL = "≤ 1.25 × its time"
_SEARCH_LEVEL = "≤ 1.5 × its time"


def _histories(batch: int) -> Iterator[tuple[str, PurchaseHistory]]:
    """100 households with 10 items each: 1,000 item points and 100 customers."""
    for number in range(batch * _HOUSEHOLDS, (batch + 1) * _HOUSEHOLDS):
        names = tuple(f"item {(number * 7 + item * 13) % (300 * _BATCHES)}" for item in range(_ITEMS))
        count = len(names)
        yield (
            f"household-{number}",
            PurchaseHistory(
                item_names=names,
                item_categories=("",) * count,
                item_indices=np.arange(count, dtype=np.int32),
                days=np.full(count, _DAY - number % 30, dtype=np.int32),
                quantities=np.ones(count, dtype=np.int32),
                prices=np.full(count, 2.5),
                savings=np.zeros(count),
            ),
        )


def _request(batch: int) -> messages.IndexHistoriesRequest:
    return messages.IndexHistoriesRequest(
        histories=[
            messages.IndexHistoryRequest(customer_id=customer_id, purchases=columns_of(history), as_of=_AS_OF)
            for customer_id, history in _histories(batch)
        ]
    )


async def _stored_directly(settings: VectorSettings, embedder: Embedder) -> None:
    """Creates and fills the collections of the baseline."""
    store = store_of(settings)
    await store.open(embedder.model)
    for batch in range(_BATCHES):
        points = [
            points_of(HistoryToIndex("", customer_id, history, _DAY), embedder)
            for customer_id, history in _histories(batch)
        ]
        await store.replace_households(points)
    await store.close()


def _measure(where: str, ours: VectorSettings, theirs: VectorSettings, uri: str) -> list[Measurement]:
    embedder = embedder_of(ours)
    items, customers = (f"{theirs.collection_prefix}_{kind}" for kind in ("items", "customers"))
    with asyncio.Runner() as runner:
        runner.run(_stored_directly(theirs, embedder))
        client = MilvusClient(uri, dedicated=True)
        for collection in (items, customers):
            client.load_collection(collection)
        rows: dict[str, list[dict[str, Any]]] = {
            collection: client.query(collection, filter='id != ""', output_fields=["*"])
            for collection in (items, customers)
        }
        tenant_uuid = rows[items][0]["tenant_uuid"]
        vector = embedder.embed(["item 42"])[0]
        requests = [_request(batch) for batch in range(_BATCHES)]

        def upsert_directly() -> None:
            for batch in range(_BATCHES):
                for collection, of_collection in rows.items():
                    size = len(of_collection) // _BATCHES
                    client.upsert(collection, of_collection[batch * size : (batch + 1) * size])

        def search_directly() -> None:
            fields = ["key", "name", "category", "unit_price"]
            client.search(
                items, data=[vector], filter=f'tenant_uuid == "{tenant_uuid}"', limit=40, output_fields=fields
            )

        async def with_service() -> list[Measurement]:
            async with running(await build(ours)) as part, open_channel(part.address, timeout_seconds=60) as channel:
                stub = rpc.VectorServiceStub(channel)

                async def upsert() -> None:
                    async for response in stub.IndexHistories(iter(requests)):
                        assert len(response.outcomes) == _HOUSEHOLDS

                async def search() -> None:
                    found = await stub.SearchItems(messages.SearchItemsRequest(text="item 42"))
                    assert len(found.hits) == 10

                loop = asyncio.get_running_loop()

                def waited_for(call: Callable[[], Coroutine[None, None, None]]) -> None:
                    asyncio.run_coroutine_threadsafe(call(), loop).result()

                def timed() -> list[Measurement]:
                    measurements = []
                    for work, run, baseline, rounds, level in (
                        (f"upsert of {_BATCHES} × 1,000 items", upsert, upsert_directly, 5, _UPSERT_LEVEL),
                        ("search for 10 items", search, search_directly, 20, _SEARCH_LEVEL),
                    ):
                        seconds = alternate(partial(waited_for, run), baseline, rounds)
                        ratio = seconds[0] / seconds[1]
                        measurements.append(Measurement("B6", f"{work}, {where}", "pymilvus", *seconds, ratio, level))
                    return measurements

                return await asyncio.to_thread(timed)

        measurements = runner.run(with_service())
        client.close()
        return measurements


def measure() -> list[Measurement]:
    """Batches of 100 households with 1,000 items in all, and one search among them."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/{name}.db" for name in ("ours", "theirs")]
        ours, theirs = (VectorSettings(store_url=f"milvus+lite://{path}") for path in paths)
        measurements = _measure("milvus-lite", ours, theirs, paths[1])
    with contextlib.ExitStack() as held:
        uri = os.environ.get("PANTREE_TEST_MILVUS_URI", "")
        if not uri and is_installed():
            folder = held.enter_context(tempfile.TemporaryDirectory())
            uri = held.enter_context(milvus_server(lambda: Path(tempfile.mkdtemp(dir=folder)))).uri
        if uri:
            url = f"milvus://{uri.removeprefix('http://')}"
            ours, theirs = (
                VectorSettings(store_url=url, collection_prefix=f"bench_{uuid.uuid4().hex}", store_timeout_seconds=60)
                for _ in range(2)
            )
            measurements += _measure("Milvus server", ours, theirs, uri)
        else:
            print("B6 on a server left out: no Milvus server is named or installed", file=sys.stderr)
    return measurements
