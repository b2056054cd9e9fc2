"""How long purchases are kept and how much tenants may store, in every store."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from google.rpc import code_pb2

from pantree_history.__main__ import build, maintain
from pantree_history.backends.sqlite import SqliteStore
from pantree_history.core.history import History
from pantree_history.core.limits import Limits, TenantLimits
from pantree_history.core.lines import LineKey
from pantree_history.core.store import Household, LineOf, Outcome, Progress
from pantree_history.core.subscriptions.store import CombinedStore
from pantree_history.settings import HistorySettings
from pantree_runtime.errors import InvalidInput, NotFound, QuotaExceeded
from pantree_runtime.status import status_of
from tests.history.conftest import opened
from tests.history.receipts import FIRST_DAY, START, Clock, line, receipt
from tests.history.test_sqlite import files_in

TODAY = START // 86_400_000_000 - FIRST_DAY
SMALL, LARGE = (Household(tenant, "4711") for tenant in ("small", "large"))
KEPT = TenantLimits(Limits(retention_days=0), {"small": Limits(retention_days=30)})


def quotas(**limits: int) -> TenantLimits:
    return TenantLimits(Limits(), {"small": Limits(**limits)})


async def test_old_lines_are_removed_with_a_receipt_and_others_stay(
    make_store: Callable[[], CombinedStore], clock: Clock
) -> None:
    async with opened(make_store(), clock, KEPT) as history:
        for household in (SMALL, LARGE):
            first = await history.append(household, [*receipt(1, TODAY - 30, "Milk", "Rice"), line(2, 1, TODAY)])
            await history.append(household._replace(household_id="gone"), receipt(3, TODAY - 29, "Tea"))
        await history.correct(SMALL, [line(1, 1, TODAY - 30, "Bread")], [LineKey("order-1", "2")])
        assert (await history.apply_retention("small")).expired == (0, 0, 0), "30 days are kept"
        clock.advance(days=2)
        dry = await history.apply_retention("small", dry_run=True)
        assert (await history.lines(SMALL)).state.line_count == 2
        applied = await history.apply_retention("small")
        assert dry == applied
        assert applied.expired == (4, 2, 1), "three revisions, and the tea"
        assert (applied.days, applied.first_day) == (30, FIRST_DAY + TODAY - 28)
        stored = await history.lines(SMALL)
        assert ([one.order_id for one in stored.lines], stored.state.line_count) == (["order-2"], 1)
        assert stored.state.version != first.state.version
        assert [one.household_id for one in await history.households("small", "", 10)] == ["4711"]
        assert (await history.apply_retention("large")).expired == (0, 0, 0)
        assert (await history.lines(LARGE)).state.line_count == 3


async def test_lines_that_are_no_longer_kept_are_refused(history: History, clock: Clock) -> None:
    old = TODAY - 3_651
    with pytest.raises(
        InvalidInput, match=r"purchases\[1\]\.date: must not be before .*: purchases are kept for 3,650"
    ):
        await history.append(SMALL, [line(1, 1, TODAY), line(1, 2, old)])
    assert FIRST_DAY + old not in await history.days("small")
    assert FIRST_DAY + old + 1 in await history.days("small")


async def test_maintenance_serves_all_tenants_and_forgets_old_imports(
    make_store: Callable[[], CombinedStore], clock: Clock
) -> None:
    limits = TenantLimits(Limits(retention_days=30))
    async with opened(make_store(), clock, limits) as history:
        for household in (SMALL, LARGE):
            await history.append(household, receipt(1, TODAY, "Milk"))
        await history.add_batch("small", [LineOf("x", line(2, 1, TODAY))], progress=Progress("night", 1))
        clock.advance(days=29)
        await history.append(SMALL, receipt(3, TODAY + 29, "Tea"))
        assert await history.maintain() == 0
        assert await history.next_row("small", "night") == 1
        clock.advance(days=3)
        task = asyncio.create_task(maintain(history, 3600, first_seconds=0))
        for _ in range(2_000):
            if not await history.next_row("small", "night"):
                break
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        assert [one.name for one in (await history.lines(SMALL)).lines] == ["Tea"]
        with pytest.raises(NotFound):
            await history.lines(LARGE)


async def test_removed_lines_are_not_in_the_bytes_of_the_file_while_the_service_runs(
    tmp_path: Path, clock: Clock
) -> None:
    async with opened(SqliteStore(tmp_path / "history.db"), clock, KEPT) as history:
        await history.append(SMALL, receipt(1, TODAY - 30, "marker-item"))
        await history.append(SMALL, receipt(2, TODAY, "Milk"))
        clock.advance(days=1)
        assert await history.maintain() == 1
        contents = files_in(tmp_path)
        assert [name for name, content in contents.items() if b"marker-item" in content] == []


async def test_quota_of_lines_names_itself_and_leaves_others_alone(
    make_store: Callable[[], CombinedStore], clock: Clock
) -> None:
    store = make_store()
    async with opened(store, clock, quotas(max_lines=3)) as history:
        await history.append(SMALL, receipt(1, 0, "Milk", "Rice"))
        with pytest.raises(QuotaExceeded, match="max_lines is 3 lines: 2 are used, and this call has 2 new") as raised:
            await history.append(SMALL, receipt(2, 0, "Tea", "Figs"))
        status = status_of(raised.value)
        assert (status.code, raised.value.metadata) == (
            code_pb2.RESOURCE_EXHAUSTED, {"quota": "max_lines", "limit": "3"},
        )  # fmt: skip
        await history.append(LARGE, receipt(1, 0, "a", "b", "c", "d"))
        assert (await history.append(SMALL, receipt(1, 0, "Milk", "Rice"))).duplicates == 2, "nothing is new"
        # What is corrected away, erased or expired makes room.
        await history.correct(SMALL, [], [LineKey("order-1", "1")])
        await history.append(SMALL, receipt(2, 0, "Tea", "Figs"))
        with pytest.raises(QuotaExceeded):
            await history.append(SMALL._replace(household_id="other"), receipt(3, 0, "Salt"))
        assert [one.household_id for one in await history.households("small", "", 10)] == ["4711"]
        await history.erase(SMALL)
        batch = [LineOf("other", one) for one in receipt(3, 0, "Salt", "Soap", "Oats")]
        assert await history.add_batch("small", batch, dry_run=True) == [Outcome.ADDED] * 3
        assert await history.add_batch("small", batch) == [Outcome.ADDED] * 3
        with pytest.raises(QuotaExceeded):
            await history.add_batch("small", [LineOf("other", line(4, 1))])
        await history.maintain()  # counts again
        with pytest.raises(QuotaExceeded):
            await history.append(Household("small", "other"), receipt(4, 0, "Beer"))


async def test_quota_of_customers_counts_merged_ones_once(
    make_store: Callable[[], CombinedStore], clock: Clock
) -> None:
    async with opened(make_store(), clock, quotas(max_customers=2)) as history:
        ids = [Household("small", name) for name in "abc"]
        for number, household in enumerate(ids[:2]):
            await history.append(household, receipt(number, 0, "Milk"))
        with pytest.raises(QuotaExceeded, match="max_customers is 2 customers"):
            await history.append(ids[2], receipt(2, 0, "Milk"))
        await history.append(ids[0], receipt(3, 0, "Rice"))
        await history.merge(ids[0], "b", "")
        await history.append(ids[2], receipt(2, 0, "Milk"))
        with pytest.raises(QuotaExceeded):
            await history.append(Household("small", "d"), receipt(4, 0, "Milk"))
        await history.append(ids[1], receipt(5, 0, "Tea"))


async def test_quota_of_a_day_begins_again_the_next_day_and_holds_for_concurrent_calls(
    make_store: Callable[[], CombinedStore], clock: Clock
) -> None:
    async with opened(make_store(), clock, quotas(max_lines_per_day=5)) as history:
        calls = [history.append(Household("small", f"h{n}"), receipt(n, 0, "Milk", "Rice")) for n in range(6)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(one, QuotaExceeded) for one in results) == 4
        clock.advance(days=1)
        await history.append(SMALL, receipt(10, 0, *"abcde"))
        with pytest.raises(QuotaExceeded, match=r"tomorrow \(UTC\)"):
            await history.append(SMALL, receipt(11, 0, "Milk"))


def test_limits_of_tenants_come_from_settings() -> None:
    settings = HistorySettings(max_lines=10, tenants='{"north": {"retention_days": 730, "max_lines": 0}}')
    assert settings.limits.of("north") == Limits(730)
    assert settings.limits.of("") == Limits(3_650, max_lines=10)
    for wrong in (
        "x",
        "[]",
        '{"north": {"days": 1}}',
        '{"north": {"max_lines": -1}}',
        '{"north": {"max_lines": true}}',
    ):
        with pytest.raises(ValueError, match="PANTREE_HISTORY_TENANTS "):
            HistorySettings(tenants=wrong)


async def test_service_stops_while_maintenance_waits() -> None:
    spec = await build(HistorySettings(store_url="sqlite://:memory:"))
    await spec.warm_up()
    async with asyncio.timeout(10):
        await spec.close()
