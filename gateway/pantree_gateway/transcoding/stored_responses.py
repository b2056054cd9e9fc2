"""Stored responses: a cache, and responses to a repeated `Idempotency-Key`.

Before a call, `find` looks for the response. Afterward, `store` or `store_problem` stores it, or `release` gives up
when the request is cancelled.
"""

import base64
import hashlib
import json
from typing import Any, NamedTuple

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response

from pantree.error.v1 import error_pb2
from pantree_gateway.stores import NOBODY, Store
from pantree_gateway.transcoding.binding import BoundMethod
from pantree_gateway.transcoding.caller import caller_of, customers_of
from pantree_gateway.transcoding.headers import MAX_TIMEOUT_SECONDS
from pantree_gateway.transcoding.problem import Problem, ProblemError, problem_for
from pantree_runtime import telemetry
from pantree_runtime.errors import FieldViolation, InvalidInput

KEY_HEADER = "Idempotency-Key"
CACHE_HEADER = "X-Cache"
SCOPE_HEADER = "Idempotency-Scope"
"""`replica` if only this gateway knows the key; absent if all of them do."""
_OF_REQUEST = "history"
"""Component of warnings about the purchases of the request."""
_LOCAL_WARNING = (
    "the gateways cannot share Idempotency-Keys at the moment, so another one may process a repeated request again; "
    "check the result before you repeat a request"
)
_MAX_KEY_CHARACTERS = 255
# Failures after which the same request may succeed, because nothing was started.
_TRY_AGAIN = frozenset(
    error_pb2.ErrorReason.Name(reason).removeprefix("ERROR_REASON_")
    for reason in (
        error_pb2.ERROR_REASON_COMPONENT_UNAVAILABLE,
        error_pb2.ERROR_REASON_DEADLINE_TOO_SHORT,
        error_pb2.ERROR_REASON_SHUTTING_DOWN,
    )
)


class ResponseKey(NamedTuple):
    """Key of the response to a request."""

    key: str
    fingerprint: str
    """Hash of the request and its caller."""
    partition: str = ""
    """Whose part of the store holds the response."""
    refresh: bool = False
    """Whether the client requested a new response."""
    subjects: frozenset[str] = NOBODY
    """Customers of the request, hashed with the tenant."""
    began_at: float = 0.0
    """When the request arrived, in seconds since 1970."""


class ResponseCache:
    """Responses to requests whose response is always the same. A `ttl_seconds` of 0 turns the cache off."""

    def __init__(self, store: Store, ttl_seconds: float = 60.0) -> None:
        self._store = store
        self._ttl_seconds = ttl_seconds

    def key(self, request: Request, bound: BoundMethod, message: Message) -> ResponseKey | None:
        """Key of a request; None if its response may differ each time."""
        if self._ttl_seconds <= 0 or not is_deterministic(message, bound):
            return None
        fingerprint = _fingerprint(request, bound, message)
        refresh = "no-cache" in request.headers.get("cache-control", "")
        return ResponseKey(
            f"pantree:response:{fingerprint}",
            fingerprint,
            _partition(request),
            refresh,
            _subjects(request, message),
            self._store.clock(),
        )

    async def find(self, key: ResponseKey) -> Response | None:
        """The stored response, if any."""
        stored = None if key.refresh else await self._store.get(key.partition, key.key)
        telemetry.count_lookups("responses", hits=stored is not None, misses=stored is None)
        return None if stored is None else _decode(json.loads(stored), CACHE_HEADER, "hit")

    def warn(self, message: Message) -> None:
        """Does nothing: equal requests have equal answers in every replica."""

    async def store(self, key: ResponseKey, response: Response, message: Message) -> None:
        """Stores a response if it is complete."""
        if is_complete(message):
            value = json.dumps(_encode(response)).encode()
            await _put(self._store, key, value, self._ttl_seconds)
        response.headers[CACHE_HEADER] = "miss"

    async def store_problem(self, key: ResponseKey, response: Response, problem: Problem) -> None:
        """Does nothing: a failed request leaves no trace."""

    async def release(self, key: ResponseKey) -> None:
        """Does nothing: a cancelled request leaves no trace."""

    async def forget_customers(self, request: Request, message: Message) -> None:
        """Deletes the responses to requests that named the same customers."""
        await _forget(self._store, request, message, self._ttl_seconds)


