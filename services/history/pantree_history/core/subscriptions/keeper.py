"""What callers can do with offers and subscriptions."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from pantree_domain.days import calendar_day
from pantree_history.core.clocks import TenantClock, same_for_all
from pantree_history.core.ledger import digest_of
from pantree_history.core.store import Household
from pantree_history.core.subscriptions.calendar import MAX_AHEAD_DAYS, DeliveryOf, deliveries
from pantree_history.core.subscriptions.decide import LEVERS, as_of, decide, elapse
from pantree_history.core.subscriptions.evolve import begin, evolve_all, replayed
from pantree_history.core.subscriptions.mirroring import RESERVED_PREFIXES, SCHEDULE, Mirroring
from pantree_history.core.subscriptions.model import (
    Command,
    Created,
    Event,
    HouseholdPause,
    Item,
    Offer,
    PauseHousehold,
    Reactivate,
    RecordedEvent,
    ResumeHousehold,
    Status,
    Subscription,
    Terms,
)
from pantree_history.core.subscriptions.schedule import Interval, local_day, start_of_day
from pantree_history.core.subscriptions.store import (
    Key,
    Reading,
    Request,
    RequestPart,
    StoredEvents,
    SubscriptionStore,
    Writing,
    changed_deliveries,
)
from pantree_runtime.errors import (
    AlreadyExists,
    CustomerErased,
    EtagMismatch,
    FieldViolation,
    InvalidInput,
    InvalidState,
    NotFound,
    QuotaExceeded,
    RequestIdReused,
)

_ALL = 1_000_000
_ID_BYTES = 12
MAX_SUBSCRIPTIONS = 500
"""Of a customer, as many as the contract lets a review have (`ReviewSubscriptionsRequest.subscriptions`)."""
_PAGE_SIZE = 1000
# Where days begin last.
_WESTMOST = "Etc/GMT+12"
_KEPT_FAILURES = {one.reason: one for one in (InvalidState, EtagMismatch)}


class Call(NamedTuple):
    """How a change is requested."""

    actor: str = ""
    etag: str = ""
    """Of the subscription as the caller knows it; empty for any."""
    request_id: str = ""
    request_digest: str = ""
    """Hash of the content of the request."""


class Agreement(NamedTuple):
    """What a subscription is created from; what is None is taken from the offer."""

    subscription_id: str
    """Empty to choose one."""
    item: Item | None
    quantity: int | None
    interval: Interval | None
    anchor_day: int
    cut_off_days: int
    time_zone: str
    expires_on: int | None
    offer_id: str
    recommendation_id: str
    consent: str


class View(NamedTuple):
    """A subscription as it is on a day."""

    subscription: Subscription
    today: int
    """In the shop's time zone."""


class Due(NamedTuple):
    """A subscription to which something happens because a day comes."""

    at: int
    """When the day begins, in microseconds since 1970-01-01 in UTC."""
    household_id: str
    subscription_id: str


class Changed(NamedTuple):
    """The outcome of a change."""

    view: View
    events: Sequence[RecordedEvent]


def etag_of(subscription: Subscription) -> str:
    """Identifies a version of a subscription; never that of another one with the same id."""
    return f"{subscription.version}-{subscription.created_at:x}"


