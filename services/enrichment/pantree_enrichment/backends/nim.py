"""Asks Llama NIM, or any server of the OpenAI chat API, about items.

Two dialects of structured output live behind the same image name: NIM 2.x takes `response_format`, as OpenAI, vLLM and
llama.cpp do; NIM 1.x takes `nvext.guided_json`. Some servers ignore what they do not know and answer with prose. So the
first is tried, then the second once, the one that worked is remembered, and every reply is checked.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from string import Template
from typing import Any

import httpx
import structlog

from pantree_domain.catalog import CATEGORIES
from pantree_enrichment.backends.circuit_breaker import CircuitBreaker
from pantree_enrichment.backends.nim_reply import UnusableReply, answers_in, reply_schema
from pantree_enrichment.core import EnrichedItem, ItemToEnrich, Unanswered
from pantree_runtime.deadline import LEAST_SECONDS, remaining_seconds

_log = structlog.get_logger(__name__)

PROMPT_FILE = "enrich_items.v1.txt"
# Fewer than the check allows, so that a model that counts badly still passes.
_RELATED_ITEMS_ASKED = 4

# What is kept of a request's time, so that the rules can still answer when the model does not.
SECONDS_KEPT_FOR_RULES = 0.25
# A reply is a few hundred bytes per item; far more is no reply of ours.
MAX_REPLY_BYTES = 1024 * 1024
# An item takes about a hundred tokens, its name up to as many again.
_TOKENS_PER_ITEM = 300
# One strange name may spoil the reply to its batch; a server whose replies are all spoilt is not worth asking.
_UNUSABLE_REPLIES_IN_A_ROW = 3
# A server may ask to be left alone, but not for good.
_MOST_SECONDS_TO_RETRY = 300.0

_TRY_LATER = "it is asked again later"


# Fields of a call that hold the model to a schema.
Dialect = Callable[[Mapping[str, Any]], dict[str, Any]]


def _response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "enriched_items", "schema": schema, "strict": True},
        }
    }


def _guided_json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"nvext": {"guided_json": schema}}


def _other(dialect: Dialect) -> Dialect:
    return _guided_json if dialect is _response_format else _response_format


class _Failure(Exception):
    """The model gave no usable answer to a call. The message goes to callers."""


class _Unavailable(_Failure):
    """The server cannot answer any call for now."""

    def __init__(self, message: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class _NotUnderstood(_Failure):
    """The server did not understand the call, or the model did not keep to the schema."""


def open_client(
    endpoint: str, api_key: str, *, max_calls: int, transport: httpx.AsyncBaseTransport | None = None
) -> httpx.AsyncClient:
    """Client of the server.

    Args:
        endpoint: URL of the server, without `/v1`.
        api_key: sent as a bearer token; none when empty.
        max_calls: connections that are kept.
        transport: how to get there; the network when None.
    """
    return httpx.AsyncClient(
        base_url=endpoint,
        headers={"Authorization": f"Bearer {api_key}"} if api_key else None,
        limits=httpx.Limits(max_connections=max_calls),
        timeout=None,  # noqa: S113 - each call has one for all of it
        transport=transport,
    )


class NimEnricher:
    """What a language model says about items."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        model: str,
        timeout_seconds: float,
        cool_down_seconds: float,
        max_calls: int,
        clock: Callable[[], float],
    ) -> None:
        """Takes what it asks with.

        Args:
            client: from `open_client`; closed by `close`.
            model: name of the model.
            timeout_seconds: how long a call may take in all.
            cool_down_seconds: how long nothing is asked after a failure.
            max_calls: how many calls run at a time.
            clock: seconds, never going backwards.
        """
        self._client = client
        self._model = model
        self._timeout_seconds = timeout_seconds
        self._slots = asyncio.Semaphore(max_calls)
        self._breaker = CircuitBreaker(cool_down_seconds, clock)
        self._unusable_replies = 0
        self._dialect: Dialect = _response_format
        self._dialect_works = False
        self._schema = reply_schema()
        prompt = (resources.files(__package__) / "prompts" / PROMPT_FILE).read_text(encoding="utf-8")
        self._prompt = Template(prompt).substitute(
            categories=", ".join(f'"{category}"' for category in CATEGORIES), max_related=_RELATED_ITEMS_ASKED
        )

    async def enrich(self, items: Sequence[ItemToEnrich]) -> Sequence[EnrichedItem | Unanswered]:
        """What the model says about each item, in their order, in one call; each item fails by itself."""
        try:
            # The deadline holds while others are being served, too.
            async with asyncio.timeout(_seconds_left()), self._slots:
                if not self._breaker.allows():
                    return [Unanswered(f"the language model failed a short while ago; {_TRY_LATER}")] * len(items)
                return await self._ask(items)
        except TimeoutError:
            reason = "the language model did not answer in the time that the request had"
        except _Failure as failure:
            reason = str(failure)
        _log.warning("language model failed", reason=reason)
        return [Unanswered(reason)] * len(items)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def _ask(self, items: Sequence[ItemToEnrich]) -> list[EnrichedItem | Unanswered]:
        try:
            answers = await self._ask_in_time(items)
        except _Unavailable as failure:
            self._breaker.failed(failure.retry_after_seconds)
            raise
        except _NotUnderstood:
            self._unusable_replies += 1
            if self._unusable_replies >= _UNUSABLE_REPLIES_IN_A_ROW:
                self._breaker.failed()
            raise
        self._unusable_replies = 0
        self._breaker.succeeded()
        return answers

    async def _ask_in_time(self, items: Sequence[ItemToEnrich]) -> list[EnrichedItem | Unanswered]:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._ask_in_dialects(items)
        except TimeoutError:
            raise _Unavailable(
                f"the language model did not answer within {self._timeout_seconds:g} s; {_TRY_LATER}"
            ) from None
        except httpx.ConnectError:
            raise _Unavailable("the language model cannot be reached; check LLAMA_NIM_ENDPOINT") from None
        except httpx.HTTPError as error:
            raise _Unavailable(
                f"the connection to the language model failed ({type(error).__name__}); {_TRY_LATER}"
            ) from None

    async def _ask_in_dialects(self, items: Sequence[ItemToEnrich]) -> list[EnrichedItem | Unanswered]:
        """Answers in the dialect that is known to work, or else in the first one that does."""
        dialect, works = self._dialect, self._dialect_works
        refusal = ""
        for tried in (dialect,) if works else (dialect, _other(dialect)):
            try:
                answers = answers_in(await self._complete(items, tried(self._schema)), items)
            except (UnusableReply, _NotUnderstood) as raised:
                refusal = str(raised)
                # The server may have been replaced by one of the other dialect. And should the time be over before the
                # second one has answered, the next call begins with that one.
                self._dialect_works = False
                self._dialect = dialect if works else _other(tried)
            else:
                self._dialect, self._dialect_works = tried, True
                return answers
        raise _NotUnderstood(refusal or "the language model's reply was not usable")

    async def _complete(self, items: Sequence[ItemToEnrich], dialect_fields: Mapping[str, Any]) -> bytes:
        """Body of the server's reply to one call."""
        data = [{"index": index, "name": item.name, "category": item.category} for index, item in enumerate(items)]
        request = {
            "model": self._model,
            "messages": [
                {"role": "system", "content": self._prompt},
                {"role": "user", "content": json.dumps({"items": data}, ensure_ascii=False)},
            ],
            "temperature": 0,
            "max_tokens": _TOKENS_PER_ITEM * (len(items) + 1),
            **dialect_fields,
        }
        async with self._client.stream("POST", "/v1/chat/completions", json=request) as response:
            _check_status(response)
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > MAX_REPLY_BYTES:
                    raise _NotUnderstood("the language model's reply was far too long")
        return bytes(body)


