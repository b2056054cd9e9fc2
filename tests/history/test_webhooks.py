"""Webhooks in every store: each subscription's events in order and without gaps, whatever receivers do."""

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook as Verifier

from pantree_history.__main__ import watch_backlog
from pantree_history.backends.webhook_scripts import ERASURE_DELAY
from pantree_history.core.history import History
from pantree_history.core.lines import MICROSECONDS
from pantree_history.core.store import Household
from pantree_history.core.subscriptions.keeper import Call, Subscriptions
from pantree_history.core.subscriptions.model import Cancel, Cancellation, ChangeQuantity, Pause, Resume, Skip
from pantree_history.core.subscriptions.store import CombinedStore
from pantree_history.core.webhooks import delivery
from pantree_history.core.webhooks.delivery import (
    CONCURRENCY,
    TENANT_CONCURRENCY,
    Deliveries,
    Encoders,
    Rules,
    delay_seconds,
)
from pantree_history.core.webhooks.keeper import MAX_WEBHOOKS, Created, Webhooks
from pantree_history.core.webhooks.model import Lease, Target
from pantree_history.core.webhooks.sending import Answer
from pantree_history.webhooks.convert import erasure_content, event_content
from pantree_runtime.errors import AlreadyExists, InvalidInput, NotFound, QuotaExceeded
from tests.history.receipts import KEY, Clock
from tests.history.test_subscriptions import HOME, agreement

URL = "https://shop.example/hook"
TARGET = Target("north", "w")
RULES = Rules(first_delay_seconds=1.0, max_attempts=4)


@dataclass
class Receiver:
    """Keeps what it accepts."""

    accepts: Callable[[dict[str, Any]], bool] = lambda _event: True
    accepted: list[dict[str, Any]] = field(default_factory=list)
    attempts: list[tuple[str, int]] = field(default_factory=list)
    """Subject and number."""
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    is_shared: bool = False
    """Whether several webhooks send to it."""
    busy: set[str] = field(default_factory=set)

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        assert url == URL
        event = json.loads(body)
        subject = event.get("subject", "")
        assert self.is_shared or subject not in self.busy, "two requests for a subscription at the same time"
        self.busy.add(subject)
        await asyncio.sleep(0)
        self.busy.discard(subject)
        self.requests.append((dict(headers), body))
        self.attempts.append((subject, int(event.get("sequence", 0))))
        if not self.accepts(event):
            return Answer(500, "the receiver answered with status 500")
        self.accepted.append(event)
        return Answer(204, "")

    def numbers(self) -> dict[str, list[int]]:
        """Numbers of the accepted events, by subject."""
        found = defaultdict(list)
        for event in self.accepted:
            found[event["subject"]].append(int(event["sequence"]))
        return dict(found)


class Part:
    """What the history part keeps, with a receiver."""

    def __init__(self, store: CombinedStore, clock: Clock) -> None:
        self.store, self.clock = store, clock
        self.history = History(store, KEY, clock)
        self.subscriptions = Subscriptions(store.subscriptions, KEY, clock)
        self.receiver = Receiver()
        self.webhooks = Webhooks(store.webhooks, self.receiver, KEY, clock.instant)
        self.deliveries = self.replica()

    def replica(self, receiver: Receiver | None = None, event: Callable[..., Any] = event_content) -> Deliveries:
        encoders = Encoders(event, erasure_content)
        return Deliveries(
            self.store.webhooks, self.store.subscriptions, receiver or self.receiver, encoders, KEY, self.clock.instant,
            random.Random(1), RULES,
        )  # fmt: skip

    async def hook(self) -> Created:
        return await self.webhooks.create(TARGET.tenant_id, TARGET.webhook_id, URL, "")

    async def subscribe(self, *ids: str, household: Household = HOME) -> None:
        for one in ids:
            await self.subscriptions.create(household, agreement(one), Call("customer"))

    async def change(self, subscription_id: str, command: Any) -> None:
        await self.subscriptions.change(HOME, subscription_id, command, Call("customer"))

    async def deliver(self, seconds: int = 0) -> None:
        """Delivers what is due after a while."""
        self.clock.advance(seconds=seconds)
        await self.deliveries.drain()


