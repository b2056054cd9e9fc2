"""`POST /api/v1/engines/{engine}/events`: webhooks of subscription engines, whose bodies go to the history part.

Engines cannot send our credentials. They sign the body with a secret, which says who sent it and for which tenant.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import grpc
import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError, field_validator
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect

from pantree.error.v1 import error_pb2
from pantree.subscription.v1 import subscription_service_pb2 as messages
from pantree.subscription.v1.subscription_service_pb2_grpc import SubscriptionServiceStub
from pantree_gateway.transcoding.binding import read_bytes
from pantree_gateway.transcoding.caller import Caller, caller_of, set_caller
from pantree_gateway.transcoding.context import RouteContext
from pantree_gateway.transcoding.openapi import problem_responses
from pantree_gateway.transcoding.problem import (
    Problem,
    ProblemError,
    problem_for,
    problem_of_error,
    problem_of_rpc_error,
)
from pantree_runtime.errors import FieldViolation, InvalidInput, PantreeError

ENGINES_TAG = {"name": "Engines", "description": "Webhooks of subscription engines."}
_COMPONENT = "history"
_METHOD = "RecordEngineEvent"
_PROBLEMS = {
    "400": "The body is not what the engine documents.",
    "404": "There is no such engine.",
    "503": "A required part is unavailable; `component` names it.",
    "504": "The response was not ready in time.",
    "default": "Any other problem.",
}
_UNSIGNED = {"401": "The body has no valid signature, and the request no credentials."}
_TOPIC = {
    "name": "topic",
    "in": "query",
    "description": "Name of the event, for engines that do not send it; the payload says it by default.",
    "required": False,
    "schema": {"type": "string"},
}
_ORDERGROOVE_FIELD = re.compile(r"\s*(ts|sig)=([^,]*)")


class Engine(StrEnum):
    """An engine, by its name in paths."""

    RECHARGE = "recharge"
    ORDERGROOVE = "ordergroove"
    SHOPIFY = "shopify"


class EngineAccess(BaseModel):
    """An entry in the file of engines: one account of a retailer with an engine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: Engine
    secret: SecretStr = Field(min_length=1)
    tenant: str = Field(default="", pattern=r"^[\x21-\x7e]*$")
    time_zone: str = ""
    """IANA name; UTC if empty."""

    @field_validator("time_zone")
    @classmethod
    def _check_time_zone(cls, value: str) -> str:
        if value:
            try:
                ZoneInfo(value)
            except (ZoneInfoNotFoundError, OSError):
                raise ValueError("must be an IANA name such as Europe/Berlin") from None
        return value


class EngineEventReport(BaseModel):
    """What an event did."""

    results: list["EngineEventResult"] = Field(description="The subscriptions that it is about; empty if none.")


class EngineEventResult(BaseModel):
    """What an event did to one subscription."""

    customer_id: str = Field(description="The household; empty if it is unknown.")
    subscription_id: str = Field(description="The subscription here.")
    outcome: Literal[
        "ENGINE_EVENT_OUTCOME_APPLIED",
        "ENGINE_EVENT_OUTCOME_UNCHANGED",
        "ENGINE_EVENT_OUTCOME_REPEATED",
        "ENGINE_EVENT_OUTCOME_OUTDATED",
        "ENGINE_EVENT_OUTCOME_UNKNOWN",
        "ENGINE_EVENT_OUTCOME_ERASED",
    ] = Field(description="What the event did.")
    events: list[dict[str, Any]] = Field(description="The events that it caused, as `ListEvents` returns them.")


def read_engines(path: str) -> Sequence[EngineAccess]:
    """Accounts with engines, from a JSON file with a list of `EngineAccess` objects.

    Raises:
        ValueError: when the file cannot be read, or is not such a list.
    """
    try:
        return TypeAdapter(list[EngineAccess]).validate_json(Path(path).read_bytes())
    except ValidationError as error:
        # Not its text, which repeats the secrets.
        places = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ValueError(f"cannot read the file of engines {path}: {places}") from None
    except OSError as error:
        raise ValueError(f"cannot read the file of engines {path}: {error}") from None


def signed_paths(accounts: Sequence[EngineAccess]) -> frozenset[str]:
    """Paths whose requests need no credentials, since their bodies are signed."""
    return frozenset(f"/api/v1/engines/{one.engine}/events" for one in accounts)


