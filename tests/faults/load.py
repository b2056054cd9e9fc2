"""A continuous load of requests with known answers, and the outcome of each."""

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
# A request counts as hanging after this time beyond its timeout.
PATIENCE_SECONDS = 10.0

# Problem codes that are acceptable during a fault.
CLEAN_CODES = frozenset(
    {"COMPONENT_UNAVAILABLE", "DEADLINE_EXCEEDED", "DEADLINE_TOO_SHORT", "OVERLOADED", "SHUTTING_DOWN"}
)
# WebSocket close codes that are acceptable during a fault; 1006 means a lost connection.
CLEAN_CLOSE_CODES = frozenset({1006, 1012, 4429, 4500})


class Outcome(StrEnum):
    """Outcome of a request."""

    CORRECT = "correct"
    DEGRADED = "degraded"
    CLEAN_ERROR = "clean errors"
    WRONG = "wrong or lost"
    HANG = "hangs"


def requests_of(count: int, generator: random.Random) -> list[dict[str, Any]]:
    """Distinct requests with deterministic answers."""
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
    """The expected answers to a request: with all parts, and without enrichment."""

    full: Mapping[str, Any]
    without_enrichment: Mapping[str, Any]

    def judge(self, answer: Mapping[str, Any]) -> tuple[Outcome, str]:
        """Outcome for an answer, and its reason.

        An answer with warnings is degraded. Each of its recommendations must equal one of the answer with or without
        enrichment.
        """
        if answer == self.full:
            return Outcome.CORRECT, ""
        if not answer["warnings"]:
            return Outcome.WRONG, "an answer without a warning differs"
        full, without_enrichment = _recommendations(self.full), _recommendations(self.without_enrichment)
        given = _recommendations(answer)
        different = [
            name for name, value in given.items() if value not in (full.get(name), without_enrichment.get(name))
        ]
        if different:
            return Outcome.WRONG, f"recommendations of a degraded answer differ: {different}"
        if not set(full) & set(without_enrichment) <= set(given):
            return Outcome.WRONG, "a degraded answer lacks a recommendation that does not need the missing part"
        return Outcome.DEGRADED, ""


