"""What callers can do with stored purchases."""

import zlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from pantree_domain.days import calendar_day
from pantree_history.core.clocks import TenantClock, same_for_all
from pantree_history.core.ledger import digest_of
from pantree_history.core.limits import IMPORT_PROGRESS_DAYS, Limits, TenantLimits
from pantree_history.core.lines import MICROSECONDS, SECONDS_PER_DAY, Line, LineKey, day_of, end_of_day
from pantree_history.core.purchases import Purchases, purchases_of
from pantree_history.core.store import (
    Appended,
    Changes,
    Corrected,
    Erased,
    Expired,
    HistoryStore,
    Household,
    HouseholdState,
    LineOf,
    Merge,
    Merged,
    MergeRefusal,
    Outcome,
    Progress,
    StoredLines,
    StoredRevisions,
)
from pantree_runtime.errors import AlreadyExists, CustomerErased, FieldViolation, InvalidInput, NotFound

BUCKETS = 64
_MAX_SHOWN = 3
_PAGE_SIZE = 1000


def bucket_of(household_id: str) -> int:
    """Bucket of a household, 0 to 63: the CRC-32 of its id in UTF-8, modulo 64."""
    return zlib.crc32(household_id.encode()) % BUCKETS


class Counts(NamedTuple):
    """The outcome of storing the lines of one household."""

    state: HouseholdState
    added: int
    duplicates: int


class Retention(NamedTuple):
    """The receipt of a removal of old lines."""

    days: int
    """How long the tenant keeps lines; 0 for good."""
    first_day: int | None
    applied_at: int
    expired: Expired


