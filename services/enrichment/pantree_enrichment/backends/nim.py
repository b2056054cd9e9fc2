"""Asks Llama NIM, or any server of the OpenAI chat API, about items.

Two dialects of structured output live behind the same image name: NIM 2.x takes `response_format`, as OpenAI, vLLM and
llama.cpp do; NIM 1.x takes `nvext.guided_json`. Some servers ignore what they do not know and answer with prose. So the
first is tried, then the second, the one that worked is remembered, and every reply is checked. A reply that lacks
something is asked for once more, and what is still lacking then is left to the rules.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import structlog

from pantree_enrichment.backends.prompt import Prompt
from pantree_enrichment.backends.reply import outcomes_in, reply_schema
from pantree_enrichment.core import EnrichedItem, ItemToEnrich, Outcome, Unanswered
from pantree_runtime import telemetry
from pantree_runtime.circuit_breaker import CircuitBreaker
from pantree_runtime.deadline import MIN_SECONDS

_log = structlog.get_logger(__name__)

# A reply is a few hundred bytes per item; far more is no reply of ours.
MAX_REPLY_BYTES = 1024 * 1024
# Tokens are estimated from above, since every model cuts text differently: Llama 3 makes one token of about four
# characters of English, and of about three bytes of other scripts.
_BYTES_PER_TOKEN = 3
# Keys, punctuation, and the longest values of an entry with its related items.
_REPLY_TOKENS_PER_ITEM = 220
# What frames messages and entries.
_TOKENS_AROUND = 16
# One strange name may spoil the reply to its batch; a server whose replies are all spoilt is not worth asking.
_UNUSABLE_REPLIES_IN_A_ROW = 3
# A server may ask to be left alone, but not for good.
_MOST_SECONDS_TO_RETRY = 300.0

_TRY_LATER = "it is asked again later"
_LEFT_ALONE = f"the language model failed a short while ago; {_TRY_LATER}"
_TOO_SLOW = "the language model takes longer at present than the request may wait; the next one may find its answer"
_NO_TIME = "the language model was not waited for: too little of the request's time was left"


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


_DIALECTS: Mapping[Dialect, str] = {_response_format: "response_format", _guided_json: "nvext.guided_json"}


class _Failure(Exception):
    """The model gave no usable answer to a call. The message goes to callers."""


class _Unavailable(_Failure):
    """The server cannot answer any call for now."""

    def __init__(self, message: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class _Refused(_Failure):
    """The server did not understand the call."""


class _Unusable(_Failure):
    """No word of a reply could be used."""


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
    """What a language model says about items. A `LanguageModel` for `SharedAnswers`."""

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
        """Takes what it asks with.

        Args:
            client: from `open_client`; closed by `close`.
            prompt: what the model is told.
            model: name of the model.
            timeout_seconds: how long asking about a batch may take in all, a second try included.
            cool_down_seconds: how long nothing is asked after a failure.
            batch_size: how many items one call asks about at most.
            token_budget: how many tokens one call may take, prompt and reply together.
            clock: seconds, never going backwards.
        """
        self._client = client
        self._prompt = prompt
        self._model = model
        self._timeout_seconds = timeout_seconds
        self._batch_size = batch_size
        self._token_budget = token_budget
        self._clock = clock
        self._breaker = CircuitBreaker(cool_down_seconds, clock)
        self._unusable_replies = 0
        self._dialect: Dialect = _response_format
        self._dialect_works = False
        self._schema = reply_schema()
        self._last_seconds = 0.0
        self._began_at: dict[object, float] = {}

    @property
    def dialect(self) -> str:
        """Dialect that the server is known to speak: `response_format` or `nvext.guided_json`; empty when unknown."""
        return _DIALECTS[self._dialect] if self._dialect_works else ""

    def batches(self, questions: Sequence[ItemToEnrich]) -> list[Sequence[ItemToEnrich]]:
        """Questions cut into lists that fit into the token budget and the batch size, in their order."""
        fixed = _tokens(self._prompt.system) + _tokens(self._prompt.repair("")) + _tokens(json.dumps(self._schema))
        batches: list[list[ItemToEnrich]] = []
        used = 0
        for question in questions:
            tokens = _REPLY_TOKENS_PER_ITEM + _tokens(json.dumps(_asked(0, question), ensure_ascii=False))
            if not batches or len(batches[-1]) == self._batch_size or used + tokens > self._token_budget:
                batches.append([])
                used = fixed
            batches[-1].append(question)
            used += tokens
        return list(batches)

    def why_not_to_wait(self, seconds: float | None) -> str:
        """Why a request that has so much time left should not wait for an answer; empty when it should.

        It should not while the server is not well, nor when it took longer for the last answer, or has been taking
        longer for one under way, than the request has. Requests that don't wait may still ask, for the next ones.
        """
        if not self._breaker.is_closed:
            return _LEFT_ALONE
        if seconds is None:
            return ""
        if seconds < MIN_SECONDS:
            return _NO_TIME
        under_way = max((self._clock() - began_at for began_at in self._began_at.values()), default=0.0)
        return _TOO_SLOW if max(self._last_seconds, under_way) > seconds else ""

    async def ask(self, questions: Sequence[ItemToEnrich], answered: Callable[[int, Outcome], None]) -> None:
        """Asks about one batch. Never raises: each item fails by itself.

        Args:
            questions: one of `batches`.
            answered: called once for each question, as soon as its outcome is known, with its position.
        """
        lacking = dict(enumerate(questions))
        if self._breaker.allows():
            outcome = await self._ask(lacking, answered)
        else:
            outcome = Unanswered(_LEFT_ALONE)
        for position in lacking:
            answered(position, outcome)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def _ask(self, lacking: dict[int, ItemToEnrich], answered: Callable[[int, Outcome], None]) -> Unanswered:
        """Asks about what is lacking, and takes out what was answered. Returns why the rest was not."""
        call, began_at = object(), self._clock()
        self._began_at[call] = began_at
        try:
            await self._ask_in_time(lacking, answered)
        except _Unavailable as failure:
            self._breaker.record_failure(failure.retry_after_seconds)
            reason = str(failure)
        except _Failure as failure:
            self._unusable_replies += 1
            if self._unusable_replies >= _UNUSABLE_REPLIES_IN_A_ROW:
                self._unusable_replies = 0
                self._dialect_works = False  # the server may have been replaced by one of the other dialect
                self._breaker.record_failure()
            reason = str(failure)
        else:
            self._unusable_replies = 0
            self._last_seconds = self._clock() - began_at
            self._breaker.record_success()
            return Unanswered("")  # nothing is lacking
        finally:
            del self._began_at[call]
        _log.warning("language model failed", reason=reason)
        return Unanswered(reason)

    async def _ask_in_time(self, lacking: dict[int, ItemToEnrich], answered: Callable[[int, Outcome], None]) -> None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._ask_and_repair(lacking, answered)
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

    async def _ask_and_repair(self, lacking: dict[int, ItemToEnrich], answered: Callable[[int, Outcome], None]) -> None:
        """Asks about all, then once more about those whose answer was missing or wrong.

        Raises:
            _Failure: when there is no usable answer to any of them.
        """
        count = len(lacking)
        failures: dict[int, Unanswered] = {}
        problem = ""
        for _ in range(2):
            dialect, reply = await self._complete_in_dialects(list(lacking.values()), problem)
            failures = {}
            for position, outcome in zip(list(lacking), outcomes_in(reply, list(lacking.values())), strict=True):
                if isinstance(outcome, EnrichedItem):
                    self._dialect, self._dialect_works = dialect, True
                    del lacking[position]
                    answered(position, outcome)
                else:
                    failures[position] = outcome
            if not lacking:
                return
            problem = next(iter(failures.values())).reason
            if len(lacking) == count:
                # It may have ignored what it does not know. Should the time be over before the other dialect has
                # answered, the next call begins with that one.
                self._doubt(dialect)
        if len(lacking) == count:
            raise _Unusable(problem)
        for position, failure in failures.items():
            del lacking[position]
            answered(position, replace(failure, concerns_item_alone=True))

    async def _complete_in_dialects(self, questions: Sequence[ItemToEnrich], problem: str) -> tuple[Dialect, bytes]:
        """Reply to one call and the dialect it was made in: the known one, or the other one when that is refused."""
        dialect = self._dialect
        try:
            return dialect, await self._complete(questions, dialect, problem)
        except _Refused:
            if dialect is self._dialect:
                self._dialect_works = False
            self._doubt(dialect)
        return self._dialect, await self._complete(questions, self._dialect, problem)

    def _doubt(self, dialect: Dialect) -> None:
        """Makes the other dialect the next to try, unless this one is known to work or another call did so already."""
        if not self._dialect_works and self._dialect is dialect:
            self._dialect = _guided_json if dialect is _response_format else _response_format

    async def _complete(self, questions: Sequence[ItemToEnrich], dialect: Dialect, problem: str) -> bytes:
        """Body of the server's reply to one call."""
        items = [_asked(index, question) for index, question in enumerate(questions)]
        # One message of each role: some models' chat templates refuse two users' in a row.
        told = f"{self._prompt.system}\n\n{self._prompt.repair(problem)}" if problem else self._prompt.system
        messages = [
            {"role": "system", "content": told},
            {"role": "user", "content": json.dumps({"items": items}, ensure_ascii=False)},
        ]
        request = {
            "model": self._model,
            "messages": messages,
            "temperature": 0,
            "max_tokens": _REPLY_TOKENS_PER_ITEM * len(items) + _TOKENS_AROUND,
            **dialect(self._schema),
        }
        with telemetry.external_call("nim", "chat") as headers:
            async with self._client.stream("POST", "/v1/chat/completions", json=request, headers=headers) as response:
                _check_status(response)
                body = bytearray()
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > MAX_REPLY_BYTES:
                        raise _Unusable("the language model's reply was far too long")
        return bytes(body)


