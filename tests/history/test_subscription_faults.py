"""Subscriptions while everything goes wrong: kills, partitions, clock jumps, a receiver that fails half of the time.

Several callers send commands to the same subscriptions, and repeat each with its id until it is answered. Then:

- each command happened once: the events of all answers are all events, and no event is of two answers;
- the commands of a subscription are linearizable: their events are in an order that agrees with their times, each
  answer has the state after its events, and what failed had to fail at some moment while it was sent;
- the receiver has all events of each subscription, first seen in order and without gaps.

The number of commands is small in CI; `PANTREE_TEST_COMMANDS` and `PANTREE_TEST_FAULT_MINUTES` set others
(`make subscription-faults`).
"""

import asyncio
import os
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest

from pantree.subscription.v1 import subscription_service_pb2 as messages
from pantree.subscription.v1 import subscription_service_pb2_grpc as rpc
from pantree.subscription.v1 import webhook_service_pb2 as webhooks
from pantree.subscription.v1 import webhook_service_pb2_grpc as webhook_rpc
from tests.history.faults import FailingReceiver, Proxy, Service

COMMANDS = int(os.environ.get("PANTREE_TEST_COMMANDS", "60"))
MINUTES = float(os.environ.get("PANTREE_TEST_FAULT_MINUTES", "0.25"))
SUBSCRIPTIONS = max(4, COMMANDS // 200)
CALLERS = 6
CALL_SECONDS = 1.5
OPTIONS = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)]
# What a call that was not answered may end with.
WITHOUT_ANSWER = {
    grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN,
}  # fmt: skip


class Outcome(NamedTuple):
    """A command and its answer."""

    subscription_id: str
    command: str
    sent_at: float
    answered_at: float
    tries: int
    error: str
    """Its text; empty if it succeeded."""
    numbers: tuple[int, ...]
    """Of its events."""
    version: int
    """Of the answer; 0 of an error."""
    quantity: int
    status: int


