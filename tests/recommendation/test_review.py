"""The rules of `docs/review.md`, each with what makes it apply and what does not."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantree_recommendation.core.reason import ReasonCode
from pantree_recommendation.core.review import review
from pantree_recommendation.core.review_evidence import ADVISED, Supply, shop_purchases, units_on_hand, use_per_day
from pantree_recommendation.core.review_state import (
    DeliveryRecord,
    DeliveryStatus,
    ItemPurchase,
    ReviewAction,
    ReviewRequest,
    SubscriptionReview,
    SubscriptionState,
)

AS_OF = 20_000
BEGIN = AS_OF - 63
# Three weeks ago, two weeks ago, a week ago, today; then three that can be changed.
DAYS = tuple(range(AS_OF - 21, AS_OF + 22, 7))


def delivery(number: int, status: DeliveryStatus | None = None, **values: object) -> DeliveryRecord:
    day = DAYS[number]
    known = DeliveryRecord(
        number + 1,
        day,
        status or (DeliveryStatus.DELIVERED if day <= AS_OF else DeliveryStatus.PLANNED),
        2,
        day,
        can_change=day > AS_OF,
        cut_off_at="2024-10-08T00:00:00Z",
    )
    return known._replace(**values)  # type: ignore[arg-type]


def weekly(**values: object) -> SubscriptionState:
    """Two units of milk every week, of which the household bought two every week before."""
    state = SubscriptionState(
        subscription_id="s-1",
        item_name="Milk",
        interval_days=7,
        quantity=2,
        deliveries=tuple(map(delivery, range(len(DAYS)))),
        purchases=bought(*range(BEGIN, DAYS[0], 7)),
        unit_price=1.2,
    )
    return replace(state, **values)  # type: ignore[arg-type]


def bought(*days: int, quantity: float = 2) -> tuple[ItemPurchase, ...]:
    return tuple(ItemPurchase(day, quantity) for day in days)


def with_deliveries(**changed: DeliveryRecord) -> tuple[DeliveryRecord, ...]:
    return tuple(changed.get(f"d{number}", delivery(number)) for number in range(len(DAYS)))


def skipped(number: int, reason: str = "") -> DeliveryRecord:
    return delivery(number, DeliveryStatus.SKIPPED, reason=reason)


def advice(state: SubscriptionState, trip_days: tuple[int, ...] = ()) -> SubscriptionReview:
    (found,) = review(ReviewRequest(AS_OF, (state,), trip_days))
    return found


def test_silence_after_three_deliveries_is_acceptance() -> None:
    found = advice(weekly())
    assert (found.action, found.reasons[0].code) == (ReviewAction.KEEP, ReasonCode.REVIEW_ACCEPTED)
    assert found.evidence.silent_count == 3
    assert found.evidence.use_per_day == pytest.approx(2 / 7, rel=0.05)
    assert found.before is None
    assert found.now == found.after
    assert (found.now.delivered_units, found.now.early_delivery_count, found.now.stockout_count) == (24, 0, 0)
    assert found.now.cost == pytest.approx(28.8)


def test_one_skip_is_no_habit() -> None:
    found = advice(weekly(deliveries=with_deliveries(d2=skipped(2, "too_much"))))
    assert found.action is ReviewAction.KEEP
    assert found.evidence.skip_reasons == (("too_much", 1),)


@pytest.mark.parametrize("reason", ["", "too_much", "fridge_full"])
def test_two_skips_lengthen_the_interval(reason: str) -> None:
    found = advice(weekly(deliveries=with_deliveries(d1=skipped(1, reason), d3=skipped(3, reason))))
    assert (found.action, found.change.interval_days) == (ReviewAction.LENGTHEN, 14)
    assert found.after.delivered_units < found.now.delivered_units
    assert found.before is not None
    assert found.before.sequence == 5


@pytest.mark.parametrize("reason", ["paused", "away", "too_expensive", "out_of_stock", ADVISED])
def test_skips_for_other_reasons_do_not_mean_too_much(reason: str) -> None:
    found = advice(weekly(deliveries=with_deliveries(d1=skipped(1, reason), d3=skipped(3, reason))))
    assert found.action is ReviewAction.KEEP
    assert found.evidence.skipped_count == 0


def test_a_delivery_skipped_ahead_counts() -> None:
    found = advice(weekly(deliveries=with_deliveries(d3=skipped(3), d4=skipped(4))))
    assert found.action is ReviewAction.LENGTHEN
    assert found.before is not None
    assert found.before.sequence == 6


def test_a_skip_ahead_of_a_planned_delivery_does_not_count_yet() -> None:
    # Every second one of those to come.
    found = advice(weekly(deliveries=with_deliveries(d3=skipped(3), d5=skipped(5), d6=skipped(6))))
    assert (found.action, found.evidence.skipped_count) == (ReviewAction.KEEP, 1)


def test_skips_that_are_only_announced_do_not_stop() -> None:
    later = tuple(
        delivery(4)._replace(sequence=8 + n, day=AS_OF + 28 + 7 * n, scheduled_day=AS_OF + 28 + 7 * n) for n in (0, 1)
    )
    found = advice(weekly(deliveries=(*with_deliveries(d4=skipped(4), d5=skipped(5), d6=skipped(6)), *later)))
    assert found.action is ReviewAction.LENGTHEN
    assert (found.evidence.skipped_in_a_row, found.evidence.skipped_count) == (0, 3)


def test_skips_as_advised_never_stop() -> None:
    advised = with_deliveries(d1=skipped(1, ADVISED), d2=skipped(2, ADVISED), d3=skipped(3, ADVISED))
    found = advice(weekly(deliveries=advised))
    assert (found.action, found.evidence.skipped_in_a_row) == (ReviewAction.KEEP, 0)
    one_of_them = with_deliveries(d1=skipped(1), d2=skipped(2, ADVISED), d3=skipped(3))
    assert advice(weekly(deliveries=one_of_them)).action is ReviewAction.LENGTHEN


def test_one_bulk_purchase_skips_and_never_stops() -> None:
    """Reviewed every two days, and each advice is followed at once."""
    deliveries = {one.sequence: one for one in weekly().deliveries}
    purchases = (*bought(*range(BEGIN, DAYS[0], 7)), *bought(AS_OF, quantity=12))
    actions = []
    for day in range(AS_OF, AS_OF + 21, 2):
        known = tuple(one._replace(can_change=one.day > day) for one in deliveries.values())
        (found,) = review(ReviewRequest(day, (weekly(deliveries=known, purchases=purchases),)))
        actions.append(found.action)
        if found.action is ReviewAction.SKIP_NEXT and found.before is not None:
            ahead = [one for one in known if one.day > day and one.status is DeliveryStatus.SKIPPED]
            assert not ahead
            number = found.before.sequence
            deliveries[number] = deliveries[number]._replace(status=DeliveryStatus.SKIPPED, reason=ADVISED)
    assert set(actions) == {ReviewAction.KEEP, ReviewAction.SKIP_NEXT}
    assert actions.count(ReviewAction.SKIP_NEXT) >= 2


def test_three_skips_in_a_row_stop() -> None:
    found = advice(weekly(deliveries=with_deliveries(d1=skipped(1), d2=skipped(2), d3=skipped(3))))
    assert (found.action, found.reasons[0].code) == (ReviewAction.STOP, ReasonCode.REVIEW_SKIPPED_ALL)
    assert found.after.delivered_units == 0


def test_returned_units_mean_a_smaller_quantity() -> None:
    deliveries = with_deliveries(d1=delivery(1, returned_quantity=1), d2=delivery(2, returned_quantity=1))
    found = advice(weekly(deliveries=deliveries))
    assert (found.action, found.change.quantity) == (ReviewAction.CHANGE_QUANTITY, 1)
    assert found.after.cost == pytest.approx(14.4)


def test_top_ups_late_in_the_interval_mean_too_little() -> None:
    # Every two weeks, and two units are bought in the second week.
    days = range(AS_OF - 42, AS_OF + 29, 14)
    deliveries = tuple(
        delivery(0)._replace(
            sequence=number + 1,
            day=day,
            scheduled_day=day,
            status=DeliveryStatus.DELIVERED if day <= AS_OF else DeliveryStatus.PLANNED,
            can_change=day > AS_OF,
        )
        for number, day in enumerate(days)
    )
    top_ups = bought(*(day + 8 for day in days[:3]))
    found = advice(weekly(interval_days=14, deliveries=deliveries, purchases=top_ups))
    assert (found.action, found.change.interval_days) == (ReviewAction.SHORTEN, 7)
    assert found.after.delivered_units > found.now.delivered_units
    assert (found.after.stockout_count or 0) <= (found.now.stockout_count or 0)
    # A delivery that failed explains the purchase after it.
    failed = tuple(one._replace(status=DeliveryStatus.FAILED) if one.sequence < 3 else one for one in deliveries)
    assert advice(weekly(interval_days=14, deliveries=failed, purchases=top_ups)).action is ReviewAction.KEEP


def test_purchases_as_before_soon_after_deliveries_stop() -> None:
    every_week = bought(*range(BEGIN, AS_OF - 28, 7), *(day + 3 for day in DAYS[:3]))
    # Not while it is unknown what follows the delivery of today.
    assert advice(weekly(purchases=every_week)).action is ReviewAction.KEEP
    state = weekly(deliveries=with_deliveries(d3=delivery(3, DeliveryStatus.FAILED)), purchases=every_week)
    found = advice(state)
    assert (found.action, found.reasons[0].code) == (ReviewAction.STOP, ReasonCode.REVIEW_BOUGHT_ANYWAY)
    assert found.evidence.bought_anyway_count == 3
    # Fewer purchases than before can be a larger need.
    less = replace(state, purchases=(*every_week[:-3], *bought(*(day + 3 for day in DAYS[:3]), quantity=1)))
    assert advice(less).action is ReviewAction.KEEP


def test_stock_from_the_shop_skips_the_next_delivery() -> None:
    state = weekly(purchases=(*bought(*range(BEGIN, DAYS[0], 7)), *bought(AS_OF, quantity=8)))
    found = advice(state)
    assert (found.action, found.reasons[0].code) == (ReviewAction.SKIP_NEXT, ReasonCode.REVIEW_STOCK_AT_HOME)
    assert found.before is not None
    assert found.before.sequence == 5
    assert (found.now.early_delivery_count or 0) > (found.after.early_delivery_count or 0)


def test_no_trip_for_weeks_pauses() -> None:
    trips = tuple(range(AS_OF - 120, AS_OF - 29, 3))
    unreported = tuple(delivery(number, DeliveryStatus.LOCKED, can_change=False) for number in range(4))
    state = weekly(deliveries=(*unreported, *map(delivery, range(4, len(DAYS)))))
    found = advice(state, trips)
    assert (found.action, found.change.pause_until) == (ReviewAction.PAUSE, AS_OF + 28)
    assert advice(state, (*trips, AS_OF - 10)).action is ReviewAction.KEEP
    # Who shops once in three weeks has not been away for long.
    assert advice(state, tuple(range(AS_OF - 170, AS_OF - 29, 21))).action is ReviewAction.KEEP
    # Somebody received a delivery of this subscription, or of another one.
    assert advice(weekly(), trips).action is ReviewAction.KEEP
    both = review(ReviewRequest(AS_OF, (state, weekly(subscription_id="s-2", item_name="Rice")), trips))
    assert {one.action for one in both} == {ReviewAction.KEEP}
    # No purchase has been recorded for longer than anybody is away.
    assert advice(state, tuple(day - 56 for day in trips)).action is ReviewAction.KEEP


def test_another_item_bought_instead_is_swapped() -> None:
    state = weekly(alternative_name="Oat Milk", alternative_purchases=bought(*(day + 3 for day in DAYS[:3])))
    found = advice(state)
    assert (found.action, found.change.item_name) == (ReviewAction.SWAP, "Oat Milk")
    assert found.reasons[0].other_item == "Oat Milk"
    as_before = bought(*range(BEGIN, AS_OF, 7))
    assert advice(weekly(alternative_name="Oat Milk", alternative_purchases=as_before)).action is ReviewAction.KEEP
    # What the other item costs is unknown.
    assert found.now.cost == pytest.approx(28.8)
    assert found.after.cost is None


@pytest.mark.parametrize("other", [{"item_name": "OAT  milk"}, {"item_name": "Oat drink", "item_id": "42"}])
def test_an_item_that_is_subscribed_too_is_no_swap(other: dict[str, str]) -> None:
    instead = bought(*(day + 3 for day in DAYS[:3]))
    state = weekly(alternative_name="Oat Milk", alternative_id="42", alternative_purchases=instead)
    found = review(ReviewRequest(AS_OF, (state, weekly(subscription_id="s-2", **other))))
    assert found[0].action is ReviewAction.KEEP


def test_paused_subscription_and_one_past_its_cut_off_are_kept() -> None:
    both = with_deliveries(d2=skipped(2), d3=skipped(3))
    assert advice(weekly(deliveries=both, is_paused=True)).reasons[0].code is ReasonCode.REVIEW_PAUSED
    locked = tuple(one._replace(can_change=False) for one in both)
    assert advice(weekly(deliveries=locked)).action is ReviewAction.KEEP


def test_signs_from_before_a_change_do_not_count() -> None:
    # Skipped every week; every two weeks since.
    deliveries = (
        skipped(0),
        skipped(1),
        *(
            delivery(number)._replace(scheduled_day=day, day=day, can_change=day > AS_OF, status=status)
            for number, day, status in (
                (2, AS_OF - 7, DeliveryStatus.DELIVERED),
                (3, AS_OF + 7, DeliveryStatus.PLANNED),
                (4, AS_OF + 21, DeliveryStatus.PLANNED),
            )
        ),
    )
    found = advice(weekly(interval_days=14, deliveries=deliveries))
    assert (found.action, found.evidence.skipped_count) == (ReviewAction.KEEP, 0)


def test_a_delivery_among_the_purchases_is_not_counted_twice() -> None:
    state = weekly(purchases=(ItemPurchase(DAYS[0], 2), ItemPurchase(DAYS[1], 5)))
    assert shop_purchases(state, AS_OF) == [ItemPurchase(DAYS[1], 3)]


@pytest.mark.parametrize("late", [-2, -1, 1, 2])
def test_a_delivery_may_be_listed_some_days_off(late: int) -> None:
    days = tuple(day + late for day in DAYS[:4] if day + late <= AS_OF)
    state = weekly(purchases=bought(*days))
    assert shop_purchases(state, AS_OF) == []
    assert advice(state).action is ReviewAction.KEEP
    assert shop_purchases(weekly(purchases=bought(DAYS[0] + 3, DAYS[0] + 4)), AS_OF) == list(
        bought(DAYS[0] + 3, DAYS[0] + 4)
    )
    # The nearest one is the delivery.
    assert shop_purchases(weekly(purchases=bought(DAYS[1] - 2, DAYS[1] + 1)), AS_OF) == list(bought(DAYS[1] - 2))


def test_a_locked_delivery_may_be_listed_before_its_day() -> None:
    tomorrow = DAYS[4] - 1
    locked = with_deliveries(d4=delivery(4, DeliveryStatus.LOCKED))
    assert shop_purchases(weekly(deliveries=locked, purchases=bought(tomorrow)), tomorrow) == []
    assert shop_purchases(weekly(purchases=bought(tomorrow)), tomorrow) == list(bought(tomorrow))


def test_deliveries_end_with_the_subscription() -> None:
    found = advice(weekly(end_day=DAYS[6]))
    assert found.now.delivered_units == 4
    assert found.now.cost == pytest.approx(4.8)
    both = with_deliveries(d1=skipped(1), d3=skipped(3))
    longer = advice(weekly(deliveries=both, end_day=DAYS[6] + 7))
    assert (longer.action, longer.now.delivered_units, longer.after.delivered_units) == (ReviewAction.LENGTHEN, 6, 4)


def test_only_what_is_locked_arrives_after_a_stop() -> None:
    skips = {"d1": skipped(1), "d2": skipped(2), "d3": skipped(3)}
    locked = advice(weekly(deliveries=with_deliveries(**skips, d4=delivery(4, DeliveryStatus.LOCKED))))
    assert (locked.action, locked.after.delivered_units) == (ReviewAction.STOP, 2)
    assert locked.before is not None
    assert locked.before.sequence == 6
    past_cut_off = advice(weekly(deliveries=with_deliveries(**skips, d4=delivery(4, can_change=False))))
    assert (past_cut_off.action, past_cut_off.after.delivered_units) == (ReviewAction.STOP, 0)


def test_a_locked_delivery_is_not_skipped() -> None:
    deliveries = with_deliveries(d4=delivery(4, DeliveryStatus.LOCKED, quantity=5))
    state = weekly(deliveries=deliveries, purchases=(*bought(*range(BEGIN, DAYS[0], 7)), *bought(AS_OF, quantity=16)))
    found = advice(state)
    assert found.action is ReviewAction.SKIP_NEXT
    assert found.after.delivered_units == found.now.delivered_units - 2


@pytest.mark.parametrize("changed", ["interval", "quantity"])
def test_a_second_step_needs_two_deliveries_since_the_first(changed: str) -> None:
    # Two units every week since a week ago; before, every two weeks, or one unit.
    gap, earlier = (14, 2) if changed == "interval" else (7, 1)
    days = (AS_OF - 7 - 2 * gap, AS_OF - 7 - gap, AS_OF - 7, AS_OF, AS_OF + 7)
    for count, action in ((1, ReviewAction.KEEP), (2, ReviewAction.CHANGE_QUANTITY)):
        as_of = AS_OF - 9 + 7 * count
        deliveries = tuple(
            DeliveryRecord(
                number + 1,
                day,
                DeliveryStatus.DELIVERED if day <= as_of else DeliveryStatus.PLANNED,
                2 if day >= AS_OF - 7 else earlier,
                day,
                can_change=day > as_of,
            )
            for number, day in enumerate(days)
        )
        # It uses three units a week, and buys what is missing in the second half of the interval.
        before = bought(days[0] + gap - 3, days[1] + gap - 3, quantity=3 * gap / 7 - earlier)
        purchases = (*before, *bought(days[2] + 4, days[3] + 4, quantity=1))
        (found,) = review(ReviewRequest(as_of, (weekly(deliveries=deliveries, purchases=purchases),)))
        assert (found.evidence.delivered_count, found.action) == (count, action)


def test_a_swap_in_between_separates_deliveries() -> None:
    deliveries = tuple(one for one in with_deliveries(d0=skipped(0), d3=skipped(3)) if one.sequence != 2)
    found = advice(weekly(deliveries=deliveries))
    assert (found.action, found.evidence.skipped_count) == (ReviewAction.KEEP, 1)


@pytest.mark.parametrize(
    ("units", "top_up", "action"),
    [
        (1, 3, ReviewAction.CHANGE_QUANTITY),  # two of four units: it runs out as often, and still gets too little
        (1, 1, ReviewAction.CHANGE_QUANTITY),  # two of two units
        (10, 0.3, ReviewAction.KEEP),  # eleven of 10.3: it did not run out
    ],
)
def test_more_is_advised_if_it_is_used_or_prevents_stockouts(units: int, top_up: float, action: ReviewAction) -> None:
    deliveries = tuple(one._replace(quantity=units) for one in with_deliveries())
    top_ups = bought(*(day + 4 for day in DAYS[:3]), quantity=top_up)
    found = advice(weekly(quantity=units, deliveries=deliveries, purchases=top_ups))
    assert (found.action, found.evidence.top_up_count) == (action, 3)


def test_use_and_stock_without_rounding() -> None:
    supplies = [(0, 2.0), (10, 2.0), (20, 2.0)]
    assert use_per_day(purchase_supplies(supplies), 25) == pytest.approx(0.2)
    # Nothing came for long.
    assert use_per_day(purchase_supplies(supplies), 60) == pytest.approx(0.1)
    assert use_per_day(purchase_supplies(supplies[:2]), 25) is None
    assert units_on_hand(purchase_supplies(supplies), 0.2, 25) == pytest.approx(1.0)


def purchase_supplies(supplies: list[tuple[int, float]]) -> list[Supply]:
    return [Supply(day, units) for day, units in supplies]


STATUSES = st.sampled_from([DeliveryStatus.DELIVERED, DeliveryStatus.SKIPPED, DeliveryStatus.FAILED])


@settings(max_examples=150, deadline=None)
@given(
    interval=st.sampled_from([7, 14, 28, 30, 56]),
    quantity=st.integers(1, 4),
    statuses=st.lists(STATUSES, max_size=6),
    reasons=st.lists(st.sampled_from(["", "too_much", "paused"]), min_size=6, max_size=6),
    returned=st.lists(st.integers(0, 2), min_size=6, max_size=6),
    earlier=st.lists(st.integers(1, 200), max_size=8),
    later=st.lists(st.integers(0, 60), max_size=6),
)
def test_never_more_without_evidence_of_this_household(
    interval: int, quantity: int, statuses: list[DeliveryStatus], reasons: list[str], returned: list[int],
    earlier: list[int], later: list[int],
) -> None:  # fmt: skip
    first = AS_OF - 3 - interval * max(0, len(statuses) - 1)
    deliveries = tuple(
        DeliveryRecord(
            number + 1,
            first + number * interval,
            statuses[number] if number < len(statuses) else DeliveryStatus.PLANNED,
            quantity,
            first + number * interval,
            reason=reasons[number] if number < len(statuses) else "",
            returned_quantity=returned[number] if number < len(statuses) else 0,
            can_change=number >= len(statuses),
        )
        for number in range(len(statuses) + 3)
    )
    before = tuple(sorted(ItemPurchase(first - day, 1) for day in earlier))
    state = SubscriptionState("s", "Milk", interval, quantity, deliveries, before)
    for purchases in (before, tuple(sorted((*before, *(ItemPurchase(AS_OF - day, 1) for day in later))))):
        found = advice(replace(state, purchases=purchases))
        more = (found.change.interval_days or interval) < interval or (found.change.quantity or quantity) > quantity
        if more:
            assert found.evidence.top_up_count >= 2
            assert found.evidence.purchase_count >= 2
            assert not found.evidence.skipped_count
            assert not found.evidence.returned_count
        else:
            assert found.after.delivered_units <= found.now.delivered_units
        assert (found.action is ReviewAction.KEEP) == (found.before is None)