class Subscriptions:
    """Keeps the offers and subscriptions of households.

    Args:
        store: where they are stored.
        ledger_key: key of the hashes in the ledger of erasures.
        clock: the time of a tenant.
        new_id: id of a new offer or subscription.
    """

    def __init__(
        self,
        store: SubscriptionStore,
        ledger_key: bytes,
        clock: TenantClock = same_for_all,
        new_id: Callable[[], str] = lambda: secrets.token_hex(_ID_BYTES),
    ) -> None:
        self._store = store
        self._ledger_key = ledger_key
        self._clock = clock
        self._new_id = new_id
        self.mirroring = Mirroring(store, ledger_key, clock)
        """Keeps those whose master is an engine."""

    async def offer(self, household: Household, offer: Offer, call: Call) -> Offer:
        """Stores an offer, whose id, household and time are set here.

        Raises:
            CustomerErased: the household was erased and has not consented again.
            RequestIdReused: the id of the request was used for another one.
        """
        now = await self._clock(household.tenant_id)
        offer_id = self._new_id()

        def change(reading: Reading) -> Writing:
            if reading.request is not None:
                return _repeated(reading.request, call)
            _check_not_erased(reading)
            new = replace(offer, offer_id=offer_id, household_id=reading.household.household_id, shown_at=now)
            return Writing(offer=new, request=_request(call, now, offer_id))

        writing = await self._change(household, Key(request_id=call.request_id), change)
        if writing.offer is not None:
            return writing.offer
        assert writing.request is not None
        earlier = await self._store.offers(household, "", _ALL)
        return next(one for one in earlier if one.offer_id == writing.request.subject_id)

    async def offers(self, household: Household, after: str, limit: int) -> Sequence[Offer]:
        """Offers to a household whose id is greater than `after`, ordered by id."""
        return await self._store.offers(household, after, limit)

    async def create(self, household: Household, agreement: Agreement, call: Call) -> Changed:
        """Begins a subscription.

        Raises:
            CustomerErased: the household was erased and has not consented again.
            NotFound: there is no such offer to the household.
            InvalidState: the offer is accepted already.
            AlreadyExists: there is a subscription with this id.
            InvalidInput: the days are not possible, item and interval are missing, or the id is one of an engine's.
            QuotaExceeded: the customer has too many.
            RequestIdReused: the id of the request was used for another one.
        """
        now = await self._clock(household.tenant_id)
        subscription_id = agreement.subscription_id or self._new_id()
        today = local_day(now, agreement.time_zone)

        def change(reading: Reading) -> Writing:
            if reading.request is not None:
                return _repeated(reading.request, call)
            _check_not_erased(reading)
            if subscription_id.startswith(RESERVED_PREFIXES):
                # Otherwise a customer could take the id that another one's subscription at an engine will get.
                text = f"must not begin with {' or '.join(RESERVED_PREFIXES)}, as those of engines do"
                raise InvalidInput([FieldViolation("subscription_id", text)])
            if reading.subscription is not None:
                raise AlreadyExists("a subscription with this subscription_id exists; send another one, or none")
            if reading.subscription_count >= MAX_SUBSCRIPTIONS:
                raise QuotaExceeded(
                    f"a customer has at most {MAX_SUBSCRIPTIONS} subscriptions, also counting those that have ended; "
                    "reactivate one of those",
                    {"quota": "subscriptions", "limit": str(MAX_SUBSCRIPTIONS)},
                )
            offer = reading.offer
            if agreement.offer_id and (offer is None or offer.household_id != reading.household.household_id):
                raise NotFound("there is no such offer to this customer")
            if offer is not None and offer.subscription_id:
                raise InvalidState(f"the offer is accepted already, by subscription {offer.subscription_id}")
            created = Created(_terms(agreement, offer, today))
            paused = None if reading.pause is None else reading.pause.joined_by(agreement.time_zone, today)
            events: list[Event] = [created] if paused is None else [created, paused]
            state = begin(subscription_id, reading.household.household_id, created, now)
            return Writing(
                subscription=evolve_all(state, events[1:]),
                events=[RecordedEvent(number, now, call.actor, one) for number, one in enumerate(events, 1)],
                offer=None if offer is None else replace(offer, subscription_id=subscription_id),
                request=_request(call, now, subscription_id, len(events), len(events)),
            )

        key = Key(subscription_id, agreement.offer_id, call.request_id, pause=True, counted=True)
        return await self._outcome(household, await self._change(household, key, change))

    async def change(self, household: Household, subscription_id: str, command: Command, call: Call) -> Changed:
        """Does a command.

        Raises:
            NotFound: the household has no such subscription.
            EtagMismatch: the subscription changed since the caller read it.
            InvalidState: the command cannot be done in its state.
            InvalidInput: a day or a sequence is not possible.
            RequestIdReused: the id of the request was used for another one.
        """
        now = await self._clock(household.tenant_id)

        def change(reading: Reading) -> Writing:
            if reading.request is not None:
                return _repeated(reading.request, call)
            state = reading.subscription
            if state is None or state.household_id != reading.household.household_id:
                raise _not_found()
            try:
                if call.etag and call.etag != etag_of(state):
                    raise EtagMismatch("the subscription changed since this etag; read it again")
                _check_is_kept_here(state, command)
                writing = _decided(state, command, call.actor, now, reading.pause)
            except (InvalidState, EtagMismatch) as error:
                failure = _request(call, now, subscription_id, 0, state.version, error)
                if failure is None:
                    raise
                return Writing(request=failure)
            version = state.version + len(writing.events)
            return writing._replace(request=_request(call, now, subscription_id, len(writing.events), version))

        key = Key(subscription_id, request_id=call.request_id, pause=isinstance(command, Reactivate))
        return await self._outcome(household, await self._change(household, key, change))

    async def pause_all(self, household: Household, until: int | None, call: Call) -> Sequence[Changed]:
        """Pauses all subscriptions of a household; those that it changed, ordered by id.

        What begins until the pause ends is paused, too.

        Args:
            household: the household.
            until: first day on which deliveries take place again; None for no end.
            call: how it is requested.

        Raises:
            CustomerErased: the household was erased and has not consented again.
            InvalidInput: the day has come already in the time zone of a subscription.
            RequestIdReused: the id of the request was used for another one.
        """
        now = await self._clock(household.tenant_id)

        def change(reading: Reading) -> Writing:
            if reading.request is not None:
                return _repeated(reading.request, call)
            _check_not_erased(reading)
            first = local_day(now, _WESTMOST)
            if until is not None and until <= first:
                text = f"must be after today, {calendar_day(first).isoformat()}"
                raise InvalidInput([FieldViolation("until", text)])
            return _decided_for_all(reading, PauseHousehold(until), call, now)._replace(
                pause=_pause_of(reading.pause, until, now)
            )

        return await self._change_all(household, call, change)

    async def resume_all(self, household: Household, call: Call) -> Sequence[Changed]:
        """Ends what `pause_all` began, and nothing else; the subscriptions that it changed, ordered by id.

        Raises:
            RequestIdReused: the id of the request was used for another one.
        """
        now = await self._clock(household.tenant_id)

        def change(reading: Reading) -> Writing:
            if reading.request is not None:
                return _repeated(reading.request, call)
            return _decided_for_all(reading, ResumeHousehold(), call, now)._replace(ends_pause=True)

        return await self._change_all(household, call, change)

    async def due(self, tenant_id: str, until: int) -> Sequence[Due]:
        """What happens to subscriptions of a tenant until an instant because a day comes, ordered by time."""
        found: list[Due] = []
        after = ""
        while page := await self._store.subscriptions_of_tenant(tenant_id, after, _PAGE_SIZE):
            for state in page:
                zone = state.terms.time_zone
                days = {one.on for one in elapse(state, local_day(until, zone))}
                found += [Due(start_of_day(day, zone), state.household_id, state.subscription_id) for day in days]
            after = page[-1].subscription_id
        return sorted(found)

    async def settle(self, tenant_id: str, due: Due) -> int:
        """Stores what happened to a subscription until its day came; the number of events."""

        def change(reading: Reading) -> Writing:
            state = reading.subscription
            if state is None:  # erased since
                return Writing()
            elapsed = elapse(state, local_day(due.at, state.terms.time_zone))
            return _recorded(state, [(SCHEDULE, one) for one in elapsed], due.at)

        household = Household(tenant_id, due.household_id)
        return len((await self._change(household, Key(due.subscription_id), change)).events)

    async def get(self, household: Household, subscription_id: str) -> View:
        """A subscription as it is today.

        Raises:
            NotFound: the household has no such subscription.
        """
        found = await self._store.subscription(household.tenant_id, subscription_id)
        resolved = await self._store.resolve(household)
        if found is None or found.household_id != resolved.household_id:
            raise _not_found()
        return view_at(found, await self._clock(household.tenant_id))

    async def all(self, household: Household, after: str, limit: int) -> Sequence[View]:
        """Subscriptions of a household whose id is greater than `after`, ordered by id, as they are today."""
        now = await self._clock(household.tenant_id)
        return [view_at(one, now) for one in await self._store.subscriptions(household, after, limit)]

    async def deliveries(
        self, household: Household, subscription_id: str, first: int, until: int | None, default_days: int
    ) -> tuple[View, Sequence[DeliveryOf]]:
        """Deliveries of a subscription from a sequence on.

        Args:
            household: the household.
            subscription_id: the subscription.
            first: the first sequence.
            until: last day; None for `default_days` from today.
            default_days: see `until`.

        Raises:
            NotFound: the household has no such subscription.
            InvalidInput: the last day is too far ahead.
        """
        view = await self.get(household, subscription_id)
        last = view.today + MAX_AHEAD_DAYS
        if until is not None and until > last:
            raise InvalidInput([FieldViolation("until", f"must not be after {calendar_day(last).isoformat()}")])
        until = view.today + default_days if until is None else until
        return view, list(deliveries(view.subscription, until, first))

    async def events(
        self, household: Household, subscription_id: str, after: int, limit: int
    ) -> Sequence[RecordedEvent]:
        """Events of a subscription whose number is greater than `after`, ordered by number.

        Raises:
            NotFound: the household has no such subscription.
        """
        await self.get(household, subscription_id)
        return await self._store.events(household.tenant_id, subscription_id, after, limit)

    async def household_pause(self, household: Household) -> HouseholdPause | None:
        """The pause of a household, which may have ended; None if there is none."""
        return await self._store.pause(household)

    async def export(self, household: Household) -> tuple[Sequence[Offer], Sequence[tuple[View, StoredEvents]]]:
        """All offers and subscriptions of a household, with their events."""
        views = await self.all(household, "", _ALL)
        stored = []
        for view in views:
            events = await self._store.events(household.tenant_id, view.subscription.subscription_id, 0, _ALL)
            stored.append((view, StoredEvents(view.subscription, events)))
        return await self._store.offers(household, "", _ALL), stored

    async def _change(self, household: Household, key: Key, change: Callable[[Reading], Writing]) -> Writing:
        return await self._store.change(household, lambda one: digest_of(self._ledger_key, *one), key, change)

    async def _outcome(self, household: Household, writing: Writing) -> Changed:
        """The outcome of a change, also of a repeated one: as it was the first time."""
        if writing.subscription is not None:
            now = await self._clock(household.tenant_id)
            return Changed(view_at(writing.subscription, now), writing.events)
        request = writing.request
        assert request is not None
        if request.error_reason:
            raise _KEPT_FAILURES[request.error_reason](request.error_message)
        part = RequestPart(request.subject_id, request.event_count, request.version)
        return await self._answered(household.tenant_id, part, request.created_at)

    async def _change_all(
        self, household: Household, call: Call, change: Callable[[Reading], Writing]
    ) -> Sequence[Changed]:
        """The outcome of a change of all subscriptions, also of a repeated one: as it was the first time."""
        writing = await self._change(household, Key(request_id=call.request_id, household=True), change)
        if writing.request is not None:
            request, tenant_id = writing.request, household.tenant_id
            return [await self._answered(tenant_id, one, request.created_at) for one in request.parts]
        now = await self._clock(household.tenant_id)
        return [
            Changed(view_at(one.subscription, now), one.events) for one in writing.more if one.subscription is not None
        ]

    async def _answered(self, tenant_id: str, part: RequestPart, answered_at: int) -> Changed:
        """A subscription as it was after a request."""
        found = await self._store.subscription(tenant_id, part.subscription_id)
        events = await self._store.events(tenant_id, part.subscription_id, 0, part.version)
        if found is None:
            raise _not_found()
        *_, (_, state) = replayed(found.subscription_id, found.household_id, events)
        return Changed(view_at(state, answered_at), events[part.version - part.event_count :])


