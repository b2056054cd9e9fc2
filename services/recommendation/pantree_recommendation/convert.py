"""Messages of the recommendation service ↔ core types."""

import math
from collections.abc import Sequence
from datetime import date

from google.rpc.status_pb2 import Status

from pantree.catalog.v1 import catalog_pb2
from pantree.frequency.v1 import frequency_service_pb2 as frequency
from pantree.model.v1.model_pb2 import Model
from pantree.recommendation.v1 import recommendation_service_pb2 as messages
from pantree.vector.v1 import vector_service_pb2 as vector
from pantree_domain.cadence import LADDER
from pantree_domain.catalog import Perishability
from pantree_domain.limits import (
    DEFAULT_RECOMMENDATIONS,
    MAX_HISTORY_LINES,
    MAX_PRICE,
    MAX_QUANTITY,
    MAX_RECOMMENDATIONS,
)
from pantree_recommendation.core import (
    DEFAULT_SUGGESTIONS,
    SUGGESTION_SOURCE,
    Answer,
    Candidate,
    Companion,
    Forecast,
    ModelCard,
    ModelName,
    Models,
    Need,
    Neighborhood,
    NeighborItem,
    PaidPrice,
    Plan,
    Price,
    Question,
    Reason,
    Recommendation,
    SavingsVsPaid,
    Suggestion,
    Trend,
)
from pantree_runtime.errors import InvalidInput, PantreeError
from pantree_runtime.status import status_of
from pantree_runtime.validation import Violations, day_named, is_text

MAX_CANDIDATES = 10_000
# The contract states the same figures in its comments.
MAX_SUGGESTIONS = 20
MAX_NEIGHBOR_ITEMS = 100
MAX_NEIGHBORS = 1_000
MAX_BATCH_HOUSEHOLDS = 1_000
# Answers are sent in messages of about this size, well under gRPC's 4 MiB.
_RESPONSE_BYTES = 1 << 20
MAX_INTERVAL_DAYS = 100_000
# A day's purchase may have many lines.
MAX_TYPICAL_QUANTITY = MAX_HISTORY_LINES * MAX_QUANTITY
MAX_SUGGESTED_INTERVAL_DAYS = 365

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
_LADDER_DAYS = tuple(step.interval_days for step in LADDER)

_PERISHABILITIES = {
    catalog_pb2.PERISHABILITY_UNSPECIFIED: None,
    catalog_pb2.PERISHABILITY_DAYS: Perishability.DAYS,
    catalog_pb2.PERISHABILITY_WEEKS: Perishability.WEEKS,
    catalog_pb2.PERISHABILITY_MONTHS: Perishability.MONTHS,
}


def question(request: messages.RecommendRequest) -> Question:
    """What is asked.

    Raises:
        InvalidInput: naming every wrong field.
    """
    violations = Violations()
    as_of = violations.day("as_of", request.as_of)
    max_recommendations = DEFAULT_RECOMMENDATIONS
    if request.HasField("max_recommendations"):
        max_recommendations = request.max_recommendations
        violations.whole_number("max_recommendations", max_recommendations, 1, MAX_RECOMMENDATIONS)
    min_confidence = request.min_confidence if request.HasField("min_confidence") else None
    if min_confidence is not None:
        violations.number("min_confidence", min_confidence, 0, 100)
    min_cadence_probability = None
    if request.HasField("min_cadence_probability"):
        min_cadence_probability = request.min_cadence_probability
        violations.number("min_cadence_probability", min_cadence_probability, 0, 1)
    violations.identifier("customer_id", request.customer_id, required=False)
    violations.text("model", request.model, required=False)
    max_suggestions = DEFAULT_SUGGESTIONS
    if request.HasField("max_suggestions"):
        max_suggestions = request.max_suggestions
        violations.whole_number("max_suggestions", max_suggestions, 1, MAX_SUGGESTIONS)
    neighborhood = None
    if request.HasField("neighborhood"):
        neighborhood = _neighborhood(request.neighborhood, violations)
    candidates = _candidates(request, as_of, violations)
    violations.raise_if_any()
    assert as_of is not None  # a missing day is a violation
    return Question(
        candidates=tuple(candidates),
        as_of=as_of,
        max_recommendations=max_recommendations,
        min_confidence=min_confidence,
        min_cadence_probability=min_cadence_probability,
        include_omitted=request.include_omitted,
        customer_id=request.customer_id,
        model=request.model,
        neighborhood=neighborhood,
        max_suggestions=max_suggestions,
    )