class IdempotencyStore:
    """Responses by `Idempotency-Key`."""

    def __init__(self, store: Store, ttl_seconds: float = 86_400.0) -> None:
        self._store = store
        self._ttl_seconds = ttl_seconds

    def key(self, request: Request, bound: BoundMethod, message: Message) -> ResponseKey:
        """Key of a request with an `Idempotency-Key`.

        Raises:
            InvalidInput: when the header is invalid.
        """
        # The IETF draft quotes the key; most clients do not.
        key = request.headers[KEY_HEADER].strip().removeprefix('"').removesuffix('"')
        if not 1 <= len(key) <= _MAX_KEY_CHARACTERS or not key.isprintable():
            expected = f"must be 1 to {_MAX_KEY_CHARACTERS} printable characters"
            raise InvalidInput([FieldViolation(KEY_HEADER, expected)])
        # Hashed, since clients may put personal data into their keys.
        digest = hashlib.sha256(f"{_owner(request)}\0{key}".encode()).hexdigest()
        fingerprint = _fingerprint(request, bound, message)
        return ResponseKey(
            f"pantree:once:{digest}",
            fingerprint,
            _partition(request),
            subjects=_subjects(request, message),
            began_at=self._store.clock(),
        )

    async def find(self, key: ResponseKey) -> Response | None:
        """The stored response; None when this request is the first with its key.

        Raises:
            ProblemError: 422 when the key was used for another request, 409 while the first one is running.
        """
        running = json.dumps({"fingerprint": key.fingerprint}).encode()
        stored = None
        while stored is None:  # again if the first request fails between the two lookups
            if await self._store.add(key.partition, key.key, running, MAX_TIMEOUT_SECONDS):
                return None
            stored = await self._store.get(key.partition, key.key)
        value = json.loads(stored)
        if value["fingerprint"] != key.fingerprint:
            detail = f"this {KEY_HEADER} was used for another request; use a new key for a new request"
            raise ProblemError(problem_for(error_pb2.ERROR_REASON_IDEMPOTENCY_KEY_REUSED, detail))
        if "status" not in value:
            detail = f"the first request with this {KEY_HEADER} has not finished; try again later"
            raise ProblemError(problem_for(error_pb2.ERROR_REASON_REQUEST_RUNNING, detail))
        response = _decode(value, "Idempotency-Replayed", "true")
        if self._store.is_local:
            response.headers[SCOPE_HEADER] = "replica"
        return response

    def warn(self, message: Message) -> None:
        """Adds a warning to an answer if its key may get another answer from another replica."""
        if self._store.is_local:
            _add_warning(message, "redis", "IDEMPOTENCY_LOCAL", _LOCAL_WARNING)

    async def store(self, key: ResponseKey, response: Response, message: Message) -> None:
        """Stores a response."""
        if self._store.is_local:
            response.headers[SCOPE_HEADER] = "replica"
        value = json.dumps({"fingerprint": key.fingerprint, **_encode(response)}).encode()
        await _put(self._store, key, value, self._ttl_seconds)

    async def store_problem(self, key: ResponseKey, response: Response, problem: Problem) -> None:
        """Stores the response to a failed request, unless it says that nothing was started or to try again."""
        if problem.status < 500 or problem.code in _TRY_AGAIN:
            await self.release(key)
            return
        value = json.dumps({"fingerprint": key.fingerprint, **_encode(response)}).encode()
        await _put(self._store, key, value, self._ttl_seconds)

    async def release(self, key: ResponseKey) -> None:
        """Deletes the key of a cancelled request, so that it can be used again."""
        await self._store.delete(key.partition, key.key)

    async def forget_customers(self, request: Request, message: Message) -> None:
        """Deletes the responses to requests that named the same customers."""
        await _forget(self._store, request, message, self._ttl_seconds)


def is_deterministic(message: Any, bound: BoundMethod) -> bool:
    """Whether the same request always gets the same response.

    It does if it has a seed and an as-of date, unless the response depends on stored customers or purchases.
    """
    body = message if bound.body_field is None else getattr(message, bound.body_field.name)
    fields = body.DESCRIPTOR.fields_by_name
    if "seed" not in fields or "as_of" not in fields or not fields["seed"].has_presence:
        return False
    depends_on_stored = getattr(body, "include_suggestions", False) or getattr(body, "stored_history", False)
    return bool(body.HasField("seed") and body.as_of) and not depends_on_stored


def is_complete(message: Any) -> bool:
    """Whether a response lacks nothing that it may have next time, when a part is available again.

    Warnings about the request's own purchases are the same each time.
    """
    return not any(warning.component != _OF_REQUEST for part in _with_warnings(message) for warning in part.warnings)


def _with_warnings(message: Any) -> list[Any]:
    """The message and its submessages that can have warnings."""
    nested = [value for field, value in message.ListFields() if field.message_type and not field.is_repeated]
    return [part for part in (message, *nested) if "warnings" in part.DESCRIPTOR.fields_by_name]


def _add_warning(message: Message, component: str, code: str, text: str) -> None:
    for part in _with_warnings(message)[:1]:
        part.warnings.add(component=component, code=code, message=text)


async def _put(store: Store, key: ResponseKey, value: bytes, ttl_seconds: float) -> None:
    subjects, began_at = key.subjects, key.began_at
    await store.put(key.partition, key.key, value, ttl_seconds, subjects=subjects, began_at=began_at)


async def _forget(store: Store, request: Request, message: Message, ttl_seconds: float) -> None:
    # Requests that are running now must not store their responses afterward.
    for subject in _subjects(request, message):
        await store.forget(subject, max(ttl_seconds, MAX_TIMEOUT_SECONDS))


def _subjects(request: Request, message: Message) -> frozenset[str]:
    """Customers of a request, hashed with the tenant, all of whose callers share its customers."""
    tenant = caller_of(request.scope).tenant
    return frozenset(
        hashlib.sha256(f"{tenant}\0{customer_id}".encode()).hexdigest()
        for customer_id in customers_of(message)
        if customer_id
    )


def _partition(request: Request) -> str:
    caller = caller_of(request.scope)
    return caller.tenant or caller.identity


def _owner(request: Request) -> str:
    return caller_of(request.scope).identity


def _fingerprint(request: Request, bound: BoundMethod, message: Message) -> str:
    parts = [bound.path.encode(), _owner(request).encode(), message.SerializeToString(deterministic=True)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _encode(response: Response) -> dict[str, Any]:
    body = base64.b64encode(bytes(response.body)).decode()
    return {"status": response.status_code, "media_type": response.media_type, "body": body}


def _decode(stored: dict[str, Any], header: str, value: str) -> Response:
    return Response(base64.b64decode(stored["body"]), stored["status"], {header: value}, stored["media_type"])
