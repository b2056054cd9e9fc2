"""Rules for requests that the contract cannot express, because they compare fields."""

from collections.abc import Mapping

from pantree.frequency.v1 import frequency_service_pb2 as frequency
from pantree.recommendation.v1 import recommendation_service_pb2 as messages
from pantree.vector.v1 import vector_service_pb2 as vector
from pantree_domain.cadence import LADDER
from pantree_recommendation.convert_review import cut_off_of
from pantree_runtime.plan_analysis import check_analysis
from pantree_runtime.purchase_columns import check_columns
from pantree_runtime.validation import LAST_DAY, Rule, Violations, parse_day

_LADDER_DAYS = frozenset(step.interval_days for step in LADDER)
_OPTIONAL_COLUMN = "expected_units_on_hand"
_OPTION_COLUMNS = [field.name for field in frequency.DeliveryOptions.DESCRIPTOR.fields if field.name != "interval_days"]


def check_request(request: messages.RecommendRequest, violations: Violations) -> None:
    """Checks the evidence on a household's items, and the neighborhood."""
    as_of = request.as_of if parse_day(request.as_of) else LAST_DAY.isoformat()
    first_indices: dict[str, int] = {}
    for index, candidate in enumerate(request.candidates):
        item = candidate.frequency
        first = first_indices.setdefault(item.name, index)
        if first != index and item.name:
            violations.add(
                f"candidates[{index}].frequency.name",
                f"must differ from the other candidates; is the same as candidates[{first}].frequency.name",
            )
        for field, description in _evidence_problems(item, as_of):
            violations.add(f"candidates[{index}].frequency.{field}", description)
    if request.HasField("neighborhood"):
        _check_neighborhood(request.neighborhood, violations.within("neighborhood"))


def _evidence_problems(item: frequency.ItemFrequency, as_of: str) -> list[tuple[str, str]]:
    problems = []
    # ISO dates are ordered like their texts.
    if item.last_date > as_of:
        problems.append(("last_date", f"must not be later than as_of, {as_of}; is {item.last_date}"))
    # One purchase has no interval.
    if item.purchase_count > 1:
        if not item.HasField("mean_interval_days"):
            problems.append(("mean_interval_days", "is required for two purchases or more"))
        if not item.next_due_date:
            problems.append(("next_due_date", "is required for two purchases or more"))
    interval_days = item.recommended_interval_days
    if interval_days:
        if interval_days not in _LADDER_DAYS:
            steps = ", ".join(map(str, sorted(_LADDER_DAYS)))
            problems.append(("recommended_interval_days", f"must be one of {steps}, or 0; is {interval_days}"))
        if item.need == frequency.NEED_UNSPECIFIED:
            problems.append(("need", "is required with recommended_interval_days"))
    if item.HasField("delivery_options"):
        problems += _option_problems(item.delivery_options)
    return problems


def _option_problems(options: frequency.DeliveryOptions) -> list[tuple[str, str]]:
    count = len(options.interval_days)
    return [
        (f"delivery_options.{name}", f"must have one element for each of the {count:,} interval_days")
        for name in _OPTION_COLUMNS
        if (length := len(getattr(options, name))) != count and (length or name != _OPTIONAL_COLUMN)
    ]


def _check_neighborhood(message: vector.Neighborhood, violations: Violations) -> None:
    first_indices: dict[str, int] = {}
    for index, item in enumerate(message.items):
        nested = violations.within(f"items[{index}]")
        first = first_indices.setdefault(item.name, index)
        if first != index:
            nested.add("name", f"must differ from the other items; is the same as neighborhood.items[{first}].name")
        _check_counts(nested, message.neighbor_count, "buyer_count", item.buyer_count)
        _check_counts(nested, item.buyer_count, "regular_buyer_count", item.regular_buyer_count)
        if item.HasField("associated_item"):
            associated = item.associated_item
            _check_counts(nested, message.neighbor_count, "associated_item.buyer_count", associated.buyer_count)
            _check_counts(nested, associated.buyer_count, "associated_item.regular_count", associated.regular_count)


def _check_counts(violations: Violations, whole: int, field: str, part: int) -> None:
    if part > max(1, whole):
        violations.add(field, f"must be at most {max(1, whole):,}, since it counts a subset; is {part:,}")


def check_next_basket(request: messages.PredictNextBasketRequest, violations: Violations) -> None:
    """Checks the purchases, and that the day of the basket is known."""
    if not request.history.days and not request.as_of:
        violations.add("as_of", "is required for a household without purchases; use the day of its first trip")
    check_columns(request.history, request.as_of, violations.within("history"))


def check_plan(request: messages.PlanDeliveriesRequest, violations: Violations) -> None:
    """Checks the items to plan."""
    check_analysis(request.analysis, violations.within("analysis"))


def check_review(request: messages.ReviewSubscriptionsRequest, violations: Violations) -> None:
    """Checks that ids and sequences differ, and that cut-offs are times."""
    first_ids: dict[str, int] = {}
    for index, state in enumerate(request.subscriptions):
        nested = violations.within(f"subscriptions[{index}]")
        first = first_ids.setdefault(state.subscription_id, index)
        if first != index and state.subscription_id:
            nested.add("subscription_id", f"must differ from the others; is the same as subscriptions[{first}]'s")
        if not state.status:
            nested.add("status", "is required")
        first_sequences: dict[int, int] = {}
        for number, delivery in enumerate(state.deliveries):
            field = f"deliveries[{number}]"
            if not delivery.status:
                nested.add(f"{field}.status", "is required")
            if first_sequences.setdefault(delivery.sequence, number) != number:
                nested.add(f"{field}.sequence", f"must differ from the others; {delivery.sequence} is there twice")
            if delivery.cut_off_at and cut_off_of(delivery) is None:
                nested.add(f"{field}.cut_off_at", "must be a time such as 2026-12-04T23:00:00Z")


RULES: Mapping[str, Rule] = {
    "Recommend": check_request,
    "PlanDeliveries": check_plan,
    "PredictNextBasket": check_next_basket,
    "ReviewSubscriptions": check_review,
}
"""By name of the RPC."""