def _recommendations(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {item["name"]: item for item in answer["recommendations"]["recommendations"]}


async def answer_to(http: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Answer of a healthy mesh."""
    async with httpx.AsyncClient(base_url=http, timeout=60) as client:
        response = await client.post("/api/v1/process", json=request)
        response.raise_for_status()
        answer: Mapping[str, Any] = response.json()
        return answer


@dataclass
class Tally:
    """Outcomes by what happened during the requests."""

    counts: dict[str, Counter[Outcome]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    """Descriptions of what was wrong."""

    def note(self, label: str, outcome: Outcome, why: str) -> None:
        """Counts an outcome."""
        self.counts.setdefault(label, Counter())[outcome] += 1
        if outcome in (Outcome.WRONG, Outcome.HANG):
            self.problems.append(f"{label}: {outcome}: {why}")

    def total(self, outcome: Outcome) -> int:
        """Number of outcomes with a outcome."""
        return sum(counts[outcome] for counts in self.counts.values())


class Load:
    """Clients that send one request after another, by REST or by WebSocket.

    Args:
        addresses: `host:port` of the gateways; a client that cannot connect to one tries the next.
        requests: the requests to send.
        references: expected answers, in the order of the requests.
        label: returns a label for what happens now.
    """

    def __init__(
        self,
        addresses: list[str],
        requests: list[dict[str, Any]],
        references: list[Reference],
        label: Callable[[], str],
    ) -> None:
        self._addresses = addresses
        self._requests = requests
        self._references = references
        self._label = label
        self.tally = Tally()
        self.unary_errors: list[str] = []
        self.stream_ends: Counter[str] = Counter()
        """How streams ended that did not complete, with counts."""
        self._stopping = False

    async def run(self, clients: int, generator: random.Random, pause_seconds: float = 0.0) -> None:
        """Sends until `stop`.

        Args:
            clients: number of concurrent clients.
            generator: chooses the requests.
            pause_seconds: pause between two requests of a client.
        """
        seeds = [generator.randrange(2**32) for _ in range(clients)]
        await asyncio.gather(*(self._client(random.Random(seed), pause_seconds) for seed in seeds))

    def stop(self) -> None:
        """Stops the clients after their current requests."""
        self._stopping = True

    async def _client(self, generator: random.Random, pause_seconds: float) -> None:
        while not self._stopping:
            number = generator.randrange(len(self._requests))
            send = self.stream if generator.random() < 0.4 else self.process
            before = self._label()
            began_at = time.monotonic()
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS + PATIENCE_SECONDS):
                    outcome, why = await send(number, generator.randrange(len(self._addresses)))
            except TimeoutError:
                outcome, why = Outcome.HANG, f"{send.__name__}: no outcome after {time.monotonic() - began_at:.1f} s"
            # A request counts for the fault during which it began.
            self.tally.note(before or self._label(), outcome, why)
            if outcome not in (Outcome.CORRECT, Outcome.DEGRADED):
                if send == self.process:
                    self.unary_errors.append(why)
                else:
                    self.stream_ends[why] += 1
            await asyncio.sleep(pause_seconds)

    async def process(self, number: int, first_address: int = 0) -> tuple[Outcome, str]:
        """Outcome of a request by REST."""
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
                continue  # nothing was sent, so the next gateway is tried, as a load balancer would
            except httpx.TimeoutException:
                return Outcome.HANG, "process: no response in time"
            except httpx.HTTPError as error:
                return Outcome.CLEAN_ERROR, f"{type(error).__name__}: {error}"
        if response is None:
            return Outcome.CLEAN_ERROR, "no gateway accepts connections"
        if response.status_code == 200:
            return self._references[number].judge(response.json())
        return _judge_problem(response.json())

    async def stream(self, number: int, first_address: int = 0) -> tuple[Outcome, str]:
        """Outcome of a request by WebSocket: months in order, then the answer, or a clean end."""
        outcome = (Outcome.CLEAN_ERROR, "no gateway accepts connections")
        for turn in range(len(self._addresses)):
            try:
                return await self._stream_from(self._addresses[(first_address + turn) % len(self._addresses)], number)
            except (OSError, websockets.InvalidHandshake, websockets.InvalidMessage, EOFError) as error:
                # Nothing was sent, so the next gateway is tried, as a load balancer would.
                outcome = (Outcome.CLEAN_ERROR, f"{type(error).__name__}: {error}")
        return outcome

    async def _stream_from(self, address: str, number: int) -> tuple[Outcome, str]:
        """As `stream`, from one gateway.

        Raises:
            OSError: when it accepts no connections.
            InvalidHandshake: when it rejects the stream.
            InvalidMessage, EOFError: when it stops during the handshake.
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
                                return Outcome.WRONG, f"month {months} is missing"
                        case "completed":
                            if months != request["simulation_months"]:
                                return Outcome.WRONG, f"completed after {months} months"
                            return self._references[number].judge(frame["data"])
                        case "error":
                            return _judge_problem(frame)
                close_code = socket.close_code or 1006
        except websockets.ConnectionClosed as closed:
            close_code = closed.rcvd.code if closed.rcvd else 1006
        if close_code in CLEAN_CLOSE_CODES:
            return Outcome.CLEAN_ERROR, f"closed with {close_code}"
        return Outcome.WRONG, f"closed with {close_code} before the end"


def _judge_problem(document: Mapping[str, Any]) -> tuple[Outcome, str]:
    code = document.get("code") or document.get("problem", {}).get("code") or ""
    if code in CLEAN_CODES:
        return Outcome.CLEAN_ERROR, str(code)
    return Outcome.WRONG, f"problem {json.dumps(document)[:300]}"