class History:
    """Stores, reads and erases the purchases of households.

    Args:
        store: where they are stored.
        ledger_key: key of the hashes in the ledger of erasures.
        clock: the time of a tenant.
        limits: of tenants.
    """

    def __init__(
        self,
        store: HistoryStore,
        ledger_key: bytes,
        clock: TenantClock = same_for_all,
        limits: TenantLimits | None = None,
    ) -> None:
        self._limits = limits or TenantLimits()
        self._store = store
        self._ledger_key = ledger_key
        self._clock = clock

    async def open(self) -> int:
        """Opens the store; the number of households that it erased again, because a backup was restored."""
        await self._store.open()
        return await self._store.replay(self._digest)

    async def close(self) -> None:
        """Closes the store."""
        await self._store.close()

    async def append(self, household: Household, lines: Sequence[Line], *, consent: bool = False) -> Counts:
        """Stores lines of a household: all, or none.

        Raises:
            InvalidInput: a line is from the future, or too old to be kept.
            QuotaExceeded: the tenant may not store more.
            AlreadyExists: other content is stored under the key of a line.
            CustomerErased: the household was erased, and has not consented again or only after a purchase.
        """
        tenant_id, household_id = household
        now = await self._clock(tenant_id)
        limits = self._limits.of(tenant_id)
        _check_days(lines, now, limits)
        appended = await self._store.append(
            tenant_id,
            [LineOf(household_id, line) for line in lines],
            self._digest,
            now,
            whole=True,
            consent=consent,
            limits=limits if limits.has_quotas else None,
        )
        _raise_refused(lines, appended)
        counts = Counter(appended.outcomes)
        return Counts(appended.states[household_id], counts[Outcome.ADDED], counts[Outcome.DUPLICATE])

    async def add_batch(
        self, tenant_id: str, lines: Sequence[LineOf], *, dry_run: bool = False, progress: Progress | None = None
    ) -> Sequence[Outcome]:
        """Stores those lines of many households that can be stored; the outcome of each.

        Raises:
            QuotaExceeded: the tenant may not store so many.
        """
        limits = self._limits.of(tenant_id)
        appended = await self._store.append(
            tenant_id,
            lines,
            self._digest,
            await self._clock(tenant_id),
            whole=False,
            dry_run=dry_run,
            progress=progress,
            limits=limits if limits.has_quotas else None,
        )
        return appended.outcomes

    async def next_row(self, tenant_id: str, import_id: str) -> int:
        """Where an import goes on; 0 if it is unknown or has no id."""
        return await self._store.next_row(tenant_id, import_id) if import_id else 0

    async def days(self, tenant_id: str) -> range:
        """Days of purchases that can be stored: those that the tenant keeps, until the one that has begun somewhere."""
        today = day_of(await self._clock(tenant_id))
        return range(self._limits.of(tenant_id).first_day(today) or 0, today + 2)

    async def changed(self, tenant_id: str, position: tuple[int, int], limit: int) -> Changes:
        """Households that changed after a position; (0, 0) for all."""
        return await self._store.changed(tenant_id, position, limit)

    async def bucket(
        self, tenant_id: str, bucket: int, as_of: int | None
    ) -> AsyncIterator[tuple[HouseholdState, Purchases]]:
        """Purchases of all households of a bucket that have any."""
        after = ""
        while states := await self._store.households(tenant_id, after, _PAGE_SIZE):
            for state in states:
                if bucket_of(state.household_id) == bucket:
                    stored = await self._store.lines(Household(tenant_id, state.household_id), None)
                    if stored is not None:  # not erased since
                        yield stored.state, purchases_of(stored.lines, as_of)
            after = states[-1].household_id

    async def correct(self, household: Household, lines: Sequence[Line], removed: Sequence[LineKey]) -> Corrected:
        """Replaces and removes lines of a household: all, or none.

        Raises:
            InvalidInput: a line is from the future or too old to be kept, or a key is not stored for this household.
            NotFound: nothing is stored of the household.
        """
        now = await self._clock(household.tenant_id)
        _check_days(lines, now, self._limits.of(household.tenant_id))
        corrected = await self._store.correct(household, lines, removed, now)
        if corrected is None:
            raise _not_found()
        if corrected.missing:
            first = [line.key for line in lines]
            positions = {key: f"purchases[{at}]" for at, key in enumerate(first)}
            positions |= {key: f"removed[{at}]" for at, key in enumerate(removed)}
            text = "is not stored for this customer; AppendPurchases stores new lines"
            raise InvalidInput([FieldViolation(positions[key], text) for key in corrected.missing])
        return corrected

    async def purchases(
        self, household: Household, known_on: int | None = None, as_of: int | None = None
    ) -> tuple[HouseholdState, Purchases]:
        """Purchases of a household without what was returned.

        Args:
            household: the household.
            known_on: day whose end limits what is read; None for everything.
            as_of: last day of the purchases; None for no limit.

        Raises:
            NotFound: nothing is stored of the household.
        """
        stored = await self.lines(household, known_on)
        return stored.state, purchases_of(stored.lines, as_of)

    async def lines(self, household: Household, known_on: int | None = None) -> StoredLines:
        """Lines of a household, ordered by day, order and line.

        Raises:
            NotFound: nothing is stored of the household, or nothing was at that time.
        """
        stored = await self._store.lines(household, None if known_on is None else end_of_day(known_on))
        if stored is None or (known_on is not None and not stored.lines):
            raise _not_found()
        return stored

    async def households(self, tenant_id: str, after: str, limit: int) -> Sequence[HouseholdState]:
        """Households of a tenant whose id is greater than `after`, ordered by id."""
        return await self._store.households(tenant_id, after, limit)

    async def export(self, household: Household) -> StoredRevisions:
        """All lines that are stored about a household.

        Raises:
            NotFound: there are none.
        """
        stored = await self.revisions(household)
        if stored is None:
            raise _not_found()
        return stored

    async def revisions(self, household: Household) -> StoredRevisions | None:
        """All lines that are stored about a household; None if there are none."""
        return await self._store.revisions(household)

    async def merges(self, household: Household) -> Sequence[Merge]:
        """Merges into a household, ordered by time."""
        return await self._store.merges(household)

    async def merge(self, household: Household, merged_id: str, actor: str) -> Merged:
        """Makes another id a name of a household, which gets all that is stored under it.

        Raises:
            InvalidInput: both ids are one household already, the other way round.
            NotFound: nothing is stored under the other id.
            CustomerErased: one of both was erased and has not consented again.
        """
        now = await self._clock(household.tenant_id)
        merged = await self._store.merge(household, merged_id, self._digest, now, actor)
        if merged is MergeRefusal.SAME:
            text = "must not be the customer that remains, nor one that it is part of: they are one customer already"
            raise InvalidInput([FieldViolation("merged_customer_id", text)])
        if merged is MergeRefusal.UNKNOWN:
            raise NotFound("nothing is stored of the customer to merge; check merged_customer_id")
        if merged is MergeRefusal.ERASED:
            raise CustomerErased(
                "one of these customers was erased; AppendPurchases with new_consent records a new consent"
            )
        return merged

    async def apply_retention(self, tenant_id: str, *, dry_run: bool = False) -> Retention:
        """Removes the lines that are older than the tenant keeps them."""
        now, limits = await self._clock(tenant_id), self._limits.of(tenant_id)
        first_day = limits.first_day(day_of(now))
        expired = Expired(0, 0, 0)
        if first_day is not None:
            expired = await self._store.expire(tenant_id, first_day, now, dry_run=dry_run)
        return Retention(limits.retention_days, first_day, now, expired)

    async def maintain(self) -> int:
        """Applies the retention of all tenants and compacts the store; number of removed revisions."""
        removed = 0
        for tenant_id in await self._store.tenants():
            removed += (await self.apply_retention(tenant_id)).expired.revision_count
            await self.tidy(tenant_id)
        await self._store.compact()
        return removed

    async def tidy(self, tenant_id: str) -> None:
        """Forgets imports of a tenant that can no longer be resumed, and counts again what it stores."""
        kept = IMPORT_PROGRESS_DAYS * SECONDS_PER_DAY * MICROSECONDS
        await self._store.tidy(tenant_id, await self._clock(tenant_id) - kept)

    async def next_removal(self, tenant_id: str) -> int | None:
        """When the next lines of a tenant are too old to be kept, in microseconds since 1970-01-01; None if never."""
        limits, oldest = self._limits.of(tenant_id), await self._store.oldest_day(tenant_id)
        if oldest is None or not limits.retention_days:
            return None
        return (oldest + limits.retention_days + 1) * SECONDS_PER_DAY * MICROSECONDS

    async def erase(self, household: Household) -> Erased:
        """Erases a household with all ids that were merged into it."""
        return await self._store.erase(household, self._digest, await self._clock(household.tenant_id))

    def _digest(self, household: Household) -> bytes:
        return digest_of(self._ledger_key, *household)


