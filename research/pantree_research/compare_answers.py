"""Sends the same random requests to two checkouts and lists every class of difference between their answers.

    python -m pantree_research.compare_answers BASELINE [--requests 3000] [--seed 1] [--report FILE]

BASELINE is another checkout of this repository, such as a `git worktree` at an older commit; its answers are compared
with those of the checkout that this module is imported from. Each gets a mesh of its own with embedded back ends. Every
request goes to both before the next one, so that both vector stores hold the same customers. One request in five goes
over WebSocket.

Every difference is put into a class. The classes in `EXPECTED` are allowed; any other difference is printed with its
request, and the exit status is 1.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import connect

from pantree_domain.catalog import CATEGORIES, load_catalog

PARTS = ("gateway", "pipeline", "simulation", "vector", "frequency", "enrichment", "recommendation")
PACKAGE_DIRS = (
    "gen",
    "runtime",
    *(f"services/{part}" for part in PARTS[1:]),
    "gateway",
    "clients/python",
    "clients/cli",
    "fitting",
)
HOST = "127.0.0.1"
MAX_START_SECONDS = 180.0
SHARE_OF_WEBSOCKETS = 0.2

RENAMED_FIELDS = {
    "closest": "near_misses",
    "honest_savings": "savings_vs_paid",
    "honest_annual_savings": "annual_savings_vs_paid",
    "already_pays_less": "pays_less_today",
    "least_items_per_delivery": "min_items_per_delivery",
    "run_out_probability": "stockout_probability",
    "pile_up_ratio": "overstock_ratio",
    "neighbour_count": "neighbor_count",
    "longest_interval_days": "max_interval_days",
}
"""Fields of 8b4a55d and what they are called now."""
RENAMED_CODES = {
    "ALREADY_PAYS_LESS": "PAYS_LESS_TODAY",
    "SAVES_AGAINST_PAID": "SAVES_VS_PAID",
    "BOUGHT_BESIDE": "BOUGHT_TOGETHER",
    "FEW_NEIGHBOURS": "FEW_NEIGHBORS",
}
WRONG_VALUES: tuple[tuple[str, Any], ...] = (
    ("name", ""),
    ("name", "x" * 201),
    ("price", -1),
    ("price", "cheap"),
    ("quantity", 0),
    ("quantity", 10_001),
    ("saving", 1e9),
    ("date", "2026-02-30"),
    ("as_of", "soon"),
    ("simulation_months", 61),
    ("max_recommendations", 0),
    ("customer_id", ""),
    ("archetype", "nobody"),
    ("unknown_field", 1),
    ("seed", -1),
)
TEXT_FIELDS = frozenset({"text", "message", "description", "detail", "title", "error"})
"""Fields for people; their wording may differ."""
NEW_EACH_TIME = frozenset({"trace_id", "ts", "resume_token"})

EXPECTED = (
    "equal",
    "fields renamed",
    "error texts and details",
    "recommendation_id",
    "recommendation_id and wording of texts",
    "two spellings of one item",
    "suggestions from customers with two spellings of one item",
)
"""Classes of answers that may differ, from the strictest on; an answer is counted in the first one that holds."""


@dataclass(frozen=True)
class Answer:
    """What one mesh sent back: an HTTP status or a WebSocket's close code, and the JSON documents."""

    status: int
    documents: tuple[Any, ...]

    @property
    def failed(self) -> bool:
        """Whether it is an error."""
        last = self.documents[-1] if self.documents else {}
        return self.status >= 400 or (isinstance(last, dict) and last.get("type") == "error")


