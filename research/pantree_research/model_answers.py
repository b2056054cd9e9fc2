"""What a language model says about names of items, kept in a file so that a slow measurement can be continued.

`product_knowledge` asks as the enrichment service does, one item per call, and adds each reply to the file; names that
have one are skipped. The samples are fixed: names in the order of their hashes. Where only categories are measured, a
reply is read until the model has stated its category and its certainty, unless that is enough for its facts to count.
"""

import hashlib
import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from pantree_enrichment.backends.nim import text_of_event
from pantree_enrichment.backends.prompt import load_prompt
from pantree_enrichment.backends.reply import ReplyReader
from pantree_enrichment.backends.request_form import DEFAULT_FORM
from pantree_enrichment.core.facts import MIN_STATED_CERTAINTY
from pantree_enrichment.core.item import Failure, ItemToEnrich, ModelAnswer
from pantree_enrichment.core.model_item import model_item

ANSWERS = Path("build") / "quality" / "model_answers.jsonl"
TIMEOUT_SECONDS = 300.0
# As for one item in a call of the service.
_MAX_TOKENS = 176
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
    """The text of a reply about one name, and whether it was read to its end."""
    item = model_item(ItemToEnrich(name))
    entry = json.dumps({"index": 0, "name": item.name, "category": item.category}, ensure_ascii=False)
    body = DEFAULT_FORM.body(model, load_prompt().system, f'{{"items": [\n{entry}\n]}}', _MAX_TOKENS)
    text = ""
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            text += text_of_event(line.encode())
            if not reads_all and is_doubtful(text):
                return text, False
    return text, True


async def ask_all(url: str, model: str, names: Sequence[tuple[str, bool]], path: Path) -> None:
    """Asks about names, each with whether its reply is read to the end, and adds the replies to the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    known = load_replies(path)
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS) as client:
        for number, (name, reads_all) in enumerate(names, start=1):
            if name in known and (known[name].is_complete or not reads_all):
                continue
            began_at = time.monotonic()
            text, is_complete = await ask(client, model, name, reads_all=reads_all)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"name": name, "text": text, "is_complete": is_complete}) + "\n")
            print(f"{number} of {len(names)}: {time.monotonic() - began_at:.0f} s", flush=True)