def _asked(index: int, question: ItemToEnrich) -> dict[str, object]:
    return {"index": index, "name": question.name, "category": question.category}


def _tokens(text: str) -> int:
    """About how many tokens a text is, rather too many than too few."""
    return len(text.encode()) // _BYTES_PER_TOKEN + _TOKENS_AROUND


def _check_status(response: httpx.Response) -> None:
    """Raises what a status stands for, unless it is 200."""
    status = response.status_code
    match status:
        case 200:
            return
        case 400 | 422:
            raise _Refused(f"the language model refused the request (HTTP {status})")
        case 401 | 403:
            raise _Unavailable(f"the language model denied access (HTTP {status}); check LLAMA_NIM_API_KEY")
        case 404:
            raise _Unavailable(
                "the language model was not found (HTTP 404); check LLAMA_NIM_ENDPOINT and PANTREE_ENRICHMENT_NIM_MODEL"
            )
        case 429:
            raise _Unavailable(
                f"the language model is asked too often (HTTP 429); {_TRY_LATER}",
                _seconds_to_retry(response.headers),
            )
        case _:
            raise _Unavailable(f"the language model failed (HTTP {status}); {_TRY_LATER}")


def _seconds_to_retry(headers: httpx.Headers) -> float:
    """Seconds that a Retry-After header asks for, as a number or as a date; 0 when it says nothing usable."""
    value = headers.get("Retry-After", "")
    if value.isascii() and value.isdigit():
        seconds = float(value)
    else:
        try:
            # By the server's own clock, which need not agree with ours.
            wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("Date", ""))
        except (ValueError, TypeError):  # TypeError: one of them names no time zone
            return 0.0
        seconds = wait.total_seconds()
    return min(max(seconds, 0.0), _MOST_SECONDS_TO_RETRY)