def _neighborhood(message: vector.Neighborhood, violations: Violations) -> Neighborhood | None:
    """What similar customers buy; None, with the violations noted, when it is not right."""
    count = message.neighbor_count
    right = [violations.whole_number("neighborhood.neighbor_count", count, 0, MAX_NEIGHBORS)]
    right.append(violations.whole_number("neighborhood.items", len(message.items), 0, MAX_NEIGHBOR_ITEMS))
    positions: dict[str, int] = {}
    for position, item in enumerate(message.items[:MAX_NEIGHBOR_ITEMS]):
        field = f"neighborhood.items[{position}]"
        first = positions.setdefault(item.name, position)
        if first != position:
            violations.add(f"{field}.name", f"is also the name of neighborhood.items[{first}]; send each item once")
            right.append(False)
        right += [
            violations.text(f"{field}.name", item.name),
            violations.text(f"{field}.category", item.category, required=False),
            violations.whole_number(f"{field}.buyer_count", item.buyer_count, 1, max(1, count)),
            violations.whole_number(f"{field}.regular_buyer_count", item.regular_buyer_count, 1, item.buyer_count),
            violations.number(f"{field}.low_interval_days", item.low_interval_days, 0, MAX_INTERVAL_DAYS),
            violations.number(f"{field}.high_interval_days", item.high_interval_days, 0, MAX_INTERVAL_DAYS),
            violations.whole_number(f"{field}.own_day_count", item.own_day_count, 0, MAX_HISTORY_LINES),
        ]
        if item.HasField("associated_item"):
            associated_item = item.associated_item
            right += [
                violations.text(f"{field}.associated_item.name", associated_item.name),
                violations.whole_number(
                    f"{field}.associated_item.buyer_count", associated_item.buyer_count, 1, max(1, count)
                ),
                violations.whole_number(
                    f"{field}.associated_item.regular_count",
                    associated_item.regular_count,
                    1,
                    associated_item.buyer_count,
                ),
            ]
    if not all(right):
        return None
    return Neighborhood(count, tuple(_neighbor_item(item) for item in message.items))


def _neighbor_item(item: vector.NeighborItem) -> NeighborItem:
    associated_item = item.associated_item
    return NeighborItem(
        name=item.name,
        category=item.category,
        buyer_count=item.buyer_count,
        regular_buyer_count=item.regular_buyer_count,
        low_interval_days=item.low_interval_days,
        high_interval_days=item.high_interval_days,
        own_day_count=item.own_day_count,
        companion=Companion(associated_item.name, associated_item.buyer_count, associated_item.regular_count)
        if item.HasField("associated_item")
        else None,
    )


def batch(request: messages.RecommendBatchRequest) -> list[Question | Status]:
    """The questions of a batch; the status of what is wrong in place of those that cannot be asked.

    Raises:
        InvalidInput: when the batch itself is wrong.
    """
    violations = Violations()
    violations.whole_number("households", len(request.households), 0, MAX_BATCH_HOUSEHOLDS)
    violations.raise_if_any()
    return [_question_or_status(household) for household in request.households]


def _question_or_status(household: messages.RecommendRequest) -> Question | Status:
    try:
        return question(household)
    except InvalidInput as error:
        return status_of(error)


def _candidates(request: messages.RecommendRequest, as_of: date | None, violations: Violations) -> list[Candidate]:
    """The candidates that are right; what is wrong with the others is noted."""
    if len(request.candidates) > MAX_CANDIDATES:
        violations.add("candidates", f"has {len(request.candidates):,} items; send at most {MAX_CANDIDATES:,}")
        return []
    latest_day = as_of or date.max
    candidates = []
    positions: dict[str, int] = {}
    for position, message in enumerate(request.candidates):
        candidate = _candidate(message, latest_day)
        if candidate is not None and positions.setdefault(candidate.name, position) == position:
            candidates.append(candidate)
        else:
            _note_violations(message, position, positions, latest_day, violations)
    return candidates