@pytest.fixture
async def part(make_store: Callable[[], CombinedStore], clock: Clock) -> AsyncIterator[Part]:
    part = Part(make_store(), clock)
    await part.history.open()
    yield part
    await part.history.close()


async def test_receiver_that_fails_half_of_the_time_gets_every_event_in_order(part: Part) -> None:
    generator = random.Random(7)
    part.receiver.accepts = lambda _event: generator.random() < 0.5
    await part.hook()
    ids = [f"s-{number}" for number in range(6)]
    await part.subscribe(*ids)
    for quantity in range(3, 7):
        for one in ids:
            await part.change(one, ChangeQuantity(quantity))
        await part.deliver(1)
    for _ in range(60):
        await part.webhooks.replay(TARGET, None, "")  # with 4 attempts, some are dead letters
        await part.deliver(60)
    assert part.receiver.numbers() == {one: [1, 2, 3, 4, 5] for one in ids}
    # No event is sent before the one in front of it was accepted.
    reached = dict.fromkeys(ids, 0)
    for subject, number in part.receiver.attempts:
        assert reached[subject] <= number <= reached[subject] + 1
        reached[subject] = number
    assert len(part.receiver.attempts) > len(part.receiver.accepted) == 30
    for event in part.receiver.accepted:
        snapshot = event["data"]["subscription"]
        assert snapshot["version"] == event["data"]["event"]["number"] == int(event["sequence"])
        assert event["sequence"] == f"{snapshot['version']:010d}"
        assert snapshot["quantity"] == (2 if snapshot["version"] == 1 else snapshot["version"] + 1)
    (status,) = await part.webhooks.all("north", "", 10)
    assert status.backlog.waiting == status.backlog.dead == 0


async def test_event_is_a_signed_cloud_event_with_the_same_bytes_in_each_attempt(part: Part) -> None:
    part.receiver.accepts = lambda _event: len(part.receiver.requests) > 1
    created = await part.hook()
    await part.subscribe("s-1")
    await part.deliver()
    await part.deliver(60)
    (first, body), (second, again) = part.receiver.requests
    assert (body, first["webhook-id"]) == (again, second["webhook-id"])
    assert first["webhook-timestamp"] != second["webhook-timestamp"]
    event = json.loads(body)
    assert {name: value for name, value in event.items() if name != "data"} == {
        "specversion": "1.0", "id": first["webhook-id"], "source": "urn:pantree:subscriptions",
        "type": "com.pantree.subscription.created", "time": "2026-06-01T12:00:00.000000Z",
        "datacontenttype": "application/json", "subject": "s-1", "sequence": "0000000001",
    }  # fmt: skip
    assert (event["data"]["customer_id"], event["data"]["event"]["actor"]) == ("4711", "customer")
    assert event["data"]["subscription"]["status"] == "SUBSCRIPTION_STATUS_ACTIVE"
    for headers, content in part.receiver.requests:
        assert verified(created.secret, headers, content)
        assert not verified(created.secret, headers, content + b" ")


