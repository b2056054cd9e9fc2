"""Rules of a request that its message cannot state, because they compare fields."""

from datetime import date

from pantree.frequency.v1 import frequency_service_pb2 as frequency
from pantree.recommendation.v1 import recommendation_service_pb2 as messages
from pantree.vector.v1 import vector_service_pb2 as vector
from pantree_domain.cadence import LADDER
from pantree_domain.limits import MAX_HISTORY_LINES, MAX_QUANTITY, MAX_RECOMMENDATIONS
from pantree_runtime.validation import Violations

MAX_CANDIDATES = 10_000
MAX_SUGGESTIONS = 20
MAX_NEIGHBOR_ITEMS = 100
MAX_NEIGHBORS = 1_000
MAX_BATCH_HOUSEHOLDS = 1_000
MAX_INTERVAL_DAYS = 100_000
# A day's purchase may have many lines.
MAX_TYPICAL_QUANTITY = MAX_HISTORY_LINES * MAX_QUANTITY
MAX_SUGGESTED_INTERVAL_DAYS = 365
_LADDER_DAYS = tuple(step.interval_days for step in LADDER)
_ENUMS = (frequency.Trend, frequency.Need)


def check_batch(request: messages.RecommendBatchRequest) -> None:
    """Checks a batch itself, not its households.

    Raises:
        InvalidInput: when it is wrong.
    """
    violations = Violations()
    violations.whole_number("households", len(request.households), 0, MAX_BATCH_HOUSEHOLDS)
    violations.raise_if_any()


def check(request: messages.RecommendRequest) -> None:
    """Checks a request.

    Raises:
        InvalidInput: naming every wrong field.
    """
    violations = Violations()
    as_of = violations.day("as_of", request.as_of)
    if request.HasField("max_recommendations"):
        violations.whole_number("max_recommendations", request.max_recommendations, 1, MAX_RECOMMENDATIONS)
    if request.HasField("min_confidence"):
        violations.number("min_confidence", request.min_confidence, 0, 100)
    if request.HasField("min_cadence_probability"):
        violations.number("min_cadence_probability", request.min_cadence_probability, 0, 1)
    violations.identifier("customer_id", request.customer_id, required=False)
    violations.text("model", request.model, required=False)
    if request.HasField("max_suggestions"):
        violations.whole_number("max_suggestions", request.max_suggestions, 1, MAX_SUGGESTIONS)
    if request.HasField("neighborhood"):
        _check_neighborhood(request.neighborhood, violations.within("neighborhood"))
    if len(request.candidates) > MAX_CANDIDATES:
        violations.add("candidates", f"has {len(request.candidates):,} items; send at most {MAX_CANDIDATES:,}")
    else:
        positions: dict[str, int] = {}
        for position, candidate in enumerate(request.candidates):
            within = violations.within(f"candidates[{position}]")
            if not candidate.HasField("frequency"):
                within.add("frequency", "is required; give what FrequencyService says of the item")
                continue
            first = positions.setdefault(candidate.frequency.name, position)
            if first != position:
                within.add("frequency.name", f"is also the name of candidates[{first}]; send each item once")
            _check_candidate(candidate, as_of or date.max, within)
    violations.raise_if_any()


def _check_neighborhood(message: vector.Neighborhood, violations: Violations) -> None:
    count = message.neighbor_count
    violations.whole_number("neighbor_count", count, 0, MAX_NEIGHBORS)
    violations.whole_number("items", len(message.items), 0, MAX_NEIGHBOR_ITEMS)
    positions: dict[str, int] = {}
    for position, item in enumerate(message.items[:MAX_NEIGHBOR_ITEMS]):
        within = violations.within(f"items[{position}]")
        first = positions.setdefault(item.name, position)
        if first != position:
            within.add("name", f"is also the name of neighborhood.items[{first}]; send each item once")
        within.text("name", item.name)
        within.text("category", item.category, required=False)
        within.whole_number("buyer_count", item.buyer_count, 1, max(1, count))
        within.whole_number("regular_buyer_count", item.regular_buyer_count, 1, item.buyer_count)
        within.number("low_interval_days", item.low_interval_days, 0, MAX_INTERVAL_DAYS)
        within.number("high_interval_days", item.high_interval_days, 0, MAX_INTERVAL_DAYS)
        within.whole_number("own_day_count", item.own_day_count, 0, MAX_HISTORY_LINES)
        if item.HasField("associated_item"):
            associated = item.associated_item
            within.text("associated_item.name", associated.name)
            within.whole_number("associated_item.buyer_count", associated.buyer_count, 1, max(1, count))
            within.whole_number("associated_item.regular_count", associated.regular_count, 1, associated.buyer_count)


def _check_candidate(message: messages.Candidate, latest_day: date, violations: Violations) -> None:
    item = message.frequency
    violations.text("frequency.name", item.name)
    violations.text("frequency.category", item.category, required=False)
    violations.whole_number("frequency.purchase_count", item.purchase_count, 1, MAX_HISTORY_LINES)
    violations.number("frequency.consistency_ratio", item.consistency_ratio, 0, 1)
    violations.number("frequency.recency_weight_ratio", item.recency_weight_ratio, 0, 1)
    violations.number("frequency.confidence", item.confidence, 0, 100)
    violations.price("frequency.latest_unit_price", item.latest_unit_price)
    violations.whole_number("frequency.typical_quantity", item.typical_quantity, 1, MAX_TYPICAL_QUANTITY)
    violations.whole_number("suggested_interval_days", message.suggested_interval_days, 0, MAX_SUGGESTED_INTERVAL_DAYS)
    if not 0 <= item.trend <= 3:
        violations.add("frequency.trend", f"is {item.trend}; give a value of pantree.frequency.v1.Trend")
    if not 0 <= message.perishability <= 3:
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
        _check_forecast(item, violations)
    if item.HasField("mean_paid_unit_price") and item.HasField("paid_unit_price_deviation"):
        violations.price("frequency.mean_paid_unit_price", item.mean_paid_unit_price)
        violations.price("frequency.paid_unit_price_deviation", item.paid_unit_price_deviation)


def _check_forecast(item: frequency.ItemFrequency, violations: Violations) -> None:
    if item.recommended_interval_days not in _LADDER_DAYS:
        steps = ", ".join(map(str, _LADDER_DAYS))
        violations.add(
            "frequency.recommended_interval_days", f"is {item.recommended_interval_days}; give one of {steps}, or none"
        )
    for name in ("cadence_probability", "stockout_probability", "overstock_ratio"):
        violations.number(f"frequency.{name}", getattr(item, name), 0, 1)
    if not 1 <= item.need <= 5:
        violations.add("frequency.need", f"is {item.need}; give a state of pantree.frequency.v1.Need")
        return
    if item.HasField("first_delivery"):
        violations.day("frequency.first_delivery.date", item.first_delivery.date)
    for state in item.need_probabilities:
        violations.number("frequency.need_probabilities", state.probability, 0, 1)
