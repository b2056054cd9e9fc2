"""A store in Milvus: a file through milvus-lite, or a server or cluster.

- Callers' texts are never part of a filter expression. Filters compare UUIDs derived from them, so nothing is escaped.
- Every call filters by tenant. A partition key would be faster on large clusters, but servers older than March 2024,
  2.3.5 among them, put upserted rows into wrong partitions (milvus-io/milvus pull request 30772).
- Collections have consistency level Strong, so that each call sees what earlier ones have stored.
- pymilvus blocks, so it runs in its own threads. milvus-lite supports no concurrent writes: it gets a single thread.
- A server is queried for a household's stale items, because another replica may have stored some. milvus-lite would
  read every item to answer. Its file belongs to one process, so there each customer's row lists the customer's items.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import grpc
import numpy as np
from pymilvus import DataType, MilvusClient, MilvusException

from pantree_domain.limits import MAX_ID_CHARACTERS, MAX_NAME_CHARACTERS
from pantree_runtime.deadline import call_timeout
from pantree_vector.backends.external import ExternalStore, StoreOptions, batches, external_operation
from pantree_vector.backends.local_files import file_problem
from pantree_vector.core.embedder import EmbeddingModel, Vector
from pantree_vector.core.household import CustomerItem
from pantree_vector.core.identity import customer_point_id, stable_id
from pantree_vector.core.profile import CustomerProfile
from pantree_vector.core.store import CustomerMatch, CustomerPoint, HouseholdPoints, ItemFilter, ItemMatch

_SERVER_THREADS = 8
_PING_SECONDS = 2.0
# Rows in one message: 1,000 vectors of 1,024 numbers are 4 MiB, well below what servers accept.
_BATCH_ROWS = 1_000
# Customers whose items are fetched by one query: some megabytes if each has a thousand items.
_CUSTOMERS_PER_QUERY = 10
# milvus-lite filters rows in memory one by one, but rows in its file by column. With a small limit, it writes rows to
# the file early (a search over 9,000 new items took 0.08 s instead of 0.7 s). Read when milvus-lite is imported.
_FILE_MEMORY_BYTES = 2 * 1024 * 1024
# The default index is a graph that is rebuilt whenever files are merged. That took most of the time of a bulk load, and
# searches were inexact.
_FILE_INDEX = "FLAT"
# Milvus counts bytes; a character has up to four in UTF-8.
_BYTES_PER_CHARACTER = 4
_UUID_BYTES = 36
_NO_POINT = "-"
"""No id of any point."""
_MAX_TEXT_BYTES = 65_535
# The row of a customer with more items lists none of them, and milvus-lite is queried instead.
_MAX_LISTED_ITEMS = _MAX_TEXT_BYTES // (_UUID_BYTES + 1)
# pymilvus pings every 10 s. The server of milvus-lite closes connections that ping more often than every 300 s, gRPC's
# default (`too_many_pings`). It runs in this process, so pings are not needed.
_FILE_CHANNEL_OPTIONS = {"grpc.keepalive_time_ms": 2**31 - 1}  # never
_MAX_CACHED_UUIDS = 60_000
_MODEL_NAME = "pantree.embedding_model"
_MODEL_VERSION = "pantree.embedding_version"
_SCHEMA = "pantree.schema"
# Increased whenever the fields below change: not every server can add fields to a collection.
_SCHEMA_VERSION = "5"

ResultT = TypeVar("ResultT")
_Row = dict[str, Any]
_Columns = dict[str, list[Any]]
"""Values of each field, in the same order of rows."""


class _TextField(NamedTuple):
    name: str
    max_bytes: int


_ITEM_FIELDS = (
    _TextField("tenant_uuid", _UUID_BYTES),
    _TextField("customer_uuid", _UUID_BYTES),
    _TextField("key_uuid", _UUID_BYTES),
    _TextField("category_uuid", _UUID_BYTES),
    _TextField("key", _MAX_TEXT_BYTES),  # may be longer than the name
    _TextField("name", MAX_NAME_CHARACTERS * _BYTES_PER_CHARACTER),
    _TextField("category", MAX_NAME_CHARACTERS * _BYTES_PER_CHARACTER),
)
_CUSTOMER_FIELDS = (
    _TextField("tenant_uuid", _UUID_BYTES),
    _TextField("customer_id", MAX_ID_CHARACTERS * _BYTES_PER_CHARACTER),
    _TextField("profile", _MAX_TEXT_BYTES),
)
_LISTED_ITEMS = "item_ids"
_LOCK_NAME = "LOCK"
"""Of the file that milvus-lite locks."""


def _quiet_client() -> None:
    """Leaves the log to this service: pymilvus writes dozens of plain lines for each failed call."""
    for name in ("pymilvus", "pymilvus.milvus_client", "pymilvus.bulk_writer"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.CRITICAL)


class MilvusStore(ExternalStore):
    """Stores points in Milvus.

    The place is the path of a milvus-lite file that ends with `.db`, or the URI of a server such as
    `http://localhost:19530`; the token is `user:password` or an API key.
    """

    system = "milvus"
    client_errors = (MilvusException, grpc.RpcError)

    def __init__(self, place: Path | str, options: StoreOptions) -> None:
        super().__init__(place, options)
        _quiet_client()
        self._is_file = isinstance(place, Path)
        self._schemas: dict[str, Mapping[str, Any]] = {}
        self._client: MilvusClient | None = None
        self._executor = ThreadPoolExecutor(1 if self._is_file else _SERVER_THREADS, thread_name_prefix="milvus")

    @property
    def remedy(self) -> str:
        if isinstance(self._place, Path):
            problem = file_problem(self._place, _LOCK_NAME, is_open=bool(self._schemas))
            return f"{problem}, or set PANTREE_VECTOR_STORE_URL to another file or to a Milvus server"
        return (
            f"the Milvus server at {self._place} does not answer; check that it runs, and that "
            "PANTREE_VECTOR_STORE_URL or VECTORDB_HOST and VECTORDB_PORT name it, or set "
            "PANTREE_VECTOR_STORE_URL=memory:// to run without it"
        )

    @external_operation
    async def open(self, model: EmbeddingModel) -> None:
        """Connects and creates missing collections.

        Raises:
            StoreMismatch: a collection holds vectors of another model.
            OSError: the directory of the file cannot be created.
        """
        if isinstance(self._place, Path):
            self._place.parent.mkdir(parents=True, exist_ok=True)
            os.environ.setdefault("MILVUS_LITE_MEMTABLE_MEMORY_LIMIT_BYTES", str(_FILE_MEMORY_BYTES))

        def connect(timeout: float) -> None:
            # Dedicated: a shared connection outlives its clients, and the port of a milvus-lite file may be reused.
            client = self._client = MilvusClient(
                str(self._place),
                token=self._options.token or "",
                timeout=timeout,
                dedicated=True,
                grpc_options=_FILE_CHANNEL_OPTIONS if self._is_file else {},
            )
            listed = (_TextField(_LISTED_ITEMS, _MAX_TEXT_BYTES),) if self._is_file else ()
            for name, fields in ((self._items, _ITEM_FIELDS), (self._customers, (*_CUSTOMER_FIELDS, *listed))):
                self._prepare_collection(client, name, fields, model, timeout)
                self._schemas[name] = client.describe_collection(name, timeout=timeout)

        await self._in_thread(connect)

    async def ping(self) -> None:
        client = self._client
        # A file is in this process. Its only thread may be busy with a long write.
        if client is not None and not self._is_file:
            # Not in the threads of calls, which may all wait for a server that hangs.
            await asyncio.to_thread(client.has_collection, self._customers, timeout=_PING_SECONDS)

    async def try_write(self) -> bool:
        client = self._client
        if client is None or self._is_file:
            return False
        # A server at its quota may refuse one collection and take the other.
        for name in (self._items, self._customers):
            await asyncio.to_thread(client.delete, name, ids=[_NO_POINT], timeout=_PING_SECONDS)
        return True

    async def close(self) -> None:

        def disconnect() -> None:
            if self._client is not None:
                self._client.close()
                self._client = None
            if self._is_file:
                # Imported here: milvus-lite does not exist for every system that can connect to a server.
                from milvus_lite.server_manager import server_manager_instance

                server_manager_instance.release_server(str(self._place))

        await asyncio.to_thread(self._executor.shutdown)
        await asyncio.to_thread(disconnect)

    @external_operation
    async def replace_households(self, households: Sequence[HouseholdPoints]) -> None:
        if self._is_file:
            await self._call(lambda client, timeout: self._replace_in_file(client, households, timeout))
        else:
            await self._replace_on_server(households)

    def _replace_in_file(self, client: MilvusClient, households: Sequence[HouseholdPoints], timeout: float) -> None:
        """Removes stale items first and stores new ones last, so a customer's row always lists all stored items."""
        new_ids = {point_id for one in households for point_id in one.item_ids}
        customers = _customer_columns(households)
        stored_ids = self._listed_item_ids(client, customers["id"], timeout)
        self._delete_items(client, [point_id for point_id in stored_ids if point_id not in new_ids], timeout)
        customers[_LISTED_ITEMS] = [
            " ".join(one.item_ids) if len(one.item_ids) <= _MAX_LISTED_ITEMS else "" for one in households
        ]
        self._upsert(client, self._customers, customers, timeout)
        self._upsert(client, self._items, _item_columns(households), timeout)

    async def _replace_on_server(self, households: Sequence[HouseholdPoints]) -> None:
        """Removes stale items last, so that the server looks for them while it stores the new ones.

        The query waits up to 0.2 s for the server to process all earlier writes.
        """
        customers = _customer_columns(households)

        def upsert(client: MilvusClient, timeout: float) -> None:
            # Customers first, so that every customer whose items are found is found, too.
            self._upsert(client, self._customers, customers, timeout)
            self._upsert(client, self._items, _item_columns(households), timeout)

        query = asyncio.create_task(
            self._call(lambda client, timeout: self._item_ids(client, customers["id"], timeout))
        )
        try:
            await self._call(upsert)
        finally:
            await asyncio.gather(query, return_exceptions=True)  # must not outlive a failed upsert
        new_ids = {point_id for one in households for point_id in one.item_ids}
        stale_ids = [point_id for point_id in await query if point_id not in new_ids]
        if stale_ids:
            await self._call(lambda client, timeout: self._delete_items(client, stale_ids, timeout))

    @external_operation
    async def remove_household(self, tenant_id: str, customer_id: str) -> int:
        """Removes a customer's items, then the customer, so that a failed call can be repeated."""
        point_id = customer_point_id(tenant_id, customer_id)

        def remove(client: MilvusClient, timeout: float) -> int:
            item_ids = (self._listed_item_ids if self._is_file else self._item_ids)(client, [point_id], timeout)
            is_stored = bool(client.query(self._customers, ids=[point_id], output_fields=["id"], timeout=timeout))
            self._delete_items(client, item_ids, timeout)
            if is_stored:
                client.delete(self._customers, ids=[point_id], timeout=timeout)
            return len(item_ids) + is_stored

        return await self._call(remove)

    @external_operation
    async def find_customer(self, tenant_id: str, customer_id: str) -> CustomerPoint | None:
        fields = ["profile", "vector"]
        rows: list[_Row] = await self._call(
            lambda client, timeout: client.query(
                self._customers, ids=[customer_point_id(tenant_id, customer_id)], output_fields=fields, timeout=timeout
            )
        )
        if not rows:
            return None
        vector = np.asarray(rows[0]["vector"], dtype=np.float32)
        return CustomerPoint(tenant_id, customer_id, vector, CustomerProfile.from_json(rows[0]["profile"]))

    @external_operation
    async def search_items(
        self, tenant_id: str, vector: Vector, *, item_filter: ItemFilter, exclude_keys: Collection[str], limit: int
    ) -> list[ItemMatch]:
        conditions = [f'tenant_uuid == "{_uuid("tenant", tenant_id)}"']
        if item_filter.category:
            conditions.append(f'category_uuid == "{_uuid("category", item_filter.category)}"')
        if item_filter.min_price is not None:
            conditions.append(f"unit_price >= {item_filter.min_price:.9f}")
        if item_filter.max_price is not None:
            conditions.append(f"unit_price <= {item_filter.max_price:.9f}")
        if exclude_keys:
            conditions.append(f"key_uuid not in {_list(_uuid('key', key) for key in exclude_keys)}")
        found = await self._search(self._items, vector, conditions, ["key", "name", "category", "unit_price"], limit)
        return [ItemMatch(**row, score=score) for row, score in found]

    @external_operation
    async def search_customers(
        self, tenant_id: str, vector: Vector, *, exclude_customer_id: str, limit: int
    ) -> list[CustomerMatch]:
        conditions = [
            f'tenant_uuid == "{_uuid("tenant", tenant_id)}"',
            f'id != "{customer_point_id(tenant_id, exclude_customer_id)}"',
        ]
        found = await self._search(self._customers, vector, conditions, ["customer_id", "profile"], limit)
        return [
            CustomerMatch(row["customer_id"], score, CustomerProfile.from_json(row["profile"]).counts_from_day)
            for row, score in found
        ]

    @external_operation
    async def items_of_customers(self, tenant_id: str, customer_ids: Sequence[str]) -> list[tuple[CustomerItem, ...]]:
        point_ids = [customer_point_id(tenant_id, customer_id) for customer_id in customer_ids]

        def query(client: MilvusClient, timeout: float) -> list[tuple[CustomerItem, ...]]:
            items: dict[str, list[CustomerItem]] = {point_id: [] for point_id in point_ids}
            for some in batches(point_ids, _CUSTOMERS_PER_QUERY):
                for row in client.query(
                    self._items,
                    filter=f"customer_uuid in {_list(some)}",
                    output_fields=["customer_uuid", *CustomerItem._fields],
                    timeout=timeout,
                ):
                    items[row["customer_uuid"]].append(CustomerItem(*(row[field] for field in CustomerItem._fields)))
            return [tuple(sorted(items[point_id])) for point_id in point_ids]

        return await self._call(query)

    async def _search(
        self, collection: str, vector: Vector, conditions: Sequence[str], fields: list[str], limit: int
    ) -> list[tuple[_Row, float]]:
        (hits,) = await self._call(
            lambda client, timeout: client.search(
                collection,
                data=[vector],
                filter=" and ".join(conditions),
                limit=limit,
                output_fields=fields,
                timeout=timeout,
            )
        )
        # Rounding may return a cosine above 1.
        return [(hit["entity"], max(-1.0, min(1.0, hit["distance"]))) for hit in hits]

    def _item_ids(self, client: MilvusClient, customer_uuids: Sequence[str], timeout: float) -> list[str]:
        rows = client.query(
            self._items, filter=f"customer_uuid in {_list(customer_uuids)}", output_fields=["id"], timeout=timeout
        )
        return [row["id"] for row in rows]

    def _listed_item_ids(self, client: MilvusClient, customer_uuids: list[str], timeout: float) -> list[str]:
        """Ids of customers' items, as listed in the customers' rows of a milvus-lite file."""
        rows = [
            row
            for batch in batches(customer_uuids, _BATCH_ROWS)
            for row in client.query(self._customers, ids=batch, output_fields=["id", _LISTED_ITEMS], timeout=timeout)
        ]
        unlisted = [row["id"] for row in rows if not row[_LISTED_ITEMS]]
        listed = [point_id for row in rows for point_id in row[_LISTED_ITEMS].split()]
        return listed + (self._item_ids(client, unlisted, timeout) if unlisted else [])

    def _upsert(self, client: MilvusClient, collection: str, columns: _Columns, timeout: float) -> None:
        """Stores rows. MilvusClient.upsert takes single rows, which takes seven times as long as whole columns."""
        connection, schema = client._get_connection(), self._schemas[collection]
        types = {field["name"]: field["type"] for field in schema["fields"]}
        for start in range(0, len(columns["id"]), _BATCH_ROWS):
            batch = [
                {"name": name, "type": types[name], "values": values[start : start + _BATCH_ROWS]}
                for name, values in columns.items()
            ]
            connection.upsert(collection, batch, timeout=timeout, schema=schema)

    def _delete_items(self, client: MilvusClient, point_ids: Sequence[str], timeout: float) -> None:
        for batch in batches(point_ids, _BATCH_ROWS):
            client.delete(self._items, ids=batch, timeout=timeout)

    def _prepare_collection(
        self, client: MilvusClient, name: str, fields: Iterable[_TextField], model: EmbeddingModel, timeout: float
    ) -> None:
        if client.has_collection(name, timeout=timeout):
            self._check_model(name, client.describe_collection(name, timeout=timeout), model)
        else:
            schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=_UUID_BYTES)
            for field in fields:
                schema.add_field(field.name, DataType.VARCHAR, max_length=field.max_bytes)
            if name == self._items:
                schema.add_field("unit_price", DataType.DOUBLE)
                schema.add_field("day_count", DataType.INT32)
                schema.add_field("span_days", DataType.INT32)
            schema.add_field("vector", DataType.FLOAT_VECTOR, dim=model.dimension)
            client.create_collection(
                name,
                schema=schema,
                consistency_level="Strong",
                properties={_MODEL_NAME: model.name, _MODEL_VERSION: model.version, _SCHEMA: _SCHEMA_VERSION},
                timeout=timeout,
            )
        if not client.list_indexes(name, timeout=timeout):
            index = client.prepare_index_params()
            index.add_index("vector", index_type=_FILE_INDEX if self._is_file else "AUTOINDEX", metric_type="COSINE")
            client.create_index(name, index, sync=False, timeout=timeout)  # milvus-lite cannot wait
        client.load_collection(name, timeout=timeout)

    def _check_model(self, collection: str, description: Mapping[str, Any], model: EmbeddingModel) -> None:
        properties = description.get("properties", {})
        if properties.get(_SCHEMA) != _SCHEMA_VERSION:
            raise self._other_version(collection)
        dimensions = [field["params"]["dim"] for field in description["fields"] if field["name"] == "vector"]
        stored = EmbeddingModel(
            name=properties.get(_MODEL_NAME, "an unknown model"),
            version=properties.get(_MODEL_VERSION, "unknown"),
            dimension=int(dimensions[0]) if dimensions else 0,
        )
        self._require_model(collection, stored, model)

    async def _call(self, operation: Callable[[MilvusClient, float], ResultT]) -> ResultT:
        client = self._client
        assert client is not None, "the store is not open"
        return await self._in_thread(lambda timeout: operation(client, timeout))

    async def _in_thread(self, operation: Callable[[float], ResultT]) -> ResultT:
        timeout = call_timeout(self._options.timeout_seconds)
        assert timeout is not None  # the maximum is not None
        return await asyncio.get_running_loop().run_in_executor(self._executor, operation, timeout)


