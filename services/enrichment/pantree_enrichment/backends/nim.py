"""Asks Llama NIM, or any server of the OpenAI chat API, about items.

Two modes of structured output exist behind the same image name: NIM 2.x takes `response_format`, as OpenAI, vLLM and
llama.cpp do; NIM 1.x takes `nvext.guided_json`. Some servers ignore unknown fields and answer with prose. So the first
mode is tried, then the second; the one that worked is remembered, and every reply is validated. Items with a missing or
invalid answer are asked about once more; after that, the rules answer.
"""

import asyncio
import enum
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import structlog

from pantree_enrichment.backends.prompt import Prompt
from pantree_enrichment.backends.reply import outcomes_in, reply_schema
from pantree_enrichment.core.item import EnrichedItem, Failure, ItemToEnrich, Outcome
from pantree_runtime import telemetry
from pantree_runtime.circuit_breaker import CircuitBreaker
from pantree_runtime.deadline import MIN_SECONDS

_log = structlog.get_logger(__name__)

# A usable reply has a few hundred bytes per item.
MAX_REPLY_BYTES = 1024 * 1024
# Token counts are upper estimates, because every model tokenizes differently. Llama 3 makes one token of about four
# characters of English, or about three bytes of other scripts.
_BYTES_PER_TOKEN = 3
# Keys, punctuation, and the longest values of an entry with its related items.
_REPLY_TOKENS_PER_ITEM = 220
# Of a message or an entry without its content.
_FRAME_TOKENS = 16
# A single name may spoil the reply to its batch, but a server with several unusable replies in a row is not working.
_MAX_UNUSABLE_REPLIES = 3
_MAX_RETRY_AFTER_SECONDS = 300.0

_RETRY_LATER = "it is asked again later"
_CIRCUIT_OPEN = f"the language model failed a short while ago; {_RETRY_LATER}"
_TOO_SLOW = "the language model currently takes longer than the request may wait; the next request may get its answer"
_NO_TIME = "too little time was left to wait for the language model"