class RandomRequests:
    """Random bodies of `POST /api/v1/process`: first purchases and histories, valid ones and wrong ones."""

    def __init__(self, seed: int, spelling_ratio: float) -> None:
        self._spelling_ratio = spelling_ratio
        self._random = random.Random(seed)  # noqa: S311 # repeatable on purpose
        catalog = load_catalog()
        self._items = [item for category in CATEGORIES for item in catalog.items_in(category)]

    def next(self) -> dict[str, Any]:
        """Another body."""
        draw = self._random
        body: dict[str, Any] = {"customer_id": f"customer-{draw.randrange(500)}"}
        if draw.random() < 0.45:
            self._first_purchase(body)
        else:
            self._history(body)
        for flag in ("include_omitted", "include_cadence_changes", "include_suggestions"):
            if draw.random() < 0.3:
                body[flag] = True
        if draw.random() < 0.2:
            body["max_recommendations"] = draw.randint(1, 100)
        if draw.random() < 0.2:
            body["customer_name"] = draw.choice(["Ada", "Zoë", "李"])
        if draw.random() < 0.15:
            self._spoil(body)
        return body

    def _name(self) -> str:
        draw = self._random
        if draw.random() < 0.8:
            return draw.choice(self._items).name
        return draw.choice(
            ["Bananas", "milk 2%", "Crème fraîche", "🥑 Avocado", "XJ-48 filter", "dog food 12 lb", "AA batteries"]
        )

    def _first_purchase(self, body: dict[str, Any]) -> None:
        draw = self._random
        names = {self._name() for _ in range(draw.randint(1, 12))}
        body["items"] = [{"name": name, "price": round(draw.uniform(0.3, 25), 2)} for name in sorted(names)]
        for item in body["items"]:
            if draw.random() < 0.3:
                item["quantity"] = draw.randint(1, 4)
            if draw.random() < 0.2:
                item["category"] = draw.choice(CATEGORIES)
        body["as_of"] = str(date(2026, 1, 1) + timedelta(draw.randrange(300)))
        body["seed"] = draw.randrange(2**32)
        if draw.random() < 0.7:
            body["archetype"] = draw.choice(
                ["health_conscious", "busy_family", "budget_conscious", "single_professional"]
            )
        if draw.random() < 0.7:
            body["simulation_months"] = draw.randint(1, 12)

    def _history(self, body: dict[str, Any]) -> None:
        draw = self._random
        end = date(2026, 6, 1) + timedelta(draw.randrange(60))
        rows: list[dict[str, Any]] = []
        for name in sorted({self._name() for _ in range(draw.randint(1, 40))}):
            rows += self._purchases(name, end)
        rows.sort(key=lambda row: row["date"])
        if draw.random() < 0.7:
            body["as_of"] = str(end + timedelta(draw.choice([0, 1, 5, 30, 120])))
        if draw.random() < 0.5:
            body["history"] = rows
        else:
            body["history_columns"] = _columns_of(rows)

    def _purchases(self, name: str, end: date) -> list[dict[str, Any]]:
        draw = self._random
        interval, jitter = draw.choice([3, 5, 7, 10, 14, 21, 28, 42, 56, 84]), draw.choice([0.0, 0.12, 0.25, 0.6, 1.0])
        price, day, rows = round(draw.uniform(0.5, 20), 2), end - timedelta(draw.randrange(interval + 1)), []
        spellings = (name, f" {name} ", name.upper()) if draw.random() < self._spelling_ratio else (name,)
        for _ in range(draw.randint(1, 14)):
            quantity = draw.choice([1, 1, 1, 2, 3])
            row = {"name": draw.choice(spellings), "date": str(day), "price": price, "quantity": quantity}
            if draw.random() < 0.4:
                row["saving"] = round(price * quantity * draw.uniform(0, 0.5), 2)
            rows.append(row)
            day -= timedelta(max(1, round(interval * draw.gauss(1, jitter))))
        if draw.random() < 0.5:
            category = draw.choice(CATEGORIES)
            for row in rows:
                row["category"] = category
        return rows

    def _spoil(self, body: dict[str, Any]) -> None:
        """Makes one thing or several wrong."""
        draw = self._random
        rows = body.get("items") or body.get("history")
        for _ in range(draw.choice([1, 1, 2, 40])):
            where: dict[str, Any] = draw.choice(rows) if rows and draw.random() < 0.7 else body
            field, value = draw.choice(WRONG_VALUES)
            where[field] = value


