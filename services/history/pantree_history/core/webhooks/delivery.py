"""Delivers events to webhooks: of each subscription in order, each at least once.

The events of a subscription are sent one after the other; the next one only after the receiver answered with success.
Subscriptions don't wait for each other, nor webhooks.
"""

import asyncio
import functools
import itertools
import random
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple
from weakref import WeakValueDictionary

from pantree_history.core.clocks import Clock, system_clock
from pantree_history.core.lines import MICROSECONDS
from pantree_history.core.subscriptions.evolve import replayed
from pantree_history.core.subscriptions.keeper import View, view_at
from pantree_history.core.subscriptions.model import RecordedEvent
from pantree_history.core.subscriptions.store import SubscriptionStore
from pantree_history.core.webhooks.events import Content, OutgoingEvent, outgoing
from pantree_history.core.webhooks.keeper import live_secrets
from pantree_history.core.webhooks.model import Cursor, Kind, Lease, Target
from pantree_history.core.webhooks.sending import Sender
from pantree_history.core.webhooks.signatures import key_of, signed_headers
from pantree_history.core.webhooks.store import WebhookStore
from pantree_runtime.errors import ComponentUnavailable

CONCURRENCY = 8
"""Requests to a webhook at the same time."""
TENANT_CONCURRENCY = 32
"""Requests to all webhooks of a tenant at the same time."""
ALL_CONCURRENCY = 224
"""Requests at the same time."""
MAX_EVENTS = 100
"""Of a subscription that are sent before others have their turn."""
MAX_DELAY_SECONDS = 12 * 3600.0
"""Between two attempts."""
LEASE_MARGIN_SECONDS = 5.0
"""Of a lease, beyond the timeout of a request."""
_ALL = 1_000_000
# With a greater one, a receiver that fails half of the time would be sent most events very late.
_GROWTH = 2.0


class Rules(NamedTuple):
    """How events are delivered."""

    timeout_seconds: float = 10.0
    """Of a request."""
    first_delay_seconds: float = 5.0
    """After a failed attempt; twice as long after each further one."""
    max_attempts: int = 20
    """Then it is a dead letter: with the default delays, after about three days."""
    poll_seconds: float = 1.0
    """Between two looks for events."""


class Encoders(NamedTuple):
    """Make the content of events."""

    event: Callable[[View, RecordedEvent], Content]
    """From a subscription after an event, and the event."""
    erasure: Callable[[str, int], Content]
    """From a household and the time of its erasure."""


def delay_seconds(attempts: int, rules: Rules, share: float) -> float:
    """Time until the next attempt.

    Args:
        attempts: failed ones, at least 1.
        rules: see `Rules`.
        share: 0 to 1, random: attempts of many subscriptions spread over the second half of the time.
    """
    full = min(rules.first_delay_seconds * _GROWTH ** min(attempts - 1, 30), MAX_DELAY_SECONDS)
    return full * (0.5 + 0.5 * share)


