import math
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantree_domain.catalog import Perishability
from pantree_recommendation.core.bundle import plan_item_of
from pantree_recommendation.core.candidate import Candidate, DeliveryOption, PaidPrice
from pantree_recommendation.core.delivery import with_best_option
from pantree_recommendation.core.discount import DiscountTier, DiscountTiers
from pantree_recommendation.core.offer import offer_of
from pantree_recommendation.core.plan import (
    Binding,
    LeftOutCode,
    PlanConstraints,
    PlanItem,
    PlannedDeliveries,
    PlanOption,
    PlanPolicy,
)
from pantree_recommendation.core.planner import plan_deliveries
from pantree_recommendation.core.policy import Policy
from pantree_recommendation.core.subscription import plan_of, subscription_of
from pantree_recommendation.core.texts import load_texts
from tests.recommendation.evidence import AS_OF, WEEKLY_FORECAST, bananas
from tests.recommendation.plans import best_cost, cost_of, random_items

POLICY = PlanPolicy()
# Nothing is left out for its price.
ANY_PRICE = PlanPolicy(max_more_expensive_ratio=10.0)


def item(name: str, interval_days: int, *, first_day: int = 7, paid: float | None = None) -> PlanItem:
    price_paid = None if paid is None else PaidPrice(paid, 0.1, purchase_count=8)
    return PlanItem(name, (PlanOption(interval_days, 1),), first_day, 7.0, price_paid)


def days(result: PlannedDeliveries) -> dict[str, tuple[int, ...]]:
    return {entry.item.name: entry.days[:3] for entry in result.items}


def month_costs(result: PlannedDeliveries) -> list[float]:
    """What the boxes of any 28 days in a row cost, each item rounded up to a cent."""
    costs: dict[int, float] = {}
    for entry in result.items:
        for day, ratio in zip(entry.days, entry.discount_ratios, strict=True):
            price = math.ceil(entry.item.unit_price * entry.option.quantity * (1 - ratio) * 100 - 1e-6) / 100
            costs[day] = costs.get(day, 0.0) + price
    return [sum(cost for day, cost in costs.items() if start <= day < start + 28) for start in costs]


def month_boxes(result: PlannedDeliveries) -> list[int]:
    all_days = {day for entry in result.items for day in entry.days}
    return [sum(start <= day < start + 28 for day in all_days) for start in all_days]


def test_plan_without_items_is_empty() -> None:
    assert plan_deliveries([], POLICY) == PlannedDeliveries((), {}, 0.0)


def test_item_alone_is_delivered_on_its_best_day() -> None:
    assert days(plan_deliveries([item("Bananas", 7, first_day=5)], POLICY)) == {"Bananas": (5, 12, 19)}


def test_items_share_a_day_of_the_week() -> None:
    result = plan_deliveries(
        [item("a", 7, first_day=3), item("b", 14, first_day=4), item("c", 28, first_day=9)], POLICY
    )
    assert len({day % 7 for entry in result.items for day in entry.days}) == 1


def test_five_monthly_items_come_in_one_box_with_the_larger_discount() -> None:
    result = plan_deliveries([item(str(number), 28, first_day=7 + 2 * number) for number in range(5)], POLICY)
    assert len({entry.days for entry in result.items}) == 1
    assert {ratio for entry in result.items for ratio in entry.discount_ratios} == {0.15}


def test_monthly_items_are_not_stretched_for_fewer_boxes() -> None:
    monthly = [
        PlanItem(
            name, (PlanOption(28, 1, 1.0, 0.43, 0.41), PlanOption(56, 2, 1.0, 0.41, 0.42)), 26, price, None, True, True
        )
        for name, price in (("Coffee", 8.0), ("Cat litter", 9.0), ("Rice", 4.0))
    ]
    others = [item("Milk", 7, first_day=5), item("Oat drink", 14, first_day=12), item("Dish tabs", 56, first_day=54)]
    result = plan_deliveries([*monthly, *others], POLICY)
    assert {
        entry.option.interval_days for entry in result.items if entry.item.name in ("Coffee", "Cat litter", "Rice")
    } == {28}


def test_regular_item_stays_near_its_best_day() -> None:
    irregular = [item(str(number), 28, first_day=20) for number in range(4)]
    regular = item("regular", 28, first_day=10)._replace(regular=True)
    planned = days(plan_deliveries([*irregular, regular], POLICY))
    assert abs(planned["regular"][0] - 10) <= 3


def test_item_above_what_was_paid_is_left_out() -> None:
    result = plan_deliveries([item("cheap", 7, paid=7.0), item("promoted", 7, paid=5.0)], POLICY)
    assert result.left_out == {"promoted": LeftOutCode.MORE_EXPENSIVE}
    # At 15 % it would cost 5.95.
    five = [item(str(number), 7, paid=7.0) for number in range(5)]
    assert not plan_deliveries([*five, item("promoted", 7, paid=5.5)], POLICY).left_out


