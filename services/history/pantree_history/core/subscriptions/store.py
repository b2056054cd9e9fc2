"""The port to the database that holds subscriptions."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from pantree_history.core.store import Digest, HistoryStore, Household
from pantree_history.core.subscriptions.model import Delivery, HouseholdPause, Offer, RecordedEvent, Subscription
from pantree_history.core.webhooks.store import WebhookStore


class RequestPart(NamedTuple):
    """What became of one of the subscriptions that a request changed."""

    subscription_id: str
    event_count: int
    version: int
    """After it."""


class Request(NamedTuple):
    """A request with an id, and what became of it."""

    request_id: str
    digest: str
    """Hash of its content."""
    created_at: int
    """Microseconds since 1970-01-01 in UTC."""
    subject_id: str
    """The subscription or offer that it created or changed; empty for all subscriptions of the household."""
    event_count: int
    version: int
    """Of the subscription, after it."""
    error_reason: str = ""
    """Why it failed; empty if it did not."""
    error_message: str = ""
    parts: tuple[RequestPart, ...] = ()
    """Of a request for all subscriptions of the household: those that it changed."""


class Key(NamedTuple):
    """What a change reads; empty ids read nothing."""

    subscription_id: str = ""
    offer_id: str = ""
    request_id: str = ""
    pause: bool = False
    """Whether the pause of the household is read."""
    counted: bool = False
    """Whether the subscriptions of the household are counted."""
    household: bool = False
    """Whether all subscriptions of the household are read, and its pause."""


class Reading(NamedTuple):
    """What is stored, at the start of a change."""

    household: Household
    """The one that is named, or the one that it was merged into."""
    is_erased: bool
    """Whether the household was erased and has not consented again."""
    request: Request | None
    subscription: Subscription | None
    """It may be of another household."""
    offer: Offer | None
    """It may be of another household."""
    pause: HouseholdPause | None = None
    """It may have ended."""
    subscriptions: Sequence[Subscription] = ()
    """All of the household, ordered by id in code points."""
    subscription_count: int = 0
    """Of the household's subscriptions, also of those that have ended."""


class Writing(NamedTuple):
    """What a change stores."""

    subscription: Subscription | None = None
    deliveries: Sequence[Delivery] = ()
    """Those that changed."""
    events: Sequence[RecordedEvent] = ()
    offer: Offer | None = None
    request: Request | None = None
    more: Sequence["Writing"] = ()
    """Changes of other subscriptions that were read."""
    pause: HouseholdPause | None = None
    ends_pause: bool = False
    """Whether the pause of the household is forgotten."""


class StoredEvents(NamedTuple):
    """A subscription with its events."""

    subscription: Subscription
    events: Sequence[RecordedEvent]
    """Ordered by number."""


class SubscriptionStore(Protocol):
    """Stores subscriptions by household. Each call is one transaction: it happens as a whole or not at all.

    The id of a merged household means the one that it was merged into. All calls may raise `ComponentUnavailable`: the
    database does not answer, is full or is read-only.
    """

    async def change(
        self, household: Household, digest: Digest, key: Key, change: Callable[[Reading], Writing]
    ) -> Writing:
        """Reads, decides and stores; changes of a household happen one after the other.

        Args:
            household: the household.
            digest: keyed hash of a household in the ledger of erasures.
            key: what is read.
            change: what is stored; it may be called again, so it has no effects.

        Raises:
            AlreadyExists: another household took the id of a new subscription at the same time.
        """

    async def resolve(self, household: Household) -> Household:
        """The household that a household was merged into; itself if it was not."""

    async def subscription(self, tenant_id: str, subscription_id: str) -> Subscription | None:
        """A subscription; None if there is none."""

    async def subscriptions(self, household: Household, after: str, limit: int) -> Sequence[Subscription]:
        """Subscriptions of a household whose id is greater than `after`, ordered by id in code points."""

    async def subscriptions_of_tenant(self, tenant_id: str, after: str, limit: int) -> Sequence[Subscription]:
        """Subscriptions whose id is greater than `after`, ordered by id in code points, without their deliveries."""

    async def pause(self, household: Household) -> HouseholdPause | None:
        """The pause of a household, which may have ended; None if there is none."""

    async def offers(self, household: Household, after: str, limit: int) -> Sequence[Offer]:
        """Offers to a household whose id is greater than `after`, ordered by id in code points."""

    async def events(self, tenant_id: str, subscription_id: str, after: int, limit: int) -> Sequence[RecordedEvent]:
        """Events of a subscription whose number is greater than `after`, ordered by number."""


class CombinedStore(HistoryStore, Protocol):
    """Stores purchases, subscriptions and webhooks in one database."""

    @property
    def subscriptions(self) -> SubscriptionStore:
        """Where subscriptions are stored."""

    @property
    def webhooks(self) -> WebhookStore:
        """Where webhooks are stored."""


def changed_deliveries(before: Mapping[int, Delivery], after: Mapping[int, Delivery]) -> Sequence[Delivery]:
    """Deliveries that are new or different."""
    return [delivery for sequence, delivery in after.items() if before.get(sequence) != delivery]
