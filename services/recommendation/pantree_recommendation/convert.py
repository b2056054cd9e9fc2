"""Validated messages of the recommendation service ↔ core types."""

import math
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from itertools import starmap

from pantree.catalog.v1 import catalog_pb2
from pantree.frequency.v1 import frequency_service_pb2 as frequency
from pantree.model.v1.model_pb2 import Model
from pantree.recommendation.v1 import recommendation_service_pb2 as messages
from pantree.vector.v1 import vector_service_pb2 as vector
from pantree_domain.catalog import Perishability
from pantree_domain.days import calendar_day
from pantree_domain.evidence import ModelName, Need, Trend
from pantree_domain.item_key import item_key
from pantree_domain.limits import DEFAULT_RECOMMENDATIONS
from pantree_domain.money import minor_unit_digits
from pantree_domain.purchases import fold_items
from pantree_recommendation.core.basket_features import Item
from pantree_recommendation.core.bundle import Bundle
from pantree_recommendation.core.candidate import Candidate, DeliveryOption, Forecast, PaidPrice
from pantree_recommendation.core.next_basket import DEFAULT_MAX_ITEMS, BasketMode, NextBasket, NextBasketRequest
from pantree_recommendation.core.offer import Price
from pantree_recommendation.core.plan import (
    CALENDAR_DAYS,
    NO_CONSTRAINTS,
    Binding,
    PlanConstraints,
    PlanItem,
    PlanOption,
)
from pantree_recommendation.core.plan_request import PlanRequest
from pantree_recommendation.core.reason import Reason
from pantree_recommendation.core.recommender import (
    DEFAULT_SUGGESTIONS,
    OmittedItem,
    Recommendation,
    RecommendationRequest,
    RecommendationResult,
)
from pantree_recommendation.core.savings import SavingsVsPaid
from pantree_recommendation.core.selection import ModelCard, Models
from pantree_recommendation.core.subscription import Delivery, Plan, Subscription
from pantree_recommendation.core.suggestion import (
    SUGGESTION_SOURCE,
    CoPurchasedItem,
    Neighborhood,
    NeighborItem,
    Suggestion,
)
from pantree_recommendation.core.texts import load_texts
from pantree_runtime.batches import split_by_size
from pantree_runtime.errors import PantreeError
from pantree_runtime.purchase_columns import history_of
from pantree_runtime.status import status_of

_TRENDS = {
    frequency.TREND_UNSPECIFIED: Trend.UNKNOWN,
    frequency.TREND_STABLE: Trend.STABLE,
    frequency.TREND_ACCELERATING: Trend.ACCELERATING,
    frequency.TREND_SLOWING: Trend.SLOWING,
}
_NEEDS = {
    frequency.NEED_ACTIVE: Need.ACTIVE,
    frequency.NEED_LATE: Need.LATE,
    frequency.NEED_PAUSED: Need.PAUSED,
    frequency.NEED_ENDED: Need.ENDED,
    frequency.NEED_SWITCHED: Need.SWITCHED,
}
_PERISHABILITIES = {
    catalog_pb2.PERISHABILITY_UNSPECIFIED: None,
    catalog_pb2.PERISHABILITY_DAYS: Perishability.DAYS,
    catalog_pb2.PERISHABILITY_WEEKS: Perishability.WEEKS,
    catalog_pb2.PERISHABILITY_MONTHS: Perishability.MONTHS,
}


def recommendation_request(message: messages.RecommendRequest) -> RecommendationRequest:
    """Converts a validated request."""
    has = message.HasField
    return RecommendationRequest(
        candidates=tuple([_candidate(candidate) for candidate in message.candidates]),
        as_of=date.fromisoformat(message.as_of),
        max_recommendations=message.max_recommendations if has("max_recommendations") else DEFAULT_RECOMMENDATIONS,
        min_confidence=message.min_confidence if has("min_confidence") else None,
        min_cadence_probability=message.min_cadence_probability if has("min_cadence_probability") else None,
        include_omitted=message.include_omitted,
        customer_id=message.customer_id,
        model=message.model,
        neighborhood=_neighborhood(message.neighborhood) if has("neighborhood") else None,
        max_suggestions=message.max_suggestions if has("max_suggestions") else DEFAULT_SUGGESTIONS,
        currency_code=message.currency_code,
        replaced={item.name: item.other_item for item in message.replaced_items},
        constraints=_constraints(message.constraints) if has("constraints") else NO_CONSTRAINTS,
        include_analysis=message.include_analysis,
    )