def test_promotional_prices_leave_less_out() -> None:
    items = [item("promoted", 7, paid=5.5)]
    assert plan_deliveries(items, POLICY).left_out
    assert not plan_deliveries(items, replace(POLICY, promotional_prices=True)).left_out


def test_season_ends_deliveries() -> None:
    result = plan_deliveries([item("Gingerbread", 14)._replace(last_day=40)], POLICY)
    assert max(result.items[0].days) <= 40


def test_weekdays_of_the_household_are_kept() -> None:
    # The as-of date is a Wednesday: day 1 is a Thursday.
    result = plan_deliveries(random_items(6, 1), ANY_PRICE, PlanConstraints(weekdays=frozenset({6})), as_of_weekday=3)
    assert {(3 - 1 + day) % 7 + 1 for entry in result.items for day in entry.days} == {6}


def test_notice_delays_the_first_delivery() -> None:
    result = plan_deliveries(random_items(6, 1), ANY_PRICE, PlanConstraints(notice_days=10))
    assert min(day for entry in result.items for day in entry.days) >= 10


@pytest.mark.parametrize(
    ("constraints", "binding"),
    [
        (PlanConstraints(budget=0.0), Binding("budget_per_month", 6.66)),
        (PlanConstraints(budget=5.0, required=frozenset({"b"})), Binding("budget_per_month", 6.66, ("b",))),
        (PlanConstraints(max_boxes=0), Binding("max_boxes_per_month", 1.0)),
        (PlanConstraints(required=frozenset({"x"})), Binding("required_items", items=("x",))),
        (
            PlanConstraints(required=frozenset({"a"}), excluded=frozenset({"a"})),
            Binding("required_items", items=("a",)),
        ),
        (PlanConstraints(max_unit_prices={"a": 5.0}, required=frozenset({"a"})), Binding("price_limits", 7.0, ("a",))),
    ],
)
def test_constraint_that_cannot_be_met_is_named_with_what_would_fit(
    constraints: PlanConstraints, binding: Binding
) -> None:
    result = plan_deliveries([item("a", 28), item("b", 28)], POLICY, constraints)
    assert result.items == ()
    (found,) = result.bindings
    assert (found.constraint, found.items) == (binding.constraint, binding.items)
    assert found.fitting_value == (None if binding.fitting_value is None else pytest.approx(binding.fitting_value))
    assert_has_a_text(found)


def assert_has_a_text(binding: Binding) -> None:
    text = load_texts().constraint_text(binding.constraint, binding.fitting_value, binding.items)
    assert text.endswith(".")
    assert all(name in text for name in binding.items)


@pytest.mark.parametrize("seed", range(12))
def test_plan_is_near_the_best_of_all_plans(seed: int) -> None:
    items = [one._replace(options=one.options[:2]) for one in random_items(3, seed)]
    items = [one for one in items if one.options[0].interval_days <= 28]
    policy = replace(ANY_PRICE, tiers=DiscountTiers((DiscountTier(1, 0.05), DiscountTier(2, 0.15))))
    result = plan_deliveries(items, policy)
    choice = [(entry.option, entry.days[0]) for entry in result.items]
    # The document and the code agree on the cost.
    assert result.objective == pytest.approx(cost_of(items, choice, policy) if items else 0.0, rel=1e-6)
    if items:
        assert result.objective <= best_cost(items, policy) * 1.02


