"""A store in Milvus: a file through milvus-lite, or a server or cluster.

What differs between the two, and what holds for both:

- Texts of callers never enter a filter expression; filters compare UUIDs made from them, so nothing needs escaping.
- Tenants are kept apart by a filter on every call. A partition key would be quicker on large clusters, but servers
  from before March 2024, 2.3.5 among them, put upserted rows into wrong partitions (milvus-io/milvus pull request
  30772).
- Collections are made with consistency level Strong, so that each call sees what earlier ones have stored.
- pymilvus blocks: it runs in threads of its own. milvus-lite takes no concurrent writes, so it gets a single thread.
- Which items of a household are stale, a server is asked: another replica may have stored some. A milvus-lite file has
  one process alone, and would read every item to answer: there, each customer's row lists the items of the customer.
"""

import asyncio
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import grpc
import numpy as np
import structlog
from pymilvus import DataType, MilvusClient, MilvusException

from pantree_domain.limits import MAX_ID_CHARACTERS, MAX_NAME_CHARACTERS
from pantree_runtime.deadline import call_timeout
from pantree_runtime.errors import ComponentUnavailable, StoreMismatch
from pantree_vector.core import (
    CustomerMatch,
    CustomerPoint,
    CustomerProfile,
    EmbeddingModel,
    HeldItem,
    HouseholdPoints,
    ItemFilter,
    ItemMatch,
    Vector,
)
from pantree_vector.core.identity import customer_point_id, stable_id

_log = structlog.get_logger(__name__)

COMPONENT = "vector-store"
_SERVER_THREADS = 8
# Rows in one message: 1,000 vectors of 1,024 numbers are 4 MiB, well under what servers accept.
_BATCH_ROWS = 1_000
# Their items come in one answer: with a thousand items each, some megabytes.
_CUSTOMERS_AT_ONCE = 10
# milvus-lite filters rows in memory one by one, and rows in its file by columns: with this it writes them out early
# (a search over 9,000 new items took 0.08 s here instead of 0.7 s). It reads the variable when first imported.
_FILE_MEMORY_BYTES = 2 * 1024 * 1024
# Its own choice would be a graph, built anew whenever it merges its files: that took most of the time of a bulk load,
# for searches that are inexact.
_FILE_INDEX = "FLAT"
# Milvus counts bytes, and a character has up to four in UTF-8.
_BYTES_PER_CHARACTER = 4
_UUID_CHARACTERS = 36
_LONGEST_TEXT_BYTES = 65_535
# Of households with more, the customer's row lists none, and milvus-lite is asked after all.
_MOST_LISTED_ITEMS = _LONGEST_TEXT_BYTES // (_UUID_CHARACTERS + 1)
# pymilvus pings every 10 s, and milvus-lite's server, which takes gRPC's default of 300 s, ends the connection of who
# does (`too_many_pings`). That server is in this very process: there is nothing to find out.
_FILE_CHANNEL_OPTIONS = {"grpc.keepalive_time_ms": 2**31 - 1}  # never, in gRPC's terms
_KEPT_KEYS = 20_000
_MODEL_NAME = "pantree.embedding_model"
_MODEL_VERSION = "pantree.embedding_version"
_SCHEMA = "pantree.schema"
# Goes up whenever the fields below change: collections cannot be given new ones everywhere.
_SCHEMA_VERSION = "4"

ResultT = TypeVar("ResultT")
_Row = dict[str, Any]
_Columns = dict[str, list[Any]]
"""Values of each field, in one order of rows."""


@dataclass(frozen=True)
class _Field:
    name: str
    longest_bytes: int


_ITEM_FIELDS = (
    _Field("tenant_key", _UUID_CHARACTERS),
    _Field("customer_key", _UUID_CHARACTERS),
    _Field("name_key", _UUID_CHARACTERS),
    _Field("category_key", _UUID_CHARACTERS),
    _Field("normalised_name", _LONGEST_TEXT_BYTES),  # compatible characters may become many
    _Field("name", MAX_NAME_CHARACTERS * _BYTES_PER_CHARACTER),
    _Field("category", MAX_NAME_CHARACTERS * _BYTES_PER_CHARACTER),
)
_CUSTOMER_FIELDS = (
    _Field("tenant_key", _UUID_CHARACTERS),
    _Field("customer_id", MAX_ID_CHARACTERS * _BYTES_PER_CHARACTER),
    _Field("profile", _LONGEST_TEXT_BYTES),
)
_LISTED_ITEMS = "item_ids"


