"""A store in Qdrant: in this process, in a directory, or a server or cluster.

- Ids of points are UUIDs, which Qdrant requires. Filters compare payload fields, so nothing needs escaping.
- Writes wait until they are applied, so that each call sees what earlier ones have stored.
- A point without a tenant holds the embedding model, because servers before 1.16 cannot store metadata of a collection.
"""

import asyncio
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException

from pantree_vector.backends.external import ExternalStore, batches, external_operation
from pantree_vector.backends.local_files import file_problem
from pantree_vector.core.embedder import EmbeddingModel, Vector
from pantree_vector.core.household import CustomerItem
from pantree_vector.core.identity import customer_point_id, stable_id
from pantree_vector.core.profile import CustomerProfile
from pantree_vector.core.store import CustomerMatch, CustomerPoint, HouseholdPoints, ItemFilter, ItemMatch

IN_MEMORY = ":memory:"
_BATCH_POINTS = 1_000
# Embedded stores write on the event loop: about 1 ms for each point in memory, up to 30 ms in a directory.
_EMBEDDED_BATCH_POINTS = 10
_MODEL_POINT = stable_id("model")
_NO_POINT = stable_id("none")
"""No id of any point."""
# Increased whenever the payloads below change.
_SCHEMA_VERSION = "2"
_ITEM_INDEXES = ("customer_uuid", "key", "category")
_LOCK_NAME = ".lock"
"""Of the file that an embedded Qdrant locks."""