def _candidate(message: messages.Candidate, latest_day: date) -> Candidate | None:
    """Evidence on one item; None when anything is wrong with it: `_note_violations` says what.

    Nearly all items of nearly all requests are right, and there are thousands of them. So each field is read once and
    compared at once with the bounds that are spelt out there.
    """
    item = message.frequency
    name, category, purchase_count = item.name, item.category, item.purchase_count
    consistency_ratio, recency_weight_ratio = item.consistency_ratio, item.recency_weight_ratio
    confidence, latest_unit_price, typical_quantity = item.confidence, item.latest_unit_price, item.typical_quantity
    suggested_interval_days, perishability = message.suggested_interval_days, message.perishability
    trend, last_day, next_due_date = _TRENDS.get(item.trend), day_named(item.last_date), item.next_due_date
    # One purchase has no interval; from two on there is one.
    mean_interval_days = item.mean_interval_days if item.HasField("mean_interval_days") else None
    next_due_day = day_named(next_due_date) if next_due_date else None
    if not (
        is_text(name)
        and is_text(category, required=False)
        and 1 <= purchase_count <= MAX_HISTORY_LINES
        and 0 <= consistency_ratio <= 1
        and 0 <= recency_weight_ratio <= 1
        and 0 <= confidence <= 100
        and 0 <= latest_unit_price <= MAX_PRICE
        and 1 <= typical_quantity <= MAX_TYPICAL_QUANTITY
        and 0 <= suggested_interval_days <= MAX_SUGGESTED_INTERVAL_DAYS
        and perishability in _PERISHABILITIES
        and trend is not None
        and last_day is not None
        and last_day <= latest_day
        and (purchase_count == 1 if mean_interval_days is None else 1 <= mean_interval_days <= MAX_INTERVAL_DAYS)
        and (next_due_day is not None or (purchase_count == 1 and not next_due_date))
    ):
        return None
    try:
        forecast, paid_price = _forecast(item), _paid_price(item)
    except ValueError:
        return None
    return Candidate(
        name=name,
        category=category,
        purchase_count=purchase_count,
        mean_interval_days=mean_interval_days,
        consistency_ratio=consistency_ratio,
        recency_weight_ratio=recency_weight_ratio,
        trend=trend,
        confidence=confidence,
        last_day=last_day,
        next_due_day=next_due_day,
        latest_unit_price=latest_unit_price,
        typical_quantity=typical_quantity,
        perishability=_PERISHABILITIES[perishability],
        suggested_interval_days=suggested_interval_days or None,
        forecast=forecast,
        paid_price=paid_price,
    )


def _forecast(item: frequency.ItemFrequency) -> Forecast | None:
    """What is expected of an item; None when the evidence holds no forecast.

    Raises:
        ValueError: when it holds one that is not right.
    """
    interval_days = item.recommended_interval_days
    if not interval_days:
        return None
    cadence_probability, stockout_probability = item.cadence_probability, item.stockout_probability
    overstock_ratio, need = item.overstock_ratio, item.need
    need_probability = _need_probability(item)
    has_first_delivery = item.HasField("first_delivery")
    first_delivery_day = day_named(item.first_delivery.date) if has_first_delivery else None
    if not (
        interval_days in _LADDER_DAYS
        and 0 <= cadence_probability <= 1
        and 0 <= stockout_probability <= 1
        and 0 <= overstock_ratio <= 1
        and need in _NEEDS
        and 0 <= need_probability <= 1
        and (first_delivery_day is not None or not has_first_delivery)
    ):
        raise ValueError("the forecast is not right")
    return Forecast(
        interval_days=interval_days,
        cadence_probability=cadence_probability,
        stockout_probability=stockout_probability,
        overstock_ratio=overstock_ratio,
        need=_NEEDS[need],
        need_probability=need_probability,
        first_delivery_day=first_delivery_day,
    )


def _need_probability(item: frequency.ItemFrequency) -> float:
    """That of the likeliest state; 0 when it is not told."""
    need = item.need
    for state in item.need_probabilities:
        if state.need == need:
            return state.probability
    return 0.0


def _paid_price(item: frequency.ItemFrequency) -> PaidPrice | None:
    """What was really paid for a unit; None when the evidence does not tell.

    Raises:
        ValueError: when it tells a price that is not right.
    """
    if not (item.HasField("mean_paid_unit_price") and item.HasField("paid_unit_price_deviation")):
        return None
    mean, deviation = item.mean_paid_unit_price, item.paid_unit_price_deviation
    if not (0 <= mean <= MAX_PRICE and 0 <= deviation <= MAX_PRICE):
        raise ValueError("the price that was paid is not right")
    return PaidPrice(mean, deviation)


