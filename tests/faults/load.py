"""Requests that never stop, each with a known right answer, and a verdict on every outcome."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import httpx
import websockets

TIMEOUT_SECONDS = 10.0
# What a client waits beyond the time that it gave the request before it counts as hanging.
PATIENCE_SECONDS = 10.0

# Problems that tell a client honestly that there is no answer now.
CLEAN_CODES = frozenset(
    {"COMPONENT_UNAVAILABLE", "DEADLINE_EXCEEDED", "DEADLINE_TOO_SHORT", "OVERLOADED", "SHUTTING_DOWN"}
)
# Close codes of WebSockets that say so, and 1006, which is none: the connection was lost.
CLEAN_CLOSE_CODES = frozenset({1006, 1012, 4429, 4500})


class Verdict(StrEnum):
    """What an outcome was."""

    CORRECT = "correct"
    DEGRADED = "degraded"
    CLEAN_ERROR = "clean errors"
    WRONG = "wrong or lost"
    HANG = "hangs"


def requests_of(count: int, generator: random.Random) -> list[dict[str, Any]]:
    """Different requests, each of which has the same answer whenever it is sent."""
    names = ["Bananas", "Chicken Breast", "Milk", "Coffee", "Eggs", "Rye Bread", "Dog Food", "Yogurt"]
    archetypes = ["health_conscious", "busy_family", "single_professional"]
    return [
        {
            "customer_id": f"cust_{number}",
            "archetype": archetypes[number % len(archetypes)],
            "items": [
                {"name": name, "price": round(generator.uniform(1, 15), 2), "quantity": generator.randint(1, 3)}
                for name in generator.sample(names, 3)
            ],
            "simulation_months": 3 if number == 0 else generator.choice([3, 6, 12]),
            "seed": generator.randrange(2**32),
            "as_of": "2026-07-01",
            "max_recommendations": 100,
        }
        for number in range(count)
    ]


@dataclass(frozen=True)
class Reference:
    """The right answers to a request: with all parts, and without what enrichment adds."""

    whole: Mapping[str, Any]
    bare: Mapping[str, Any]

    def judge(self, answer: Mapping[str, Any]) -> tuple[Verdict, str]:
        """Verdict on an answer, and what is wrong with it.

        An answer that says what it lacks is degraded, and still each recommendation in it must be the one that is
        given with or without enrichment.
        """
        if answer == self.whole:
            return Verdict.CORRECT, ""
        if not answer["warnings"]:
            return Verdict.WRONG, "an answer without a warning differs"
        whole, bare = _recommendations(self.whole), _recommendations(self.bare)
        given = _recommendations(answer)
        strange = [name for name, value in given.items() if value not in (whole.get(name), bare.get(name))]
        if strange:
            return Verdict.WRONG, f"a degraded answer recommends otherwise: {strange}"
        if not set(whole) & set(bare) <= set(given):
            return Verdict.WRONG, "a degraded answer lacks a recommendation that needs nothing of what is missing"
        return Verdict.DEGRADED, ""


def _recommendations(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {item["name"]: item for item in answer["recommendations"]["recommendations"]}


async def answer_to(http: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Answer of a mesh where all is well."""
    async with httpx.AsyncClient(base_url=http, timeout=60) as client:
        response = await client.post("/api/v1/process", json=request)
        response.raise_for_status()
        answer: Mapping[str, Any] = response.json()
        return answer


@dataclass
class Tally:
    """Verdicts, by what was going on."""

    counts: dict[str, Counter[Verdict]] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    """What was wrong, for people."""

    def note(self, label: str, verdict: Verdict, why: str) -> None:
        """Counts an outcome."""
        self.counts.setdefault(label, Counter())[verdict] += 1
        if verdict in (Verdict.WRONG, Verdict.HANG):
            self.troubles.append(f"{label}: {verdict}: {why}")

    def total(self, verdict: Verdict) -> int:
        """How often a verdict was given."""
        return sum(counts[verdict] for counts in self.counts.values())


