"""Asks Llama NIM, or any server of the OpenAI chat API, about items.

A call is adapted to what the server accepts (`request_form`), and the form that worked is remembered. Replies are
streamed and every entry counts as soon as it is complete, so that a slow or cut reply keeps what came. Items with a
missing or invalid answer are asked about once more; after that, the rules answer.
"""

import asyncio
import functools
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import structlog

from pantree_enrichment.backends.prompt import Prompt
from pantree_enrichment.backends.reply import MISSING, UNUSABLE, ReplyReader, reply_schema, text_of, text_of_choice
from pantree_enrichment.backends.request_form import DEFAULT_FORM, FormSearch, RequestForm, StructuredOutputMode
from pantree_enrichment.core.item import Failure, ModelItem, Outcome
from pantree_runtime import telemetry
from pantree_runtime.circuit_breaker import CircuitBreaker
from pantree_runtime.deadline import MIN_SECONDS
from pantree_runtime.logging import RateLimitedLog

_log = structlog.get_logger(__name__)

# A usable reply has a few hundred bytes per item; a streamed one about 200 bytes per token.
MAX_REPLY_BYTES = 4 * 1024 * 1024
# Token counts are upper estimates, because every model tokenizes differently. Llama 3 makes one token of about four
# characters of English, or about three bytes of other scripts.
_BYTES_PER_TOKEN = 3
# Keys, punctuation, and the longest values of an entry with its related items.
_REPLY_TOKENS_PER_ITEM = 160
# Of a message or an entry without its content.
_FRAME_TOKENS = 16
# A single name may spoil the reply to its batch, but a server with several unusable replies in a row is not working.
_MAX_UNUSABLE_REPLIES = 3
_MAX_RETRY_AFTER_SECONDS = 300.0
# A batch should take no more than this share of the time limit, at the speed measured.
_TIME_LIMIT_RATIO = 0.5
_MAX_ERROR_BYTES = 16 * 1024
_MAX_REASON_CHARACTERS = 300
_TOO_LONG = re.compile(
    r"context (size|length|window)|maximum context|too (long|many tokens)|exceed\w* .{0,40}(context|token)"
)
# llama.cpp answers 500 when it cannot build a grammar or its chat template has no system role.
_REFUSED = re.compile("grammar|schema|unsupported|template|role")

UNAVAILABLE = "the language model is unavailable"
LATE = "the language model has not answered yet; a later request may get its answer"