def view_at(subscription: Subscription, instant: int) -> View:
    """A subscription as it is on the day of an instant, in the shop's time zone."""
    today = local_day(instant, subscription.terms.time_zone)
    # Its version stays that of the stored one, so that an etag holds until somebody changes something.
    return View(replace(as_of(subscription, today), version=subscription.version), today)


def _decided(
    state: Subscription, command: Command, actor: str, now: int, pause: HouseholdPause | None = None
) -> Writing:
    """What a command changes, with what happened before because a day came; without events if nothing changes."""
    today = local_day(now, state.terms.time_zone)
    elapsed = elapse(state, today)
    before = evolve_all(state, elapsed)
    wanted = list(decide(before, command, today))
    if pause is not None and before.status in (Status.CANCELLED, Status.EXPIRED):
        paused = pause.joined_by(state.terms.time_zone, today)
        if paused is not None and evolve_all(before, wanted).status is Status.ACTIVE:
            wanted.append(replace(paused, on=today))
    events: list[tuple[str, Event]] = [(SCHEDULE, one) for one in elapsed] if wanted else []
    return _recorded(state, [*events, *((actor, one) for one in wanted)], now)


def _decided_for_all(reading: Reading, command: Command, call: Call, now: int) -> Writing:
    """What a command changes in each subscription of a household."""
    # Those of an engine are paused and resumed there.
    kept_here = [one for one in reading.subscriptions if one.mirror is None]
    decided = [_decided(one, command, call.actor, now) for one in kept_here]
    changed = [one for one in decided if one.events]
    parts = [
        RequestPart(one.subscription.subscription_id, len(one.events), one.subscription.version)
        for one in changed
        if one.subscription is not None
    ]
    request = _request(call, now, "")
    return Writing(more=changed, request=None if request is None else request._replace(parts=tuple(parts)))