def _note_violations(
    message: messages.Candidate,
    position: int,
    positions: dict[str, int],
    latest_day: date,
    outer: Violations,
) -> None:
    """Notes what is wrong with a candidate that `_candidate` found wrong, or whose name came before.

    Args:
        message: the candidate.
        position: of the candidate.
        positions: of the names so far.
        latest_day: the day of the question.
        outer: collects what is wrong.
    """
    violations = outer.within(f"candidates[{position}]")
    if not message.HasField("frequency"):
        violations.add("frequency", "is required; give what FrequencyService says of the item")
        return
    item = message.frequency
    first = positions.setdefault(item.name, position)
    if first != position:
        violations.add("frequency.name", f"is also the name of candidates[{first}]; send each item once")
    violations.text("frequency.name", item.name)
    violations.text("frequency.category", item.category, required=False)
    violations.whole_number("frequency.purchase_count", item.purchase_count, 1, MAX_HISTORY_LINES)
    violations.number("frequency.consistency_ratio", item.consistency_ratio, 0, 1)
    violations.number("frequency.recency_weight_ratio", item.recency_weight_ratio, 0, 1)
    violations.number("frequency.confidence", item.confidence, 0, 100)
    violations.price("frequency.latest_unit_price", item.latest_unit_price)
    violations.whole_number("frequency.typical_quantity", item.typical_quantity, 1, MAX_TYPICAL_QUANTITY)
    violations.whole_number("suggested_interval_days", message.suggested_interval_days, 0, MAX_SUGGESTED_INTERVAL_DAYS)
    if item.trend not in _TRENDS:
        violations.add("frequency.trend", f"is {item.trend}; give a value of pantree.frequency.v1.Trend")
    if message.perishability not in _PERISHABILITIES:
        violations.add("perishability", f"is {message.perishability}; give a value of pantree.catalog.v1.Perishability")
    last_day = violations.day("frequency.last_date", item.last_date)
    if last_day is not None and last_day > latest_day:
        violations.add("frequency.last_date", f"is {last_day}; give a day that is not after as_of, {latest_day}")
    if item.HasField("mean_interval_days"):
        violations.number("frequency.mean_interval_days", item.mean_interval_days, 1, MAX_INTERVAL_DAYS)
    elif item.purchase_count > 1:
        violations.add("frequency.mean_interval_days", "is required for two purchases or more")
    if item.next_due_date or item.purchase_count > 1:
        violations.day("frequency.next_due_date", item.next_due_date)
    if item.recommended_interval_days:
        _note_forecast_violations(item, violations)
    if item.HasField("mean_paid_unit_price") and item.HasField("paid_unit_price_deviation"):
        violations.price("frequency.mean_paid_unit_price", item.mean_paid_unit_price)
        violations.price("frequency.paid_unit_price_deviation", item.paid_unit_price_deviation)


def _note_forecast_violations(item: frequency.ItemFrequency, violations: Violations) -> None:
    if item.recommended_interval_days not in _LADDER_DAYS:
        steps = ", ".join(map(str, _LADDER_DAYS))
        violations.add(
            "frequency.recommended_interval_days", f"is {item.recommended_interval_days}; give one of {steps}, or none"
        )
    for name in ("cadence_probability", "stockout_probability", "overstock_ratio"):
        violations.number(f"frequency.{name}", getattr(item, name), 0, 1)
    if item.need not in _NEEDS:
        violations.add("frequency.need", f"is {item.need}; give a state of pantree.frequency.v1.Need")
        return
    if item.HasField("first_delivery"):
        violations.day("frequency.first_delivery.date", item.first_delivery.date)
    violations.number("frequency.need_probabilities", _need_probability(item), 0, 1)