class Load:
    """Clients that send one request after another, by REST and by WebSocket in turn."""

    def __init__(
        self,
        addresses: list[str],
        requests: list[dict[str, Any]],
        references: list[Reference],
        label: Callable[[], str],
    ) -> None:
        """Takes what is sent where.

        Args:
            addresses: `host:port` of the gateways; a client that cannot connect to one takes the next.
            requests: what is sent.
            references: right answers to the requests, in their order.
            label: what is going on now.
        """
        self._addresses = addresses
        self._requests = requests
        self._references = references
        self._label = label
        self.tally = Tally()
        self.unary_errors: list[str] = []
        self.stream_ends: Counter[str] = Counter()
        """How streams ended that did not complete, by what clients saw."""
        self._stopping = False

    async def run(self, clients: int, generator: random.Random, pause_seconds: float = 0.0) -> None:
        """Sends until `stop`.

        Args:
            clients: how many send at a time.
            generator: chooses what each sends.
            pause_seconds: how long a client thinks between two requests.
        """
        seeds = [generator.randrange(2**32) for _ in range(clients)]
        await asyncio.gather(*(self._client(random.Random(seed), pause_seconds) for seed in seeds))

    def stop(self) -> None:
        """Lets the clients end after the requests under way."""
        self._stopping = True

    async def _client(self, generator: random.Random, pause_seconds: float) -> None:
        while not self._stopping:
            number = generator.randrange(len(self._requests))
            send = self.stream if generator.random() < 0.4 else self.process
            before = self._label()
            began_at = time.monotonic()
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS + PATIENCE_SECONDS):
                    verdict, why = await send(number, generator.randrange(len(self._addresses)))
            except TimeoutError:
                verdict, why = Verdict.HANG, f"{send.__name__}: no outcome after {time.monotonic() - began_at:.1f} s"
            # What began in one fault and ended after it belongs to that fault.
            self.tally.note(before or self._label(), verdict, why)
            if verdict not in (Verdict.CORRECT, Verdict.DEGRADED):
                if send == self.process:
                    self.unary_errors.append(why)
                else:
                    self.stream_ends[why] += 1
            await asyncio.sleep(pause_seconds)

    async def process(self, number: int, first_address: int = 0) -> tuple[Verdict, str]:
        """Verdict on a request by REST."""
        response = None
        for turn in range(len(self._addresses)):
            address = self._addresses[(first_address + turn) % len(self._addresses)]
            try:
                async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS + PATIENCE_SECONDS) as client:
                    response = await client.post(
                        f"http://{address}/api/v1/process",
                        json=self._requests[number],
                        headers={"X-Request-Timeout": str(TIMEOUT_SECONDS)},
                    )
                break
            except httpx.ConnectError:
                continue  # nothing was sent; a load balancer does the same
            except httpx.TimeoutException:
                return Verdict.HANG, "process: no response in time"
            except httpx.HTTPError as error:
                return Verdict.CLEAN_ERROR, f"{type(error).__name__}: {error}"
        if response is None:
            return Verdict.CLEAN_ERROR, "no gateway takes connections"
        if response.status_code == 200:
            return self._references[number].judge(response.json())
        return _judge_problem(response.json())

    async def stream(self, number: int, first_address: int = 0) -> tuple[Verdict, str]:
        """Verdict on a request by WebSocket: months in order, then the answer, or a clean end."""
        outcome = (Verdict.CLEAN_ERROR, "no gateway takes connections")
        for turn in range(len(self._addresses)):
            try:
                return await self._stream_from(self._addresses[(first_address + turn) % len(self._addresses)], number)
            except (OSError, websockets.InvalidHandshake, websockets.InvalidMessage, EOFError) as error:
                # Nothing was sent; a load balancer does the same.
                outcome = (Verdict.CLEAN_ERROR, f"{type(error).__name__}: {error}")
        return outcome

    async def _stream_from(self, address: str, number: int) -> tuple[Verdict, str]:
        """As `stream`, from one gateway.

        Raises:
            OSError: when it takes no connections.
            InvalidHandshake: when it takes no streams; `InvalidMessage`, `EOFError`: when it goes away meanwhile.
        """
        request = self._requests[number]
        months, close_code = 0, 1006
        try:
            async with websockets.connect(
                f"ws://{address}/ws/stream/{request['customer_id']}",
                additional_headers={"X-Request-Timeout": str(TIMEOUT_SECONDS)},
                max_size=None,
            ) as socket:
                await socket.send(json.dumps(request))
                async for text in socket:
                    frame = json.loads(text)
                    match frame["type"]:
                        case "monthly_update":
                            months += 1
                            if frame["data"]["month_number"] != months:
                                return Verdict.WRONG, f"month {months} is missing"
                        case "completed":
                            if months != request["simulation_months"]:
                                return Verdict.WRONG, f"completed after {months} months"
                            return self._references[number].judge(frame["data"])
                        case "error":
                            return _judge_problem(frame)
                close_code = socket.close_code or 1006
        except websockets.ConnectionClosed as closed:
            close_code = closed.rcvd.code if closed.rcvd else 1006
        if close_code in CLEAN_CLOSE_CODES:
            return Verdict.CLEAN_ERROR, f"closed with {close_code}"
        return Verdict.WRONG, f"closed with {close_code} before the end"


def _judge_problem(document: Mapping[str, Any]) -> tuple[Verdict, str]:
    code = document.get("code") or document.get("problem", {}).get("code") or ""
    if code in CLEAN_CODES:
        return Verdict.CLEAN_ERROR, str(code)
    return Verdict.WRONG, f"problem {json.dumps(document)[:300]}"
