"""The port to the database that holds purchases, and what its operations return."""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from pantree_history.core.clocks import ClockStore
from pantree_history.core.limits import Limits
from pantree_history.core.lines import Line, LineKey, Revision
from pantree_runtime.errors import ComponentUnavailable

COMPONENT = "history-store"
EXPIRED_PER_TRANSACTION = 500
"""Households whose old lines are removed at once, so that other calls don't wait long."""


class Household(NamedTuple):
    """A household of a tenant, as callers name it."""

    tenant_id: str
    household_id: str


class Outcome(Enum):
    """What became of a line that was to be stored."""

    ADDED = "added"
    DUPLICATE = "duplicate"
    """It is already stored with the same content."""
    CONFLICT = "conflict"
    """Its key is stored with other content, or for another household."""
    ERASED = "erased"
    """Its household was erased, and has not consented again or only after the purchase."""


class HouseholdState(NamedTuple):
    """What is known about a stored household."""

    household_id: str
    version: str
    """Opaque; equal versions of a household have equal lines."""
    line_count: int
    """Current lines."""
    changed_at: int
    """Microseconds since 1970-01-01 in UTC."""
    merged_into: str = ""
    """The household that has its lines; empty if it was not merged."""


def version_of(change_number: int, changed_at: int) -> str:
    """Version of a household: the number of its change and, since a restored backup repeats numbers, its time."""
    return f"{change_number}-{changed_at:x}"


class StoredLines(NamedTuple):
    """The current lines of a household, or those of some time."""

    state: HouseholdState
    lines: Sequence[Line]
    """Ordered by day, order and line."""


class StoredRevisions(NamedTuple):
    """Everything that is stored about a household."""

    state: HouseholdState
    revisions: Sequence[Revision]
    """Ordered by day, order, line and revision."""


class LineOf(NamedTuple):
    """A line and the household that it belongs to."""

    household_id: str
    line: Line


class Appended(NamedTuple):
    """The outcome of storing lines."""

    outcomes: Sequence[Outcome]
    """One for each line, in their order."""
    states: Mapping[str, HouseholdState]
    """By the id in the request: the households of the lines, as far as they are stored."""


class Progress(NamedTuple):
    """How far an import has come."""

    import_id: str
    next_row: int


class Changes(NamedTuple):
    """Changed households."""

    states: Sequence[HouseholdState]
    """In the order of their latest changes."""
    position: tuple[int, int]
    """Where the next changes begin."""


class Corrected(NamedTuple):
    """The outcome of a correction."""

    corrected_count: int
    removed_count: int
    missing: Sequence[LineKey]
    """Keys that the household does not have; if there are any, nothing was changed."""
    state: HouseholdState


class Erasure(NamedTuple):
    """An entry of the ledger of erasures."""

    digest: bytes
    """Keyed hash of tenant and household."""
    erased_at: int
    """Microseconds since 1970-01-01 in UTC."""
    consented_at: int | None = None
    """When the person consented again; None if not."""

    def refuses(self, occurred_on: int, erased_on: int) -> bool:
        """Whether a purchase of a day may not be stored."""
        return self.consented_at is None or occurred_on < erased_on


class Merge(NamedTuple):
    """A merge of a household into another one."""

    household_id: str
    """The merged household."""
    merged_into: str
    """Perhaps merged itself since."""
    merged_at: int
    """Microseconds since 1970-01-01 in UTC."""
    actor: str
    moved_line_count: int
    """Current lines."""


class Merged(NamedTuple):
    """The outcome of a merge."""

    surviving_id: str
    merge: Merge
    """The first one, of a repeated merge."""
    is_new: bool
    moved_offer_count: int
    moved_subscription_count: int
    state: HouseholdState | None
    """Of the surviving household; None if it has no lines."""


class MergeRefusal(Enum):
    """Why households were not merged."""

    SAME = "same"
    """Both are the same household already, the other way round."""
    UNKNOWN = "unknown"
    """Nothing is stored of the household to merge."""
    ERASED = "erased"
    """One of both was erased and has not consented again."""


Digest = Callable[[Household], bytes]
"""Keyed hash of a household, as in the ledger."""


class Erased(NamedTuple):
    """The outcome of an erasure."""

    entry: Erasure
    """Of the household as it was named."""
    removed_count: int
    """Revisions."""
    other_ids: Sequence[str]
    """Its other ids, which were erased with it."""


class Expired(NamedTuple):
    """What a removal of old lines removed, or would."""

    revision_count: int
    household_count: int
    """Households of these lines."""
    removed_household_count: int
    """Those of them without lines now."""