def _check_days(lines: Sequence[Line], now: int, limits: Limits) -> None:
    # A shop east of Greenwich is a day ahead.
    today = day_of(now)
    first, last = limits.first_day(today) or 0, today + 1
    late = f"must not be after {calendar_day(last).isoformat()}, tomorrow in UTC"
    early = (
        f"must not be before {calendar_day(first).isoformat()}: purchases are kept for {limits.retention_days:,} days"
    )
    wrong = [
        FieldViolation(f"purchases[{at}].date", late if line.occurred_on > last else early)
        for at, line in enumerate(lines)
        if not first <= line.occurred_on <= last
    ]
    if wrong:
        raise InvalidInput(wrong)


def _raise_refused(lines: Sequence[Line], appended: Appended) -> None:
    if Outcome.ERASED in appended.outcomes:
        raise CustomerErased(
            "this customer was erased; with a new consent, send new_consent and only purchases since the day of the "
            "erasure"
        )
    conflicts = [at for at, outcome in enumerate(appended.outcomes) if outcome is Outcome.CONFLICT]
    if conflicts:
        shown = ", ".join(f"purchases[{at}]" for at in conflicts[:_MAX_SHOWN])
        more = f" and {len(conflicts) - _MAX_SHOWN:,} more" if len(conflicts) > _MAX_SHOWN else ""
        raise AlreadyExists(
            f"{shown}{more}: this order_id and line_id are stored with other content or for another customer; nothing "
            "was stored; CorrectPurchases changes stored lines"
        )


def _not_found() -> NotFound:
    return NotFound("nothing is stored of this customer; store purchases first")