class StructuredOutputMode(enum.Enum):
    """How a call constrains a model to a schema."""

    RESPONSE_FORMAT = "response_format"
    GUIDED_JSON = "nvext.guided_json"

    @property
    def other(self) -> "StructuredOutputMode":
        """The other mode."""
        return self.GUIDED_JSON if self is self.RESPONSE_FORMAT else self.RESPONSE_FORMAT

    def fields(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Fields of a call that request this mode."""
        if self is self.GUIDED_JSON:
            return {"nvext": {"guided_json": schema}}
        json_schema = {"name": "enriched_items", "schema": schema, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": json_schema}}


# The messages of these errors are returned to callers.


class _Unavailable(Exception):
    """The server cannot answer any call for now."""

    def __init__(self, message: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class _Rejected(Exception):
    """The server did not accept the call."""


class _Unusable(Exception):
    """Nothing in a reply was usable."""


def open_client(
    endpoint: str, api_key: str, *, max_calls: int, transport: httpx.AsyncBaseTransport | None = None
) -> httpx.AsyncClient:
    """HTTP client of a server.

    Args:
        endpoint: URL of the server, without `/v1`.
        api_key: sent as a bearer token unless empty.
        max_calls: maximum number of connections.
        transport: replaces the network in tests.
    """
    return httpx.AsyncClient(
        base_url=endpoint,
        headers={"Authorization": f"Bearer {api_key}"} if api_key else None,
        limits=httpx.Limits(max_connections=max_calls),
        timeout=None,  # noqa: S113 - `ask` limits the total time
        transport=transport,
    )


class NimEnricher:
    """A `LanguageModel` on a server of the OpenAI chat API.

    Args:
        client: from `open_client`; closed by `close`.
        prompt: the prompts.
        model: name of the model.
        timeout_seconds: maximum total time to ask about a batch, including a second attempt.
        cool_down_seconds: how long no call is made after a failure.
        batch_size: maximum number of items in one call.
        token_budget: maximum number of tokens of one call, prompt and reply together.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        prompt: Prompt,
        *,
        model: str,
        timeout_seconds: float,
        cool_down_seconds: float,
        batch_size: int,
        token_budget: int,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._prompt = prompt
        self._model = model
        self._timeout_seconds = timeout_seconds
        self._batch_size = batch_size
        self._token_budget = token_budget
        self._clock = clock
        self._breaker = CircuitBreaker(cool_down_seconds, clock)
        self._unusable_replies = 0
        self._mode = StructuredOutputMode.RESPONSE_FORMAT
        self._mode_works = False
        self._schema = reply_schema()
        self._last_seconds = 0.0
        self._started_at: dict[object, float] = {}
        """Start time of each call in flight."""

    @property
    def structured_output_mode(self) -> StructuredOutputMode | None:
        """The mode that the server is known to support; None if not known yet."""
        return self._mode if self._mode_works else None

    def batches(self, items: Sequence[ItemToEnrich]) -> list[Sequence[ItemToEnrich]]:
        fixed = _tokens(self._prompt.system) + _tokens(self._prompt.repair("")) + _tokens(json.dumps(self._schema))
        batches: list[list[ItemToEnrich]] = []
        used = 0
        for item in items:
            tokens = _REPLY_TOKENS_PER_ITEM + _tokens(json.dumps(_prompt_entry(0, item), ensure_ascii=False))
            if not batches or len(batches[-1]) == self._batch_size or used + tokens > self._token_budget:
                batches.append([])
                used = fixed
            batches[-1].append(item)
            used += tokens
        return list(batches)

    def no_wait_reason(self, seconds: float | None) -> str:
        """Not empty if the circuit is open, or the last call or a call in flight took longer than the request has."""
        if not self._breaker.is_closed:
            return _CIRCUIT_OPEN
        if seconds is None:
            return ""
        if seconds < MIN_SECONDS:
            return _NO_TIME
        in_flight = max((self._clock() - started_at for started_at in self._started_at.values()), default=0.0)
        return _TOO_SLOW if max(self._last_seconds, in_flight) > seconds else ""

    async def ask(self, items: Sequence[ItemToEnrich], on_outcome: Callable[[int, Outcome], None]) -> None:
        remaining = dict(enumerate(items))

        def report(index: int, outcome: Outcome) -> None:
            del remaining[index]
            on_outcome(index, outcome)

        reason = await self._ask(remaining, report) if self._breaker.allows() else _CIRCUIT_OPEN
        for index in list(remaining):
            report(index, Failure(reason))

    async def close(self) -> None:
        await self._client.aclose()

    async def _ask(self, remaining: Mapping[int, ItemToEnrich], report: Callable[[int, Outcome], None]) -> str:
        """Asks about the remaining items, and returns why some still remain."""
        call, started_at = object(), self._clock()
        self._started_at[call] = started_at
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._ask_and_repair(remaining, report)
        except (_Rejected, _Unusable) as error:
            reason = str(error)
            self._unusable_replies += 1
            if self._unusable_replies >= _MAX_UNUSABLE_REPLIES:
                self._unusable_replies = 0
                self._mode_works = False  # the server may have been replaced by one that supports the other mode
                self._breaker.record_failure()
        except (TimeoutError, httpx.HTTPError, _Unavailable) as error:
            reason = self._unavailable_reason(error)
            self._breaker.record_failure(error.retry_after_seconds if isinstance(error, _Unavailable) else 0.0)
        else:
            self._unusable_replies = 0
            self._last_seconds = self._clock() - started_at
            self._breaker.record_success()
            return ""
        finally:
            del self._started_at[call]
        _log.warning("language model failed", reason=reason)
        return reason

    def _unavailable_reason(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"the language model did not answer within {self._timeout_seconds:g} s; {_RETRY_LATER}"
        if isinstance(error, httpx.ConnectError):
            return "the language model cannot be reached; check LLAMA_NIM_ENDPOINT"
        if isinstance(error, httpx.HTTPError):
            return f"the connection to the language model failed ({type(error).__name__}); {_RETRY_LATER}"
        return str(error)

    async def _ask_and_repair(
        self, remaining: Mapping[int, ItemToEnrich], report: Callable[[int, Outcome], None]
    ) -> None:
        """Asks about all items, then once more about those with a missing or invalid answer."""
        count = len(remaining)
        failures: dict[int, Failure] = {}
        problem = ""
        for _ in range(2):
            mode, reply = await self._complete_in_modes(list(remaining.values()), problem)
            failures = {}
            for index, outcome in zip(list(remaining), outcomes_in(reply, list(remaining.values())), strict=True):
                if isinstance(outcome, EnrichedItem):
                    self._mode, self._mode_works = mode, True
                    report(index, outcome)
                else:
                    failures[index] = outcome
            if not remaining:
                return
            problem = next(iter(failures.values())).reason
            if len(remaining) == count:
                # The server may have ignored the mode. The second attempt and the next call use the other one.
                self._suspect(mode)
        if len(remaining) == count:
            raise _Unusable(problem)
        for index, failure in failures.items():
            report(index, replace(failure, is_item_specific=True))

    async def _complete_in_modes(
        self, items: Sequence[ItemToEnrich], problem: str
    ) -> tuple[StructuredOutputMode, bytes]:
        """Mode and reply of a call in the current mode, or in the other one if the server rejects it."""
        mode = self._mode
        try:
            return mode, await self._complete(items, mode, problem)
        except _Rejected:
            if mode is self._mode:
                self._mode_works = False
            self._suspect(mode)
        return self._mode, await self._complete(items, self._mode, problem)

    def _suspect(self, mode: StructuredOutputMode) -> None:
        """Switches to the other mode unless this one is known to work or a concurrent call has already switched."""
        if not self._mode_works and self._mode is mode:
            self._mode = mode.other

    async def _complete(self, items: Sequence[ItemToEnrich], mode: StructuredOutputMode, problem: str) -> bytes:
        """Body of the reply to a call."""
        entries = [_prompt_entry(index, item) for index, item in enumerate(items)]
        # One message of each role: some models' chat templates reject two consecutive user messages.
        system = f"{self._prompt.system}\n\n{self._prompt.repair(problem)}" if problem else self._prompt.system
        request = {
            "model": self._model,
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": json.dumps({"items": entries}, ensure_ascii=False)},
            ],
            "temperature": 0,
            "max_tokens": _REPLY_TOKENS_PER_ITEM * len(items) + _FRAME_TOKENS,
            **mode.fields(self._schema),
        }
        with telemetry.external_call("nim", "chat") as headers:
            async with self._client.stream("POST", "/v1/chat/completions", json=request, headers=headers) as response:
                _check_status(response)
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_REPLY_BYTES:
                        raise _Unusable("the language model's reply was far too long")
        return bytes(body)


def _prompt_entry(index: int, item: ItemToEnrich) -> dict[str, object]:
    return {"index": index, "name": item.name, "category": item.category}


def _tokens(text: str) -> int:
    """Upper estimate of the number of tokens of a text."""
    return len(text.encode()) // _BYTES_PER_TOKEN + _FRAME_TOKENS


def _check_status(response: httpx.Response) -> None:
    """Raises the error for a status other than 200."""
    status = response.status_code
    match status:
        case 200:
            return
        case 400 | 422:
            raise _Rejected(f"the language model rejected the request (HTTP {status})")
        case 401 | 403:
            raise _Unavailable(f"the language model denied access (HTTP {status}); check LLAMA_NIM_API_KEY")
        case 404:
            raise _Unavailable(
                "the language model was not found (HTTP 404); check LLAMA_NIM_ENDPOINT and PANTREE_ENRICHMENT_NIM_MODEL"
            )
        case 429:
            raise _Unavailable(
                f"the language model received too many requests (HTTP 429); {_RETRY_LATER}",
                _retry_after_seconds(response.headers),
            )
        case _:
            raise _Unavailable(f"the language model failed (HTTP {status}); {_RETRY_LATER}")


def _retry_after_seconds(headers: httpx.Headers) -> float:
    """Seconds in a Retry-After header, a number or a date; 0 when it is missing or invalid."""
    value = headers.get("Retry-After", "")
    if value.isascii() and value.isdigit():
        seconds = float(value)
    else:
        try:
            # Both are from the server's clock, which may differ from ours.
            wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("Date", ""))
        except (ValueError, TypeError):  # TypeError: one of the dates has no time zone
            return 0.0
        seconds = wait.total_seconds()
    return min(max(seconds, 0.0), _MAX_RETRY_AFTER_SECONDS)
