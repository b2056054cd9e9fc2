"""What a language model says about names of items, kept in a file so that a slow measurement can be continued.

`product_knowledge` asks as the enrichment service does, one item per call, and adds each reply to the file; names that
have one are skipped. The samples are fixed: names in the order of their hashes. Where only categories are measured, a
reply is read until the model has stated its category and its certainty, unless that is enough for its facts to count;
other replies until the entry about the item is complete.
"""

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from pantree_enrichment.backends.nim import open_client, text_of_event
from pantree_enrichment.backends.prompt import load_prompt
from pantree_enrichment.backends.reply import ReplyReader
from pantree_enrichment.backends.request_form import DEFAULT_FORM
from pantree_enrichment.core.facts import MIN_STATED_CERTAINTY
from pantree_enrichment.core.item import Failure, ItemToEnrich, ModelAnswer
from pantree_enrichment.core.model_item import model_item

ANSWERS = Path("build") / "quality" / "model_answers.jsonl"
# As for one item in a call of the service.
_MAX_TOKENS = 176
# A server without an accelerator reads and writes some ten tokens a second.
_MAX_SECONDS = 300.0
_STATED = re.compile(r'"category"\s*:\s*"(\w+)"\s*,\s*"certainty_ratio"\s*:\s*([0-9.eE+-]+)\s*,')


@dataclass(frozen=True)
class Reply:
    """What a model replied about one name."""

    category: str
    """Empty if it names none."""
    answer: ModelAnswer | None
    """None if the reply has no usable answer, or was not read to its end."""
    is_complete: bool
    """Whether the reply was read to its end."""


def sample(names: Iterable[str], count: int) -> list[str]:
    """The first names in the order of their hashes."""
    return sorted(set(names), key=lambda name: hashlib.sha256(name.encode()).hexdigest())[:count]


def reply_of(name: str, text: str, is_complete: bool) -> Reply:
    """What a reply's text says about a name."""
    outcomes = ReplyReader([model_item(ItemToEnrich(name))]).feed(text)
    outcome = outcomes[0][1] if outcomes else None
    answer = None if isinstance(outcome, Failure) else outcome
    stated = _STATED.search(text)
    return Reply(answer.category if answer else stated[1] if stated else "", answer, is_complete)


def load_replies(path: Path = ANSWERS) -> Mapping[str, Reply]:
    """Replies by name; complete ones are preferred. Empty if there is no file."""
    replies: dict[str, Reply] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        entry = json.loads(line)
        reply = reply_of(entry["name"], entry["text"], entry["is_complete"])
        if reply.is_complete or entry["name"] not in replies:
            replies[entry["name"]] = reply
    return replies


def is_doubtful(text: str) -> bool:
    """Whether a reply states a category and a certainty with which the service uses none of its facts."""
    stated = _STATED.search(text)
    return stated is not None and float(stated[2]) < MIN_STATED_CERTAINTY


async def ask(client: httpx.AsyncClient, model: str, name: str, *, reads_all: bool) -> tuple[str, bool]:
    """The text of a reply about one name, and whether all that it says about the item was read."""
    item = model_item(ItemToEnrich(name))
    entry = json.dumps({"index": 0, "name": item.name, "category": item.category}, ensure_ascii=False)
    body = DEFAULT_FORM.body(model, load_prompt().system, f'{{"items": [\n{entry}\n]}}', _MAX_TOKENS)
    reader, text = ReplyReader([item]), ""
    async with asyncio.timeout(_MAX_SECONDS), client.stream("POST", "/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            piece = text_of_event(line.encode())
            text += piece
            if reader.feed(piece):
                break
            if not reads_all and is_doubtful(text):
                return text, False
    return text, True


async def ask_all(url: str, model: str, names: Sequence[tuple[str, bool]], path: Path, *, max_calls: int = 1) -> None:
    """Asks about names, each with whether its reply is read to the end, and adds the replies to the file.

    Args:
        url: URL of the server, without `/v1`.
        model: name of the model.
        names: names of items.
        path: file of the replies.
        max_calls: maximum number of concurrent calls.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    known = load_replies(path)
    to_ask = [
        (name, reads_all)
        for name, reads_all in names
        if name not in known or (reads_all and not known[name].is_complete)
    ]
    began_at, free, replied = time.monotonic(), asyncio.Semaphore(max_calls), 0

    async def add_reply(client: httpx.AsyncClient, name: str, reads_all: bool) -> None:
        nonlocal replied
        async with free:
            text, is_complete = await ask(client, model, name, reads_all=reads_all)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"name": name, "text": text, "is_complete": is_complete}) + "\n")
        replied += 1
        print(f"{replied} of {len(to_ask)} after {time.monotonic() - began_at:.0f} s", flush=True)

    async with open_client(url, "", max_calls=max_calls) as client, asyncio.TaskGroup() as calls:
        for name, reads_all in to_ask:
            calls.create_task(add_reply(client, name, reads_all))