@pytest.mark.parametrize("system", ["sqlite", "postgresql"])
async def test_each_command_happens_once_in_order_and_the_receiver_gets_every_event(
    system: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    generator = random.Random(27)
    clock = tmp_path / "clock"
    clock.write_text("0")
    url = f"sqlite://{tmp_path}/history.db" if system == "sqlite" else request.getfixturevalue("database_url")
    services = [Service(url, clock) for _ in range(1 if system == "sqlite" else 2)]
    async with AsyncExitStack() as stack:
        for service in services:
            stack.push_async_callback(service.kill)
            await service.start()
        receiver = FailingReceiver(generator)
        await receiver.start()
        stack.push_async_callback(receiver.stop)
        proxy = Proxy([one.port for one in services], generator)
        await proxy.start()
        stack.push_async_callback(proxy.stop)
        channels = [
            await stack.enter_async_context(
                grpc.aio.insecure_channel(
                    f"127.0.0.1:{proxy.port}", options=[*OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
                )
            )
            for _ in range(CALLERS)
        ]
        run = Run(generator, [rpc.SubscriptionServiceStub(one) for one in channels])
        await run.prepare(webhook_rpc.WebhookServiceStub(channels[0]), f"http://127.0.0.1:{receiver.port}/")
        breaking = asyncio.create_task(break_things(generator, proxy, services, clock))
        await asyncio.gather(*(run.call(caller) for caller in range(CALLERS)))
        breaking.cancel()
        with suppress(asyncio.CancelledError):
            await breaking
        proxy.heal()
        clock.write_text("0")
        for service in services:
            await service.start_if_killed()
        events = {one: await run.events(one) for one in run.ids}
        deadline = time.monotonic() + 120
        while not all(any(int(e["sequence"]) == len(events[i]) for e in receiver.events[i]) for i in run.ids):
            assert time.monotonic() < deadline, "the receiver does not get the last events"
            await asyncio.sleep(0.1)
    for one in run.ids:
        outcomes = [outcome for outcome in run.outcomes if outcome.subscription_id == one]
        check_once(outcomes, events[one])
        check_order(outcomes, events[one])
        check_received(receiver.events[one], events[one])
    assert len(run.outcomes) == COMMANDS
    repeated = sum(one.tries > 1 for one in run.outcomes)
    duplicates = sum(map(len, receiver.events.values())) - sum(map(len, events.values()))
    print(
        f"{system}: {COMMANDS:,} commands, {repeated:,} repeated; {sum(map(len, events.values())):,} events, "
        f"{receiver.failed:,} failed attempts, {duplicates:,} duplicates"
    )
    # Otherwise nothing went wrong, and nothing is shown.
    assert repeated
    assert receiver.failed
    assert duplicates


class Run:
    """Callers and what they were answered."""

    def __init__(self, generator: random.Random, stubs: "Sequence[rpc.SubscriptionServiceAsyncStub]") -> None:
        self._random = generator
        self._stubs = stubs
        self.ids = [f"s-{number}" for number in range(SUBSCRIPTIONS)]
        self.outcomes: list[Outcome] = []
        self._left = COMMANDS
        self._pause = MINUTES * 60 * CALLERS / COMMANDS

    async def prepare(self, stub: "webhook_rpc.WebhookServiceAsyncStub", url: str) -> None:
        """Creates a webhook and the subscriptions."""
        await repeated(lambda: stub.CreateWebhook(webhooks.CreateWebhookRequest(webhook_id="w", url=url), timeout=10))
        anchor = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 30 * 86_400))
        for one in self.ids:
            request = messages.CreateSubscriptionRequest(
                customer_id="c", subscription_id=one, item=messages.SubscribedItem(name="Milk"), quantity=1,
                interval=messages.DeliveryInterval(unit=messages.INTERVAL_UNIT_WEEK, count=1), anchor_date=anchor,
                request_id=f"create {one}",
            )  # fmt: skip
            await repeated(lambda request=request: self._stubs[0].CreateSubscription(request, timeout=10))  # type: ignore[misc] # default of a lambda

    async def call(self, caller: int) -> None:
        """Sends commands until all are sent."""
        while self._left:
            self._left -= 1
            number = self._left
            request = messages.ChangeSubscriptionRequest(
                customer_id="c", subscription_id=self._random.choice(self.ids), request_id=f"r-{number}",
                actor=f"caller {caller}",
            )  # fmt: skip
            command = self._random.choice(["change_quantity", "change_quantity", "pause", "resume"])
            if command == "change_quantity":
                request.change_quantity.quantity = number % 9_000 + 2  # never the one before
            else:
                getattr(request, command).SetInParent()
            sent_at = time.monotonic()
            answer, error, tries = await repeated(
                lambda request=request: self._stubs[caller].ChangeSubscription(request, timeout=CALL_SECONDS)  # type: ignore[misc] # default of a lambda
            )
            now, found = time.monotonic(), answer.subscription
            numbers = tuple(one.number for one in answer.events)
            self.outcomes.append(
                Outcome(
                    request.subscription_id, command, sent_at, now, tries, error, numbers, found.version,
                    found.quantity, found.status,
                )
            )  # fmt: skip
            await asyncio.sleep(self._random.random() * 2 * self._pause)

    async def events(self, subscription_id: str) -> list[messages.SubscriptionEvent]:
        """All events of a subscription."""
        request = messages.ListEventsRequest(customer_id="c", subscription_id=subscription_id, page_size=1000)
        found: list[messages.SubscriptionEvent] = []
        while True:
            page, _, _ = await repeated(lambda: self._stubs[0].ListEvents(request, timeout=10))
            found += page.events
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token


async def repeated(call: Callable[[], Awaitable[Any]]) -> tuple[Any, str, int]:
    """The answer of a call that is repeated until there is one, the text of its error, and how often it was sent."""
    tries = 0
    while True:
        tries += 1
        try:
            return await call(), "", tries
        except grpc.aio.AioRpcError as error:
            if error.code() in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ALREADY_EXISTS):
                return messages.ChangeSubscriptionResponse(), error.details() or "", tries
            if error.code() not in WITHOUT_ANSWER:
                raise
            await asyncio.sleep(0.05)


