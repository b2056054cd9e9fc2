"""The suite that every store passes."""

import asyncio

import pytest

from pantree_history.core.history import Counts, History
from pantree_history.core.lines import LineKey
from pantree_history.core.store import Erased, Household
from pantree_runtime.errors import AlreadyExists, CustomerErased, InvalidInput, NotFound
from tests.history.receipts import FIRST_DAY, START, Clock, line, receipt

HOME = Household("north", "4711")
DAY = START // 86_400_000_000


async def names(history: History, household: Household = HOME, known_on: int | None = None) -> list[str]:
    return [one.name for one in (await history.lines(household, known_on)).lines]


async def test_appended_lines_are_read_back_by_day_order_and_line(history: History) -> None:
    full = line(
        2, 7, 3, "Rice", category="dry", item_id="sku-1", variant="500 g", quantity=2, price=2.0, saving=0.5,
        currency_code="EUR", weight=1.0, weight_unit="kg", recommendation_id="r-1",
    )  # fmt: skip
    await history.append(HOME, [full, *receipt(1, 0, "Milk", "Bananas")])
    stored = await history.lines(HOME)
    assert list(stored.lines) == [*receipt(1, 0, "Milk", "Bananas"), full]
    assert (stored.state.line_count, stored.state.changed_at) == (3, START)


async def test_repeated_append_adds_nothing_and_keeps_the_version(history: History, clock: Clock) -> None:
    first = await history.append(HOME, receipt(1, 0, "Milk", "Bananas"))
    clock.advance()
    again = await history.append(HOME, receipt(1, 0, "Milk", "Bananas"))
    assert (first.added, first.duplicates, again.added, again.duplicates) == (2, 0, 0, 2)
    assert again.state == first.state
    partly = await history.append(HOME, receipt(1, 0, "Milk", "Bananas", "Rice"))
    assert (partly.added, partly.duplicates) == (1, 2)
    assert partly.state.version != first.state.version


async def test_concurrent_appends_of_one_receipt_store_it_once(history: History) -> None:
    counts = await asyncio.gather(*(history.append(HOME, receipt(1, 0, "Milk", "Bananas")) for _ in range(8)))
    assert sum(one.added for one in counts) == 2
    assert await names(history) == ["Milk", "Bananas"]


async def test_other_content_under_a_stored_key_is_refused_as_a_whole(history: History) -> None:
    await history.append(HOME, receipt(1, 0, "Milk"))
    with pytest.raises(AlreadyExists, match=r"purchases\[1\]: "):
        await history.append(HOME, [line(2, 1, 1, "Rice"), line(1, 1, 0, "Bread")])
    with pytest.raises(AlreadyExists):
        await history.append(Household("north", "4712"), receipt(1, 0, "Milk"))
    assert await names(history) == ["Milk"]
    with pytest.raises(NotFound):
        await history.lines(Household("north", "4712"))


async def test_purchase_after_tomorrow_is_refused(history: History) -> None:
    await history.append(HOME, [line(1, 1, DAY - FIRST_DAY + 1)])
    with pytest.raises(InvalidInput, match=r"purchases\[0\]\.date: must not be after 2026-06-02"):
        await history.append(HOME, [line(2, 1, DAY - FIRST_DAY + 2)])


async def test_correction_replaces_content_and_earlier_content_is_still_known(history: History, clock: Clock) -> None:
    first = await history.append(HOME, receipt(1, 0, "Milk", "Bananas", "Rice"))
    clock.advance(days=2)
    corrected = await history.correct(HOME, [line(1, 2, 0, "Apples")], [LineKey("order-1", "3")])
    assert (corrected.corrected_count, corrected.removed_count, corrected.state.line_count) == (1, 1, 2)
    assert corrected.state.version != first.state.version
    assert await names(history) == ["Milk", "Apples"]
    assert await names(history, known_on=DAY) == ["Milk", "Bananas", "Rice"]
    with pytest.raises(NotFound):
        await history.lines(HOME, known_on=DAY - 1)

    again = await history.correct(HOME, [line(1, 2, 0, "Apples")], [LineKey("order-1", "3")])
    assert (again.corrected_count, again.removed_count, again.state) == (0, 0, corrected.state)
    # A late retry of the original call must not bring back what was corrected or removed.
    retried = await history.append(HOME, receipt(1, 0, "Milk", "Bananas", "Rice"))
    assert (retried.added, retried.duplicates) == (0, 3)
    assert await names(history) == ["Milk", "Apples"]
    await history.correct(HOME, [line(1, 3, 0, "Rice")], [])
    assert (await history.lines(HOME)).state.line_count == 3


async def test_correction_of_an_unknown_line_changes_nothing(history: History) -> None:
    await history.append(HOME, receipt(1, 0, "Milk"))
    with pytest.raises(InvalidInput, match=r"removed\[0\]: is not stored for this customer"):
        await history.correct(HOME, [line(1, 1, 0, "Bread")], [LineKey("order-9", "1")])
    assert await names(history) == ["Milk"]
    with pytest.raises(NotFound):
        await history.correct(Household("north", "nobody"), [line(1, 1, 0, "Bread")], [])