def _constraints(message: messages.PlanConstraints) -> PlanConstraints:
    has = message.HasField
    return PlanConstraints(
        weekdays=frozenset(message.delivery_weekdays),
        max_boxes=message.max_boxes_per_month if has("max_boxes_per_month") else None,
        budget=message.budget_per_month if has("budget_per_month") else None,
        required=frozenset(message.required_items),
        excluded=frozenset(message.excluded_items),
        min_annual_savings=message.min_annual_savings if has("min_annual_savings") else None,
        notice_days=message.notice_days,
        max_unit_prices={limit.name: limit.max_unit_price for limit in message.price_limits},
    )


def plan_request(message: messages.PlanDeliveriesRequest) -> PlanRequest:
    """Converts a validated request."""
    analysis = message.analysis
    as_of = date.fromisoformat(analysis.as_of)
    return PlanRequest(
        items=tuple(_plan_item(item, as_of) for item in analysis.items),
        as_of=as_of,
        constraints=_constraints(message.constraints),
        currency_code=analysis.currency_code,
        price_dates={item.name: item.price_date for item in analysis.items},
        units_per_pack={item.name: item.units_per_pack or 1 for item in analysis.items},
        identities={item.name: (item.item_id, item.variant) for item in analysis.items},
    )


def _plan_item(message: messages.PlanItem, as_of: date) -> PlanItem:
    return PlanItem(
        name=message.name,
        options=tuple(
            PlanOption(
                option.interval_days,
                option.quantity,
                option.delivered_per_used_ratio or 1.0,
                option.stockout_probability,
                option.overstock_ratio,
                option.expected_units_on_hand,
            )
            for option in message.options
        ),
        best_first_day=max(1, (date.fromisoformat(message.best_first_date) - as_of).days),
        unit_price=message.unit_price,
        paid=_reference_paid(message.paid_price) if message.HasField("paid_price") else None,
        discounted=message.discounted,
        regular=message.is_regular,
        last_day=(date.fromisoformat(message.last_date) - as_of).days if message.last_date else None,
    )


def _candidate(message: messages.Candidate) -> Candidate:
    item = message.frequency
    has = item.HasField
    next_due_date = item.next_due_date
    reference = message.reference_price if message.HasField("reference_price") else None
    has_paid = has("mean_paid_unit_price") and has("paid_unit_price_deviation")
    return Candidate(
        name=item.name,
        category=item.category,
        purchase_count=item.purchase_count,
        mean_interval_days=item.mean_interval_days if has("mean_interval_days") else None,
        consistency_ratio=item.consistency_ratio,
        recency_weight_ratio=item.recency_weight_ratio,
        trend=_TRENDS[item.trend],
        confidence=item.confidence,
        last_day=date.fromisoformat(item.last_date),
        next_due_day=date.fromisoformat(next_due_date) if next_due_date else None,
        latest_unit_price=item.latest_unit_price if reference is None else reference.shelf_unit_price,
        typical_quantity=item.typical_quantity,
        perishability=_PERISHABILITIES[message.perishability],
        suggested_interval_days=message.suggested_interval_days or None,
        forecast=_forecast(item) if item.recommended_interval_days else None,
        paid_price=_reference_paid(reference)
        if reference is not None
        else PaidPrice(item.mean_paid_unit_price, item.paid_unit_price_deviation)
        if has_paid
        else None,
        units_per_pack=message.units_per_pack or 1,
        other_names=tuple(message.other_names),
        all_year=message.all_year,
    )


def _reference_paid(reference: messages.ReferencePrice) -> PaidPrice:
    return PaidPrice(
        mean=reference.paid_unit_price,
        deviation=reference.paid_unit_price_deviation,
        latest=reference.latest_paid_unit_price,
        purchase_count=reference.purchase_count,
        usual_discount_ratio=reference.usual_discount_ratio,
        promoted=reference.promoted,
    )


def _forecast(item: frequency.ItemFrequency) -> Forecast:
    need = item.need
    return Forecast(
        interval_days=item.recommended_interval_days,
        cadence_probability=item.cadence_probability,
        stockout_probability=item.stockout_probability,
        overstock_ratio=item.overstock_ratio,
        need=_NEEDS[need],
        need_probability=_need_probability(item.need_probabilities, need),
        first_delivery_day=date.fromisoformat(item.first_delivery.date) if item.HasField("first_delivery") else None,
        quantity=item.recommended_quantity,
        supply_ratio=item.delivered_per_used_ratio or 1.0,
        regularity_ratio=item.regularity_ratio,
        use_days=item.use_days,
        units_on_hand=item.expected_units_on_hand,
        options=_options(item.delivery_options) if item.HasField("delivery_options") else (),
    )


