"""A store in Qdrant: in this process, in a folder, or a server or cluster.

- Ids of points are UUIDs, as Qdrant asks for; filters compare payload fields, so nothing of callers needs escaping.
- Writes wait until they are applied, so that each call sees what earlier ones have stored.
- The embedding model stands in a point of its own that belongs to no tenant: only servers from 1.16 on keep metadata
  of collections.
- qdrant-client blocks: it runs in threads of its own. In this process and in a folder it takes one call at a time.
"""

import asyncio
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import structlog
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException

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
IN_MEMORY = ":memory:"
_SERVER_THREADS = 8
_BATCH_POINTS = 1_000
_MODEL_POINT = stable_id("model")
_ITEM_INDEXES = ("customer_key", "name", "category")

ResultT = TypeVar("ResultT")


class QdrantStore:
    """Keeps items in one Qdrant collection and customers in another."""

    def __init__(
        self, place: Path | str, *, collection_prefix: str, timeout_seconds: float, token: str | None = None
    ) -> None:
        """A store that is not open yet.

        Args:
            place: path of a folder, URL of a server's REST port such as `http://localhost:6333`, or `:memory:`.
            collection_prefix: start of the collections' names.
            timeout_seconds: how long one call to a server may take.
            token: API key of the server; None for none.
        """
        self._place = place
        self._is_server = isinstance(place, str) and place != IN_MEMORY
        self._items = f"{collection_prefix}_items"
        self._customers = f"{collection_prefix}_customers"
        self._timeout_seconds = math.ceil(timeout_seconds)
        self._token = token
        self._client: QdrantClient | None = None
        self._executor = ThreadPoolExecutor(_SERVER_THREADS if self._is_server else 1, thread_name_prefix="qdrant")

    async def open(self, model: EmbeddingModel) -> None:
        """Connects, and makes the collections when they are missing.

        Raises:
            StoreMismatch: when the collections were made by another model.
            ComponentUnavailable: when the server does not answer, or the folder is open in another process.
        """

        def connect() -> None:
            client = self._client = self._connect()
            # The model's point is written before there is a place for anything else.
            if not client.collection_exists(self._customers):
                self._make_collection(client, self._customers, model, ())
            if not client.retrieve(self._customers, [_MODEL_POINT]) and not client.count(self._customers).count:
                self._write_model(client, model)
            self._check_model(client, model)
            if not client.collection_exists(self._items):
                self._make_collection(client, self._items, model, _ITEM_INDEXES)

        await self._in_thread(connect)

    async def close(self) -> None:
        """Closes the connection or the folder."""

        def disconnect() -> None:
            if self._client is not None:
                self._client.close()
                self._client = None

        await asyncio.to_thread(self._executor.shutdown)
        await asyncio.to_thread(disconnect)

    async def replace_households(self, households: Sequence[HouseholdPoints]) -> None:
        """Stores customers and exactly these items: new ones first, so that a failure never loses any."""
        item_points: dict[str, models.PointStruct] = {}
        customer_points: dict[str, models.PointStruct] = {}
        for one in households:
            customer = one.customer
            customer_key = customer_point_id(customer.tenant_id, customer.customer_id)
            customer_points[customer_key] = models.PointStruct(
                id=customer_key,
                vector=customer.vector.tolist(),
                payload={
                    "tenant": customer.tenant_id,
                    "customer_id": customer.customer_id,
                    "profile": customer.profile.to_json(),
                },
            )
            for item, point_id, vector in zip(one.items, one.item_ids, one.vectors.tolist(), strict=True):
                item_points[point_id] = models.PointStruct(
                    id=point_id,
                    vector=vector,
                    payload={
                        "tenant": customer.tenant_id,
                        "customer_key": customer_key,
                        "name": item.normalised_name,
                        "shown_name": item.name,
                        "category": item.category,
                        "unit_price": item.unit_price,
                        "day_count": item.day_count,
                        "span_days": item.span_days,
                    },
                )

        def replace(client: QdrantClient) -> None:
            stale = [
                point_id for point_id in self._item_ids(client, list(customer_points)) if point_id not in item_points
            ]
            for batch in _batches(list(item_points.values())):
                client.upsert(self._items, batch, wait=True)
            for batch in _batches(list(customer_points.values())):
                client.upsert(self._customers, batch, wait=True)
            self._delete_items(client, stale)

        await self._call(replace)

    async def remove_household(self, tenant_id: str, customer_id: str) -> int:
        """Removes a customer and all items of the customer: the customer last, so that a failure can be mended."""
        customer_key = customer_point_id(tenant_id, customer_id)

        def remove(client: QdrantClient) -> int:
            item_ids = self._item_ids(client, [customer_key])
            is_stored = bool(client.retrieve(self._customers, [customer_key], with_payload=False))
            self._delete_items(client, item_ids)
            if is_stored:
                client.delete(self._customers, [customer_key], wait=True)
            return len(item_ids) + is_stored

        return await self._call(remove)

    async def find_customer(self, tenant_id: str, customer_id: str) -> CustomerPoint | None:
        """The stored customer, or None."""
        customer_key = customer_point_id(tenant_id, customer_id)
        found = await self._call(lambda client: client.retrieve(self._customers, [customer_key], with_vectors=True))
        for record in found:
            profile = CustomerProfile.from_json((record.payload or {})["profile"])
            return CustomerPoint(tenant_id, customer_id, np.asarray(record.vector, dtype=np.float32), profile)
        return None

    async def search_items(
        self, tenant_id: str, vector: Vector, *, wanted: ItemFilter, without_names: Collection[str], limit: int
    ) -> list[ItemMatch]:
        """Items most alike to a vector, most alike first."""
        must: list[models.Condition] = [_is("tenant", tenant_id)]
        if wanted.category:
            must.append(_is("category", wanted.category))
        if wanted.least_price is not None or wanted.most_price is not None:
            prices = models.Range(gte=wanted.least_price, lte=wanted.most_price)
            must.append(models.FieldCondition(key="unit_price", range=prices))
        must_not: list[models.Condition] = []
        if without_names:
            names = models.MatchAny(any=list(without_names))
            must_not.append(models.FieldCondition(key="name", match=names))
        found = await self._search(self._items, vector, models.Filter(must=must, must_not=must_not), limit)
        return [
            ItemMatch(payload["name"], payload["shown_name"], payload["category"], payload["unit_price"], score)
            for payload, score in found
        ]

    async def search_customers(
        self, tenant_id: str, vector: Vector, *, without_customer_id: str, limit: int
    ) -> list[CustomerMatch]:
        """Customers most alike to a vector, most alike first."""
        wanted = models.Filter(
            must=[_is("tenant", tenant_id)],
            must_not=[models.HasIdCondition(has_id=[customer_point_id(tenant_id, without_customer_id)])],
        )
        found = await self._search(self._customers, vector, wanted, limit)
        return [CustomerMatch(payload["customer_id"], score) for payload, score in found]

    async def items_of_customers(self, tenant_id: str, customer_ids: Sequence[str]) -> list[tuple[HeldItem, ...]]:
        """All items of each customer, by normalised name."""
        keys = [customer_point_id(tenant_id, customer_id) for customer_id in customer_ids]

        def held(client: QdrantClient) -> list[tuple[HeldItem, ...]]:
            items: dict[str, list[HeldItem]] = {key: [] for key in keys}
            for record in self._item_records(client, keys, with_payload=True):
                payload = record.payload or {}
                items[payload["customer_key"]].append(
                    HeldItem(
                        payload["name"],
                        payload["shown_name"],
                        payload["category"],
                        # Points that were stored before these were kept say that it was bought, and no more.
                        payload.get("day_count", 1),
                        payload.get("span_days", 0),
                    )
                )
            return [tuple(sorted(items[key], key=lambda item: item.normalised_name)) for key in keys]

        return await self._call(held)

    async def _search(
        self, collection: str, vector: Vector, wanted: models.Filter, limit: int
    ) -> list[tuple[Mapping[str, Any], float]]:
        def search(client: QdrantClient) -> list[tuple[Mapping[str, Any], float]]:
            found = client.query_points(
                collection, query=vector.tolist(), query_filter=wanted, limit=limit, with_payload=True
            )
            # Rounding may carry a cosine beyond 1.
            return [(point.payload or {}, max(-1.0, min(1.0, point.score))) for point in found.points]

        return await self._call(search)

    def _connect(self) -> QdrantClient:
        if self._is_server:
            return QdrantClient(
                url=str(self._place), api_key=self._token, timeout=self._timeout_seconds, check_compatibility=False
            )
        if isinstance(self._place, Path):
            try:
                self._place.mkdir(parents=True, exist_ok=True)
                return QdrantClient(path=str(self._place))
            except RuntimeError as error:  # another process has it open
                raise ComponentUnavailable(COMPONENT, self._remedy()) from error
        return QdrantClient(IN_MEMORY)

    def _make_collection(self, client: QdrantClient, name: str, model: EmbeddingModel, indexes: Iterable[str]) -> None:
        client.create_collection(
            name, vectors_config=models.VectorParams(size=model.dimension, distance=models.Distance.COSINE)
        )
        if self._is_server:  # elsewhere an index has no effect
            tenant = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
            client.create_payload_index(name, "tenant", tenant)
            for field in indexes:
                client.create_payload_index(name, field, models.PayloadSchemaType.KEYWORD)

    def _write_model(self, client: QdrantClient, model: EmbeddingModel) -> None:
        payload = {"model_name": model.name, "model_version": model.version}
        vector = [1.0] + [0.0] * (model.dimension - 1)
        client.upsert(self._customers, [models.PointStruct(id=_MODEL_POINT, vector=vector, payload=payload)], wait=True)

    def _check_model(self, client: QdrantClient, model: EmbeddingModel) -> None:
        stored = EmbeddingModel("an unknown model", "unknown", 0)
        for record in client.retrieve(self._customers, [_MODEL_POINT], with_vectors=True):
            payload, vector = record.payload or {}, record.vector
            dimension = len(vector) if isinstance(vector, list) else 0
            stored = EmbeddingModel(payload["model_name"], payload["model_version"], dimension)
        if stored != model:
            raise StoreMismatch(
                f"collection {self._customers} at {self._place} holds vectors of {stored}, but this service embeds "
                f"with {model}; use the embedder that made the collection, or set PANTREE_VECTOR_COLLECTION_PREFIX or "
                "PANTREE_VECTOR_STORE_URL to an empty place and index the histories again",
                {"collection": self._customers, "stored_model": str(stored), "service_model": str(model)},
            )

    def _item_ids(self, client: QdrantClient, customer_keys: list[str]) -> list[str]:
        return [str(record.id) for record in self._item_records(client, customer_keys, with_payload=False)]

    def _item_records(
        self, client: QdrantClient, customer_keys: list[str], *, with_payload: bool
    ) -> list[models.Record]:
        wanted = models.Filter(
            must=[models.FieldCondition(key="customer_key", match=models.MatchAny(any=customer_keys))]
        )
        found: list[models.Record] = []
        offset: Any = None
        while True:
            records, offset = client.scroll(
                self._items,
                scroll_filter=wanted,
                limit=_BATCH_POINTS,
                offset=offset,
                with_payload=with_payload,
                with_vectors=False,
            )
            found += records
            if offset is None:
                return found

    def _delete_items(self, client: QdrantClient, point_ids: Sequence[str]) -> None:
        for batch in _batches(point_ids):
            client.delete(self._items, models.PointIdsList(points=list(batch)), wait=True)

    async def _call(self, operation: Callable[[QdrantClient], ResultT]) -> ResultT:
        client = self._client
        assert client is not None, "the store is not open"
        return await self._in_thread(lambda: operation(client))

    async def _in_thread(self, operation: Callable[[], ResultT]) -> ResultT:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, operation)
        except (ApiException, QdrantException) as error:
            _log.warning("the vector store failed", place=str(self._place), error=str(error))
            raise ComponentUnavailable(COMPONENT, self._remedy()) from error

    def _remedy(self) -> str:
        if isinstance(self._place, Path):
            return (
                f"the Qdrant folder {self._place} cannot be used; is it open in another process? "
                "Stop that one, or set PANTREE_VECTOR_STORE_URL to another folder or to a Qdrant server"
            )
        return (
            f"the Qdrant server at {self._place} does not answer; check that it runs, and that "
            "PANTREE_VECTOR_STORE_URL and PANTREE_VECTOR_STORE_TOKEN are right, or set "
            "PANTREE_VECTOR_STORE_URL=memory:// to do without"
        )


def _is(key: str, value: str) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def _batches(points: Sequence[ResultT]) -> Iterable[list[ResultT]]:
    for start in range(0, len(points), _BATCH_POINTS):
        yield list(points[start : start + _BATCH_POINTS])