class HistoryStore(ClockStore, Protocol):
    """Stores lines by household. Each call is one transaction: it happens as a whole or not at all.

    The id of a merged household means the one that it was merged into. All calls may raise `ComponentUnavailable`: the
    database does not answer, is full or is read-only. Erasures
    also remove what `SubscriptionStore` keeps.
    """

    async def open(self) -> None:
        """Connects, and creates or migrates the schema.

        Raises:
            StoreMismatch: a migration that was applied differs from ours.
        """

    async def close(self) -> None:
        """Closes all connections."""

    async def check(self) -> str:
        """What is wrong with the database; empty if it works."""

    async def append(
        self,
        tenant_id: str,
        lines: Sequence[LineOf],
        digest: Digest,
        recorded_at: int,
        *,
        whole: bool,
        consent: bool = False,
        dry_run: bool = False,
        progress: Progress | None = None,
        limits: Limits | None = None,
    ) -> Appended:
        """Stores lines.

        Args:
            tenant_id: the tenant of all lines.
            lines: the lines.
            digest: keyed hash of a household.
            recorded_at: now.
            whole: store nothing unless every line is new or a duplicate.
            consent: erased households consent again.
            dry_run: store nothing at all.
            progress: of the import that the lines are of; stored with them.
            limits: quotas of the tenant; None for none.

        Raises:
            QuotaExceeded: the tenant would have more than its quotas allow; nothing was stored.
        """

    async def next_row(self, tenant_id: str, import_id: str) -> int:
        """Where an import goes on; 0 if it is unknown."""

    async def changed(self, tenant_id: str, position: tuple[int, int], limit: int) -> Changes:
        """Households that changed after a position; (0, 0) for all. No change is ever skipped."""

    async def correct(
        self, household: Household, lines: Sequence[Line], removed: Sequence[LineKey], recorded_at: int
    ) -> Corrected | None:
        """Replaces and removes lines of a household; None if it is not stored."""

    async def lines(self, household: Household, known_at: int | None) -> StoredLines | None:
        """The lines of a household; None if it is not stored.

        Args:
            household: the household.
            known_at: reads what was current at this instant; None for what is current.
        """

    async def revisions(self, household: Household) -> StoredRevisions | None:
        """All revisions of a household's lines; None if it is not stored."""

    async def households(self, tenant_id: str, after: str, limit: int) -> Sequence[HouseholdState]:
        """Households with lines whose id is greater than `after`, ordered by id in code points."""

    async def merges(self, household: Household) -> Sequence[Merge]:
        """Merges into a household, ordered by time."""

    async def merge(
        self, household: Household, merged_id: str, digest: Digest, merged_at: int, actor: str
    ) -> Merged | MergeRefusal:
        """Moves all lines, offers and subscriptions of a household to another one of the tenant.

        Args:
            household: the one that remains.
            merged_id: the other one.
            digest: keyed hash of a household.
            merged_at: now.
            actor: who merges them.
        """

    async def replay(self, digest: Digest) -> int:
        """Erases again whom a restored backup brought back, and finishes interrupted erasures; how many households.

        Lines that were stored since the erasure, with a new consent, are kept.

        Args:
            digest: keyed hash of a household.
        """

    async def tenants(self) -> Sequence[str]:
        """Tenants of whom anything is stored."""

    async def expire(self, tenant_id: str, first_day: int, now: int, *, dry_run: bool = False) -> Expired:
        """Removes all revisions of lines before a day, in several transactions.

        Args:
            tenant_id: the tenant.
            first_day: the first day whose lines are kept.
            now: microseconds since 1970-01-01 in UTC.
            dry_run: only count them.
        """

    async def oldest_day(self, tenant_id: str) -> int | None:
        """Day of the oldest line of a tenant, in any revision; None if there is none."""

    async def tidy(self, tenant_id: str, progress_until: int) -> None:
        """Forgets imports that were last continued before an instant, and counts again what a tenant stores."""

    async def compact(self) -> None:
        """Removes what was deleted from files, as far as the database can."""

    async def erase(self, household: Household, digest: Digest, erased_at: int) -> Erased:
        """Writes the ledger, then removes all revisions of a household and of those that were merged into it."""


def unavailable(problem: str, place: str) -> ComponentUnavailable:
    """The error for a database that cannot be used."""
    reasons = {
        "full": "the disk of the history database is full",
        "readonly": "the history database is read-only",
        "locked": "the history database is locked by another program",
    }
    reason = next((text for sign, text in reasons.items() if sign in problem), "the history database cannot be used")
    return ComponentUnavailable(
        COMPONENT, f"{reason}; nothing was stored; try again later", f"history database {place}: {problem}"
    )