class QdrantStore(ExternalStore):
    """Stores points in Qdrant.

    The place is the path of a directory, the URL of a server's REST port such as `http://localhost:6333`, or
    `:memory:`; the token is an API key.
    """

    system = "qdrant"
    client_errors = (ApiException, QdrantException)
    _client: AsyncQdrantClient

    @property
    def remedy(self) -> str:
        if isinstance(self._place, Path):
            problem = file_problem(self._place, _LOCK_NAME, is_open=hasattr(self, "_client"))
            return f"{problem}, or set PANTREE_VECTOR_STORE_URL to another directory or to a Qdrant server"
        return (
            f"the Qdrant server at {self._place} does not answer; check that it runs, and that "
            "PANTREE_VECTOR_STORE_URL and PANTREE_VECTOR_STORE_TOKEN are right, or set "
            "PANTREE_VECTOR_STORE_URL=memory:// to run without it"
        )

    @property
    def _is_server(self) -> bool:
        return self._place != IN_MEMORY and not isinstance(self._place, Path)

    @external_operation
    async def open(self, model: EmbeddingModel) -> None:
        """Connects and creates missing collections.

        Raises:
            StoreMismatch: the collections hold vectors of another model.
        """
        client = self._client = self._connect()
        # The model's point is written before anything else can be stored.
        if not await client.collection_exists(self._customers):
            await self._create_collection(self._customers, model, ())
        if not (await client.count(self._customers)).count:
            await self._write_model(model)
        await self._check_model(model)
        if not await client.collection_exists(self._items):
            await self._create_collection(self._items, model, _ITEM_INDEXES)

    def _connect(self) -> AsyncQdrantClient:
        if self._is_server:
            timeout = math.ceil(self._options.timeout_seconds)
            return AsyncQdrantClient(
                url=str(self._place), api_key=self._options.token, timeout=timeout, check_compatibility=False
            )
        if isinstance(self._place, Path):
            try:
                self._place.mkdir(parents=True, exist_ok=True)
                return AsyncQdrantClient(path=str(self._place))
            except RuntimeError as error:  # open in another process
                raise self.unavailable("open", error) from error
        return AsyncQdrantClient(IN_MEMORY)

    async def ping(self) -> None:
        await self._client.collection_exists(self._customers)

    async def try_write(self) -> bool:
        if self._is_server:
            for name in (self._items, self._customers):
                await self._client.delete(name, [_NO_POINT], wait=True)
        return self._is_server

    async def close(self) -> None:
        if hasattr(self, "_client"):
            await self._client.close()
            del self._client

    @external_operation
    async def replace_households(self, households: Sequence[HouseholdPoints]) -> None:
        """Stores customers and their items, then removes the customers' other items, so a failure loses nothing."""
        item_points: dict[str, models.PointStruct] = {}
        customer_points: dict[str, models.PointStruct] = {}
        for one in households:
            customer = one.customer
            customer_points[customer.point_id] = models.PointStruct(
                id=customer.point_id,
                vector=customer.vector.tolist(),
                payload={
                    "tenant": customer.tenant_id,
                    "customer_id": customer.customer_id,
                    "profile": customer.profile.to_json(),
                },
            )
            for item, point_id, vector in zip(one.items, one.item_ids, one.vectors.tolist(), strict=True):
                payload = {"tenant": customer.tenant_id, "customer_uuid": customer.point_id, **item._asdict()}
                item_points[point_id] = models.PointStruct(id=point_id, vector=vector, payload=payload)
        stored_ids = await self._item_ids(list(customer_points))
        await self._upsert(self._items, list(item_points.values()))
        await self._upsert(self._customers, list(customer_points.values()))
        await self._delete_items([point_id for point_id in stored_ids if point_id not in item_points])

    @external_operation
    async def remove_household(self, tenant_id: str, customer_id: str) -> int:
        """Removes a customer's items, then the customer, so that a failed call can be repeated."""
        point_id = customer_point_id(tenant_id, customer_id)
        item_ids = await self._item_ids([point_id])
        is_stored = bool(await self._client.retrieve(self._customers, [point_id], with_payload=False))
        await self._delete_items(item_ids)
        if is_stored:
            await self._client.delete(self._customers, [point_id], wait=True)
        return len(item_ids) + is_stored

    @external_operation
    async def find_customer(self, tenant_id: str, customer_id: str) -> CustomerPoint | None:
        point_id = customer_point_id(tenant_id, customer_id)
        for record in await self._client.retrieve(self._customers, [point_id], with_vectors=True):
            profile = CustomerProfile.from_json((record.payload or {})["profile"])
            return CustomerPoint(tenant_id, customer_id, np.asarray(record.vector, dtype=np.float32), profile)
        return None

    @external_operation
    async def search_items(
        self, tenant_id: str, vector: Vector, *, item_filter: ItemFilter, exclude_keys: Collection[str], limit: int
    ) -> list[ItemMatch]:
        must: list[models.Condition] = [_is("tenant", tenant_id)]
        if item_filter.category:
            must.append(_is("category", item_filter.category))
        if item_filter.min_price is not None or item_filter.max_price is not None:
            prices = models.Range(gte=item_filter.min_price, lte=item_filter.max_price)
            must.append(models.FieldCondition(key="unit_price", range=prices))
        must_not: list[models.Condition] = [_is_any("key", exclude_keys)] if exclude_keys else []
        found = await self._search(self._items, vector, models.Filter(must=must, must_not=must_not), limit)
        return [
            ItemMatch(payload["key"], payload["name"], payload["category"], payload["unit_price"], score)
            for payload, score in found
        ]

    @external_operation
    async def search_customers(
        self, tenant_id: str, vector: Vector, *, exclude_customer_id: str, limit: int
    ) -> list[CustomerMatch]:
        query_filter = models.Filter(
            must=[_is("tenant", tenant_id)],
            must_not=[models.HasIdCondition(has_id=[customer_point_id(tenant_id, exclude_customer_id)])],
        )
        found = await self._search(self._customers, vector, query_filter, limit)
        return [
            CustomerMatch(payload["customer_id"], score, CustomerProfile.from_json(payload["profile"]).counts_from_day)
            for payload, score in found
        ]

    @external_operation
    async def items_of_customers(self, tenant_id: str, customer_ids: Sequence[str]) -> list[tuple[CustomerItem, ...]]:
        items: dict[str, list[CustomerItem]] = {
            customer_point_id(tenant_id, customer_id): [] for customer_id in customer_ids
        }
        for record in await self._item_records(list(items), with_payload=True):
            payload = record.payload or {}
            items[payload["customer_uuid"]].append(CustomerItem(*(payload[field] for field in CustomerItem._fields)))
        return [tuple(sorted(one)) for one in items.values()]

    async def _search(
        self, collection: str, vector: Vector, query_filter: models.Filter, limit: int
    ) -> list[tuple[Mapping[str, Any], float]]:
        found = await self._client.query_points(
            collection, query=vector.tolist(), query_filter=query_filter, limit=limit, with_payload=True
        )
        # Rounding may return a cosine above 1.
        return [(point.payload or {}, max(-1.0, min(1.0, point.score))) for point in found.points]

    async def _create_collection(self, name: str, model: EmbeddingModel, indexes: Iterable[str]) -> None:
        await self._client.create_collection(
            name, vectors_config=models.VectorParams(size=model.dimension, distance=models.Distance.COSINE)
        )
        if self._is_server:  # embedded stores have no payload indexes
            tenant = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
            await self._client.create_payload_index(name, "tenant", tenant)
            for field in indexes:
                await self._client.create_payload_index(name, field, models.PayloadSchemaType.KEYWORD)

    async def _write_model(self, model: EmbeddingModel) -> None:
        payload = {"schema": _SCHEMA_VERSION, "model_name": model.name, "model_version": model.version}
        vector = [1.0] + [0.0] * (model.dimension - 1)
        await self._upsert(self._customers, [models.PointStruct(id=_MODEL_POINT, vector=vector, payload=payload)])

    async def _check_model(self, model: EmbeddingModel) -> None:
        stored = EmbeddingModel("an unknown model", "unknown", 0)
        for record in await self._client.retrieve(self._customers, [_MODEL_POINT], with_vectors=True):
            payload, vector = record.payload or {}, record.vector
            if payload.get("schema") != _SCHEMA_VERSION:
                raise self._other_version(self._customers)
            dimension = len(vector) if isinstance(vector, list) else 0
            stored = EmbeddingModel(payload["model_name"], payload["model_version"], dimension)
        self._require_model(self._customers, stored, model)

    async def _item_ids(self, customer_uuids: list[str]) -> list[str]:
        return [str(record.id) for record in await self._item_records(customer_uuids, with_payload=False)]

    async def _item_records(self, customer_uuids: list[str], *, with_payload: bool) -> list[models.Record]:
        scroll_filter = models.Filter(must=[_is_any("customer_uuid", customer_uuids)])
        found: list[models.Record] = []
        offset: Any = None
        while True:
            records, offset = await self._client.scroll(
                self._items,
                scroll_filter=scroll_filter,
                limit=_BATCH_POINTS,
                offset=offset,
                with_payload=with_payload,
                with_vectors=False,
            )
            found += records
            if offset is None:
                return found

    async def _upsert(self, collection: str, points: Sequence[models.PointStruct]) -> None:
        for batch in batches(points, _BATCH_POINTS if self._is_server else _EMBEDDED_BATCH_POINTS):
            await self._client.upsert(collection, batch, wait=True)
            await asyncio.sleep(0)  # an embedded store never yields to the event loop

    async def _delete_items(self, point_ids: Sequence[str]) -> None:
        for batch in batches(point_ids, _BATCH_POINTS if self._is_server else _EMBEDDED_BATCH_POINTS):
            await self._client.delete(self._items, models.PointIdsList(points=list(batch)), wait=True)
            await asyncio.sleep(0)


def _is(key: str, value: str) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def _is_any(key: str, values: Collection[str]) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchAny(any=list(values)))