def _recorded(state: Subscription, events: Sequence[tuple[str, Event]], now: int) -> Writing:
    """Events with their actors, after which a subscription is another one."""
    if not events:
        return Writing(state, events=[])
    after = replace(evolve_all(state, [one for _, one in events]), changed_at=now)
    recorded = [
        RecordedEvent(number, now, actor, event) for number, (actor, event) in enumerate(events, state.version + 1)
    ]
    return Writing(after, changed_deliveries(state.deliveries, after.deliveries), recorded)


def _pause_of(known: HouseholdPause | None, until: int | None, now: int) -> HouseholdPause:
    """A new pause of a household, or the known one with another end."""
    is_running = known is not None and (known.until is None or known.until > local_day(now, _WESTMOST))
    return HouseholdPause(known.paused_at if known is not None and is_running else now, until)


def _terms(agreement: Agreement, offer: Offer | None, today: int) -> Terms:
    item = agreement.item or (offer.item if offer else None)
    interval = agreement.interval or (offer.interval if offer else None)
    missing = [name for name, value in (("item", item), ("interval", interval)) if value is None]
    violations = [FieldViolation(name, "is required without an offer") for name in missing]
    last = today + MAX_AHEAD_DAYS
    if not today - MAX_AHEAD_DAYS <= agreement.anchor_day <= last:
        text = f"must be within {MAX_AHEAD_DAYS} days of today, {calendar_day(today).isoformat()}"
        violations.append(FieldViolation("anchor_date", text))
    if agreement.expires_on is not None and agreement.expires_on <= max(today, agreement.anchor_day):
        violations.append(FieldViolation("expires_on", "must be after today and after anchor_date"))
    if violations:
        raise InvalidInput(violations)
    assert item is not None
    assert interval is not None
    return Terms(
        item=item,
        quantity=agreement.quantity or (offer.quantity if offer else 1),
        interval=interval,
        anchor_day=agreement.anchor_day,
        cut_off_days=agreement.cut_off_days,
        time_zone=agreement.time_zone,
        expires_on=agreement.expires_on,
        offer_id=agreement.offer_id,
        recommendation_id=agreement.recommendation_id or (offer.recommendation_id if offer else ""),
        consent=agreement.consent,
    )


def _request(
    call: Call,
    now: int,
    subject_id: str,
    event_count: int = 0,
    version: int = 0,
    error: InvalidState | EtagMismatch | None = None,
) -> Request | None:
    if not call.request_id:
        return None
    failure = ("", "") if error is None else (error.reason, error.message)
    return Request(call.request_id, call.request_digest, now, subject_id, event_count, version, *failure)


def _repeated(request: Request, call: Call) -> Writing:
    if request.digest != call.request_digest:
        raise RequestIdReused("this request_id was sent before with another request; send a new one")
    return Writing(request=request)


def _check_is_kept_here(state: Subscription, command: Command) -> None:
    if state.mirror is not None and type(command) in LEVERS:
        engine, external_id = state.mirror.engine, state.mirror.external_id
        raise InvalidState(
            f"{engine} keeps this subscription; change {external_id} there, and its event changes it here, too"
        )


def _check_not_erased(reading: Reading) -> None:
    if reading.is_erased:
        raise CustomerErased("this customer was erased; AppendPurchases with new_consent records a new consent")


def _not_found() -> NotFound:
    return NotFound("this customer has no such subscription")