def verified(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether another implementation accepts a signature; it would also check the time, which stands still here."""
    expected = Verifier(secret).sign(headers["webhook-id"], timestamp_of(headers), body.decode())
    return expected in headers["webhook-signature"].split(" ")


def timestamp_of(headers: Mapping[str, str]) -> datetime:
    return datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)


async def test_rotated_secrets_sign_together_until_the_earlier_one_ends(part: Part) -> None:
    first = await part.hook()
    second = await part.webhooks.rotate(TARGET, 3600)
    assert first.secret != second.secret
    assert second.secret.startswith("whsec_")
    await part.webhooks.test(TARGET)
    headers, body = part.receiver.requests[-1]
    assert (len(headers["webhook-signature"].split(" ")), json.loads(body)["type"]) == (2, "com.pantree.webhook.ping")
    assert verified(first.secret, headers, body)
    assert verified(second.secret, headers, body)
    part.clock.advance(seconds=3601)
    await part.webhooks.test(TARGET)
    headers, body = part.receiver.requests[-1]
    assert not verified(first.secret, headers, body)
    assert verified(second.secret, headers, body)
    third = await part.webhooks.rotate(TARGET, 0)
    await part.webhooks.test(TARGET)
    headers, body = part.receiver.requests[-1]
    assert not verified(second.secret, headers, body)
    assert verified(third.secret, headers, body)


async def test_dead_letter_blocks_only_its_own_subscription_until_it_is_replayed(part: Part) -> None:
    is_broken = True
    part.receiver.accepts = lambda event: not (is_broken and event["subject"] == "s-1" and event["sequence"][-1] == "2")
    await part.hook()
    await part.subscribe("s-1", "s-2")
    for command in (Skip(), Pause(), Resume()):
        await part.change("s-1", command)
        await part.change("s-2", command)
    for _ in range(8):
        await part.deliver(120)
    assert part.receiver.numbers() == {"s-1": [1], "s-2": [1, 2, 3, 4]}
    assert part.receiver.attempts.count(("s-1", 2)) == RULES.max_attempts
    (letter,) = await part.webhooks.dead_letters(TARGET, ("", ""), 10)
    assert letter.cursor[1:] == ("s-1", 1, 4, RULES.max_attempts)
    assert letter.error == "the receiver answered with status 500"
    (status,) = await part.webhooks.all("north", "", 10)
    assert (status.backlog.waiting, status.backlog.dead) == (1, 1)
    await part.change("s-1", ChangeQuantity(9))  # waits behind it
    await part.deliver(120)
    is_broken = False
    assert await part.webhooks.replay(TARGET, None, "s-2") == 0
    assert await part.webhooks.replay(TARGET, None, "") == 1
    await part.deliver()
    assert part.receiver.numbers()["s-1"] == [1, 2, 3, 4, 5]
    assert await part.webhooks.dead_letters(TARGET, ("", ""), 10) == []


async def test_webhook_gets_what_changes_after_it_and_earlier_events_when_replayed(part: Part) -> None:
    await part.subscribe("s-1", "s-2")
    await part.change("s-1", Skip())
    part.clock.advance(seconds=10)
    since = part.clock.now
    await part.hook()
    await part.change("s-1", Pause())
    await part.deliver()
    assert part.receiver.numbers() == {"s-1": [3]}
    part.receiver.accepted.clear()
    assert await part.webhooks.replay(TARGET, since, "") == 1
    await part.deliver()
    assert part.receiver.numbers() == {"s-1": [3]}
    part.receiver.accepted.clear()
    assert await part.webhooks.replay(TARGET, 0, "") == 2
    await part.deliver()
    assert part.receiver.numbers() == {"s-1": [1, 2, 3], "s-2": [1]}


async def test_replicas_share_the_work_and_one_goes_on_where_another_was_killed(part: Part) -> None:
    await part.hook()
    await part.subscribe(*(f"s-{number}" for number in range(12)))
    stuck = Receiver()
    released, is_busy = asyncio.Event(), asyncio.Event()

    async def hang(url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        stuck.attempts.append((json.loads(body)["subject"], 1))
        if len(stuck.attempts) == CONCURRENCY:
            is_busy.set()
        await released.wait()
        return Answer(204, "")

    stuck.send = hang  # type: ignore[method-assign]
    killed = asyncio.create_task(part.replica(stuck).drain())
    await is_busy.wait()
    await asyncio.gather(part.deliveries.drain(), part.replica().drain())
    claimed = {subject for subject, _ in stuck.attempts}
    # Nobody else sends what the stuck replica sends, and it is not sent twice.
    assert sorted(part.receiver.numbers()) == sorted({f"s-{number}" for number in range(12)} - claimed)
    part.clock.advance(seconds=60)
    await part.deliveries.drain()
    assert part.receiver.numbers() == {f"s-{number}": [1] for number in range(12)}
    # What it believes to have delivered moves nothing.
    released.set()
    await killed
    await part.change("s-0", Skip())
    await part.deliveries.drain()
    assert part.receiver.numbers()["s-0"] == [1, 2]


async def test_stopped_replica_gives_back_what_it_claimed(part: Part) -> None:
    await part.hook()
    await part.subscribe("s-1")
    stuck = Receiver()
    entered = asyncio.Event()

    async def hang(url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        entered.set()
        return await asyncio.Future()

    stuck.send = hang  # type: ignore[method-assign]
    running = asyncio.create_task(part.replica(stuck).run())
    await entered.wait()
    running.cancel()
    await asyncio.wait([running])
    await part.deliveries.drain()
    assert part.receiver.numbers() == {"s-1": [1]}


async def test_clock_that_is_set_back_delays_nothing_for_long(part: Part) -> None:
    part.receiver.accepts = lambda _event: len(part.receiver.attempts) > 1
    part.clock.advance(days=30)
    await part.hook()
    await part.subscribe("s-1")
    await part.deliver()
    part.clock.advance(seconds=-7200)
    await part.deliver()
    assert part.receiver.numbers() == {"s-1": [1]}
    await part.change("s-1", Skip())
    part.clock.advance(seconds=-7200)
    await part.deliver()
    assert part.receiver.numbers() == {"s-1": [1, 2]}


async def test_replica_that_is_a_little_behind_does_not_take_a_fresh_lease(part: Part) -> None:
    await part.hook()
    await part.subscribe("s-1")
    now, length = part.clock.now, 15 * MICROSECONDS
    store = part.store.webhooks
    assert len(await store.claim(TARGET, Lease("a", now, length), 1)) == 1
    for behind in (5_000, 50 * MICROSECONDS):
        lease = Lease("b", now - behind, length)
        assert not await store.due(lease)
        assert not await store.claim(TARGET, lease, 1)
    # Far behind, the clock was set back.
    assert len(await store.claim(TARGET, Lease("b", now - 3600 * MICROSECONDS, length), 1)) == 1


async def test_failed_attempt_is_not_repeated_early_by_a_replica_that_is_a_little_behind(part: Part) -> None:
    part.receiver.accepts = lambda _event: False
    await part.hook()
    await part.subscribe("s-1")
    await part.deliver()
    part.clock.advance(seconds=-1)
    await part.deliver()
    assert part.receiver.attempts == [("s-1", 1)]


async def test_new_event_is_due_at_once_when_the_clock_of_the_tenant_is_ahead(part: Part) -> None:
    await part.hook()
    part.clock.advance(seconds=30)
    await part.subscribe("s-1")
    part.clock.advance(seconds=-30)
    await part.deliver()
    assert part.receiver.numbers() == {"s-1": [1]}


async def test_unexpected_error_is_an_attempt_of_one_subscription_and_others_go_on(part: Part) -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context))

    def accepts(event: dict[str, Any]) -> bool:
        if event["subject"] == "s-1":
            raise UnicodeError("no name")
        return True

    part.receiver.accepts = accepts
    await part.hook()
    await part.subscribe(*(f"s-{number}" for number in range(12)))
    await part.deliver()
    assert sorted(part.receiver.numbers()) == sorted(f"s-{number}" for number in range(12) if number != 1)
    for _ in range(8):
        await part.deliver(120)
    (letter,) = await part.webhooks.dead_letters(TARGET, ("", ""), 10)
    assert (letter.cursor.attempts, letter.error) == (RULES.max_attempts, "the event cannot be sent: UnicodeError")
    assert len(reported) == RULES.max_attempts


async def test_event_that_is_stored_while_a_request_is_in_flight_does_not_wait_for_the_lease(part: Part) -> None:
    await part.hook()
    await part.subscribe("s-1")
    send = part.receiver.send

    async def change_and_send(url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if not part.receiver.requests:
            await part.change("s-1", Skip())
        return await send(url, headers, body)

    part.receiver.send = change_and_send  # type: ignore[method-assign]
    await part.deliver()
    assert part.receiver.numbers() == {"s-1": [1, 2]}


async def test_long_subscription_is_encoded_a_few_events_at_a_time_and_others_have_their_turn(
    part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "MAX_EVENTS", 2)
    monkeypatch.setattr(delivery, "CONCURRENCY", 1)
    encoded = []

    def content(view: Any, event: Any) -> Any:
        encoded.append(event.number)
        return event_content(view, event)

    await part.hook()
    await part.subscribe("s-1")
    for quantity in range(3, 7):
        await part.change("s-1", ChangeQuantity(quantity))
    part.clock.advance()
    await part.subscribe("s-2")
    part.deliveries = part.replica(event=content)
    part.receiver.accepts = lambda _event: False
    await part.deliver()
    assert encoded == [1, 1]  # of each subscription only the one that is sent
    part.receiver.accepts = lambda _event: True
    part.receiver.attempts.clear()
    await part.deliver(60)
    assert part.receiver.numbers() == {"s-1": [1, 2, 3, 4, 5], "s-2": [1]}
    assert part.receiver.attempts.index(("s-2", 1)) <= 2


async def test_slow_receivers_of_a_tenant_leave_requests_for_others(part: Part) -> None:
    names = [f"w-{number}" for number in range(TENANT_CONCURRENCY // CONCURRENCY + 1)]
    for name in names:
        await part.webhooks.create("north", name, URL, "")
    await part.webhooks.create("south", "w", URL, "")
    await part.subscribe(*(f"s-{number}" for number in range(CONCURRENCY)))
    await part.subscribe("other", household=Household("south", "4711"))
    part.receiver.is_shared = True
    send, counts, released = part.receiver.send, defaultdict[str, int](int), asyncio.Event()
    is_full, is_other_sent = asyncio.Event(), asyncio.Event()

    async def wait_and_send(url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        subject = json.loads(body)["subject"]
        if subject != "other":
            counts["now"] += 1
            counts["max"] = max(counts["max"], counts["now"])
            if counts["now"] == TENANT_CONCURRENCY:
                is_full.set()
            await released.wait()
            counts["now"] -= 1
        else:
            is_other_sent.set()
        return await send(url, headers, body)

    part.receiver.send = wait_and_send  # type: ignore[method-assign]
    delivering = asyncio.create_task(part.deliveries.drain())
    async with asyncio.timeout(20):
        await is_full.wait()
        await is_other_sent.wait()
    await asyncio.sleep(0.05)  # for one more, which must not come
    part.clock.advance(seconds=60)  # what waits for its turn has no lease that could end
    released.set()
    await delivering
    assert counts["max"] == TENANT_CONCURRENCY


async def test_dead_letters_do_not_count_as_lag(part: Part) -> None:
    part.receiver.accepts = lambda event: event["subject"] != "s-1"
    await part.hook()
    await part.subscribe("s-1")
    since = part.clock.now
    assert (await part.store.webhooks.backlog()).waiting_since == since
    for _ in range(8):
        await part.deliver(120)
    assert await part.store.webhooks.backlog() == (1, 0, 1)
    await part.subscribe("s-2")
    assert await part.store.webhooks.backlog() == (2, part.clock.now, 1)
    (status,) = await part.webhooks.all("north", "", 10)
    assert status.backlog.waiting_since == since


async def test_tenant_is_not_looked_at_after_its_last_webhook(part: Part) -> None:
    await part.hook()
    await part.webhooks.create("north", "second", URL, "")
    database = part.store.webhooks._database  # type: ignore[attr-defined]
    for name, expected in (("second", ["north"]), (TARGET.webhook_id, [])):
        await part.webhooks.delete(Target("north", name))
        assert await database.tenants() == expected
    await part.hook()
    assert await database.tenants() == ["north"]


async def test_watch_of_the_backlog_goes_on_after_any_error() -> None:
    class Broken:
        calls = 0
        is_again = asyncio.Event()

        async def backlog(self) -> Any:
            self.calls += 1
            if self.calls == 3:
                self.is_again.set()
            raise ValueError("unexpected")

    broken = Broken()
    watching = asyncio.create_task(watch_backlog(broken, 0.0))  # type: ignore[arg-type]
    again = asyncio.create_task(broken.is_again.wait())
    await asyncio.wait([watching, again], timeout=5, return_when=asyncio.FIRST_COMPLETED)
    assert again.done()
    watching.cancel()


async def test_erasure_removes_what_was_to_be_sent_and_is_announced_once_nothing_is_in_flight(part: Part) -> None:
    await part.hook()
    await part.subscribe("s-1")
    await part.deliver()
    await part.change("s-1", Cancel(None, Cancellation(comment="too salty")))
    await part.subscribe("other", household=Household("north", "4712"))
    part.clock.advance()
    await part.history.erase(HOME)
    await part.deliver()
    assert part.receiver.numbers() == {"s-1": [1], "other": [1]}
    await part.deliver(ERASURE_DELAY // MICROSECONDS)
    erased = part.receiver.accepted[-1]
    assert (erased["type"], erased["subject"]) == ("com.pantree.customer.erased", "4711")
    assert erased["data"] == {"customer_id": "4711", "erased_at": erased["time"]}
    assert b"too salty" not in b"".join(body for _, body in part.receiver.requests)
    assert await part.webhooks.replay(TARGET, 0, "") == 1  # of the other one
    await part.deliver(60)
    assert [event["subject"] for event in part.receiver.accepted[-2:]] == ["4711", "other"]


async def test_erasure_that_is_refused_is_a_dead_letter_that_can_be_replayed(part: Part) -> None:
    is_broken = True
    part.receiver.accepts = lambda _event: not is_broken
    await part.hook()
    await part.history.erase(HOME)
    for _ in range(8):
        await part.deliver(120)
    (letter,) = await part.webhooks.dead_letters(TARGET, ("", ""), 10)
    assert (letter.cursor.kind, letter.cursor.subject_id) == ("customer", "4711")
    is_broken = False
    assert await part.webhooks.replay(TARGET, None, "") == 1
    await part.deliver()
    assert [event["type"] for event in part.receiver.accepted] == ["com.pantree.customer.erased"]
    # Its id is not kept after it was delivered.
    assert await part.webhooks.dead_letters(TARGET, ("", ""), 10) == []
    assert (await part.store.webhooks.backlog()).waiting == 0


async def test_webhooks_are_few_named_once_and_of_their_tenant(part: Part) -> None:
    part.receiver.is_shared = True
    await part.hook()
    with pytest.raises(AlreadyExists):
        await part.hook()
    await part.webhooks.create("south", "w", URL, "")
    with pytest.raises(NotFound):
        await part.webhooks.delete(Target("west", "w"))
    for number in range(1, MAX_WEBHOOKS):
        await part.webhooks.create("north", f"w-{number:02}", URL, "")
    with pytest.raises(QuotaExceeded):
        await part.webhooks.create("north", "", URL, "")
    await part.subscribe("s-1")
    await part.webhooks.delete(TARGET)
    await part.deliver()
    assert len(part.receiver.accepted) == MAX_WEBHOOKS - 1
    with pytest.raises(NotFound):
        await part.webhooks.test(TARGET)
    await part.hook()  # has nothing of the one before
    await part.deliver()
    assert len(part.receiver.accepted) == MAX_WEBHOOKS - 1


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/hook", "ftp://shop.example", "https://", "https://user@shop.example/", "https://a.example/#x",
        "https://127.0.0.1/", "https://[::1]/", "https://10.0.0.1:8443/", "https://169.254.169.254/latest",
        "https://[::ffff:192.168.0.1]/", "https://[64:ff9b::10.0.0.1]/", "https://0.0.0.0/", "https://shop.example:99999/",
        "https://bücher.example/", "https://shop.example/a b",
    ],
)  # fmt: skip
async def test_url_that_events_may_not_be_sent_to_is_refused(url: str, clock: Clock) -> None:
    webhooks = Webhooks(None, Receiver(), KEY, clock.instant)  # type: ignore[arg-type] # never asked
    with pytest.raises(InvalidInput, match=r"^url: must"):
        await webhooks.create("north", "", url, "")


def test_delays_grow_are_spread_and_have_a_limit() -> None:
    rules = Rules()
    assert [delay_seconds(attempts, rules, 1.0) for attempts in (1, 2, 3)] == [5, 10, 20]
    assert delay_seconds(2, rules, 0.0) == 5
    total = sum(delay_seconds(attempts, rules, 0.5) for attempts in range(1, rules.max_attempts))
    assert 2 < total / 86_400 < 4
    assert delay_seconds(1_000, rules, 1.0) == 12 * 3600
