"""Messages of the frequency service ↔ core types."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import Any, TypeAlias

from google.rpc.status_pb2 import Status

from pantree.frequency.v1 import frequency_service_pb2 as messages
from pantree.model.v1.model_pb2 import Model
from pantree_domain.cadence import LADDER
from pantree_domain.days import calendar_day, day_number
from pantree_domain.evidence import Need, Trend
from pantree_domain.money import round_to_cent
from pantree_domain.purchases import fold_items, fold_labels
from pantree_frequency.core import (
    AnalysisRequest,
    CadenceChange,
    HistoryAnalysis,
    ItemFrequency,
    Options,
    cadence,
)
from pantree_frequency.core.analysis import MAX_FITTED_DAYS, DeliveryOption
from pantree_frequency.core.statistics import ItemStatistics
from pantree_frequency.rules import check_history
from pantree_runtime.batches import split_by_size
from pantree_runtime.errors import InvalidInput, PantreeError
from pantree_runtime.purchase_columns import history_of
from pantree_runtime.status import status_of
from pantree_runtime.validation import validate

View: TypeAlias = messages.ItemFrequencyView.ValueType

# What was bought once has no interval, so it is never recommended. More than half of a household's items are such.
_MIN_PURCHASES_OF_BASIC = 2

_TRENDS = {
    Trend.UNKNOWN: messages.TREND_UNSPECIFIED,
    Trend.STABLE: messages.TREND_STABLE,
    Trend.ACCELERATING: messages.TREND_ACCELERATING,
    Trend.SLOWING: messages.TREND_SLOWING,
}
_NEEDS = {
    Need.ACTIVE: messages.NEED_ACTIVE,
    Need.LATE: messages.NEED_LATE,
    Need.PAUSED: messages.NEED_PAUSED,
    Need.ENDED: messages.NEED_ENDED,
    Need.SWITCHED: messages.NEED_SWITCHED,
}


def analysis_request(request: messages.AnalyzeHistoryRequest | messages.HouseholdHistory) -> AnalysisRequest:
    """Converts a household's history and its as-of date."""
    history = history_of(request.purchases)
    as_of_day = day_number(date.fromisoformat(request.as_of))
    return AnalysisRequest(fold_items(history), as_of_day, fold_labels(history, request.item_types))


def options(request: messages.AnalyzeHistoryRequest | messages.AnalyzeHistoriesRequest) -> Options:
    """Converts the options of an analysis."""
    basic = request.view == messages.ITEM_FREQUENCY_VIEW_BASIC
    return Options(
        model_name=request.model_name,
        stockout_tolerance=request.stockout_tolerance_ratio
        if request.HasField("stockout_tolerance_ratio")
        else cadence.DEFAULT_STOCKOUT_TOLERANCE,
        min_purchases_to_forecast=_MIN_PURCHASES_OF_BASIC if basic else 1,
    )


def cadence_changes_request(request: messages.FindCadenceChangesRequest) -> tuple[AnalysisRequest, list[str], Options]:
    """Converts a history, the items to examine and the options."""
    return analysis_request(request.history), list(request.item_names), options(request.history)


def cadence_changes_response(changes: Sequence[CadenceChange]) -> messages.FindCadenceChangesResponse:
    """Converts changes to the response."""
    return messages.FindCadenceChangesResponse(
        changes=[
            messages.CadenceChange(
                name=change.name,
                recommended_interval_days=change.recommended_interval_days,
                after_date=_day_text(change.after_day),
                interval_days=change.interval_days,
                text=_change_text(change),
            )
            for change in changes
        ]
    )


def _change_text(change: CadenceChange) -> str:
    day = calendar_day(change.after_day)
    frequency = next(step.frequency for step in LADDER if step.interval_days == change.interval_days)
    return f"Would become {frequency.replace('_', ' ')} if the next purchase comes after {day.day} {day:%B %Y}."


def batch_requests(households: Iterable[messages.HouseholdHistory]) -> list[AnalysisRequest | Status]:
    """Validates and converts each household of a batch; an invalid one becomes the status of its violations."""
    return [_request_or_status(household) for household in households]


def _request_or_status(household: messages.HouseholdHistory) -> AnalysisRequest | Status:
    try:
        validate(household, check_history)
    except InvalidInput as error:
        return status_of(error)
    return analysis_request(household)


def analysis_response(analysis: HistoryAnalysis, as_of_day: int, view: View) -> messages.AnalyzeHistoryResponse:
    """Converts an analysis to the response."""
    response = messages.AnalyzeHistoryResponse(
        model=Model(name=analysis.model_name, version=analysis.model_version), as_of=_day_text(as_of_day)
    )
    for item in analysis.items:
        # `add` builds the message in place; `append` would copy it.
        response.items.add(**_item_fields(item, view))
    for statistics in analysis.others:
        response.items.add(**_statistics_fields(statistics))
    return response


