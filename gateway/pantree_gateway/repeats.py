"""Answers that need not be made again: those kept in the response cache, and those to a repeated `Idempotency-Key`."""

import base64
import hashlib
import json
from typing import Any

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response

from pantree_gateway.access import Caller
from pantree_gateway.stores import Store
from pantree_gateway.transcoding.binding import BoundMethod
from pantree_gateway.transcoding.problem import Problem, ProblemRaised
from pantree_gateway.transcoding.surroundings import Answer
from pantree_runtime import telemetry
from pantree_runtime.errors import FieldViolation, InvalidInput

KEY_HEADER = "Idempotency-Key"
CACHE_HEADER = "X-Cache"
_LONGEST_KEY = 255
_HEADERS_KEPT = ("content-type",)


class Repeats:
    """Answers requests from what was answered before, where that is asked for or makes no difference.

    Args:
        store: keeps the answers.
        cache_seconds: how long a repeatable answer is kept; 0 for not at all.
        idempotency_seconds: how long the answer to an `Idempotency-Key` is kept.
        longest_seconds: after which a request that never ended is given up.
    """

    def __init__(
        self, store: Store, *, cache_seconds: float, idempotency_seconds: float, longest_seconds: float
    ) -> None:
        self._store = store
        self._cache_seconds = cache_seconds
        self._idempotency_seconds = idempotency_seconds
        self._longest_seconds = longest_seconds

    async def respond(
        self,
        request: Request,
        bound: BoundMethod,
        message: Message,
        caller: Caller | None,
        answer: Answer,
    ) -> Response:
        """Response to a request.

        Args:
            request: the request.
            bound: its method.
            message: its message.
            caller: whom it comes from; nobody gets answers to somebody else.
            answer: makes the response anew, and tells the message that it was made of.

        Raises:
            InvalidInput: when the key is none.
            ProblemRaised: 422 when the key was used for another request, 409 while the first one is still running.
        """
        key = request.headers.get(KEY_HEADER) if request.method == "POST" else None
        may_be_kept = self._cache_seconds > 0 and is_repeatable(message, bound)
        if key is None and not may_be_kept:
            return (await answer())[0]
        owner = f"{caller.tenant}\0{caller.name}" if caller else ""
        payload = message.SerializeToString(deterministic=True)
        fingerprint = hashlib.sha256(b"\0".join([bound.path.encode(), owner.encode(), payload])).hexdigest()
        if key is not None:
            return await self._once(_checked(key), owner, fingerprint, answer)
        fresh = "no-cache" in request.headers.get("cache-control", "")
        return await self._cached(f"pantree:answer:{fingerprint}", fresh, answer)

    async def _cached(self, key: str, fresh: bool, answer: Answer) -> Response:
        kept = None if fresh else await self._store.get(key)
        if kept is not None:
            response = _restored(json.loads(kept))
            response.headers[CACHE_HEADER] = "hit"
            telemetry.count_lookups("answers", hits=1, misses=0)
            return response
        response, message = await answer()
        if response.status_code == 200 and is_whole(message):
            await self._store.put(key, json.dumps(_kept(response)).encode(), self._cache_seconds)
        response.headers[CACHE_HEADER] = "miss"
        telemetry.count_lookups("answers", hits=0, misses=1)
        return response

    async def _once(self, key: str, owner: str, fingerprint: str, answer: Answer) -> Response:
        # Not the key itself: what a client puts there is its own affair.
        place = f"pantree:once:{hashlib.sha256(f'{owner}{chr(0)}{key}'.encode()).hexdigest()}"
        running = json.dumps({"fingerprint": fingerprint}).encode()
        if not await self._store.add(place, running, self._longest_seconds):
            kept = await self._store.get(place)
            if kept is not None:
                return _repeated(json.loads(kept), fingerprint)
            # It ended without an answer between the two looks: this request is the first again.
            await self._store.put(place, running, self._longest_seconds)
        done = False
        try:
            response, _ = await answer()
            if response.status_code == 200:
                value = json.dumps({"fingerprint": fingerprint, **_kept(response)}).encode()
                await self._store.put(place, value, self._idempotency_seconds)
                done = True
            return response
        finally:
            if not done:
                await self._store.delete(place)


def is_repeatable(message: Any, bound: BoundMethod) -> bool:
    """Whether equal requests get equal answers.

    They do when they say both the seed and the day, and ask for nothing that depends on which customers are stored.
    """
    asked = message if bound.body_field is None else getattr(message, bound.body_field.name)
    fields = asked.DESCRIPTOR.fields_by_name
    if "seed" not in fields or "as_of" not in fields or not fields["seed"].has_presence:
        return False
    if getattr(asked, "include_suggestions", False):
        return False
    return bool(asked.HasField("seed") and asked.as_of)


def is_whole(message: Any) -> bool:
    """Whether nothing is missing from an answer; what a part that is down left out may be there next time."""
    holders = [
        message,
        *(value for field, value in message.ListFields() if field.message_type and not field.is_repeated),
    ]
    return not any("warnings" in one.DESCRIPTOR.fields_by_name and len(one.warnings) for one in holders)


def _checked(key: str) -> str:
    # The draft's form is a quoted string; most clients send it bare.
    bare = key.strip().removeprefix('"').removesuffix('"')
    if not 1 <= len(bare) <= _LONGEST_KEY or not bare.isprintable():
        raise InvalidInput([FieldViolation(KEY_HEADER, f"give 1 to {_LONGEST_KEY} printable characters")])
    return bare


def _repeated(kept: dict[str, Any], fingerprint: str) -> Response:
    if kept["fingerprint"] != fingerprint:
        detail = f"this {KEY_HEADER} was used for another request; take a new key for a new request"
        raise ProblemRaised(Problem(422, "IDEMPOTENCY_KEY_REUSED", detail))
    if "status" not in kept:
        detail = f"the first request with this {KEY_HEADER} is still running; try again later"
        raise ProblemRaised(Problem(409, "REQUEST_RUNNING", detail))
    response = _restored(kept)
    response.headers["Idempotency-Replayed"] = "true"
    return response


def _kept(response: Response) -> dict[str, Any]:
    headers = {name: response.headers[name] for name in _HEADERS_KEPT if name in response.headers}
    return {
        "status": response.status_code,
        "headers": headers,
        "body": base64.b64encode(bytes(response.body)).decode(),
    }


def _restored(kept: dict[str, Any]) -> Response:
    return Response(base64.b64decode(kept["body"]), kept["status"], kept["headers"])
