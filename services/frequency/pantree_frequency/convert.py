"""Messages of the frequency service ↔ core types."""

from pantree.frequency.v1 import frequency_service_pb2 as messages
from pantree.model.v1.model_pb2 import Model
from pantree_domain.days import calendar_day, day_number
from pantree_domain.money import round_to_cent
from pantree_domain.purchases import PurchaseHistory
from pantree_frequency.core import HistoryAnalysis, ItemFrequency, Trend
from pantree_runtime.purchase_columns import history_of
from pantree_runtime.validation import Violations

_TRENDS = {
    Trend.UNKNOWN: messages.TREND_UNSPECIFIED,
    Trend.STABLE: messages.TREND_STABLE,
    Trend.ACCELERATING: messages.TREND_ACCELERATING,
    Trend.SLOWING: messages.TREND_SLOWING,
}


def history_and_day(request: messages.AnalyzeHistoryRequest) -> tuple[PurchaseHistory, int]:
    """History to analyse, and the day on which the question is asked as days since 1970-01-01.

    Raises:
        InvalidInput: naming every wrong field.
    """
    violations = Violations()
    as_of = violations.day("as_of", request.as_of)
    as_of_day = None if as_of is None else day_number(as_of)
    history = history_of(request.purchases, "purchases", violations, last_day=as_of_day)
    violations.raise_if_any()
    assert as_of_day is not None  # a missing day is a violation
    return history, as_of_day


def analysis_response(analysis: HistoryAnalysis, as_of_day: int) -> messages.AnalyzeHistoryResponse:
    """Message that tells an analysis."""
    return messages.AnalyzeHistoryResponse(
        items=[_item_message(item) for item in analysis.items],
        model=Model(name=analysis.model_name, version=analysis.model_version),
        as_of=calendar_day(as_of_day).isoformat(),
    )


def _item_message(item: ItemFrequency) -> messages.ItemFrequency:
    statistics = item.statistics
    return messages.ItemFrequency(
        name=statistics.name,
        category=statistics.category,
        purchase_count=statistics.purchase_count,
        mean_interval_days=statistics.mean_interval_days,
        median_interval_days=statistics.median_interval_days,
        standard_deviation_days=statistics.standard_deviation_days,
        coefficient_of_variation=statistics.coefficient_of_variation,
        consistency_ratio=statistics.consistency_ratio,
        recency_weight_ratio=item.recency_weight_ratio,
        trend=_TRENDS[statistics.trend],
        trend_slope_days=statistics.trend_slope_days,
        confidence=item.confidence,
        first_date=calendar_day(statistics.first_day).isoformat(),
        last_date=calendar_day(statistics.last_day).isoformat(),
        next_due_date="" if item.next_due_day is None else calendar_day(item.next_due_day).isoformat(),
        total_quantity=statistics.total_quantity,
        total_spend=round_to_cent(statistics.total_spend),
        mean_unit_price=statistics.mean_unit_price,
        latest_unit_price=statistics.latest_unit_price,
        typical_quantity=statistics.typical_quantity,
    )