def _columns_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    names = list(dict.fromkeys(row["name"] for row in rows))
    categories = {row["name"]: row.get("category", "") for row in rows}
    epoch = date(1970, 1, 1)
    return {
        "item_names": names,
        "item_categories": [categories[name] for name in names],
        "item_indices": [names.index(row["name"]) for row in rows],
        "days": [(date.fromisoformat(row["date"]) - epoch).days for row in rows],
        "quantities": [row["quantity"] for row in rows],
        "prices": [row["price"] for row in rows],
        "savings": [row.get("saving", 0) for row in rows],
    }


def has_two_spellings(body: dict[str, Any]) -> bool:
    """Whether two different names in a request are the same item when written alike."""
    names = {
        row["name"] for row in (*body.get("items", ()), *body.get("history", ())) if isinstance(row.get("name"), str)
    }
    names |= set(body.get("history_columns", {}).get("item_names", ()))
    folded = {" ".join(unicodedata.normalize("NFC", name).split()).casefold() for name in names}
    # A history in rows drops white space around a name already, and shows it so.
    return len(folded) < len(names) or any(name != name.strip() for name in names)


@contextlib.contextmanager
def mesh_of(checkout: Path) -> Iterator[str]:
    """`host:port` of the gateway of a mesh that runs a checkout's code, for as long as the context lasts."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in PARTS]
        for one in sockets:
            one.bind((HOST, 0))
        ports = {part: one.getsockname()[1] for part, one in zip(PARTS, sockets, strict=True)}
    variables = {f"PANTREE_{part.upper()}_PORT": str(port) for part, port in ports.items()}
    variables |= {f"PANTREE_{part.upper()}_ADDRESS": f"{HOST}:{port}" for part, port in ports.items()}
    path = os.pathsep.join(str(checkout / folder) for folder in PACKAGE_DIRS)
    environment = {**os.environ, **variables, "PYTHONPATH": path, "PANTREE_GATEWAY_CACHE_SECONDS": "0"}
    command = [sys.executable, "-m", "pantree_cli", "up"]
    with subprocess.Popen(command, cwd=checkout, env=environment, stdout=subprocess.DEVNULL) as process:  # noqa: S603 # our own command
        try:
            address = f"{HOST}:{ports['gateway']}"
            _wait_until_ready(address)
            yield address
        finally:
            process.send_signal(signal.SIGTERM)


def _wait_until_ready(address: str) -> None:
    deadline = time.monotonic() + MAX_START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"http://{address}/health", timeout=2).json()["status"] == "healthy":
                return
        time.sleep(0.2)
    raise TimeoutError(f"the mesh at {address} is not healthy after {MAX_START_SECONDS:.0f} s")


async def rest_answer(client: httpx.AsyncClient, address: str, body: dict[str, Any]) -> Answer:
    """Answer of `POST /api/v1/process`."""
    response = await client.post(f"http://{address}/api/v1/process", json=body, timeout=60)
    return Answer(response.status_code, (response.json(),))


async def socket_answer(address: str, body: dict[str, Any]) -> Answer:
    """Frames of the WebSocket up to its result or error."""
    documents = []
    async with connect(f"ws://{address}/ws/stream/{body['customer_id']}", max_size=None) as connection:
        await connection.send(json.dumps({name: value for name, value in body.items() if name != "customer_id"}))
        async for frame in connection:
            documents.append(json.loads(frame))
            if documents[-1]["type"] in ("completed", "error"):
                break
    return Answer(200, tuple(documents))


def renamed(value: Any) -> Any:
    """A baseline's document with today's names."""
    if isinstance(value, dict):
        return {RENAMED_FIELDS.get(name, name): renamed(part) for name, part in value.items()}
    if isinstance(value, list):
        return [renamed(part) for part in value]
    return RENAMED_CODES.get(value, value) if isinstance(value, str) else value


def without(value: Any, names: frozenset[str]) -> Any:
    """A document without some fields, at any depth."""
    if isinstance(value, dict):
        return {name: without(part, names) for name, part in value.items() if name not in names}
    return [without(part, names) for part in value] if isinstance(value, list) else value


def class_of(body: dict[str, Any], earlier: Answer, later: Answer) -> str:
    """Class of the difference between two answers; `other` when no expected one explains it."""
    before, after = (without(list(answer.documents), NEW_EACH_TIME) for answer in (earlier, later))
    if (earlier.status, before) == (later.status, after):
        return "equal"
    before = renamed(before)
    if (earlier.status, before) == (later.status, after):
        return "fields renamed"
    if earlier.failed and later.failed and earlier.status == later.status:
        return "error texts and details"
    if earlier.status == later.status:
        for kind, ignored in (
            ("recommendation_id", frozenset({"recommendation_id"})),
            ("recommendation_id and wording of texts", TEXT_FIELDS | {"recommendation_id"}),
        ):
            if without(before, ignored) == without(after, ignored):
                return kind
    if has_two_spellings(body):
        return "two spellings of one item"
    # Other customers' spellings count as well; a run with --spelling-ratio 0 shows that nothing else is in this class.
    ignored = TEXT_FIELDS | {"recommendation_id", "suggestions", "warnings"}
    if body.get("include_suggestions") and without(before, ignored) == without(after, ignored):
        return "suggestions from customers with two spellings of one item"
    return "other"


def first_difference(before: Any, after: Any, path: str = "") -> str:
    """Path and values of the first place in which two documents differ; empty when they are equal."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted({*before, *after}):
            if name not in before or name not in after:
                return f"{path}.{name}: only {'after' if name in after else 'before'}"
            if found := first_difference(before[name], after[name], f"{path}.{name}"):
                return found
        return ""
    if isinstance(before, list) and isinstance(after, list):
        for position, (one, other) in enumerate(zip(before, after, strict=False)):
            if found := first_difference(one, other, f"{path}[{position}]"):
                return found
        return "" if len(before) == len(after) else f"{path}: {len(before)} and {len(after)} elements"
    return "" if before == after else f"{path}: {before!r:.80} and {after!r:.80}"


