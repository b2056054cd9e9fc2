"""What callers can do with offers and subscriptions."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from pantree_domain.days import calendar_day
from pantree_history.core.history import Clock, system_clock
from pantree_history.core.ledger import digest_of
from pantree_history.core.store import Household
from pantree_history.core.subscriptions.calendar import MAX_AHEAD_DAYS, DeliveryOf, deliveries
from pantree_history.core.subscriptions.decide import LEVERS, as_of, decide, elapse
from pantree_history.core.subscriptions.evolve import begin, evolve_all, replayed
from pantree_history.core.subscriptions.mirroring import SCHEDULE, Mirroring
from pantree_history.core.subscriptions.model import (
    Command,
    Created,
    Event,
    Item,
    Offer,
    RecordedEvent,
    Subscription,
    Terms,
)
from pantree_history.core.subscriptions.schedule import Interval, local_day
from pantree_history.core.subscriptions.store import (
    Key,
    Reading,
    Request,
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
    RequestIdReused,
)

_ALL = 1_000_000
_ID_BYTES = 12
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
        clock: the time.
        new_id: id of a new offer or subscription.
    """

    def __init__(
        self,
        store: SubscriptionStore,
        ledger_key: bytes,
        clock: Clock = system_clock,
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
        now = self._clock()
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
            InvalidInput: the days are not possible, or item and interval are missing.
            RequestIdReused: the id of the request was used for another one.
        """
        now = self._clock()
        subscription_id = agreement.subscription_id or self._new_id()
        today = local_day(now, agreement.time_zone)

        def change(reading: Reading) -> Writing:
            if reading.request is not None:
                return _repeated(reading.request, call)
            _check_not_erased(reading)
            if reading.subscription is not None:
                raise AlreadyExists("a subscription with this subscription_id exists; send another one, or none")
            offer = reading.offer
            if agreement.offer_id and (offer is None or offer.household_id != reading.household.household_id):
                raise NotFound("there is no such offer to this customer")
            if offer is not None and offer.subscription_id:
                raise InvalidState(f"the offer is accepted already, by subscription {offer.subscription_id}")
            created = Created(_terms(agreement, offer, today))
            state = begin(subscription_id, reading.household.household_id, created, now)
            return Writing(
                subscription=state,
                events=[RecordedEvent(1, now, call.actor, created)],
                offer=None if offer is None else replace(offer, subscription_id=subscription_id),
                request=_request(call, now, subscription_id, 1, 1),
            )

        key = Key(subscription_id, agreement.offer_id, call.request_id)
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
        now = self._clock()

        def change(reading: Reading) -> Writing:
            if reading.request is not None:
                return _repeated(reading.request, call)
            state = reading.subscription
            if state is None or state.household_id != reading.household.household_id:
                raise _not_found()
            today = local_day(now, state.terms.time_zone)
            try:
                if call.etag and call.etag != etag_of(state):
                    raise EtagMismatch("the subscription changed since this etag; read it again")
                _check_is_kept_here(state, command)
                elapsed = elapse(state, today)
                wanted = decide(evolve_all(state, elapsed), command, today)
            except (InvalidState, EtagMismatch) as error:
                failure = _request(call, now, subscription_id, 0, state.version, error)
                if failure is None:
                    raise
                return Writing(request=failure)
            events: list[tuple[str, Event]] = [(SCHEDULE, one) for one in elapsed] if wanted else []
            events += [(call.actor, one) for one in wanted]
            if not events:
                return Writing(state, request=_request(call, now, subscription_id, 0, state.version))
            after = replace(evolve_all(state, [one for _, one in events]), changed_at=now)
            recorded = [
                RecordedEvent(number, now, actor, event)
                for number, (actor, event) in enumerate(events, state.version + 1)
            ]
            changed = changed_deliveries(state.deliveries, after.deliveries)
            request = _request(call, now, subscription_id, len(events), after.version)
            return Writing(after, changed, recorded, request=request)

        key = Key(subscription_id, request_id=call.request_id)
        return await self._outcome(household, await self._change(household, key, change))

    async def get(self, household: Household, subscription_id: str) -> View:
        """A subscription as it is today.

        Raises:
            NotFound: the household has no such subscription.
        """
        found = await self._store.subscription(household.tenant_id, subscription_id)
        resolved = await self._store.resolve(household)
        if found is None or found.household_id != resolved.household_id:
            raise _not_found()
        return view_at(found, self._clock())

    async def all(self, household: Household, after: str, limit: int) -> Sequence[View]:
        """Subscriptions of a household whose id is greater than `after`, ordered by id, as they are today."""
        now = self._clock()
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
            return Changed(view_at(writing.subscription, self._clock()), writing.events)
        request = writing.request
        assert request is not None
        if request.error_reason:
            raise _KEPT_FAILURES[request.error_reason](request.error_message)
        found = await self._store.subscription(household.tenant_id, request.subject_id)
        events = await self._store.events(household.tenant_id, request.subject_id, 0, request.version)
        if found is None:
            raise _not_found()
        *_, (_, state) = replayed(found.subscription_id, found.household_id, events)
        return Changed(view_at(state, request.created_at), events[request.version - request.event_count :])


def view_at(subscription: Subscription, instant: int) -> View:
    """A subscription as it is on the day of an instant, in the shop's time zone."""
    today = local_day(instant, subscription.terms.time_zone)
    # Its version stays that of the stored one, so that an etag holds until somebody changes something.
    return View(replace(as_of(subscription, today), version=subscription.version), today)


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