def batch_responses(
    requests: Sequence[AnalysisRequest | Status],
    responses: Sequence[messages.AnalyzeHistoryResponse | PantreeError],
) -> Iterator[messages.AnalyzeHistoriesResponse]:
    """Joins the responses and errors of a batch, in the order of the requests.

    Args:
        requests: from `batch_requests`.
        responses: to the valid requests, in order.
    """
    remaining = iter(responses)
    outcomes = (request if isinstance(request, Status) else next(remaining) for request in requests)
    results = (
        messages.HouseholdAnalysis(result=outcome)
        if isinstance(outcome, messages.AnalyzeHistoryResponse)
        else messages.HouseholdAnalysis(error=status_of(outcome) if isinstance(outcome, PantreeError) else outcome)
        for outcome in outcomes
    )
    for households in split_by_size(results):
        yield messages.AnalyzeHistoriesResponse(households=households)


def _delivery_options(options: Sequence[DeliveryOption]) -> messages.DeliveryOptions:
    intervals, quantities, ratios, stockouts, overstocks, probabilities, on_hand = zip(*options, strict=True)
    return messages.DeliveryOptions(
        interval_days=intervals,
        quantities=quantities,
        delivered_per_used_ratios=ratios,
        stockout_probabilities=stockouts,
        overstock_ratios=overstocks,
        cadence_probabilities=probabilities,
        expected_units_on_hand=on_hand,
    )


# Cached: the items of a household were bought on the same few days.
@functools.lru_cache(maxsize=8192)
def _day_text(day: int) -> str:
    return calendar_day(day).isoformat()


def _statistics_fields(statistics: ItemStatistics) -> dict[str, Any]:
    """The fields of `ItemFrequency` that every view holds of items without a forecast, too."""
    return {
        "name": statistics.name,
        "category": statistics.category,
        "purchase_count": statistics.purchase_count,
        "mean_interval_days": statistics.mean_interval_days,
        "consistency_ratio": statistics.consistency_ratio,
        "trend": _TRENDS[statistics.trend],
        "last_date": _day_text(statistics.last_day),
        "latest_unit_price": statistics.latest_unit_price,
        "typical_quantity": statistics.typical_quantity,
        "mean_paid_unit_price": statistics.mean_paid_unit_price,
        "paid_unit_price_deviation": statistics.paid_unit_price_deviation,
    }


def _item_fields(item: ItemFrequency, view: View) -> dict[str, Any]:
    """The fields of `ItemFrequency` that a view holds."""
    statistics, first_delivery, best = item.statistics, item.first_delivery, item.options[0]
    fields: dict[str, Any] = _statistics_fields(statistics) | {
        "recency_weight_ratio": item.recency_weight_ratio,
        "confidence": item.confidence,
        "next_due_date": "" if item.next_due_day is None else _day_text(item.next_due_day),
        "recommended_interval_days": best.interval_days,
        "recommended_quantity": best.quantity,
        "delivered_per_used_ratio": best.supply_ratio,
        "stockout_probability": best.stockout_probability,
        "overstock_ratio": best.overstock_ratio,
        "expected_units_on_hand": best.units_on_hand,
        "cadence_probability": best.cadence_probability,
        "use_days": item.use_days,
        "regularity_ratio": item.regularity_ratio,
        "delivery_options": _delivery_options(item.options),
        "first_delivery": messages.FirstDelivery(
            date=_day_text(first_delivery.day),
            stockout_probability=first_delivery.stockout_probability,
            overstock_ratio=first_delivery.overstock_ratio,
        ),
        "need": _NEEDS[item.need],
    }
    if view == messages.ITEM_FREQUENCY_VIEW_BASIC:
        probability = item.need_probabilities[item.need]
        fields["need_probabilities"] = [messages.NeedProbability(need=_NEEDS[item.need], probability=probability)]
        return fields
    return fields | {
        "median_interval_days": statistics.median_interval_days,
        "standard_deviation_days": statistics.standard_deviation_days,
        "coefficient_of_variation": statistics.coefficient_of_variation,
        "trend_slope_days": statistics.trend_slope_days,
        "trend_p_value": statistics.trend_p_value,
        "first_date": _day_text(statistics.first_day),
        "total_quantity": statistics.total_quantity,
        "total_spend": round_to_cent(statistics.total_spend),
        "mean_unit_price": statistics.mean_unit_price,
        "expected_days": item.expected_days,
        "median_days": item.median_days,
        "purchase_probabilities": [
            messages.PurchaseProbability(
                horizon_days=step.interval_days,
                probability=probability,
                extrapolated=step.interval_days > MAX_FITTED_DAYS,
            )
            for step, probability in zip(LADDER, item.ladder_probabilities, strict=True)
        ],
        "need_probabilities": [
            messages.NeedProbability(need=_NEEDS[need], probability=probability)
            for need, probability in item.need_probabilities.items()
        ],
    }