def recommend_response(answer: Answer) -> messages.RecommendResponse:
    """Message that tells an answer."""
    return messages.RecommendResponse(
        recommendations=[_recommendation_message(recommendation) for recommendation in answer.recommendations],
        omitted=[messages.OmittedItem(name=item.name, reason=_reason_message(item.reason)) for item in answer.omitted],
        model=_model_message(answer.model),
        source=answer.source,
        fallback_reason=answer.fallback_reason,
        plan=_plan_message(answer.plan),
        near_misses=[
            messages.OmittedItem(name=item.name, reason=_reason_message(item.reason)) for item in answer.near_misses
        ],
        suggestions=[_suggestion_message(suggestion) for suggestion in answer.suggestions],
    )


def batch_responses(
    asked: Sequence[Question | Status], answers: Sequence[Answer | PantreeError]
) -> list[messages.RecommendBatchResponse]:
    """Messages that tell the answers to a batch, in the order in which they were asked.

    Args:
        asked: from `batch`.
        answers: to the questions among them, in order.
    """
    remaining = iter(answers)
    responses: list[messages.RecommendBatchResponse] = []
    size = _RESPONSE_BYTES
    for entry in asked:
        answer = _household_message(entry if isinstance(entry, Status) else next(remaining))
        answer_size = answer.ByteSize()
        if size + answer_size > _RESPONSE_BYTES:
            responses.append(messages.RecommendBatchResponse())
            size = 0
        responses[-1].households.append(answer)
        size += answer_size
    return responses


def _household_message(outcome: Status | Answer | PantreeError) -> messages.HouseholdRecommendation:
    if isinstance(outcome, Answer):
        return messages.HouseholdRecommendation(result=recommend_response(outcome))
    error = outcome if isinstance(outcome, Status) else status_of(outcome)
    return messages.HouseholdRecommendation(error=error)


def get_model_response(models: Models) -> messages.GetModelResponse:
    """Message that tells which models there are, which one answers whom, and which one stands in."""
    selection = models.selection
    first = models.chosen("", "")
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
        features=card.features,
        training_data=card.training_data,
        metrics=card.metrics,
        checksum=card.checksum,
        target_variant=card.target_variant,
        inference_component=card.inference_component,
    )


def _recommendation_message(recommendation: Recommendation) -> messages.Recommendation:
    candidate, offer = recommendation.candidate, recommendation.offer
    assert candidate.mean_interval_days is not None  # or it were not recommended
    return messages.Recommendation(
        name=candidate.name,
        confidence=round(candidate.confidence, 1),
        count=candidate.purchase_count,
        avg_interval=round(candidate.mean_interval_days, 1),
        subscription=messages.Subscription(
            frequency=offer.cadence.frequency,
            interval_days=offer.cadence.interval_days,
            estimated_annual_savings=offer.estimated_annual_savings,
            discount_ratio=offer.discount_ratio,
            quantity=offer.quantity,
            annual_cost=offer.price.annual_cost,
            savings_vs_paid=_savings_vs_paid_message(offer.price.savings_vs_paid),
            tiers=[_tier_message(price) for price in offer.prices],
            first_delivery_date=recommendation.first_delivery_day.isoformat(),
        ),
        category=candidate.category,
        score=recommendation.score,
        last_date=candidate.last_day.isoformat(),
        next_due_date=recommendation.next_due_day.isoformat(),
        reasons=[_reason_message(reason) for reason in recommendation.reasons],
        cadence_probability=offer.forecast.cadence_probability,
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
    if savings is None:
        return None
    return messages.SavingsVsPaid(
        expected_annual_savings=savings.expected,
        low_annual_savings=savings.low,
        high_annual_savings=savings.high,
        paid_unit_price=savings.paid_unit_price,
        subscription_unit_price=savings.subscription_unit_price,
        pays_less_today=savings.pays_less_today,
    )


def _plan_message(plan: Plan) -> messages.SubscriptionPlan:
    return messages.SubscriptionPlan(
        item_count=plan.item_count,
        annual_cost=plan.annual_cost,
        estimated_annual_savings=plan.estimated_annual_savings,
        annual_savings_vs_paid=plan.annual_savings_vs_paid,
        best_discount_ratio=plan.best_discount_ratio,
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
        reasons=[_reason_message(reason) for reason in suggestion.reasons],
    )


def _reason_message(reason: Reason) -> messages.Reason:
    return messages.Reason(code=reason.code, text=reason.text, values=reason.values, other_item=reason.other_item)


def _model_message(model: ModelName) -> Model:
    return Model(name=model.name, version=model.version)
