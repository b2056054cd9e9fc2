"""Base class of the stores in external systems: options, telemetry, errors, and the check of the embedding model."""

import functools
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

import structlog

from pantree_runtime.errors import ComponentUnavailable, StoreMismatch
from pantree_runtime.telemetry import external_call
from pantree_vector.core.embedder import EmbeddingModel

_log = structlog.get_logger(__name__)

COMPONENT = "vector-store"
_OTHER_PLACE = (
    "set PANTREE_VECTOR_COLLECTION_PREFIX or PANTREE_VECTOR_STORE_URL to an empty place and index the histories again"
)

P = ParamSpec("P")
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
StoreT = TypeVar("StoreT", bound="ExternalStore")


@dataclass(frozen=True)
class StoreOptions:
    """Options of every external store."""

    collection_prefix: str
    """Prefix of the collections' names."""
    timeout_seconds: float
    """Maximum duration of one call, including retries."""
    token: str | None = None
    """Credentials of the server, if it requires any."""


class ExternalStore:
    """A store with one collection of items and one of customers.

    Args:
        place: path of an embedded store's file or directory, or the address of a server.
        options: the options.
    """

    system: ClassVar[str]
    """Name in metrics and traces, such as `milvus`."""
    client_errors: ClassVar[tuple[type[Exception], ...]]
    """Errors of the client library if the store is unavailable."""

    def __init__(self, place: Path | str, options: StoreOptions) -> None:
        self._place = place
        self._items = f"{options.collection_prefix}_items"
        self._customers = f"{options.collection_prefix}_customers"
        self._options = options

    @property
    def remedy(self) -> str:
        """What is wrong if the store is unavailable, and what to do about it."""
        raise NotImplementedError

    def unavailable(self, error: Exception) -> ComponentUnavailable:
        """Logs an error of the client library, and returns the error to raise for it."""
        _log.warning("vector store failed", place=str(self._place), error=str(error))
        return ComponentUnavailable(COMPONENT, self.remedy)

    def _require_model(self, collection: str, stored: EmbeddingModel, model: EmbeddingModel) -> None:
        if stored != model:
            raise StoreMismatch(
                f"collection {collection} at {self._place} holds vectors of {stored}, but this service embeds with "
                f"{model}; use the embedder that created the collection, or {_OTHER_PLACE}",
                {"collection": collection, "stored_model": str(stored), "service_model": str(model)},
            )

    def _other_version(self, collection: str) -> StoreMismatch:
        return StoreMismatch(
            f"collection {collection} at {self._place} was created by another version of Pantree; {_OTHER_PLACE}",
            {"collection": collection},
        )


def external_operation(
    method: Callable[Concatenate[StoreT, P], Coroutine[Any, Any, ResultT]],
) -> Callable[Concatenate[StoreT, P], Coroutine[Any, Any, ResultT]]:
    """Counts and traces the calls of a store's method, and converts errors of the client library."""

    @functools.wraps(method)
    async def call(store: StoreT, /, *args: P.args, **kwargs: P.kwargs) -> ResultT:
        with external_call(store.system, method.__name__):
            try:
                return await method(store, *args, **kwargs)
            except store.client_errors as error:
                raise store.unavailable(error) from error

    return call


def batches(items: Sequence[ItemT], size: int) -> Iterator[list[ItemT]]:
    """Items in lists of at most `size`."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