def _options(columns: frequency.DeliveryOptions) -> tuple[DeliveryOption, ...]:
    # Copies, because the elements of a Python list are read faster.
    intervals = columns.interval_days[:]
    rows = zip(
        intervals, columns.quantities[:], columns.delivered_per_used_ratios[:], columns.stockout_probabilities[:],
        columns.overstock_ratios[:], columns.cadence_probabilities[:],
        columns.expected_units_on_hand[:] or [0.0] * len(intervals), strict=True,
    )  # fmt: skip
    return tuple(starmap(DeliveryOption, rows))


def _need_probability(probabilities: Iterable[frequency.NeedProbability], need: int) -> float:
    for entry in probabilities:
        if entry.need == need:
            return entry.probability
    return 0.0


def _neighborhood(message: vector.Neighborhood) -> Neighborhood:
    return Neighborhood(message.neighbor_count, tuple(_neighbor_item(item) for item in message.items))


def _neighbor_item(item: vector.NeighborItem) -> NeighborItem:
    associated = item.associated_item
    return NeighborItem(
        name=item.name,
        category=item.category,
        buyer_count=item.buyer_count,
        regular_buyer_count=item.regular_buyer_count,
        low_interval_days=item.low_interval_days,
        high_interval_days=item.high_interval_days,
        own_day_count=item.own_day_count,
        associated_item=CoPurchasedItem(associated.name, associated.buyer_count, associated.regular_count)
        if item.HasField("associated_item")
        else None,
    )


def recommend_response(result: RecommendationResult) -> messages.RecommendResponse:
    """Converts a result."""
    digits = minor_unit_digits(result.currency_code)
    return messages.RecommendResponse(
        recommendations=[_recommendation_message(one, result.as_of) for one in result.recommendations],
        omitted=[_omitted_message(item) for item in result.omitted],
        model=_model_message(result.model),
        source=result.source,
        fallback_reason=result.fallback_reason,
        plan=_plan_message(result.plan, result.as_of),
        near_misses=[_omitted_message(item) for item in result.near_misses],
        suggestions=[_suggestion_message(suggestion) for suggestion in result.suggestions],
        binding_constraints=[_binding_message(binding, digits) for binding in result.bindings],
        analysis=None if result.analysis is None else _analysis_message(result, result.analysis),
    )


def plan_response(request: PlanRequest, bundle: Bundle) -> messages.PlanDeliveriesResponse:
    """Converts a plan."""
    return messages.PlanDeliveriesResponse(
        plan=_plan_message(bundle.plan, request.as_of),
        subscriptions=[
            messages.PlannedSubscription(
                name=(name := one.planned.item.name),
                subscription=_subscription_message(
                    one, request.as_of, request.price_dates[name], request.units_per_pack[name], bundle.prices[name]
                ),
                item_id=request.identities[name][0],
                variant=request.identities[name][1],
            )
            for one in bundle.subscriptions
        ],
        left_out=[
            messages.OmittedItem(
                name=name,
                reason=reason_message(reason),
                item_id=request.identities[name][0],
                variant=request.identities[name][1],
            )
            for name, reason in bundle.left_out.items()
        ],
        binding_constraints=[_binding_message(binding, bundle.digits) for binding in bundle.bindings],
    )


def _plan_message(plan: Plan, as_of: date) -> messages.SubscriptionPlan:
    return messages.SubscriptionPlan(
        item_count=plan.item_count,
        annual_cost=plan.annual_cost,
        estimated_annual_savings=plan.estimated_annual_savings,
        annual_savings_vs_paid=plan.annual_savings_vs_paid,
        best_discount_ratio=plan.best_discount_ratio,
        deliveries=[_delivery_message(delivery, as_of) for delivery in plan.deliveries],
        end_date=(as_of + timedelta(days=CALENDAR_DAYS)).isoformat(),
        annual_paid=plan.annual_paid,
        boxes_per_month=plan.boxes_per_month,
        objective=plan.objective if math.isfinite(plan.objective) else 0.0,
        budget_per_month=plan.budget,
        max_month_cost=plan.max_month_cost,
    )


def _delivery_message(delivery: Delivery, as_of: date) -> messages.PlannedDelivery:
    return messages.PlannedDelivery(
        date=(as_of + timedelta(days=delivery.day)).isoformat(),
        items=[messages.PlannedItem(**item._asdict()) for item in delivery.items],
        discount_ratio=delivery.discount_ratio,
        price=delivery.price,
        savings_vs_paid=delivery.savings_vs_paid,
    )