class Deliveries:
    """Delivers events until it is cancelled.

    Args:
        store: where webhooks are stored.
        subscriptions: where events are stored.
        sender: sends requests.
        encoders: make the content of events.
        service_key: secrets are derived from it.
        clock: the time.
        generator: spreads attempts.
        rules: see `Rules`.
        on_result: gets `delivered`, `failed` or `dead` for each attempt.
    """

    def __init__(
        self,
        store: WebhookStore,
        subscriptions: SubscriptionStore,
        sender: Sender,
        encoders: Encoders,
        service_key: bytes,
        clock: Clock = system_clock,
        generator: random.Random | None = None,
        rules: Rules | None = None,
        on_result: Callable[[str], object] = lambda _result: None,
    ) -> None:
        self._store = store
        self._subscriptions = subscriptions
        self._sender = sender
        self._encoders = encoders
        self._key = service_key
        self._clock = clock
        self._random = generator or random.Random()  # noqa: S311 # not a secret
        self._rules = rules or Rules()
        self._on_result = on_result
        self._owner = secrets.token_hex(8)
        self._running: dict[Target, asyncio.Task[None]] = {}
        self._all_slots = asyncio.Semaphore(ALL_CONCURRENCY)
        self._tenant_slots: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def run(self) -> None:
        """Looks for events and delivers them, until it is cancelled."""
        try:
            while True:
                try:
                    await self._start()
                except ComponentUnavailable:
                    pass  # the store, which is looked at again soon
                except Exception as error:
                    _report(error)
                await asyncio.sleep(self._rules.poll_seconds)
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Ends requests in flight, and gives back what was claimed."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._running.clear()
        with suppress(ComponentUnavailable):
            await self._store.release(self._owner)

    async def drain(self) -> None:
        """Delivers what is due now, once."""
        await self._start()
        await asyncio.gather(*self._running.values())

    async def _start(self) -> None:
        for target in await self._store.due(self._lease()):
            running = self._running.get(target)
            if running is None or running.done():
                task = asyncio.create_task(self._deliver_all(target))
                self._running[target] = task
                task.add_done_callback(functools.partial(self._ended, target))

    def _ended(self, target: Target, task: asyncio.Task[None]) -> None:
        if self._running.get(target) is task:
            del self._running[target]
        if not task.cancelled() and (error := task.exception()) is not None:
            _report(error)

    async def _deliver_all(self, target: Target) -> None:
        """Delivers what is due for a webhook, of several subscriptions at the same time."""
        # Dropped when no webhook of the tenant uses it any more.
        slots = self._tenant_slots.setdefault(target.tenant_id, asyncio.Semaphore(TENANT_CONCURRENCY))

        async def deliver_some() -> None:
            is_done = False
            while not is_done:
                # Claimed after the wait, one at a time, so that no claimed one waits.
                async with slots, self._all_slots:
                    claimed = await self._store.claim(target, self._lease(), 1)
                    for cursor in claimed:
                        await self._deliver(target, cursor)
                is_done = not claimed

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(CONCURRENCY):
                    group.create_task(deliver_some())
        except* ComponentUnavailable:
            pass  # the store; what was claimed is tried again when its lease ends

    async def _deliver(self, target: Target, cursor: Cursor) -> None:
        """Delivers events of a cursor until one fails, and gives it back."""
        webhook = await self._store.webhook(target)
        if webhook is None:
            return
        is_known = False
        try:
            found = await self._events(target, cursor)
            for number, event, is_last in found:
                is_known = True
                now = self._clock()
                keys = [key_of(self._key, target, one) for one in live_secrets(webhook, now)]
                headers = signed_headers(event.message_id, event.body, now, keys)
                answer = await self._sender.send(webhook.url, headers, event.body)
                if answer.error:
                    await self._postpone(target, cursor, answer.error, answer.retry_after_seconds)
                    return
                self._on_result("delivered")
                if not await self._store.advance(target, cursor, number, self._lease(), keep=not is_last):
                    return
                cursor = cursor._replace(delivered=number, attempts=0)
        except ComponentUnavailable:
            raise
        except Exception as error:
            # Others go on.
            _report(error)
            await self._postpone(target, cursor, f"the event cannot be sent: {type(error).__name__}", 0.0)
            return
        if not is_known:
            await self._store.forget(target, cursor, self._lease())

    async def _postpone(self, target: Target, cursor: Cursor, error: str, min_delay_seconds: float) -> None:
        attempts = cursor.attempts + 1
        lease = self._lease()
        due_at = None
        if attempts < self._rules.max_attempts:
            delay = delay_seconds(attempts, self._rules, self._random.random())
            delay = min(max(delay, min_delay_seconds), MAX_DELAY_SECONDS)
            due_at = lease.now + int(delay * MICROSECONDS)
        self._on_result("dead" if due_at is None else "failed")
        await self._store.postpone(target, cursor, error, due_at, lease)

    async def _events(self, target: Target, cursor: Cursor) -> Iterable[tuple[int, OutgoingEvent, bool]]:
        """The next events to deliver, with their numbers and whether they are the last ones here.

        None if the subscription was erased.
        """
        tenant_id = target.tenant_id
        if cursor.kind is Kind.CUSTOMER:
            content, identity = self._encoders.erasure(cursor.subject_id, cursor.latest), (tenant_id, *cursor[1:4])
            event = outgoing(content, identity, subject=cursor.subject_id, time=cursor.latest, number=cursor.latest)
            return [(cursor.latest, event, True)]
        events = await self._subscriptions.events(tenant_id, cursor.subject_id, 0, _ALL)
        found = await self._subscriptions.subscription(tenant_id, cursor.subject_id)
        if found is None or not events:
            return []
        return self._outgoing(tenant_id, cursor, events, found.household_id, found.created_at)

    def _outgoing(
        self, tenant_id: str, cursor: Cursor, events: Sequence[RecordedEvent], household_id: str, created_at: int
    ) -> Iterator[tuple[int, OutgoingEvent, bool]]:
        """Encodes each event only when it is sent."""
        states = replayed(cursor.subject_id, household_id, events)
        rest = itertools.dropwhile(lambda one: one[0].number <= cursor.delivered, states)
        for count, (event, state) in enumerate(itertools.islice(rest, MAX_EVENTS), 1):
            content = self._encoders.event(view_at(state, event.occurred_at), event)
            # A subscription that was erased may be followed by another one with the same id.
            identity = (tenant_id, cursor.subject_id, created_at, event.number)
            sent = outgoing(content, identity, subject=cursor.subject_id, time=event.occurred_at, number=event.number)
            yield event.number, sent, count == MAX_EVENTS or event is events[-1]

    def _lease(self) -> Lease:
        length = self._rules.timeout_seconds + LEASE_MARGIN_SECONDS
        return Lease(self._owner, self._clock(), int(length * MICROSECONDS))


def _report(error: BaseException) -> None:
    """Reports an unexpected error to the event loop, which logs it."""
    asyncio.get_running_loop().call_exception_handler({"message": "events are not delivered", "exception": error})
