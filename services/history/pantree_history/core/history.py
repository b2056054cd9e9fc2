"""What callers can do with stored purchases."""

import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

from pantree_domain.days import calendar_day
from pantree_history.core.ledger import digest_of
from pantree_history.core.lines import MICROSECONDS, Line, LineKey, day_of, end_of_day
from pantree_history.core.purchases import Purchases, purchases_of
from pantree_history.core.store import (
    Appended,
    Changes,
    Corrected,
    Erasure,
    HistoryStore,
    Household,
    HouseholdState,
    LineOf,
    Outcome,
    Progress,
    StoredLines,
    StoredRevisions,
)
from pantree_runtime.errors import AlreadyExists, CustomerErased, FieldViolation, InvalidInput, NotFound

Clock = Callable[[], int]
"""Microseconds since 1970-01-01 in UTC."""

BUCKETS = 64
_MAX_SHOWN = 3
_PAGE_SIZE = 1000


def bucket_of(household_id: str) -> int:
    """Bucket of a household, 0 to 63: the CRC-32 of its id in UTF-8, modulo 64."""
    return zlib.crc32(household_id.encode()) % BUCKETS


def system_clock() -> int:
    """Microseconds since 1970-01-01 in UTC, from the system."""
    return time.time_ns() * MICROSECONDS // 1_000_000_000


class Counts(NamedTuple):
    """The outcome of storing the lines of one household."""

    state: HouseholdState
    added: int
    duplicates: int


class History:
    """Stores, reads and erases the purchases of households.

    Args:
        store: where they are stored.
        ledger_key: key of the hashes in the ledger of erasures.
        clock: the time.
    """

    def __init__(self, store: HistoryStore, ledger_key: bytes, clock: Clock = system_clock) -> None:
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
            InvalidInput: a line is from the future.
            AlreadyExists: other content is stored under the key of a line.
            CustomerErased: the household was erased, and has not consented again or only after a purchase.
        """
        now = self._clock()
        _check_days(lines, now)
        tenant_id, household_id = household
        digests = {household_id: self._digest(household)}
        appended = await self._store.append(
            tenant_id, [LineOf(household_id, line) for line in lines], digests, now, whole=True, consent=consent
        )
        _raise_refused(lines, appended)
        counts = Counter(appended.outcomes)
        return Counts(appended.states[household_id], counts[Outcome.ADDED], counts[Outcome.DUPLICATE])

    async def add_batch(
        self, tenant_id: str, lines: Sequence[LineOf], *, dry_run: bool = False, progress: Progress | None = None
    ) -> Sequence[Outcome]:
        """Stores those lines of many households that can be stored; the outcome of each."""
        digests = {one: self._digest(Household(tenant_id, one)) for one in {line.household_id for line in lines}}
        appended = await self._store.append(
            tenant_id, lines, digests, self._clock(), whole=False, dry_run=dry_run, progress=progress
        )
        return appended.outcomes

    async def next_row(self, tenant_id: str, import_id: str) -> int:
        """Where an import goes on; 0 if it is unknown or has no id."""
        return await self._store.next_row(tenant_id, import_id) if import_id else 0

    @property
    def last_day(self) -> int:
        """The latest day of purchases that can be stored: a shop east of Greenwich is a day ahead."""
        return day_of(self._clock()) + 1

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
            InvalidInput: a line is from the future, or a key is not stored for this household.
            NotFound: nothing is stored of the household.
        """
        now = self._clock()
        _check_days(lines, now)
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

    async def erase(self, household: Household) -> tuple[Erasure, int]:
        """Erases a household; the entry of the ledger, and the number of removed revisions."""
        return await self._store.erase(household, self._digest(household), self._clock())

    def _digest(self, household: Household) -> bytes:
        return digest_of(self._ledger_key, *household)


def _check_days(lines: Sequence[Line], now: int) -> None:
    # A shop east of Greenwich is a day ahead.
    last = day_of(now) + 1
    late = [
        FieldViolation(f"purchases[{at}].date", f"must not be after {calendar_day(last).isoformat()}, tomorrow in UTC")
        for at, line in enumerate(lines)
        if line.occurred_on > last
    ]
    if late:
        raise InvalidInput(late)


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