def is_signed(account: EngineAccess, headers: Headers, body: bytes) -> bool:
    """Whether an account's secret has signed a body, as its engine documents it.

    Shopify: base64 of HMAC-SHA256, in `X-Shopify-Hmac-Sha256`. Recharge: hex of SHA-256 of the secret and the body, in
    `X-Recharge-Hmac-Sha256`. Ordergroove: `ts=…,sig=…` in `Ordergroove-Signature`, where `sig` is the hex of
    HMAC-SHA256 of `ts`, a period and the body; while a key is replaced, there is a `sig` of each.
    """
    secret = account.secret.get_secret_value().encode()
    if account.engine is Engine.SHOPIFY:
        digest = base64.b64encode(hmac.digest(secret, body, "sha256")).decode()
        return _is_one_of(digest, [headers.get("x-shopify-hmac-sha256", "")])
    if account.engine is Engine.RECHARGE:
        digest = hashlib.sha256(secret + body).hexdigest()
        return _is_one_of(digest, [headers.get("x-recharge-hmac-sha256", "").lower()])
    fields = _ORDERGROOVE_FIELD.findall(headers.get("ordergroove-signature", ""))
    times = [value for name, value in fields if name == "ts"]
    if len(times) != 1:
        return False
    digest = hmac.digest(secret, times[0].encode() + b"." + body, "sha256").hex()
    return _is_one_of(digest, [value.lower() for name, value in fields if name == "sig"])


def _is_one_of(digest: str, signatures: Sequence[str]) -> bool:
    return any(hmac.compare_digest(digest.encode(), one.encode()) for one in signatures)


def add_engine_events(
    router: APIRouter,
    context: RouteContext,
    accounts: Sequence[EngineAccess],
    channel: Callable[[], grpc.aio.Channel],
) -> None:
    """Adds the route.

    Args:
        router: where.
        context: of all routes.
        accounts: whose secrets sign bodies.
        channel: returns the channel to the history part.
    """
    tags: list[str | Enum] = [ENGINES_TAG["name"]]

    @router.post(
        "/api/v1/engines/{engine}/events",
        tags=tags,
        operation_id="RecordEngineEvent",
        summary="Record an event of a subscription engine",
        response_model=EngineEventReport,
        responses=dict(problem_responses(_PROBLEMS | (_UNSIGNED if accounts else {})).items()),
        openapi_extra={
            "parameters": [_TOPIC],
            "requestBody": {
                "required": True,
                "description": "The webhook's body, as the engine sends it.",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
        },
    )
    async def record(request: Request, engine: str) -> Response:
        """Stores what Recharge, Ordergroove or Shopify reports about a subscription that it keeps.

        A webhook needs the engine's signature, or else credentials of the shop. One that arrives again, or after a
        newer one, changes nothing.
        """
        try:
            if engine not in list(Engine):
                detail = f"there is no engine {engine[:40]!r}; use one of {', '.join(Engine)}"
                raise ProblemError(problem_for(error_pb2.ERROR_REASON_NOT_FOUND, detail))
            body = bytes(await read_bytes(request, context.limits))
            account = _account(request, Engine(engine), accounts, body)
            caller = caller_of(request.scope)
            caller.check_may_call(_COMPONENT)
            caller.check_may_state(_METHOD)
            message = _message(request, Engine(engine), body, account)
            options = context.headers.call_options(request, context.limits.request_timeout_seconds)
            stub = SubscriptionServiceStub(channel())
            answer = await stub.RecordEngineEvent(message, timeout=options.timeout_seconds, metadata=options.metadata)
        except ClientDisconnect:
            raise
        except (ProblemError, PantreeError, grpc.aio.AioRpcError) as error:
            return _problem(error).response(request.scope["path"])
        return Response(orjson.dumps(context.codec.write(answer)), media_type="application/json")


def _problem(error: ProblemError | PantreeError | grpc.aio.AioRpcError) -> Problem:
    if isinstance(error, ProblemError):
        return error.problem
    if isinstance(error, PantreeError):
        return problem_of_error(error)
    return problem_of_rpc_error(error, _COMPONENT, lambda field: field)


def _account(request: Request, engine: Engine, accounts: Sequence[EngineAccess], body: bytes) -> EngineAccess | None:
    """The account whose secret signed a body, which becomes the caller; None for a caller with credentials.

    Raises:
        ProblemError: 401 when the engine has accounts, and none of them signed it.
    """
    of_engine = [one for one in accounts if one.engine is engine]
    if caller_of(request.scope).name or not of_engine:
        return None
    for one in of_engine:
        if is_signed(one, request.headers, body):
            set_caller(request.scope, Caller(f"engine:{engine}", one.tenant, "signature"))
            return one
    detail = f"the body has no signature of {engine} with a secret that is known here"
    raise ProblemError(problem_for(error_pb2.ERROR_REASON_UNAUTHENTICATED, detail))


def _message(
    request: Request, engine: Engine, body: bytes, account: EngineAccess | None
) -> messages.RecordEngineEventRequest:
    try:
        payload = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput([FieldViolation("payload", "must be UTF-8 text")]) from None
    headers: Mapping[str, str] = request.headers
    return messages.RecordEngineEventRequest(
        engine=messages.SubscriptionEngine.Value(f"SUBSCRIPTION_ENGINE_{engine.name}"),
        topic=request.query_params.get("topic", "") or headers.get("x-shopify-topic", ""),
        event_id=headers.get("x-shopify-webhook-id", "") if engine is Engine.SHOPIFY else "",
        payload=payload,
        time_zone=account.time_zone if account else "",
    )