@st.composite
def constraints_of(draw: st.DrawFn, names: list[str]) -> PlanConstraints:
    excluded = frozenset(draw(st.sets(st.sampled_from(names), max_size=2)))
    return PlanConstraints(
        weekdays=frozenset(draw(st.sets(st.integers(1, 7), max_size=3))),
        max_boxes=draw(st.none() | st.integers(0, 4)),
        budget=draw(st.none() | st.floats(0, 80)),
        required=frozenset(draw(st.sets(st.sampled_from(names), max_size=1))) - excluded,
        excluded=excluded,
        min_annual_savings=draw(st.none() | st.floats(-50, 100)),
        notice_days=draw(st.integers(0, 14)),
    )


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 9), seed=st.integers(0, 500), data=st.data())
def test_plan_meets_its_constraints(count: int, seed: int, data: st.DataObject) -> None:
    items = random_items(count, seed)
    limits = data.draw(constraints_of([one.name for one in items]))
    result = plan_deliveries(items, POLICY, limits, as_of_weekday=5)
    planned = {entry.item.name for entry in result.items}
    assert planned.isdisjoint(limits.excluded)
    if result.bindings:
        assert not planned
        for binding in result.bindings:
            assert_has_a_text(binding)
        return
    assert planned >= limits.required
    assert planned | set(result.left_out) == {one.name for one in items}
    assert all(entry.option in entry.item.options for entry in result.items)
    assert all(min(entry.days) >= max(1, limits.notice_days) for entry in result.items)
    if limits.budget is not None and planned:
        assert max(month_costs(result)) <= limits.budget
    if limits.max_boxes is not None and planned:
        assert max(month_boxes(result)) <= limits.max_boxes
    if limits.weekdays:
        assert {(5 - 1 + day) % 7 + 1 for entry in result.items for day in entry.days} <= limits.weekdays
    subscriptions = [subscription_of(entry, POLICY, 2) for entry in result.items]
    plan = plan_of(subscriptions, result, POLICY, 2)
    assert plan.annual_cost == pytest.approx(sum(one.price.annual_cost for one in subscriptions), abs=1e-6)
    assert plan.annual_savings_vs_paid == pytest.approx(
        sum(one.annual_savings or 0.0 for one in subscriptions), abs=1e-6
    )
    assert plan.max_month_cost == pytest.approx(max(month_costs(result), default=0.0), abs=1e-6)
    if limits.min_annual_savings is not None and planned:
        assert plan.annual_savings_vs_paid is not None
        assert plan.annual_savings_vs_paid >= limits.min_annual_savings
    assert plan_deliveries(items, POLICY, limits, as_of_weekday=5) == result


# The search stays within this share of the best plan.
GAP = 0.02


@settings(max_examples=40, deadline=None)
@given(count=st.integers(2, 8), seed=st.integers(0, 500), data=st.data())
def test_constraint_never_improves_the_plan(count: int, seed: int, data: st.DataObject) -> None:
    items = random_items(count, seed)
    limits = data.draw(constraints_of([one.name for one in items]))
    # What is required may cost more than the policy allows, and a notice moves the year that a plan is made for.
    limits = replace(limits, required=frozenset(), notice_days=0)
    free, limited = plan_deliveries(items, ANY_PRICE), plan_deliveries(items, ANY_PRICE, limits)
    if not limited.bindings:
        assert free.objective <= limited.objective * (1 + GAP)


_KEEPS_DAYS = {Perishability.DAYS: 10, Perishability.WEEKS: 42, Perishability.MONTHS: 365}


@st.composite
def perishable_candidates(draw: st.DrawFn, name: str) -> Candidate:
    use_days = draw(st.floats(1, 60))
    intervals = draw(st.sets(st.sampled_from([7, 14, 21, 28, 42, 56, 84]), min_size=1))
    options = tuple(
        DeliveryOption(days, quantity, round(quantity * use_days / days, 6), 0.3, 0.3, draw(st.floats(0.5, 1)))
        for days in sorted(intervals)
        for quantity in [draw(st.integers(1, 6))]
    )
    forecast = WEEKLY_FORECAST._replace(options=options, use_days=use_days)
    perishability = draw(st.sampled_from([*_KEEPS_DAYS]))
    return bananas(name=name, typical_quantity=draw(st.integers(1, 3)), perishability=perishability, forecast=forecast)


@settings(max_examples=60, deadline=None)
@given(candidates=st.lists(st.integers(0, 1), min_size=1, max_size=5), data=st.data())
def test_no_delivery_of_a_plan_lasts_longer_than_it_keeps(candidates: list[int], data: st.DataObject) -> None:
    policy = Policy()
    made = [data.draw(perishable_candidates(f"item {number}")) for number in range(len(candidates))]
    chosen = {one.name: with_best_option(one, 0.6, policy.max_supply_days) for one in made}
    items = [
        plan_item_of(one, offer_of(one, policy.tiers), AS_OF, AS_OF + timedelta(days=7), None, policy)
        for one in chosen.values()
    ]
    for entry in plan_deliveries(items, POLICY).items:
        candidate = chosen[entry.item.name]
        forecast, limit = candidate.forecast, _KEEPS_DAYS[candidate.perishability]  # type: ignore[index]
        assert forecast is not None

        def lasts(option: DeliveryOption | PlanOption, of: Candidate = candidate) -> float:
            assert of.forecast is not None
            return of.forecast.use_days * option.quantity / of.typical_quantity

        # What the household itself buys at once keeps; if no option does, the smallest remains.
        fits = [one for one in forecast.options if one.quantity <= candidate.typical_quantity or lasts(one) <= limit]
        if fits:
            assert entry.option.quantity <= candidate.typical_quantity or lasts(entry.option) <= limit
        else:
            assert entry.option.quantity == min(one.quantity for one in forecast.options)
