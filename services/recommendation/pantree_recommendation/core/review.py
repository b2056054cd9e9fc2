"""Reviews the subscriptions of a household: what to keep, and what to change before which cut-off.

The rules, in the order in which they are tried, are in `docs/review.md`. None makes an interval shorter or a quantity
larger unless this household bought more in the shop.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from pantree_domain.cadence import LADDER, nearest_cadence
from pantree_domain.item_key import item_key
from pantree_recommendation.core.reason import Reason, ReasonCode
from pantree_recommendation.core.review_evidence import (
    ADVISED,
    evidence_of,
    has_arrived,
    shop_purchases,
)
from pantree_recommendation.core.review_forecast import (
    changed_deliveries,
    coming_deliveries,
    forecast,
    next_changeable,
)
from pantree_recommendation.core.review_state import (
    Change,
    DeliveryRecord,
    DeliveryStatus,
    Evidence,
    ReviewAction,
    ReviewRequest,
    SubscriptionReview,
    SubscriptionState,
)

MIN_ACCEPTED = 3
"""Deliveries without a sign of too much or too little, after which the household has accepted the subscription."""
MIN_SIGNS = 2
"""One skip or one purchase may have any reason; two of the last four deliveries show a habit."""
SKIPS_TO_STOP = 3
"""A household that skips three deliveries in a row gets nothing out of the subscription."""
MIN_STILL_BOUGHT_RATIO = 1.0
"""Deliveries replace no purchase if the household goes on buying what it bought before."""
MIN_EARLY_DAYS_RATIO = 1.5
"""Without the next delivery, what is there lasts half an interval beyond the following one: a forecast that is half an
interval wrong does not make the household run out. On fitting households, 0.5 and 1 made more run out."""
MAX_SUPPLY_RATIO = 1.1
"""More is never advised beyond what deliveries and purchases together supplied; a tenth may be rounding."""
MIN_ALTERNATIVE_DAYS = 3
MIN_DAYS_AWAY = 28
"""Four weeks without any purchase, and four times the usual gap between trips: the household is away."""
MAX_DAYS_AWAY = 84
"""After twelve weeks without a purchase, purchases are probably no longer recorded."""
MIN_GAPS_AWAY = 4.0
MIN_TRIPS = 6
_TRIP_DAYS = 84
PAUSE_DAYS = 28


class _Advice(NamedTuple):
    action: ReviewAction
    reason: Reason
    change: Change = Change()


class _Case(NamedTuple):
    """What the rules look at."""

    request: ReviewRequest
    state: SubscriptionState
    evidence: Evidence
    next: DeliveryRecord
    """The next delivery that can be changed."""
    received_day: int | None
    """Day of the latest delivery, of any subscription, that was reported to have arrived."""

    @property
    def as_of_day(self) -> int:
        return self.request.as_of_day


_Rule = Callable[[_Case], _Advice | None]


def review(request: ReviewRequest) -> tuple[SubscriptionReview, ...]:
    """The advice for each subscription, in the order of the request."""
    received = (
        one.day
        for state in request.subscriptions
        for one in state.deliveries
        if one.status is DeliveryStatus.DELIVERED and one.day <= request.as_of_day
    )
    received_day = max(received, default=None)
    return tuple(_review(request, state, received_day) for state in request.subscriptions)


def _review(request: ReviewRequest, state: SubscriptionState, received_day: int | None) -> SubscriptionReview:
    evidence = evidence_of(state, request.as_of_day)
    following = next_changeable(state, request.as_of_day)
    advice = None
    if following is not None and not state.is_paused:
        case = _Case(request, state, evidence, following, received_day)
        advice = next((found for rule in _RULES if (found := rule(case)) is not None), None)
    if advice is None:
        advice = _Advice(ReviewAction.KEEP, _reason_to_keep(state, evidence))
    coming = coming_deliveries(state, request.as_of_day)
    changed = changed_deliveries(state, request.as_of_day, advice.action, advice.change)
    after = forecast(state, evidence, changed, request.as_of_day, request.digits)
    if advice.action is ReviewAction.SWAP:
        # The price is that of the present item.
        after = after._replace(cost=None)
    return SubscriptionReview(
        subscription=state,
        action=advice.action,
        reasons=(advice.reason,),
        evidence=evidence,
        change=advice.change,
        now=forecast(state, evidence, coming, request.as_of_day, request.digits),
        after=after,
        before=None if advice.action is ReviewAction.KEEP else following,
    )


def _reason_to_keep(state: SubscriptionState, evidence: Evidence) -> Reason:
    values = {"delivered_count": evidence.delivered_count}
    if state.is_paused:
        return Reason(ReasonCode.REVIEW_PAUSED, {})
    if evidence.silent_count >= MIN_ACCEPTED:
        return Reason(ReasonCode.REVIEW_ACCEPTED, {"silent_count": evidence.silent_count})
    if evidence.delivered_count < MIN_SIGNS:
        return Reason(ReasonCode.REVIEW_TOO_EARLY, values)
    return Reason(ReasonCode.REVIEW_NO_PATTERN, values)


def _swap(case: _Case) -> _Advice | None:
    """The household buys another item instead, which it bought less often before and does not subscribe to."""
    state = case.state
    first = min((one.day for one in state.deliveries if has_arrived(one, case.as_of_day)), default=None)
    if not state.alternative_name or first is None or _is_alternative_subscribed(case):
        return None
    days = {one.day for one in state.alternative_purchases if first <= one.day <= case.as_of_day}
    before = {one.day for one in state.alternative_purchases if 2 * first - case.as_of_day <= one.day < first}
    own = [one for one in shop_purchases(state, case.as_of_day) if one.day > first]
    if len(days) < MIN_ALTERNATIVE_DAYS or own or 2 * len(before) > len(days):
        return None
    reason = Reason(ReasonCode.REVIEW_OTHER_ITEM, {"purchase_count": len(days)}, other_item=state.alternative_name)
    return _Advice(ReviewAction.SWAP, reason, Change(item_name=state.alternative_name))


def _is_alternative_subscribed(case: _Case) -> bool:
    """Whether another subscription delivers the alternative."""
    name, item_id = item_key(case.state.alternative_name), case.state.alternative_id
    return any(
        item_key(one.item_name) == name or (item_id and one.item_id == item_id)
        for one in case.request.subscriptions
        if one.subscription_id != case.state.subscription_id
    )


def _stop_after_skips(case: _Case) -> _Advice | None:
    count = case.evidence.skipped_in_a_row
    if count < SKIPS_TO_STOP:
        return None
    return _Advice(ReviewAction.STOP, Reason(ReasonCode.REVIEW_SKIPPED_ALL, {"skipped_count": count}))


def _stop_if_bought_anyway(case: _Case) -> _Advice | None:
    """The household buys as before, also right after every delivery: they replace nothing."""
    evidence = case.evidence
    before = evidence.earlier_use_per_day
    if evidence.bought_anyway_count < max(MIN_SIGNS, evidence.delivered_count):
        return None
    if not before or evidence.first_day is None:
        return None
    days = case.as_of_day - evidence.first_day
    if evidence.purchased_units < MIN_STILL_BOUGHT_RATIO * before * days:
        return None
    values = {"bought_anyway_count": evidence.bought_anyway_count, "delivered_count": evidence.delivered_count}
    return _Advice(ReviewAction.STOP, Reason(ReasonCode.REVIEW_BOUGHT_ANYWAY, values))


def _pause_while_away(case: _Case) -> _Advice | None:
    trips = [day for day in case.request.trip_days if day <= case.as_of_day]
    if not trips:
        return None
    days_away = case.as_of_day - trips[-1]
    usual = [day for day in trips if day > trips[-1] - _TRIP_DAYS]
    if len(usual) < MIN_TRIPS or not MIN_DAYS_AWAY <= days_away <= MAX_DAYS_AWAY:
        return None
    if case.received_day is not None and case.received_day > case.as_of_day - MIN_DAYS_AWAY:
        return None
    if days_away <= MIN_GAPS_AWAY * median(b - a for a, b in pairwise(usual)):
        return None
    until = case.as_of_day + PAUSE_DAYS
    if case.next.day >= until:
        return None
    return _Advice(
        ReviewAction.PAUSE, Reason(ReasonCode.REVIEW_AWAY, {"days_away": days_away}), Change(pause_until=until)
    )


def _less(case: _Case) -> _Advice | None:
    """Skips mean not so often, returned units not so many at once."""
    evidence, state = case.evidence, case.state
    if evidence.skipped_count + evidence.returned_count < MIN_SIGNS:
        return None
    decisions = evidence.delivered_count + evidence.skipped_count
    values = {"skipped_count": evidence.skipped_count, "delivered_count": evidence.delivered_count}
    if evidence.returned_count >= evidence.skipped_count and state.quantity > 1:
        kept = math.ceil(evidence.delivered_units / evidence.delivered_count)
        quantity = min(max(1, kept), state.quantity - 1)
        values = {"returned_count": evidence.returned_count, "delivered_count": evidence.delivered_count}
        return _Advice(
            ReviewAction.CHANGE_QUANTITY, Reason(ReasonCode.REVIEW_RETURNED, values), Change(quantity=quantity)
        )
    longer = [step.interval_days for step in LADDER if step.interval_days > state.interval_days]
    if not longer:
        return _Advice(ReviewAction.STOP, Reason(ReasonCode.REVIEW_TOO_MUCH, values))
    kept_units = max(evidence.delivered_units, float(state.quantity))
    wanted = nearest_cadence(state.interval_days * decisions * state.quantity / kept_units).interval_days
    change = Change(interval_days=max(longer[0], wanted))
    return _Advice(ReviewAction.LENGTHEN, Reason(ReasonCode.REVIEW_TOO_MUCH, values), change)


def _skip_while_it_lasts(case: _Case) -> _Advice | None:
    """What was bought in the shop since the last delivery lasts well beyond the next one."""
    evidence, state = case.evidence, case.state
    use, on_hand = evidence.use_per_day, evidence.units_on_hand
    if not use or on_hand is None:
        return None
    if any(one.day > case.as_of_day and one.reason == ADVISED for one in state.deliveries):
        return None
    last = max((one.day for one in state.deliveries if has_arrived(one, case.as_of_day)), default=None)
    bought = [one for one in shop_purchases(state, case.as_of_day) if last is None or one.day >= last]
    if not bought:
        return None
    early_days = case.as_of_day + on_hand / use - case.next.day
    if early_days <= MIN_EARLY_DAYS_RATIO * state.interval_days:
        return None
    values = {
        "days_since_purchase": case.as_of_day - bought[-1].day,
        "purchased_units": bought[-1].quantity,
        "early_days": early_days,
        "units_on_hand": on_hand,
    }
    return _Advice(ReviewAction.SKIP_NEXT, Reason(ReasonCode.REVIEW_STOCK_AT_HOME, values))


def _more(case: _Case) -> _Advice | None:
    """The household had to buy more before the next delivery, twice or more, and never had too much.

    Both deliveries had the present interval and quantity, so what led to a change leads to no second one.
    """
    evidence, state = case.evidence, case.state
    signs_of_enough = evidence.skipped_count + evidence.returned_count + evidence.bought_anyway_count
    supplied = evidence.supply_per_day
    if evidence.top_up_count < MIN_SIGNS or signs_of_enough or not supplied:
        return None
    options = [Change(quantity=state.quantity + 1)]
    shorter = [step.interval_days for step in LADDER if step.interval_days < state.interval_days]
    if shorter:
        options.insert(0, Change(interval_days=shorter[-1]))
    fitting = [
        (abs(math.log(ratio)), number)
        for number, option in enumerate(options)
        if (ratio := _supply(state, option) / supplied) <= 1.0
        or (ratio <= MAX_SUPPLY_RATIO and _runs_out_less(case, option))
    ]
    if not fitting:
        return None
    change = options[min(fitting)[1]]
    values = {"top_up_count": evidence.top_up_count, "delivered_count": evidence.delivered_count}
    return _Advice(_action_of(change), Reason(ReasonCode.REVIEW_TOO_LITTLE, values), change)


def _action_of(change: Change) -> ReviewAction:
    """The action of a change to more."""
    return ReviewAction.SHORTEN if change.quantity is None else ReviewAction.CHANGE_QUANTITY


def _runs_out_less(case: _Case, change: Change) -> bool:
    """Whether the household runs out less often after a change to more."""
    coming = coming_deliveries(case.state, case.as_of_day)
    changed = changed_deliveries(case.state, case.as_of_day, _action_of(change), change)
    now, after = (
        forecast(case.state, case.evidence, found, case.as_of_day, case.request.digits).stockout_count
        for found in (coming, changed)
    )
    return now is not None and after is not None and after < now


def _supply(state: SubscriptionState, change: Change) -> float:
    """Units a day after a change."""
    return (change.quantity or state.quantity) / (change.interval_days or state.interval_days)


_RULES: Sequence[_Rule] = (
    _swap,
    _stop_after_skips,
    _stop_if_bought_anyway,
    _pause_while_away,
    _less,
    _skip_while_it_lasts,
    _more,
)
