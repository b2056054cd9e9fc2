"""Rules for the analysis that plans are made from."""

from pantree.recommendation.v1.recommendation_service_pb2 import PlanAnalysis
from pantree_domain.cadence import LADDER
from pantree_runtime.validation import Violations, parse_day

MAX_DAYS_TO_FIRST_DELIVERY = 730
"""A plan is for a year."""

_LADDER_DAYS = frozenset(step.interval_days for step in LADDER)


def check_analysis(analysis: PlanAnalysis, violations: Violations) -> None:
    """Checks that items differ, that intervals are on offer, and that first deliveries are not too late."""
    as_of = parse_day(analysis.as_of)
    first_indices: dict[str, int] = {}
    for index, item in enumerate(analysis.items):
        nested = violations.within(f"items[{index}]")
        first = first_indices.setdefault(item.name, index)
        if first != index:
            nested.add("name", f"must differ from the other items; is the same as items[{first}].name")
        day = parse_day(item.best_first_date)
        if as_of is not None and day is not None and (day - as_of).days > MAX_DAYS_TO_FIRST_DELIVERY:
            nested.add(
                "best_first_date", f"must be at most {MAX_DAYS_TO_FIRST_DELIVERY} days after as_of, {as_of}; is {day}"
            )
        for number, option in enumerate(item.options):
            if option.interval_days not in _LADDER_DAYS:
                steps = ", ".join(map(str, sorted(_LADDER_DAYS)))
                nested.add(f"options[{number}].interval_days", f"must be one of {steps}; is {option.interval_days}")