def _binding_message(binding: Binding, digits: int) -> messages.BindingConstraint:
    text = load_texts().constraint_text(binding.constraint, binding.fitting_value, binding.items, digits)
    return messages.BindingConstraint(constraint=binding.constraint, text=text, fitting_value=binding.fitting_value)


def _analysis_message(result: RecommendationResult, items: Iterable[PlanItem]) -> messages.PlanAnalysis:
    by_name = {one.candidate.name: one.candidate for one in result.recommendations}
    return messages.PlanAnalysis(
        items=[_plan_item_message(item, result.as_of, by_name.get(item.name)) for item in items],
        as_of=result.as_of.isoformat(),
        currency_code=result.currency_code,
    )


def _plan_item_message(item: PlanItem, as_of: date, candidate: Candidate | None) -> messages.PlanItem:
    paid = item.paid
    return messages.PlanItem(
        name=item.name,
        options=[
            messages.PlanOption(
                interval_days=option.interval_days,
                quantity=option.quantity,
                delivered_per_used_ratio=option.supply_ratio,
                stockout_probability=option.stockout_probability,
                overstock_ratio=option.overstock_ratio,
                expected_units_on_hand=option.units_on_hand,
            )
            for option in item.options
        ],
        best_first_date=(as_of + timedelta(days=item.best_first_day)).isoformat(),
        last_date="" if item.last_day is None else (as_of + timedelta(days=item.last_day)).isoformat(),
        unit_price=item.unit_price,
        price_date="" if candidate is None else candidate.last_day.isoformat(),
        paid_price=None
        if paid is None
        else messages.ReferencePrice(
            shelf_unit_price=item.unit_price,
            paid_unit_price=paid.mean,
            paid_unit_price_deviation=paid.deviation,
            latest_paid_unit_price=paid.mean if paid.latest is None else paid.latest,
            purchase_count=paid.purchase_count or 1,
            usual_discount_ratio=paid.usual_discount_ratio,
            promoted=paid.promoted,
        ),
        discounted=item.discounted,
        is_regular=item.regular,
        units_per_pack=1 if candidate is None else candidate.units_per_pack,
    )


def batch_responses(
    outcomes: Iterable[RecommendationResult | PantreeError],
) -> list[messages.RecommendBatchResponse]:
    """Converts the outcomes of a batch, in order, split into messages by size."""
    households = (
        messages.HouseholdRecommendation(error=status_of(outcome))
        if isinstance(outcome, PantreeError)
        else messages.HouseholdRecommendation(result=recommend_response(outcome))
        for outcome in outcomes
    )
    return [messages.RecommendBatchResponse(households=batch) for batch in split_by_size(households)]


def get_model_response(models: Models) -> messages.GetModelResponse:
    """Converts the models and their selection."""
    selection = models.selection
    first = models.ranker_for("", "")
    return messages.GetModelResponse(
        model=_model_message(first.model),
        source=first.source,
        fallback=_model_message(models.fallback.model),
        models=[_details_message(id_, models) for id_ in sorted(models.rankers)],
        experiment=selection.experiment,
        selection_error=models.selection_error,
    )


def _details_message(id_: str, models: Models) -> messages.ModelDetails:
    ranker, card = models.rankers[id_], models.cards.get(id_, ModelCard())
    return messages.ModelDetails(
        id=id_,
        model=_model_message(ranker.model),
        source=ranker.source,
        share_ratio=math.fsum(share.ratio for share in models.selection.shares if share.model == id_),
        is_fallback=id_ == models.selection.fallback,
        **vars(card),
    )


def _recommendation_message(recommendation: Recommendation, as_of: date) -> messages.Recommendation:
    candidate, offer = recommendation.candidate, recommendation.offer
    assert candidate.mean_interval_days is not None  # an offer needs an interval
    return messages.Recommendation(
        name=candidate.name,
        confidence=round(candidate.confidence, 1),
        count=candidate.purchase_count,
        avg_interval=round(candidate.mean_interval_days, 1),
        subscription=_subscription_message(
            recommendation.subscription, as_of, candidate.last_day.isoformat(), candidate.units_per_pack, offer.prices
        ),
        category=candidate.category,
        score=recommendation.score,
        last_date=candidate.last_day.isoformat(),
        next_due_date=recommendation.next_due_day.isoformat(),
        reasons=[reason_message(reason) for reason in recommendation.reasons],
        cadence_probability=offer.forecast.cadence_probability,
    )


