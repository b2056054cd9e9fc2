"""Keeps subscriptions as their engines report them."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import NamedTuple

from pantree_history.core.clocks import TenantClock
from pantree_history.core.ledger import digest_of
from pantree_history.core.store import Household
from pantree_history.core.subscriptions.decide import elapse
from pantree_history.core.subscriptions.engines.reports import EngineEvent, OrderReport, Snapshot
from pantree_history.core.subscriptions.evolve import begin, evolve_all
from pantree_history.core.subscriptions.model import Engine, Event, RecordedEvent, Subscription
from pantree_history.core.subscriptions.reconcile import Outdated, apply_order, created_by, reconcile
from pantree_history.core.subscriptions.schedule import local_day
from pantree_history.core.subscriptions.store import (
    Key,
    Reading,
    Request,
    SubscriptionStore,
    Writing,
    changed_deliveries,
)
from pantree_runtime.errors import AlreadyExists

SCHEDULE = "schedule"
"""Actor of events that happen because a day came."""
_ALL = 1_000_000


class Outcome(StrEnum):
    """What an event of an engine did to a subscription."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    REPEATED = "repeated"
    OUTDATED = "outdated"
    UNKNOWN = "unknown"
    ERASED = "erased"


class EngineResult(NamedTuple):
    """What an event of an engine did to one subscription."""

    household_id: str
    """Empty if it is unknown."""
    subscription_id: str
    outcome: Outcome
    events: Sequence[RecordedEvent] = ()


RESERVED_PREFIXES = tuple(f"{engine}-" for engine in Engine)
"""What the ids of mirrored subscriptions begin with."""


def subscription_id_of(engine: Engine, external_id: str) -> str:
    """Id of a mirrored subscription."""
    return f"{engine}-{external_id}"


class Mirroring:
    """Stores what engines report about the subscriptions that they keep.

    Args:
        store: where they are stored.
        ledger_key: key of the hashes in the ledger of erasures.
        clock: the time of a tenant.
    """

    def __init__(self, store: SubscriptionStore, ledger_key: bytes, clock: TenantClock) -> None:
        self._store = store
        self._ledger_key = ledger_key
        self._clock = clock

    async def record(
        self, tenant_id: str, event: EngineEvent, payload_digest: str, time_zone: str
    ) -> Sequence[EngineResult]:
        """Stores an event; its results by subscription.

        An event that arrives again, or after a newer one, changes nothing.

        Args:
            tenant_id: the tenant.
            event: the event.
            payload_digest: hash of its payload.
            time_zone: IANA name of the shop's time zone, for subscriptions that are new.

        Raises:
            InvalidInput: days of the event are too far away.
            AlreadyExists: a subscription with this id is kept here.
        """
        results = []
        for seen in event.snapshots:
            results.append(await self._record(tenant_id, event, payload_digest, seen, time_zone))
        for report in event.orders:
            if report.external_id:
                results.append(await self._record(tenant_id, event, payload_digest, report, time_zone))
                continue
            for external_id in await self._with_order(tenant_id, event.engine, report):
                named = report._replace(external_id=external_id)
                results.append(await self._record(tenant_id, event, payload_digest, named, time_zone))
        return results

    async def _with_order(self, tenant_id: str, engine: Engine, report: OrderReport) -> Sequence[str]:
        """Ids in the engine of a household's subscriptions that have an order."""
        found = await self._store.subscriptions(Household(tenant_id, report.household_id), "", _ALL)
        return [
            one.mirror.external_id
            for one in found
            if one.mirror is not None
            and one.mirror.engine is engine
            and any(delivery.order_id == report.order_id for delivery in one.deliveries.values())
        ]

    async def _record(
        self, tenant_id: str, event: EngineEvent, payload_digest: str, report: Snapshot | OrderReport, time_zone: str
    ) -> EngineResult:
        external_id = report.mirror.external_id if isinstance(report, Snapshot) else report.external_id
        subscription_id = subscription_id_of(event.engine, external_id)
        # Reports about orders do not always name the household, and a merged one has another name here.
        known = await self._store.subscription(tenant_id, subscription_id)
        household_id = report.household_id if known is None else known.household_id
        if known is None and not isinstance(report, Snapshot):
            return EngineResult(household_id, subscription_id, Outcome.UNKNOWN)
        now, request_id = await self._clock(tenant_id), f"{event.engine}/{event.event_id}/{external_id}"
        outcome = Outcome.UNCHANGED

        def change(reading: Reading) -> Writing:
            nonlocal outcome
            if reading.request is not None:
                outcome = Outcome.REPEATED
                return Writing()
            state = reading.subscription
            if reading.is_erased or (state is not None and state.household_id != reading.household.household_id):
                # The latter: erased, or merged, in between.
                outcome = Outcome.ERASED if reading.is_erased else Outcome.UNKNOWN
                return Writing()
            if state is not None and state.mirror is None:
                raise AlreadyExists(f"subscription {subscription_id} is kept here, so no engine may report it")
            try:
                after, events = _after(state, reading.household, subscription_id, report, time_zone, now)
            except Outdated:
                outcome, after, events = Outcome.OUTDATED, state, []
            if after is None:
                outcome = Outcome.UNKNOWN
                return Writing()
            if events:
                outcome = Outcome.APPLIED
            elif outcome is not Outcome.OUTDATED:
                outcome = Outcome.UNCHANGED
            first = after.version - len(events) + 1
            actor = f"engine:{event.engine}"
            recorded = [
                RecordedEvent(number, now, who or actor, one) for number, (who, one) in enumerate(events, first)
            ]
            before = {} if state is None else state.deliveries
            return Writing(
                after,
                changed_deliveries(before, after.deliveries),
                recorded,
                request=Request(request_id, payload_digest, now, subscription_id, len(events), after.version),
            )

        writing = await self._store.change(
            Household(tenant_id, household_id),
            lambda one: digest_of(self._ledger_key, *one),
            Key(subscription_id, request_id=request_id),
            change,
        )
        if writing.subscription is not None:
            household_id = writing.subscription.household_id
        return EngineResult(household_id, subscription_id, outcome, writing.events)


def _after(
    state: Subscription | None,
    household: Household,
    subscription_id: str,
    report: Snapshot | OrderReport,
    time_zone: str,
    now: int,
) -> tuple[Subscription | None, Sequence[tuple[str, Event]]]:
    """A subscription after a report, and the events with their actors; an empty actor is the engine."""
    events: list[tuple[str, Event]] = []
    today = local_day(now, time_zone if state is None else state.terms.time_zone)
    if state is None:
        if not isinstance(report, Snapshot):
            return None, []
        created = created_by(report, time_zone, today)
        state = begin(subscription_id, household.household_id, created, now)
        events.append(("", created))
    else:
        elapsed = elapse(state, today)
        state = evolve_all(state, elapsed)
        events += [(SCHEDULE, one) for one in elapsed]
    wanted = reconcile(state, report, today) if isinstance(report, Snapshot) else apply_order(state, report, today)
    events += [("", one) for one in wanted]
    return replace(evolve_all(state, wanted), changed_at=now if events else state.changed_at), events
