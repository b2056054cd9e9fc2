"""Base class of the stores in external systems: options, telemetry, errors, and the check of the embedding model."""

import functools
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

import structlog

from pantree_runtime.errors import ComponentUnavailable, StoreMismatch
from pantree_runtime.logging import RateLimitedLog
from pantree_runtime.telemetry import external_call
from pantree_vector.core.embedder import EmbeddingModel

_log = structlog.get_logger(__name__)

COMPONENT = "vector-store"
_OTHER_PLACE = (
    "set PANTREE_VECTOR_COLLECTION_PREFIX or PANTREE_VECTOR_STORE_URL to an empty place and index the histories again"
)

_WRITES = ("replace_households", "remove_household")
_MAX_CAUSE_CHARACTERS = 500

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
    failure_seconds: ClassVar[float] = 5.0
    """How long a failed operation counts without new attempts. Failed writes count until one is possible."""

    def __init__(self, place: Path | str, options: StoreOptions) -> None:
        self._place = place
        self._items = f"{options.collection_prefix}_items"
        self._customers = f"{options.collection_prefix}_customers"
        self._options = options

        self._log = RateLimitedLog(_log, time.monotonic)
        self._failed: dict[str, tuple[float, str]] = {}
        """Time and cause of the last failure of each operation that did not succeed since."""

    @property
    def remedy(self) -> str:
        """What is wrong if the store is unavailable, and what to do about it. For operators only."""
        raise NotImplementedError

    async def ping(self) -> None:
        """Raises one of `client_errors` if the store does not answer."""
        raise NotImplementedError

    async def try_write(self) -> bool:
        """Writes without changing anything, which a full server refuses. Returns False if the store has no such write.

        Raises one of `client_errors` if the store refuses.
        """
        return False

    async def check(self) -> str:
        """What is wrong with the store, for operators; empty if it works.

        A store that answers may still fail at what it is for, such as writing to a full disk. So an operation that has
        failed lately and has not succeeded since counts as well, and a failed write until a write is possible again.
        """
        try:
            await self.ping()
            if causes := [cause for at, cause in self._failed.values() if time.monotonic() - at < self.failure_seconds]:
                return causes[-1]
            if any(operation in _WRITES for operation in self._failed) and await self.try_write():
                for operation in _WRITES:
                    self.succeeded(operation)
        except self.client_errors as error:
            return _one_line(error)
        return ""

    def succeeded(self, operation: str) -> None:
        """Forgets an earlier failure of an operation."""
        self._failed.pop(operation, None)

    def unavailable(self, operation: str, error: Exception) -> ComponentUnavailable:
        """Logs an error of the client library, and returns the error to raise for it."""
        cause = _one_line(error)
        self._failed[operation] = (time.monotonic(), f"{operation}: {cause}")
        self._log.warning(
            "vector store failed",
            cause=cause,
            operation=operation,
            place=str(self._place),
            remedy=self.remedy,
            exc_info=error,
        )
        return ComponentUnavailable(COMPONENT, "the vector store is unavailable", self.remedy)

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
                result = await method(store, *args, **kwargs)
            except store.client_errors as error:
                raise store.unavailable(method.__name__, error) from error
            store.succeeded(method.__name__)
            return result

    return call


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:_MAX_CAUSE_CHARACTERS] or type(error).__name__


def batches(items: Sequence[ItemT], size: int) -> Iterator[list[ItemT]]:
    """Items in lists of at most `size`."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