def _subscription_message(
    subscription: Subscription, as_of: date, price_date: str, units_per_pack: int, prices: Sequence[Price]
) -> messages.Subscription:
    planned = subscription.planned
    alone = prices[0]
    return messages.Subscription(
        frequency=subscription.cadence.frequency,
        interval_days=subscription.cadence.interval_days,
        estimated_annual_savings=alone.estimated_annual_savings,
        discount_ratio=alone.tier.discount_ratio,
        quantity=planned.option.quantity,
        delivered_per_used_ratio=planned.option.supply_ratio,
        annual_cost=subscription.price.annual_cost,
        savings_vs_paid=_savings_vs_paid_message(subscription.price.savings_vs_paid),
        tiers=[_tier_message(price) for price in prices],
        first_delivery_date=(as_of + timedelta(days=planned.days[0])).isoformat(),
        last_delivery_date=""
        if planned.item.last_day is None
        else (as_of + timedelta(days=planned.item.last_day)).isoformat(),
        units_per_pack=units_per_pack,
        value=subscription.value,
        discount_ratio_in_plan=subscription.price.tier.discount_ratio,
        annual_savings_in_plan=subscription.annual_savings,
        unit_price=planned.item.unit_price,
        price_date=price_date,
        next_charge=subscription.next_charge,
        overstock_ratio=planned.option.overstock_ratio,
        stockout_probability=planned.option.stockout_probability,
        expected_units_on_hand=round(planned.option.units_on_hand, 2),
        max_unit_price=subscription.max_unit_price,
    )


def _tier_message(price: Price) -> messages.PriceTier:
    return messages.PriceTier(
        min_items_per_delivery=price.tier.min_items_per_delivery,
        discount_ratio=price.tier.discount_ratio,
        annual_cost=price.annual_cost,
        estimated_annual_savings=price.estimated_annual_savings,
        savings_vs_paid=_savings_vs_paid_message(price.savings_vs_paid),
    )


def _savings_vs_paid_message(savings: SavingsVsPaid | None) -> messages.SavingsVsPaid | None:
    if savings is None or (savings.is_claim and not savings.supported):
        return None
    return messages.SavingsVsPaid(
        expected_annual_savings=savings.expected,
        low_annual_savings=savings.low,
        high_annual_savings=savings.high,
        paid_unit_price=savings.paid_unit_price,
        subscription_unit_price=savings.subscription_unit_price,
        pays_less_today=savings.pays_less_today,
    )


def _suggestion_message(suggestion: Suggestion) -> messages.Suggestion:
    item = suggestion.item
    return messages.Suggestion(
        name=item.name,
        category=item.category,
        score=suggestion.score,
        count=item.own_day_count,
        low_interval_days=round(item.low_interval_days, 1),
        high_interval_days=round(item.high_interval_days, 1),
        source=SUGGESTION_SOURCE,
        reasons=[reason_message(reason) for reason in suggestion.reasons],
    )


def _omitted_message(item: OmittedItem) -> messages.OmittedItem:
    return messages.OmittedItem(name=item.name, reason=reason_message(item.reason))


def reason_message(reason: Reason) -> messages.Reason:
    """Converts a reason."""
    return messages.Reason(
        code=reason.code,
        text=reason.text,
        values=reason.values,
        other_item=reason.other_item,
        goods_type=reason.goods_type,
    )


def _model_message(model: ModelName) -> Model:
    return Model(name=model.name, version=model.version)


def next_basket_request(message: messages.PredictNextBasketRequest) -> NextBasketRequest:
    return NextBasketRequest(
        history=fold_items(history_of(message.history)),
        as_of=date.fromisoformat(message.as_of) if message.as_of else None,
        mode=_BASKET_MODES[message.mode],
        max_items=message.max_items if message.HasField("max_items") else DEFAULT_MAX_ITEMS,
        assortment=tuple(Item(item.name, item.category) for item in message.assortment),
        promoted=frozenset(map(item_key, message.promotions.names)) if message.HasField("promotions") else None,
    )


_BASKET_MODES = {
    messages.BASKET_MODE_UNSPECIFIED: BasketMode.BOTH,
    messages.BASKET_MODE_REPEAT: BasketMode.REPEAT,
    messages.BASKET_MODE_EXPLORE: BasketMode.EXPLORE,
    messages.BASKET_MODE_BOTH: BasketMode.BOTH,
}


def next_basket_response(basket: NextBasket) -> messages.PredictNextBasketResponse:
    return messages.PredictNextBasketResponse(
        as_of=basket.as_of.isoformat(),
        items=[
            messages.PredictedItem(
                name=item.name,
                category=item.category,
                probability=item.probability,
                purchase_count=item.purchase_count,
                last_date="" if item.last_day is None else calendar_day(item.last_day).isoformat(),
            )
            for item in basket.items
        ],
        model=_model_message(basket.model),
    )