def _seconds_left() -> float | None:
    """How long the request may still wait; None for no limit.

    Raises:
        _Failure: when it cannot wait at all.
    """
    remaining = remaining_seconds()
    if remaining is None:
        return None
    left = remaining - SECONDS_KEPT_FOR_RULES
    if left < LEAST_SECONDS:
        raise _Failure("the language model was not asked: too little of the request's time was left")
    return left


def _check_status(response: httpx.Response) -> None:
    """Raises what a status stands for, unless it is 200."""
    status = response.status_code
    match status:
        case 200:
            return
        case 400 | 422:
            raise _NotUnderstood(f"the language model refused the request (HTTP {status})")
        case 401 | 403:
            raise _Unavailable(f"the language model denied access (HTTP {status}); check LLAMA_NIM_API_KEY")
        case 404:
            raise _Unavailable(
                "the language model was not found (HTTP 404); check LLAMA_NIM_ENDPOINT and PANTREE_ENRICHMENT_NIM_MODEL"
            )
        case 429:
            raise _Unavailable(
                f"the language model is asked too often (HTTP 429); {_TRY_LATER}",
                _seconds_to_retry(response.headers.get("Retry-After", "")),
            )
        case _:
            raise _Unavailable(f"the language model failed (HTTP {status}); {_TRY_LATER}")


def _seconds_to_retry(value: str) -> float:
    """Seconds that a Retry-After header asks for; 0 when it names a date or nothing."""
    return min(float(value), _MOST_SECONDS_TO_RETRY) if value.isascii() and value.isdigit() else 0.0