class _Unavailable(Exception):
    """The server cannot answer any call for now. The message is only logged."""

    def __init__(self, message: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class _Rejected(Exception):
    """The server did not accept the call; the message is what it said about it."""


class _TooLong(Exception):
    """The call does not fit into the model's context; the message is what the server said about it."""


class _Unusable(Exception):
    """Nothing in a reply was usable."""


def open_client(
    endpoint: str,
    api_key: str,
    *,
    max_calls: int,
    ca_file: Path | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> httpx.AsyncClient:
    """HTTP client of a server.

    Args:
        endpoint: URL of the server, without `/v1`.
        api_key: sent as a bearer token unless empty.
        max_calls: maximum number of concurrent calls.
        ca_file: PEM file of the CA of the server; None for the public ones.
        transport: replaces the network in tests.

    Raises:
        OSError: when the CA file cannot be read.
    """
    return httpx.AsyncClient(
        verify=True if ca_file is None else ssl.create_default_context(cafile=str(ca_file)),
        base_url=endpoint,
        headers={"Authorization": f"Bearer {api_key}"} if api_key else None,
        # One connection is for checks of the health. None is kept: llama.cpp closes a connection after a streamed reply
        # without saying so, and a call that fails for that opens the circuit.
        limits=httpx.Limits(max_connections=max_calls + 1, max_keepalive_connections=0),
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
        cool_down_seconds: how long no call is made after a failure, unless the server says when to try again.
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
        self._log = RateLimitedLog(_log, clock)
        self._unusable_replies = 0
        self._form = DEFAULT_FORM
        self._form_works = False
        self._max_items = batch_size
        """Maximum number of items that fit into the model's context and its time limit, as far as known."""
        self._seconds_per_item = 0.0
        self._last_seconds = 0.0
        self._started_at: dict[object, float] = {}
        """Start time of each call in flight."""
        self.problem = ""
        """What is wrong with the server, for operators; empty while it works."""

    @property
    def request_form(self) -> RequestForm | None:
        """The form of calls that the server is known to answer; None if not known yet."""
        return self._form if self._form_works else None

    def batches(self, items: Sequence[ModelItem]) -> list[Sequence[ModelItem]]:
        fixed = _tokens(self._prompt.system) + _tokens(self._prompt.repair("")) + _tokens(json.dumps(reply_schema()))
        max_items = self._current_batch_size()
        batches: list[list[ModelItem]] = []
        used = 0
        for item in items:
            tokens = _REPLY_TOKENS_PER_ITEM + _tokens(json.dumps(_prompt_entry(0, item), ensure_ascii=False))
            if not batches or len(batches[-1]) == max_items or used + tokens > self._token_budget:
                batches.append([])
                used = fixed
            batches[-1].append(item)
            used += tokens
        return list(batches)

    def no_wait_reason(self, seconds: float | None) -> str:
        """Not empty if the circuit is open, or the last call or a call in flight took longer than the request has."""
        if not self._breaker.is_closed:
            return UNAVAILABLE
        if seconds is None:
            return ""
        in_flight = max((self._clock() - started_at for started_at in self._started_at.values()), default=0.0)
        return LATE if seconds < MIN_SECONDS or max(self._last_seconds, in_flight) > seconds else ""

    async def ask(self, items: Sequence[ModelItem], on_outcome: Callable[[int, Outcome], None]) -> None:
        remaining = dict(enumerate(items))

        def report(index: int, outcome: Outcome) -> None:
            if remaining.pop(index, None) is not None:
                on_outcome(index, outcome)

        reason = await self._ask(remaining, report) if self._breaker.allows() else UNAVAILABLE
        for index in list(remaining):
            report(index, Failure(reason))

    async def check(self) -> str:
        """What is wrong with the server, for operators; empty if it answers.

        After a failure, a call with a one-word reply decides whether the server works again.
        """
        try:
            if not self.problem:
                response = await self._client.get("/v1/models")
                # Servers without this route work, too.
                is_down = response.status_code in (401, 403) or response.status_code >= 500
                return f"answers HTTP {response.status_code}" if is_down else ""
            limit = {self._form.limit_field: 1} if self._form.limit_field else {}
            request = {"model": self._model, "messages": [{"role": "user", "content": "ok"}], **limit}
            response = await self._client.post("/v1/chat/completions", json=request)
        except httpx.HTTPError as error:
            return f"cannot be reached ({type(error).__name__})"
        if response.status_code != 200:
            return self.problem
        _log.info("language model works again")
        self.problem = ""
        self._breaker.record_success()
        return ""

    async def close(self) -> None:
        await self._client.aclose()

    def _current_batch_size(self) -> int:
        """Maximum number of items of a call, at the speed measured."""
        if self._seconds_per_item <= 0:
            return self._max_items
        in_time = int(self._timeout_seconds * _TIME_LIMIT_RATIO / self._seconds_per_item)
        return max(1, min(self._max_items, in_time))

    async def _ask(self, remaining: dict[int, ModelItem], report: Callable[[int, Outcome], None]) -> str:
        """Asks about the remaining items, and returns why some still remain."""
        call, started_at, count = object(), self._clock(), len(remaining)
        self._started_at[call] = started_at
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._ask_and_repair(remaining, report)
        except _Unusable as error:
            self._unusable_replies += 1
            if self._unusable_replies < _MAX_UNUSABLE_REPLIES:
                self._log.warning("language model failed", cause=str(error))
                return UNAVAILABLE
            self._unusable_replies = 0
            self._fail(str(error))
        except _Rejected as error:
            self._form, self._form_works = DEFAULT_FORM, False
            self._fail(f"rejected every form of the request: {error}")
        except TimeoutError:
            if len(remaining) < count:
                self._measure(started_at, count - len(remaining))
                self._succeed(started_at)
                return LATE
            self._max_items = max(1, count // 2)
            self._fail(f"did not answer within {self._timeout_seconds:g} s")
        except httpx.HTTPError as error:
            self._fail(f"the connection failed ({type(error).__name__})")
        except _Unavailable as error:
            self._fail(str(error), error.retry_after_seconds)
        else:
            self._unusable_replies = 0
            self._measure(started_at, count)
            self._succeed(started_at)
            return ""
        finally:
            del self._started_at[call]
        return UNAVAILABLE

    def _fail(self, cause: str, retry_after_seconds: float = 0.0) -> None:
        self.problem = cause
        self._breaker.record_failure(retry_after_seconds)
        self._log.warning("language model failed", cause=cause)

    def _succeed(self, started_at: float) -> None:
        if self.problem:
            _log.info("language model works again")
        self.problem = ""
        self._last_seconds = self._clock() - started_at
        self._breaker.record_success()

    def _measure(self, started_at: float, item_count: int) -> None:
        """Takes over the speed of a call; a faster one counts half, so that one lucky call changes little."""
        measured = (self._clock() - started_at) / item_count
        is_slower = measured >= self._seconds_per_item
        self._seconds_per_item = measured if is_slower else (self._seconds_per_item + measured) / 2

    async def _ask_and_repair(self, remaining: dict[int, ModelItem], report: Callable[[int, Outcome], None]) -> None:
        """Asks about all items, then once more about those with a missing or invalid answer.

        If nothing is usable, the server may have ignored the mode, so the others are tried unless this one is known to
        work.
        """
        count = len(remaining)
        failures: dict[int, Failure] = {}
        attempts = 2 if self._form_works else len(StructuredOutputMode)
        for attempt in range(attempts):
            problem = next(iter(failures.values())).reason if failures else ""
            failures = await self._ask_in_batches(remaining, report, problem)
            if not remaining:
                return
            if len(remaining) == count:
                if not self._form_works:
                    self._form = self._form.with_next_mode or DEFAULT_FORM
            elif attempt > 0:
                break
        if len(remaining) == count:
            self._form, self._form_works = DEFAULT_FORM, False  # the server may have been replaced
            raise _Unusable(next(iter(failures.values())).reason)
        for index, failure in failures.items():
            report(index, failure)

    async def _ask_in_batches(
        self, remaining: dict[int, ModelItem], report: Callable[[int, Outcome], None], problem: str
    ) -> dict[int, Failure]:
        """Asks about the remaining items in one call, or in several if they don't fit into one.

        Returns the failure of each item that still remains.
        """
        failures: dict[int, Failure] = {}
        to_ask = list(remaining)
        while to_ask:
            batch = to_ask[: self._max_items]
            items = [remaining[index] for index in batch]
            failed = dict.fromkeys(batch, MISSING)

            take = functools.partial(_take, batch, failed, report)
            try:
                if not await self._complete_in_any_form(items, problem, take):
                    failed = dict.fromkeys(batch, UNUSABLE)
            except _TooLong as error:
                self._log.warning("language model's context is too small", cause=str(error), item_count=len(items))
                if len(items) == 1:
                    raise _Unavailable(str(error)) from error
                self._max_items = max(1, len(items) // 2)
                continue
            if len(failed) < len(batch):
                self._form_works = True
            failures.update(failed)
            to_ask = to_ask[len(batch) :]
        return failures

    async def _complete_in_any_form(
        self, items: Sequence[ModelItem], problem: str, take: Callable[[int, Outcome], None]
    ) -> bool:
        """Makes a call in a form that the server accepts. Returns whether the reply had any entry."""
        search = FormSearch(self._form)
        while True:
            try:
                has_entries = await self._complete(items, search.form, problem, take)
            except _Rejected as error:
                if not search.refuse(str(error)):
                    raise
                self._log.info("language model refused a form of the request", cause=str(error))
                continue
            if search.form != self._form:
                self._form, self._form_works = search.form, False
                _log.info("language model gets another form of the request", form=str(search.form))
            return has_entries

    async def _complete(
        self, items: Sequence[ModelItem], form: RequestForm, problem: str, take: Callable[[int, Outcome], None]
    ) -> bool:
        """Makes one call, and takes the outcome of each item as soon as its entry is complete.

        Returns whether the reply had any entry.
        """
        lines = ",\n".join(
            json.dumps(_prompt_entry(index, item), ensure_ascii=False) for index, item in enumerate(items)
        )
        # One message of each role: some models' chat templates reject two consecutive user messages.
        prompt = f"{self._prompt.system}\n\n{self._prompt.repair(problem)}" if problem else self._prompt.system
        max_tokens = _REPLY_TOKENS_PER_ITEM * len(items) + _FRAME_TOKENS
        request = form.body(self._model, prompt, f'{{"items": [\n{lines}\n]}}', max_tokens)
        reader = ReplyReader(items)
        with telemetry.external_call("nim", "chat") as headers:
            async with self._client.stream("POST", "/v1/chat/completions", json=request, headers=headers) as response:
                if response.status_code != 200:
                    await _raise_status(response, items)
                async for text in _texts(response):
                    for position, outcome in reader.feed(text):
                        take(position, outcome)
        return reader.has_entries


def _take(
    batch: Sequence[int],
    failed: dict[int, Failure],
    report: Callable[[int, Outcome], None],
    position: int,
    outcome: Outcome,
) -> None:
    """Reports an answer about the item at a position of a batch; a failure waits for the second attempt."""
    index = batch[position]
    if isinstance(outcome, Failure):
        failed[index] = outcome
    else:
        del failed[index]
        report(index, outcome)


def _prompt_entry(index: int, item: ModelItem) -> dict[str, object]:
    return {"index": index, "name": item.name, "category": item.category}


def _tokens(text: str) -> int:
    """Upper estimate of the number of tokens of a text."""
    return len(text.encode()) // _BYTES_PER_TOKEN + _FRAME_TOKENS


async def _texts(response: httpx.Response) -> AsyncIterator[str]:
    """The text of a reply, in pieces if the server streams it.

    Raises:
        _Rejected: an error with status 200.
        _Unusable: the reply is far too long.
    """
    body = bytearray()
    is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > MAX_REPLY_BYTES:
            raise _Unusable("the reply was far too long")
        body += chunk
        if not is_stream:
            continue
        *lines, rest = bytes(body).split(b"\n")
        body = bytearray(rest)
        for line in lines:
            yield text_of_event(line)
    if is_stream:
        yield text_of_event(bytes(body))
        return
    if reason := _reason_in(bytes(body)):
        raise _Rejected(reason)
    yield text_of(bytes(body))


def text_of_event(line: bytes) -> str:
    """The text in a line of a stream of server-sent events."""
    if not line.startswith(b"data:"):
        return ""
    try:
        choices = json.loads(line[5:])["choices"]
        choice = choices[0] if choices else {}
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return text_of_choice(choice, "delta") or text_of_choice(choice, "message")


async def _raise_status(response: httpx.Response, items: Sequence[ModelItem]) -> None:
    """Raises the error for a status other than 200."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MAX_ERROR_BYTES:
            break
    said = _without_names(_reason_in(bytes(body)) or _plain(bytes(body).decode(errors="replace")), items)
    status = response.status_code
    cause = f"HTTP {status}: {said}" if said else f"HTTP {status}"
    if status in (400, 413, 422, 500) and _TOO_LONG.search(said.casefold()):
        raise _TooLong(cause)
    if status in (400, 415, 422, 501) or (status == 500 and _REFUSED.search(said.casefold())):
        raise _Rejected(cause)
    match status:
        case 401 | 403:
            cause += "; check LLAMA_NIM_API_KEY"
        case 404:
            cause += "; check LLAMA_NIM_ENDPOINT and PANTREE_ENRICHMENT_NIM_MODEL"
        case 301 | 302 | 307 | 308:
            cause += f"; redirects are not followed, set LLAMA_NIM_ENDPOINT to {response.headers.get('Location', '')!r}"
    raise _Unavailable(cause, _retry_after_seconds(response.headers))


def _reason_in(body: bytes) -> str:
    """What a server says is wrong, in the body of an error; empty if it says nothing."""
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(document, dict) or "choices" in document:
        return ""
    error = document.get("error", document)
    for value in (error, *(error.get(key) for key in ("message", "detail", "msg") if isinstance(error, dict))):
        if isinstance(value, str) and value:
            return _plain(value)
        if isinstance(value, list) and value:
            return _plain(json.dumps(value))
    return ""


def _plain(text: str) -> str:
    """A text for one log line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_MAX_REASON_CHARACTERS]


def _without_names(text: str, items: Sequence[ModelItem]) -> str:
    """A server's message without the names of items, which it may repeat and which are not logged."""
    for name in sorted({text for item in items for text in (item.name, item.category) if text}, key=len, reverse=True):
        text = text.replace(name, "…")
    return text


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
