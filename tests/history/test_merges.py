"""Two ids of one household become one, in every store."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from pantree_history.backends.sqlite import SqliteStore
from pantree_history.core.history import History
from pantree_history.core.lines import LineKey
from pantree_history.core.store import Household
from pantree_history.core.subscriptions.keeper import Call, Subscriptions
from pantree_history.core.subscriptions.model import ChangeQuantity
from pantree_history.core.subscriptions.store import CombinedStore
from pantree_runtime.errors import CustomerErased, InvalidInput, NotFound
from tests.history.conftest import opened
from tests.history.receipts import FIRST_DAY, KEY, START, Clock, line, receipt
from tests.history.test_sqlite import restore
from tests.history.test_subscriptions import agreement

CARD, APP, OTHER = (Household("north", name) for name in ("card", "app", "other"))
DAY = START // 86_400_000_000


class Part(NamedTuple):
    """What the history part keeps."""

    history: History
    subscriptions: Subscriptions


@pytest.fixture
async def part(make_store: Callable[[], CombinedStore], clock: Clock) -> AsyncIterator[Part]:
    store = make_store()
    async with opened(store, clock) as history:
        yield Part(history, Subscriptions(store.subscriptions, KEY, clock))


async def names(history: History, household: Household) -> list[str]:
    return [one.name for one in (await history.lines(household)).lines]


async def test_merged_id_is_another_name_in_all_calls(part: Part, clock: Clock) -> None:
    history, subscriptions = part
    await history.append(CARD, receipt(1, 0, "Milk"))
    before = await history.append(APP, receipt(2, 1, "Rice", "Tea"))
    await subscriptions.create(APP, agreement(), Call(request_id="r-1", request_digest="x"))
    await history.append(Household("south", "app"), receipt(3, 0, "Bread"))
    clock.advance()
    merged = await history.merge(CARD, "app", "support:anna")
    assert (merged.surviving_id, merged.merge.moved_line_count, merged.moved_subscription_count) == ("card", 2, 1)
    assert merged.state is not None
    assert (merged.state.household_id, merged.state.line_count) == ("card", 3)
    assert merged.state.version != before.state.version

    assert await names(history, APP) == await names(history, CARD) == ["Milk", "Rice", "Tea"]
    assert [one.household_id for one in await history.households("north", "", 10)] == ["card"]
    late = await history.append(APP, receipt(4, 2, "Eggs"))
    assert (late.state.household_id, late.state.line_count) == ("card", 4)
    retry = await history.append(APP, receipt(2, 1, "Rice", "Tea"))
    assert (retry.added, retry.duplicates) == (0, 2)
    both = [*receipt(5, 3, "Figs"), *receipt(6, 3, "Dates")]
    await asyncio.gather(history.append(APP, both[:1]), history.append(CARD, both[1:]))
    assert (await history.lines(CARD)).state.line_count == 6
    await history.correct(APP, [], [LineKey("order-4", "1")])
    assert (await history.export(APP)).state.line_count == 5
    assert await names(history, Household("south", "app")) == ["Bread"], "another tenant"

    assert (await subscriptions.get(CARD, "s-1")).subscription.household_id == "card"
    changed = await subscriptions.change(APP, "s-1", ChangeQuantity(3), Call())
    assert [one.subscription for one in await subscriptions.all(APP, "", 10)] == [changed.view.subscription]
    repeated = await subscriptions.create(APP, agreement(), Call(request_id="r-1", request_digest="x"))
    assert repeated.view.subscription.version == 1, "the answer of the first request"
    [merge] = await history.merges(CARD)
    assert merge == ("app", "card", clock.now, "support:anna", 2)


async def test_repeated_merge_changes_nothing_and_its_reverse_is_refused(part: Part, clock: Clock) -> None:
    history, _ = part
    await history.append(CARD, receipt(1, 0, "Milk"))
    await history.append(APP, receipt(2, 0, "Rice"))
    first = await history.merge(CARD, "app", "")
    clock.advance()
    again = await history.merge(CARD, "app", "someone else")
    assert again == first._replace(is_new=False)
    with pytest.raises(InvalidInput, match=r"merged_customer_id: .* one customer already"):
        await history.merge(APP, "card", "")
    with pytest.raises(NotFound):
        await history.merge(CARD, "typo", "")
    assert [one.household_id for one in await history.households("north", "", 10)] == ["card"]


async def test_chain_of_merges_and_their_changes(part: Part, clock: Clock) -> None:
    history, subscriptions = part
    for number, household in enumerate((CARD, APP), 1):
        await history.append(household, receipt(number, 0, f"item {number}"))
    position = (await history.changed("north", (0, 0), 10)).position
    await history.merge(CARD, "app", "")
    clock.advance()
    moved = await history.merge(OTHER, "app", "")  # app is card, and nothing is stored of other
    assert (moved.surviving_id, moved.merge.household_id, moved.merge.moved_line_count) == ("other", "card", 2)
    for household in (CARD, APP, OTHER):
        assert await names(history, household) == ["item 1", "item 2"]
    changed = await history.changed("north", position, 10)
    assert {one.household_id: (one.merged_into, one.line_count) for one in changed.states} == {
        "card": ("other", 0), "app": ("other", 0), "other": ("", 2),
    }  # fmt: skip
    assert [one.household_id for one in await history.merges(OTHER)] == ["app", "card"]
    # A household with subscriptions only can be merged too.
    await subscriptions.create(Household("north", "web"), agreement("s-2"), Call())
    assert (await history.merge(OTHER, "web", "")).moved_subscription_count == 1
    assert (await subscriptions.get(APP, "s-2")).subscription.household_id == "other"


@pytest.mark.parametrize("named", [CARD, APP])
async def test_erasure_by_any_id_erases_all_ids(part: Part, clock: Clock, named: Household) -> None:
    history, subscriptions = part
    await history.append(CARD, receipt(1, 0, "Milk"))
    await history.append(APP, receipt(2, 0, "Rice"))
    await subscriptions.create(APP, agreement(), Call())
    await history.merge(CARD, "app", "")
    erased = await history.erase(named)
    assert (erased.removed_count, erased.other_ids) == (2, ["app" if named == CARD else "card"])
    clock.advance()
    for household in (CARD, APP):
        with pytest.raises(CustomerErased):
            await history.append(household, receipt(3, 0, "late event"))
        with pytest.raises(NotFound):
            await history.lines(household)
        assert await subscriptions.all(household, "", 10) == []
        assert await history.merges(household) == []
    await history.append(OTHER, receipt(4, 0, "Tea"))
    with pytest.raises(CustomerErased):
        await history.merge(OTHER, "app", "")
    # Ids are not joined any more: each person who returns consents under an id of their own.
    await history.append(APP, [line(5, 1, DAY - FIRST_DAY, "Figs")], consent=True)
    with pytest.raises(NotFound):
        await history.lines(CARD)


async def test_purchases_from_before_an_erasure_of_one_id_stay_refused_after_a_merge(part: Part, clock: Clock) -> None:
    history, _ = part
    await history.erase(APP)
    clock.advance(days=1)
    await history.append(APP, [line(1, 1, DAY - FIRST_DAY + 1, "Tea")], consent=True)
    await history.append(CARD, receipt(2, 0, "Milk"))
    await history.merge(CARD, "app", "")
    with pytest.raises(CustomerErased):
        await history.append(APP, receipt(3, 0, "late event"))
    await history.append(CARD, receipt(3, 0, "Rice"))
    assert await names(history, APP) == ["Milk", "Rice", "Tea"]


async def test_appends_during_a_merge_are_all_kept_under_the_remaining_id(part: Part) -> None:
    history, _ = part
    await history.append(CARD, receipt(100, 0, "Milk"))
    await history.append(APP, receipt(101, 0, "Milk"))
    appends = [history.append((CARD, APP)[number % 2], receipt(number, 0, "Milk")) for number in range(16)]
    await asyncio.gather(*appends[:8], history.merge(CARD, "app", ""), *appends[8:])
    stored = await history.lines(APP)
    assert (stored.state.household_id, stored.state.line_count, len(stored.lines)) == ("card", 18, 18)


async def test_backup_from_before_or_after_a_merge_brings_nobody_back(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "history.db"
    backups = [tmp_path / "before.db", tmp_path / "after.db"]
    async with opened(SqliteStore(path), clock) as history:
        await history.append(CARD, receipt(1, 0, "Milk"))
        await history.append(APP, receipt(2, 0, "Rice"))
        _back_up(path, backups[0])
        await history.merge(CARD, "app", "marker-actor")
        _back_up(path, backups[1])
        clock.advance()
        await history.erase(APP)
    for backup in backups:
        restore(backup, path)
        async with opened(SqliteStore(path), clock) as history:
            for household in (CARD, APP):
                with pytest.raises(NotFound):
                    await history.lines(household)
            assert (await history.changed("north", (0, 0), 10)).states == []
        assert b"marker-actor" not in path.read_bytes()


def _back_up(path: Path, target: Path) -> None:
    source = sqlite3.connect(path)
    source.execute("VACUUM INTO ?", (str(target),))
    source.close()