async def compare(
    baseline: str, current: str, count: int, seed: int, spelling_ratio: float
) -> tuple[Counter[str], list[str]]:
    """How many answers are of each class, and the differences that none explains."""
    classes: Counter[str] = Counter()
    unexplained: list[str] = []
    requests = RandomRequests(seed, spelling_ratio)
    over_socket = random.Random(seed + 1)  # noqa: S311 # repeatable on purpose
    async with httpx.AsyncClient() as client:
        for number in range(count):
            body = requests.next()
            if body["customer_id"] and over_socket.random() < SHARE_OF_WEBSOCKETS:
                calls = [socket_answer(address, body) for address in (baseline, current)]
            else:
                calls = [rest_answer(client, address, body) for address in (baseline, current)]
            earlier, later = await asyncio.gather(*calls)
            kind = class_of(body, earlier, later)
            classes[kind] += 1
            if kind not in EXPECTED:
                ignored = TEXT_FIELDS | NEW_EACH_TIME | {"recommendation_id"}
                where = first_difference(
                    without(renamed(list(earlier.documents)), ignored), without(list(later.documents), ignored)
                )
                unexplained.append(
                    f"request {number}: {earlier.status} and {later.status}; {where}\n  {json.dumps(body):.300}"
                )
    return classes, unexplained


def main() -> int:
    """Runs the comparison and prints its table."""
    parser = argparse.ArgumentParser(prog="python -m pantree_research.compare_answers", description=__doc__)
    parser.add_argument("baseline", type=Path, help="the other checkout")
    parser.add_argument("--requests", type=int, default=3000, help="how many to send (default 3000)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the requests (default 1)")
    parser.add_argument("--spelling-ratio", type=float, default=0.03, help="share of items in several spellings")
    parser.add_argument("--report", type=Path, help="file for the differences that no class explains")
    arguments = parser.parse_args()
    current = Path(__file__).resolve().parents[2]
    with mesh_of(arguments.baseline.resolve()) as before, mesh_of(current) as after:
        classes, unexplained = asyncio.run(
            compare(before, after, arguments.requests, arguments.seed, arguments.spelling_ratio)
        )
    for kind in (*EXPECTED, "other"):
        print(f"{classes[kind]:6,}  {kind}")
    if arguments.report:
        arguments.report.write_text("\n".join(unexplained))
    for line in unexplained[:10]:
        print(line)
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