class MilvusStore:
    """Keeps items in one Milvus collection and customers in another."""

    def __init__(
        self, place: Path | str, *, collection_prefix: str, timeout_seconds: float, token: str | None = None
    ) -> None:
        """A store that is not open yet.

        Args:
            place: path of a milvus-lite file that ends with `.db`, or the URI of a server such as
                `http://localhost:19530`.
            collection_prefix: start of the collections' names.
            timeout_seconds: how long one call to Milvus may take, retries included.
            token: `user:password` or API key of the server; None for none.
        """
        self._file = place if isinstance(place, Path) else None
        self._uri = str(place)
        self._items = f"{collection_prefix}_items"
        self._customers = f"{collection_prefix}_customers"
        self._timeout_seconds = timeout_seconds
        self._token = token or ""
        self._schemas: dict[str, Mapping[str, Any]] = {}
        self._client: MilvusClient | None = None
        self._executor = ThreadPoolExecutor(1 if self._file else _SERVER_THREADS, thread_name_prefix="milvus")

    async def open(self, model: EmbeddingModel) -> None:
        """Connects, and makes the collections when they are missing.

        Raises:
            StoreMismatch: when a collection was made by another model.
            ComponentUnavailable: when the server does not answer, or the file is open in another process.
            OSError: when the file's folder cannot be made.
        """
        if self._file:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            os.environ.setdefault("MILVUS_LITE_MEMTABLE_MEMORY_LIMIT_BYTES", str(_FILE_MEMORY_BYTES))

        def connect(timeout: float) -> None:
            # Dedicated: a shared connection outlives its clients, and the port of a milvus-lite file may be reused.
            client = MilvusClient(
                self._uri,
                token=self._token,
                timeout=timeout,
                dedicated=True,
                grpc_options=_FILE_CHANNEL_OPTIONS if self._file else {},
            )
            self._client = client
            of_customers = (*_CUSTOMER_FIELDS, _Field(_LISTED_ITEMS, _LONGEST_TEXT_BYTES))
            for name, fields in (
                (self._items, _ITEM_FIELDS),
                (self._customers, of_customers if self._file else _CUSTOMER_FIELDS),
            ):
                self._prepare_collection(client, name, fields, model, timeout)
                self._schemas[name] = client.describe_collection(name, timeout=timeout)

        await self._in_thread(connect)

    async def close(self) -> None:
        """Closes the connection, and the milvus-lite file."""

        def disconnect() -> None:
            if self._client is not None:
                self._client.close()
                self._client = None
            if self._file:
                # Here, since milvus-lite does not exist for every system that can reach a server.
                from milvus_lite.server_manager import server_manager_instance

                server_manager_instance.release_server(self._uri)

        await asyncio.to_thread(self._executor.shutdown)
        await asyncio.to_thread(disconnect)

    async def replace_households(self, households: Sequence[HouseholdPoints]) -> None:
        """Stores customers and exactly these items."""
        if self._file:
            await self._call(lambda client, timeout: self._replace_in_file(client, households, timeout))
        else:
            await self._replace_on_server(households)

    def _replace_in_file(self, client: MilvusClient, households: Sequence[HouseholdPoints], timeout: float) -> None:
        """Stale items go first and new ones come last: at any time, a customer's row lists all that are stored."""
        new_ids = {point_id for one in households for point_id in one.item_ids}
        stored_ids = self._items_in_file(client, [_customer_key(one.customer) for one in households], timeout)
        self._delete_items(client, [point_id for point_id in stored_ids if point_id not in new_ids], timeout)
        customers = _customer_columns(households)
        customers[_LISTED_ITEMS] = [_listed(one.item_ids) for one in households]
        self._upsert(client, self._customers, customers, timeout)
        self._upsert(client, self._items, _item_columns(households), timeout)

    async def _replace_on_server(self, households: Sequence[HouseholdPoints]) -> None:
        """Stale items go last, so that the server is asked for them while it stores the new ones.

        It makes such a question wait for up to 0.2 s, until it has seen all that was written before.
        """
        customer_keys = [_customer_key(one.customer) for one in households]

        def upsert(client: MilvusClient, timeout: float) -> None:
            # Customers first: who looks for a customer's traces finds the customer as soon as there are any.
            self._upsert(client, self._customers, _customer_columns(households), timeout)
            self._upsert(client, self._items, _item_columns(households), timeout)

        asked = asyncio.create_task(self._call(lambda client, timeout: self._item_ids(client, customer_keys, timeout)))
        try:
            await self._call(upsert)
        finally:
            await asyncio.gather(asked, return_exceptions=True)  # not left running when the upsert fails
        new_ids = {point_id for one in households for point_id in one.item_ids}
        stale_ids = [point_id for point_id in await asked if point_id not in new_ids]
        if stale_ids:
            await self._call(lambda client, timeout: self._delete_items(client, stale_ids, timeout))

    async def remove_household(self, tenant_id: str, customer_id: str) -> int:
        """Removes a customer and all items of the customer: the customer last, so that a failure can be mended."""
        customer_key = customer_point_id(tenant_id, customer_id)

        def remove(client: MilvusClient, timeout: float) -> int:
            item_ids = (self._items_in_file if self._file else self._item_ids)(client, [customer_key], timeout)
            is_stored = bool(client.query(self._customers, ids=[customer_key], output_fields=["id"], timeout=timeout))
            self._delete_items(client, item_ids, timeout)
            if is_stored:
                client.delete(self._customers, ids=[customer_key], timeout=timeout)
            return len(item_ids) + is_stored

        return await self._call(remove)

    async def find_customer(self, tenant_id: str, customer_id: str) -> CustomerPoint | None:
        """The stored customer, or None."""
        customer_key = customer_point_id(tenant_id, customer_id)

        def find(client: MilvusClient, timeout: float) -> list[_Row]:
            rows: list[_Row] = client.query(
                self._customers, ids=[customer_key], output_fields=["profile", "vector"], timeout=timeout
            )
            return rows

        for row in await self._call(find):
            vector = np.asarray(row["vector"], dtype=np.float32)
            return CustomerPoint(tenant_id, customer_id, vector, CustomerProfile.from_json(row["profile"]))
        return None

    async def search_items(
        self, tenant_id: str, vector: Vector, *, wanted: ItemFilter, without_names: Collection[str], limit: int
    ) -> list[ItemMatch]:
        """Items most alike to a vector, most alike first."""
        conditions = [f'tenant_key == "{_tenant_key(tenant_id)}"']
        if wanted.category:
            conditions.append(f'category_key == "{_category_key(wanted.category)}"')
        if wanted.least_price is not None:
            conditions.append(f"unit_price >= {wanted.least_price:.9f}")
        if wanted.most_price is not None:
            conditions.append(f"unit_price <= {wanted.most_price:.9f}")
        if without_names:
            conditions.append(f"name_key not in {_list(_name_key(name) for name in without_names)}")
        fields = ["normalised_name", "name", "category", "unit_price"]
        found = await self._search(self._items, vector, conditions, fields, limit)
        return [ItemMatch(**row, score=score) for row, score in found]

    async def search_customers(
        self, tenant_id: str, vector: Vector, *, without_customer_id: str, limit: int
    ) -> list[CustomerMatch]:
        """Customers most alike to a vector, most alike first."""
        conditions = [
            f'tenant_key == "{_tenant_key(tenant_id)}"',
            f'id != "{customer_point_id(tenant_id, without_customer_id)}"',
        ]
        found = await self._search(self._customers, vector, conditions, ["customer_id"], limit)
        return [CustomerMatch(row["customer_id"], score) for row, score in found]

    async def items_of_customers(self, tenant_id: str, customer_ids: Sequence[str]) -> list[tuple[HeldItem, ...]]:
        """All items of each customer, by normalised name."""
        keys = [customer_point_id(tenant_id, customer_id) for customer_id in customer_ids]
        fields = ["normalised_name", "name", "category", "day_count", "span_days"]

        def held(client: MilvusClient, timeout: float) -> list[tuple[HeldItem, ...]]:
            items: dict[str, list[HeldItem]] = {key: [] for key in keys}
            for start in range(0, len(keys), _CUSTOMERS_AT_ONCE):
                some = keys[start : start + _CUSTOMERS_AT_ONCE]
                for row in client.query(
                    self._items,
                    filter=f"customer_key in {_list(some)}",
                    output_fields=["customer_key", *fields],
                    timeout=timeout,
                ):
                    items[row["customer_key"]].append(HeldItem(**{field: row[field] for field in fields}))
            return [tuple(sorted(items[key], key=lambda item: item.normalised_name)) for key in keys]

        return await self._call(held)

    async def _search(
        self, collection: str, vector: Vector, conditions: Sequence[str], fields: list[str], limit: int
    ) -> list[tuple[_Row, float]]:
        def search(client: MilvusClient, timeout: float) -> list[tuple[_Row, float]]:
            (hits,) = client.search(
                collection,
                data=[vector],
                filter=" and ".join(conditions),
                limit=limit,
                output_fields=fields,
                timeout=timeout,
            )
            # Rounding may carry a cosine beyond 1.
            return [(hit["entity"], max(-1.0, min(1.0, hit["distance"]))) for hit in hits]

        return await self._call(search)

    def _item_ids(self, client: MilvusClient, customer_keys: Sequence[str], timeout: float) -> list[str]:
        rows = client.query(
            self._items, filter=f"customer_key in {_list(customer_keys)}", output_fields=["id"], timeout=timeout
        )
        return [row["id"] for row in rows]

    def _items_in_file(self, client: MilvusClient, customer_keys: list[str], timeout: float) -> list[str]:
        """Ids of the items of some customers, as their rows in a milvus-lite file list them."""
        fields = ["id", _LISTED_ITEMS]
        rows = [
            row
            for batch in _batches(customer_keys)
            for row in client.query(self._customers, ids=batch, output_fields=fields, timeout=timeout)
        ]
        unlisted = [row["id"] for row in rows if not row[_LISTED_ITEMS]]
        listed = [point_id for row in rows for point_id in row[_LISTED_ITEMS].split()]
        return listed + (self._item_ids(client, unlisted, timeout) if unlisted else [])

    def _upsert(self, client: MilvusClient, collection: str, columns: _Columns, timeout: float) -> None:
        """Stores rows. MilvusClient takes them one by one, which costs seven times the work of whole columns."""
        connection, schema = client._get_connection(), self._schemas[collection]
        types = {field["name"]: field["type"] for field in schema["fields"]}
        for start in range(0, len(columns["id"]), _BATCH_ROWS):
            batch = [
                {"name": name, "type": types[name], "values": values[start : start + _BATCH_ROWS]}
                for name, values in columns.items()
            ]
            connection.upsert(collection, batch, timeout=timeout, schema=schema)

    def _delete_items(self, client: MilvusClient, point_ids: Sequence[str], timeout: float) -> None:
        for batch in _batches(point_ids):
            client.delete(self._items, ids=batch, timeout=timeout)

    def _prepare_collection(
        self, client: MilvusClient, name: str, fields: Iterable[_Field], model: EmbeddingModel, timeout: float
    ) -> None:
        if client.has_collection(name, timeout=timeout):
            self._check_model(name, client.describe_collection(name, timeout=timeout), model)
        else:
            schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=_UUID_CHARACTERS)
            for field in fields:
                schema.add_field(field.name, DataType.VARCHAR, max_length=field.longest_bytes)
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
            index.add_index("vector", index_type=_FILE_INDEX if self._file else "AUTOINDEX", metric_type="COSINE")
            client.create_index(name, index, sync=False, timeout=timeout)  # waiting is unknown to milvus-lite
        client.load_collection(name, timeout=timeout)

    def _check_model(self, collection: str, description: Mapping[str, Any], model: EmbeddingModel) -> None:
        properties = description.get("properties", {})
        if properties.get(_SCHEMA) != _SCHEMA_VERSION:
            raise StoreMismatch(
                f"collection {collection} at {self._uri} was made by another version of Pantree; set "
                "PANTREE_VECTOR_COLLECTION_PREFIX or PANTREE_VECTOR_STORE_URL to an empty place and index the "
                "histories again",
                {"collection": collection},
            )
        dimensions = [field["params"]["dim"] for field in description["fields"] if field["name"] == "vector"]
        stored = EmbeddingModel(
            name=properties.get(_MODEL_NAME, "an unknown model"),
            version=properties.get(_MODEL_VERSION, "unknown"),
            dimension=int(dimensions[0]) if dimensions else 0,
        )
        if stored != model:
            raise StoreMismatch(
                f"collection {collection} at {self._uri} holds vectors of {stored}, but this service embeds with "
                f"{model}; use the embedder that made the collection, or set PANTREE_VECTOR_COLLECTION_PREFIX or "
                "PANTREE_VECTOR_STORE_URL to an empty place and index the histories again",
                {"collection": collection, "stored_model": str(stored), "service_model": str(model)},
            )

    async def _call(self, operation: Callable[[MilvusClient, float], ResultT]) -> ResultT:
        client = self._client
        assert client is not None, "the store is not open"
        return await self._in_thread(lambda timeout: operation(client, timeout))

    async def _in_thread(self, operation: Callable[[float], ResultT]) -> ResultT:
        timeout = call_timeout(self._timeout_seconds)
        assert timeout is not None  # the longest timeout is not None
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, operation, timeout)
        except (MilvusException, grpc.RpcError) as error:
            _log.warning("the vector store failed", place=self._uri, error=str(error))
            raise ComponentUnavailable(COMPONENT, self._remedy()) from error

    def _remedy(self) -> str:
        if self._file:
            return (
                f"the milvus-lite file {self._uri} cannot be used; is it open in another process? "
                "Stop that one, or set PANTREE_VECTOR_STORE_URL to another file or to a Milvus server"
            )
        return (
            f"the Milvus server at {self._uri} does not answer; check that it runs, and that PANTREE_VECTOR_STORE_URL "
            "or VECTORDB_HOST and VECTORDB_PORT name it, or set PANTREE_VECTOR_STORE_URL=memory:// to do without"
        )


