"""Responses that need not be computed again: cached ones, and those to a repeated `Idempotency-Key`.

Both are looked up before the call and stored after it:

    entry = cache.entry(…) or idempotency.entry(…)
    response = await entry.find()       # None: make the call, then
    await entry.store(response, …)      # or, when it failed,
    await entry.release()
"""

import base64
import hashlib
import json
from typing import Any, Protocol

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response

from pantree.error.v1 import error_pb2
from pantree_gateway.stores import Store
from pantree_gateway.transcoding.binding import BoundMethod
from pantree_gateway.transcoding.caller import ANONYMOUS, caller_of
from pantree_gateway.transcoding.headers import MAX_TIMEOUT_SECONDS
from pantree_gateway.transcoding.problem import ProblemError, problem_for
from pantree_runtime import telemetry
from pantree_runtime.errors import FieldViolation, InvalidInput

KEY_HEADER = "Idempotency-Key"
CACHE_HEADER = "X-Cache"
_MAX_KEY_CHARACTERS = 255


class StoredResponse(Protocol):
    """Where the response to one request is stored."""

    async def find(self) -> Response | None:
        """The stored response; None when the request must be answered."""

    async def store(self, response: Response, message: Message) -> None:
        """Stores the response, if it may be reused, and adds its headers."""

    async def release(self) -> None:
        """Ends a request that failed."""


class ResponseCache:
    """Responses to requests whose response is always the same.

    Args:
        store: holds the responses.
        ttl_seconds: how long; 0 turns the cache off.
    """

    def __init__(self, store: Store, ttl_seconds: float = 60.0) -> None:
        self._store = store
        self._ttl_seconds = ttl_seconds

    def entry(self, request: Request, bound: BoundMethod, message: Message) -> StoredResponse | None:
        """Entry of a request; None when its response may differ each time."""
        if self._ttl_seconds <= 0 or not is_deterministic(message, bound):
            return None
        key = f"pantree:response:{_fingerprint(request, bound, message)}"
        refresh = "no-cache" in request.headers.get("cache-control", "")
        return _CacheEntry(self._store, key, self._ttl_seconds, refresh)


class _CacheEntry:
    def __init__(self, store: Store, key: str, ttl_seconds: float, refresh: bool) -> None:
        self._store = store
        self._key = key
        self._ttl_seconds = ttl_seconds
        self._refresh = refresh

    async def find(self) -> Response | None:
        stored = None if self._refresh else await self._store.get(self._key)
        telemetry.count_lookups("responses", hits=stored is not None, misses=stored is None)
        return None if stored is None else _decode(json.loads(stored), CACHE_HEADER, "hit")

    async def store(self, response: Response, message: Message) -> None:
        if is_complete(message):
            await self._store.put(self._key, json.dumps(_encode(response)).encode(), self._ttl_seconds)
        response.headers[CACHE_HEADER] = "miss"

    async def release(self) -> None:
        pass


class IdempotencyStore:
    """Responses by `Idempotency-Key`.

    Args:
        store: holds the responses.
        ttl_seconds: how long.
    """

    def __init__(self, store: Store, ttl_seconds: float = 86_400.0) -> None:
        self._store = store
        self._ttl_seconds = ttl_seconds

    def entry(self, request: Request, bound: BoundMethod, message: Message) -> StoredResponse | None:
        """Entry of a request; None when it has no key.

        Raises:
            InvalidInput: when the key is not valid.
        """
        header = request.headers.get(KEY_HEADER) if request.method == "POST" else None
        if header is None:
            return None
        # The draft quotes the key; most clients don't.
        key = header.strip().removeprefix('"').removesuffix('"')
        if not 1 <= len(key) <= _MAX_KEY_CHARACTERS or not key.isprintable():
            expected = f"must be 1 to {_MAX_KEY_CHARACTERS} printable characters"
            raise InvalidInput([FieldViolation(KEY_HEADER, expected)])
        # Hashed, since clients may put personal data into their keys.
        place = f"pantree:once:{hashlib.sha256(f'{_owner(request)}{chr(0)}{key}'.encode()).hexdigest()}"
        return _IdempotencyEntry(self._store, place, self._ttl_seconds, _fingerprint(request, bound, message))


class _IdempotencyEntry:
    def __init__(self, store: Store, key: str, ttl_seconds: float, fingerprint: str) -> None:
        self._store = store
        self._key = key
        self._ttl_seconds = ttl_seconds
        self._fingerprint = fingerprint

    async def find(self) -> Response | None:
        running = json.dumps({"fingerprint": self._fingerprint}).encode()
        if await self._store.add(self._key, running, MAX_TIMEOUT_SECONDS):
            return None
        stored = await self._store.get(self._key)
        if stored is None:  # it failed between the two lookups, so this request is the first again
            await self._store.put(self._key, running, MAX_TIMEOUT_SECONDS)
            return None
        value = json.loads(stored)
        if value["fingerprint"] != self._fingerprint:
            detail = f"this {KEY_HEADER} was used for another request; use a new key for a new request"
            raise ProblemError(problem_for(error_pb2.ERROR_REASON_IDEMPOTENCY_KEY_REUSED, detail))
        if "status" not in value:
            detail = f"the first request with this {KEY_HEADER} has not finished; try again later"
            raise ProblemError(problem_for(error_pb2.ERROR_REASON_REQUEST_RUNNING, detail))
        return _decode(value, "Idempotency-Replayed", "true")

    async def store(self, response: Response, message: Message) -> None:
        value = json.dumps({"fingerprint": self._fingerprint, **_encode(response)}).encode()
        await self._store.put(self._key, value, self._ttl_seconds)

    async def release(self) -> None:
        await self._store.delete(self._key)


def is_deterministic(message: Any, bound: BoundMethod) -> bool:
    """Whether equal requests get equal responses.

    They do with both seed and as-of date, unless the response depends on which customers are stored.
    """
    body = message if bound.body_field is None else getattr(message, bound.body_field.name)
    fields = body.DESCRIPTOR.fields_by_name
    if "seed" not in fields or "as_of" not in fields or not fields["seed"].has_presence:
        return False
    return bool(body.HasField("seed") and body.as_of) and not getattr(body, "include_suggestions", False)


def is_complete(message: Any) -> bool:
    """Whether a response has no warnings; what an unavailable part left out may be there next time."""
    holders = [
        message,
        *(value for field, value in message.ListFields() if field.message_type and not field.is_repeated),
    ]
    return not any("warnings" in holder.DESCRIPTOR.fields_by_name and len(holder.warnings) for holder in holders)


def _owner(request: Request) -> str:
    caller = caller_of(request.scope)
    return "" if caller is ANONYMOUS else f"{caller.tenant}\0{caller.name}"


def _fingerprint(request: Request, bound: BoundMethod, message: Message) -> str:
    parts = [bound.path.encode(), _owner(request).encode(), message.SerializeToString(deterministic=True)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _encode(response: Response) -> dict[str, Any]:
    body = base64.b64encode(bytes(response.body)).decode()
    return {"status": response.status_code, "media_type": response.media_type, "body": body}


def _decode(stored: dict[str, Any], header: str, value: str) -> Response:
    return Response(
        base64.b64decode(stored["body"]), stored["status"], {header: value}, media_type=stored["media_type"]
    )