async def break_things(generator: random.Random, proxy: Proxy, services: Sequence[Service], clock: Path) -> None:
    """Breaks one thing after the other, until it is cancelled."""
    while True:
        await asyncio.sleep(0.3 + generator.random())
        match generator.choice(["kill", "cut", "requests", "answers", "clock"]):
            case "kill":
                service = generator.choice(services)
                await service.kill()
                await asyncio.sleep(generator.random())
                await service.start()
                await asyncio.sleep(3)  # until it serves again
            case "cut":
                proxy.cut()
            case "clock":
                await asyncio.to_thread(clock.write_text, str(generator.choice([-7200, -60, 0, 60, 7200])))
            case held:
                proxy.hold(held)
                await asyncio.sleep(generator.random() * 2 * CALL_SECONDS)
                # What was held may still arrive, or is lost with its connection.
                if generator.random() < 0.5:
                    proxy.cut()
                proxy.heal()


def check_once(outcomes: Sequence[Outcome], events: Sequence[messages.SubscriptionEvent]) -> None:
    """Each command has its events for itself, and all events are of commands."""
    assert [one.number for one in events] == list(range(1, len(events) + 1))
    numbers = sorted(number for one in outcomes for number in one.numbers)
    assert numbers == list(range(2, len(events) + 1))
    kinds = {"change_quantity": "quantity_changed", "pause": "paused", "resume": "resumed"}
    for one in outcomes:
        assert [events[number - 1].type.rpartition(".")[2] for number in one.numbers] in ([], [kinds[one.command]])
        assert one.command != "change_quantity" or one.error or len(one.numbers) == 1


def check_order(outcomes: Sequence[Outcome], events: Sequence[messages.SubscriptionEvent]) -> None:
    """There is one order of commands that explains all answers and agrees with their times."""
    quantities, statuses = [0, 1], [0, messages.SUBSCRIPTION_STATUS_ACTIVE]
    for event in events[1:]:
        kind = event.type.rpartition(".")[2]
        quantities.append(event.data.quantity if kind == "quantity_changed" else quantities[-1])
        status = {"paused": messages.SUBSCRIPTION_STATUS_PAUSED, "resumed": messages.SUBSCRIPTION_STATUS_ACTIVE}
        statuses.append(status.get(kind, statuses[-1]))
    # Versions that were answered before a command was sent, and those that can have been reached while it ran.
    done = sorted((one.answered_at, max(one.numbers)) for one in outcomes if one.numbers)
    begun = sorted((one.sent_at, max(one.numbers)) for one in outcomes if one.numbers)
    for one in outcomes:
        first = max((version for at, version in done if at < one.sent_at), default=1)
        last = max((version for at, version in begun if at < one.answered_at), default=1)
        if one.error:
            assert one.command == "resume", one
            assert messages.SUBSCRIPTION_STATUS_ACTIVE in statuses[first : last + 1], one
            continue
        assert first <= one.version <= last, one
        assert (one.quantity, one.status) == (quantities[one.version], statuses[one.version]), one
        if one.numbers:
            assert one.version == one.numbers[-1] > first, one
        else:
            assert one.command == "pause", one


def check_received(received: Sequence[dict[str, object]], events: Sequence[messages.SubscriptionEvent]) -> None:
    """All events came, the first time in order and without gaps, each with its snapshot."""
    reached = 0
    bodies: dict[int, list[dict[str, object]]] = defaultdict(list)
    for event in received:
        number = int(str(event["sequence"]))
        assert number <= reached + 1, f"event {number} came after {reached}"
        reached = max(reached, number)
        bodies[number].append(event)
    assert reached == len(events)
    for number, found in bodies.items():
        assert all(one == found[0] for one in found)
        assert found[0]["type"] == events[number - 1].type
        assert found[0]["data"]["subscription"]["version"] == number  # type: ignore[index]