def _customer_columns(households: Sequence[HouseholdPoints]) -> _Columns:
    customers = [one.customer for one in households]
    return {
        "id": [customer.point_id for customer in customers],
        "tenant_uuid": [_uuid("tenant", customer.tenant_id) for customer in customers],
        "customer_id": [customer.customer_id for customer in customers],
        "profile": [customer.profile.to_json() for customer in customers],
        "vector": np.array([customer.vector for customer in customers]).tolist(),
    }


def _item_columns(households: Sequence[HouseholdPoints]) -> _Columns:
    items = [item for one in households for item in one.items]
    owners = [one.customer for one in households for _ in one.items]
    return {
        "id": [point_id for one in households for point_id in one.item_ids],
        "tenant_uuid": [_uuid("tenant", owner.tenant_id) for owner in owners],
        "customer_uuid": [owner.point_id for owner in owners],
        "key_uuid": [_uuid("key", item.key) for item in items],
        "category_uuid": [_uuid("category", item.category) for item in items],
        **{field: [getattr(item, field) for item in items] for field in CustomerItem._fields},
        "vector": np.concatenate([one.vectors for one in households]).tolist(),
    }


@lru_cache(_MAX_CACHED_UUIDS)
def _uuid(kind: str, text: str) -> str:
    return stable_id(kind, text)


def _list(uuids: Iterable[str]) -> str:
    """A list in a filter expression."""
    return "[" + ", ".join(f'"{uuid}"' for uuid in uuids) + "]"