def _customer_columns(households: Sequence[HouseholdPoints]) -> _Columns:
    customers = [one.customer for one in households]
    return {
        "id": [_customer_key(customer) for customer in customers],
        "tenant_key": [_tenant_key(customer.tenant_id) for customer in customers],
        "customer_id": [customer.customer_id for customer in customers],
        "profile": [customer.profile.to_json() for customer in customers],
        "vector": np.array([customer.vector for customer in customers]).tolist(),
    }


def _item_columns(households: Sequence[HouseholdPoints]) -> _Columns:
    items = [item for one in households for item in one.items]
    return {
        "id": [point_id for one in households for point_id in one.item_ids],
        "tenant_key": [key for one in households for key in [_tenant_key(one.customer.tenant_id)] * len(one.items)],
        "customer_key": [key for one in households for key in [_customer_key(one.customer)] * len(one.items)],
        "name_key": [_name_key(item.normalised_name) for item in items],
        "category_key": [_category_key(item.category) for item in items],
        "normalised_name": [item.normalised_name for item in items],
        "name": [item.name for item in items],
        "category": [item.category for item in items],
        "unit_price": [item.unit_price for item in items],
        "day_count": [item.day_count for item in items],
        "span_days": [item.span_days for item in items],
        "vector": np.concatenate([one.vectors for one in households]).tolist(),
    }


def _listed(item_ids: Sequence[str]) -> str:
    return " ".join(item_ids) if len(item_ids) <= _MOST_LISTED_ITEMS else ""


def _customer_key(customer: CustomerPoint) -> str:
    return customer_point_id(customer.tenant_id, customer.customer_id)


@lru_cache(_KEPT_KEYS)
def _tenant_key(tenant_id: str) -> str:
    return stable_id("tenant", tenant_id)


@lru_cache(_KEPT_KEYS)
def _name_key(normalised_name: str) -> str:
    return stable_id("name", normalised_name)


@lru_cache(_KEPT_KEYS)
def _category_key(category: str) -> str:
    return stable_id("category", category)


def _list(keys: Iterable[str]) -> str:
    """Milvus list of UUIDs."""
    return "[" + ", ".join(f'"{key}"' for key in keys) + "]"


def _batches(rows: Sequence[ResultT]) -> Iterable[list[ResultT]]:
    for start in range(0, len(rows), _BATCH_ROWS):
        yield list(rows[start : start + _BATCH_ROWS])
