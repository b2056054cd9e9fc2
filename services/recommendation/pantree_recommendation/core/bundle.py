"""Plans the recommended items together: from offers to the items of a plan, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pantree_recommendation.core.candidate import Candidate, DeliveryOption
from pantree_recommendation.core.delivery import MAX_LONGER_FACTOR, MIN_LONGER_PROBABILITY, MIN_REGULARITY, keeps
from pantree_recommendation.core.discount import DiscountTier
from pantree_recommendation.core.offer import Offer, Price, offer_of, price_of
from pantree_recommendation.core.plan import (
    NO_CONSTRAINTS,
    Binding,
    LeftOutCode,
    PlanConstraints,
    PlanItem,
    PlanOption,
    PlanPolicy,
)
from pantree_recommendation.core.planner import plan_deliveries
from pantree_recommendation.core.policy import Policy
from pantree_recommendation.core.reason import Reason, ReasonCode
from pantree_recommendation.core.subscription import Plan, Subscription, plan_of, subscription_of

# Another option than the best one must supply nearly as much, and run out nearly as seldom: the frequency service chose
# how much is right.
_MAX_OTHER_SUPPLY = 0.15
_MAX_OTHER_STOCKOUT = 0.1


@dataclass(frozen=True)
class Bundle:
    """The plan of some items."""

    plan: Plan
    subscriptions: tuple[Subscription, ...]
    """In the order of the items."""
    left_out: Mapping[str, Reason]
    """By name, in the order of the items."""
    bindings: tuple[Binding, ...]
    """Constraints that cannot be met."""
    policy: PlanPolicy
    digits: int

    @property
    def prices(self) -> Mapping[str, tuple[Price, ...]]:
        """Of each subscription by name, at each discount tier, smallest delivery first."""
        return {
            one.planned.item.name: tuple(
                price_of(
                    one.planned.item.unit_price,
                    one.planned.item.paid,
                    one.planned.item.paid.purchase_count or 1 if one.planned.item.paid else 1,
                    one.cadence,
                    one.planned.option.quantity,
                    tier,
                    one.planned.item.discounted,
                    self.digits,
                )
                for tier in self.policy.tiers.tiers
            )
            for one in self.subscriptions
        }


def bundle_of(
    items: Sequence[PlanItem],
    policy: PlanPolicy,
    as_of: date,
    constraints: PlanConstraints = NO_CONSTRAINTS,
    digits: int = 2,
) -> Bundle:
    """The plan of some items, in money."""
    planned = plan_deliveries(items, policy, constraints, as_of_weekday=as_of.isoweekday(), digits=digits)
    subscriptions = tuple(subscription_of(entry, policy, digits, constraints) for entry in planned.items)
    by_name = {item.name: item for item in items}
    left_out = {
        name: _left_out_reason(by_name[name], code, policy, constraints, digits)
        for name, code in planned.left_out.items()
    }
    if planned.bindings and not planned.items:
        left_out = {item.name: left_out.get(item.name, Reason(ReasonCode.NO_COMMON_PLAN, {})) for item in items}
    plan = plan_of(subscriptions, planned, policy, digits, constraints.budget)
    return Bundle(plan, subscriptions, left_out, planned.bindings, policy, digits)


def _left_out_reason(
    item: PlanItem, code: LeftOutCode, policy: PlanPolicy, constraints: PlanConstraints, digits: int
) -> Reason:
    values: dict[str, float] = {}
    if code is LeftOutCode.MORE_EXPENSIVE and item.paid is not None:
        price = _price_above(item, item.paid.mean * (1 + policy.max_more_expensive_ratio), policy)
        values = {"subscription_unit_price": round(price, 4), "paid_unit_price": round(item.paid.mean, 4)}
    elif code is LeftOutCode.ABOVE_PRICE_LIMIT:
        limit = constraints.max_unit_prices[item.name]
        values = {"subscription_unit_price": round(_price_above(item, limit, policy), 4), "max_unit_price": limit}
    elif code is LeftOutCode.OVER_BUDGET and constraints.budget is not None:
        values = {"budget_per_month": constraints.budget}
    return Reason(ReasonCode(code.value), values, digits=digits)


def _price_above(item: PlanItem, limit: float, policy: PlanPolicy) -> float:
    """The price of a unit at the largest discount if that is above the limit, otherwise at the smallest."""
    tiers = policy.tiers.tiers if item.discounted else (DiscountTier(1, 0.0),)
    lowest, highest = (policy.charged_unit_price(item) * (1 - tiers[end].discount_ratio) for end in (-1, 0))
    return lowest if lowest > limit else highest


def plan_item_of(
    candidate: Candidate, offer: Offer, as_of: date, best_first_day: date, last_day: date | None, policy: Policy
) -> PlanItem:
    """An offered item as an item of a plan, with the other ways to deliver it that are nearly as good."""
    paid = candidate.paid_price
    if paid is not None and paid.purchase_count is None:
        paid = paid._replace(purchase_count=candidate.purchase_count)
    forecast = offer.forecast
    best = PlanOption(
        offer.cadence.interval_days,
        offer.quantity,
        offer.supply_ratio,
        forecast.stockout_probability,
        forecast.overstock_ratio,
        offer.units_on_hand,
    )
    others: list[PlanOption] = []
    if candidate.units_per_pack == 1 and offer.cadence == offer.supported_cadence:
        others = [
            PlanOption(*option[:5], option.units_on_hand)
            for option in forecast.options
            if _is_good(option, best, candidate, policy)
        ]
    return PlanItem(
        name=candidate.name,
        options=(best, *others),
        best_first_day=max(1, (best_first_day - as_of).days),
        unit_price=candidate.latest_unit_price,
        paid=paid,
        discounted=offer.discounted,
        regular=forecast.regularity_ratio >= MIN_REGULARITY,
        last_day=None if last_day is None else (last_day - as_of).days,
    )


def _is_good(option: DeliveryOption, best: PlanOption, candidate: Candidate, policy: Policy) -> bool:
    interval = option.interval_days
    if interval == best.interval_days or not (
        best.interval_days <= MAX_LONGER_FACTOR * interval and interval <= MAX_LONGER_FACTOR * best.interval_days
    ):
        return False
    required = policy.required_probability(candidate)
    if interval > best.interval_days:
        required = max(required, MIN_LONGER_PROBABILITY)
    forecast = candidate.forecast
    assert forecast is not None  # it has options
    return (
        option.cadence_probability >= required
        and abs(option.supply_ratio / best.supply_ratio - 1) <= _MAX_OTHER_SUPPLY
        and option.stockout_probability <= best.stockout_probability + _MAX_OTHER_STOCKOUT
        and keeps(candidate, forecast, option, policy.max_supply_days)
    )


def planned_offer(candidate: Candidate, offer: Offer, subscription: Subscription, policy: Policy) -> Offer:
    """The offer as the plan has it: with another interval and quantity if it chose them."""
    interval = subscription.cadence.interval_days
    forecast = candidate.forecast
    if interval == offer.cadence.interval_days or forecast is None:
        return offer
    option = next(option for option in forecast.options if option.interval_days == interval)
    changed = candidate._replace(forecast=forecast.with_option(option))
    return offer_of(changed, policy.tiers, discounted=offer.discounted, digits=offer.digits)