async def test_export_has_every_revision(history: History, clock: Clock) -> None:
    await history.append(HOME, receipt(1, 0, "Milk"))
    clock.advance(seconds=5)
    await history.correct(HOME, [line(1, 1, 0, "Bread")], [])
    revisions = (await history.export(HOME)).revisions
    assert [(one.line.name, one.revision, one.recorded_at, one.superseded_at) for one in revisions] == [
        ("Milk", 1, START, START + 5_000_000),
        ("Bread", 2, START + 5_000_000, None),
    ]


async def test_returned_units_are_not_part_of_the_history(history: History) -> None:
    bought = [
        line(1, 1, 0, "Milk", quantity=3, price=2.0, saving=0.9),
        line(1, 2, 0, "Bananas"),
        line(1, 3, 4, "Rice"),
    ]
    returns = [
        line(2, 1, 2, "Milk", returned_order_id="order-1", returned_line_id="1"),
        line(2, 2, 2, "Bananas", returned_order_id="order-1", returned_line_id="2"),
    ]
    await history.append(HOME, [*bought, *returns])
    _, purchases = await history.purchases(HOME)
    assert [one.name for one in purchases.lines] == ["Milk", "Rice"]
    assert (purchases.quantities, purchases.savings) == ([2, 1], [pytest.approx(0.6), 0.0])
    _, earlier = await history.purchases(HOME, as_of=FIRST_DAY + 1)
    assert earlier.quantities == [3, 1], "nothing was returned yet, and the rice was not bought"


async def test_tenants_with_equal_ids_have_nothing_in_common(history: History) -> None:
    south = Household("south", HOME.household_id)
    await history.append(HOME, receipt(1, 0, "Milk"))
    await history.append(south, receipt(1, 0, "Bread"))
    await history.append(Household("", HOME.household_id), receipt(1, 0, "Rice"))
    assert (await names(history), await names(history, south)) == (["Milk"], ["Bread"])
    assert [one.household_id for one in await history.households("south", "", 10)] == [HOME.household_id]
    await history.erase(south)
    assert await names(history) == ["Milk"]
    assert await history.households("south", "", 10) == []


async def test_households_are_listed_by_code_points(history: History) -> None:
    ids = ["a", "B", "z", "ä", "10", "2", "日"]
    for number, household_id in enumerate(ids):
        await history.append(Household("north", household_id), receipt(number, 0, "Milk"))
    first = await history.households("north", "", 3)
    rest = await history.households("north", first[-1].household_id, 10)
    assert [one.household_id for one in (*first, *rest)] == sorted(ids)


async def test_erased_household_is_gone_and_its_purchases_are_refused(history: History, clock: Clock) -> None:
    await history.append(HOME, receipt(1, 0, "Milk", "Bananas"))
    await history.correct(HOME, [line(1, 1, 0, "Bread")], [])
    erased = await history.erase(HOME)
    assert (erased.removed_count, erased.entry.erased_at) == (3, START)
    for call in (history.lines(HOME), history.export(HOME), history.purchases(HOME)):
        with pytest.raises(NotFound):
            await call
    assert await history.households("north", "", 10) == []
    clock.advance()
    with pytest.raises(CustomerErased):
        await history.append(HOME, receipt(2, 0, "Rice"))
    assert await history.erase(HOME) == erased._replace(removed_count=0)


async def test_erased_person_returns_with_new_consent_for_new_purchases_only(history: History, clock: Clock) -> None:
    before = await history.append(HOME, receipt(1, 0, "Milk"))
    await history.erase(HOME)
    clock.advance(days=10)
    with pytest.raises(CustomerErased):
        await history.append(HOME, [*receipt(2, 0, "Milk"), line(3, 1, DAY - FIRST_DAY + 9)], consent=True)
    returned = await history.append(HOME, [line(3, 1, DAY - FIRST_DAY + 9, "Tea")], consent=True)
    assert returned.state.version != before.state.version
    await history.append(HOME, [line(4, 1, DAY - FIRST_DAY + 9, "Rice")])
    with pytest.raises(CustomerErased):
        await history.append(HOME, receipt(5, 0, "late event"))
    assert await names(history) == ["Tea", "Rice"]
    erased = await history.erase(HOME)
    assert (erased.removed_count, erased.entry.erased_at) == (2, clock.now)
    with pytest.raises(CustomerErased):
        await history.append(HOME, [line(6, 1, DAY - FIRST_DAY + 9)])


async def test_append_and_erasure_at_the_same_time_leave_nothing(history: History) -> None:
    calls = [history.append(HOME, receipt(number, 0, "Milk")) for number in range(20)]
    results = await asyncio.gather(*calls[:10], history.erase(HOME), *calls[10:], return_exceptions=True)
    assert {type(one) for one in results} <= {Counts, Erased, CustomerErased}
    with pytest.raises(NotFound):
        await history.lines(HOME)
