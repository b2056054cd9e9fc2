import math
from typing import Any

import pytest

from pantree.frequency.v1 import frequency_service_pb2 as frequency
from pantree.recommendation.v1 import recommendation_service_pb2 as messages
from pantree_recommendation import convert
from pantree_recommendation.rules import check_request
from pantree_runtime.errors import InvalidInput
from pantree_runtime.validation import validate

NEXT_TO_0, NEXT_TO_1 = math.nextafter(0, -1), math.nextafter(1, 2)
_PRICES = ([0, 1e6], [NEXT_TO_0, 1_000_001, math.nan, math.inf])
_RATIOS = ([0, 1], [NEXT_TO_0, NEXT_TO_1, math.nan, -math.inf])
_TEXTS = (["x" * 200, "Kaffee\u00a0Röstung", "\u200b"], ["x" * 201, "a\x00b", "a\x7f", "a\nb"])
_DAYS = (["1970-01-01", "2026-06-20"], ["soon", "20260620", "1969-12-31", "2200-01-01", "2026-06-31"])
# Values at the bounds of each field, and just outside.
BOUNDS: dict[str, tuple[list[Any], list[Any]]] = {
    "name": (_TEXTS[0], [*_TEXTS[1], "", " ", "\u00a0"]),
    "category": (["", " ", *_TEXTS[0]], _TEXTS[1]),
    "purchase_count": ([1, 100_000], [0, -1, 100_001]),
    "mean_interval_days": ([1, 100_000], [math.nextafter(1, 0), 100_001, math.nan, math.inf]),
    "consistency_ratio": _RATIOS,
    "recency_weight_ratio": _RATIOS,
    "trend": ([0, 3], [4]),
    "confidence": ([0, 100], [NEXT_TO_0, 100.1, math.nan, math.inf]),
    "last_date": (_DAYS[0], [*_DAYS[1], "", "2026-06-21"]),
    # A forecast may lie beyond the last day of a purchase.
    "next_due_date": ([*_DAYS[0], "2200-01-01"], ["soon", "20260620", "1969-12-31", "2026-06-31", ""]),
    "latest_unit_price": _PRICES,
    "typical_quantity": ([1, 1_000_000_000], [0, -1, 1_000_000_001]),
    "recommended_interval_days": ([0, 7, 84], [-7, 8]),
    "cadence_probability": _RATIOS,
    "stockout_probability": _RATIOS,
    "overstock_ratio": _RATIOS,
    "need": ([1, 5], [0, 6]),
    "mean_paid_unit_price": _PRICES,
    "paid_unit_price_deviation": _PRICES,
}


def candidate(**changes: Any) -> messages.Candidate:
    valid = frequency.ItemFrequency(
        name="Bananas",
        category="produce",
        purchase_count=8,
        mean_interval_days=7.24,
        consistency_ratio=0.9,
        recency_weight_ratio=1.0,
        trend=frequency.TREND_STABLE,
        confidence=85.34,
        last_date="2026-06-18",
        next_due_date="2026-06-25",
        latest_unit_price=1.99,
        typical_quantity=1,
        recommended_interval_days=7,
        cadence_probability=0.8,
        need=frequency.NEED_ACTIVE,
        need_probabilities=[frequency.NeedProbability(need=frequency.NEED_ACTIVE, probability=0.9)],
        mean_paid_unit_price=1.95,
        paid_unit_price_deviation=0.1,
        first_delivery=frequency.FirstDelivery(date="2026-07-04"),
    )
    for name, value in changes.items():
        setattr(valid, name, value)
    return messages.Candidate(frequency=valid)


def violated_fields(*candidates: messages.Candidate) -> list[str]:
    """The invalid fields; none when all candidates are valid."""
    request = messages.RecommendRequest(candidates=candidates, as_of="2026-06-20")
    try:
        validate(request, check_request)
    except InvalidInput as error:
        return [violation.field for violation in error.violations]
    assert len(convert.recommendation_request(request).candidates) == len(candidates)
    return []


@pytest.mark.parametrize("field", BOUNDS)
def test_field_within_its_bounds_is_accepted_and_reported_outside(field: str) -> None:
    valid, invalid = BOUNDS[field]
    for value in valid:
        assert violated_fields(candidate(), candidate(**{"name": "Oats", field: value})) == []
    for value in invalid:
        changed = candidate(**{"name": "Oats", field: value})
        assert violated_fields(candidate(), changed) == [f"candidates[1].frequency.{field}"]


@pytest.mark.parametrize(
    ("field", "valid", "invalid"), [("suggested_interval_days", [0, 365], [-1, 366]), ("perishability", [0, 3], [4])]
)
def test_catalog_knowledge_is_checked_like_the_evidence(field: str, valid: list[int], invalid: list[int]) -> None:
    for value in valid + invalid:
        changed = candidate()
        setattr(changed, field, value)
        assert violated_fields(changed) == ([f"candidates[0].{field}"] if value in invalid else [])


def test_first_delivery_and_need_probability_are_checked() -> None:
    invalid = candidate()
    invalid.frequency.first_delivery.date = ""
    invalid.frequency.need_probabilities[0].probability = NEXT_TO_1
    assert violated_fields(invalid) == [
        "candidates[0].frequency.need_probabilities[0].probability",
        "candidates[0].frequency.first_delivery.date",
    ]


def test_columns_of_delivery_options_have_equal_lengths() -> None:
    columns = [field.name for field in frequency.DeliveryOptions.DESCRIPTOR.fields]
    for left_out in columns:
        uneven = candidate()
        for name in columns:
            getattr(uneven.frequency.delivery_options, name).extend([] if name == left_out else [1])
        found = [field.rpartition(".")[2] for field in violated_fields(uneven)]
        if left_out == "interval_days":
            assert found == columns[1:]
        else:
            assert found == ([] if left_out == "expected_units_on_hand" else [left_out])


def test_interval_and_due_day_are_optional_only_after_one_purchase() -> None:
    for purchase_count, expected in ((1, []), (2, ["mean_interval_days", "next_due_date"])):
        bought = candidate(purchase_count=purchase_count, next_due_date="")
        bought.frequency.ClearField("mean_interval_days")
        assert violated_fields(bought) == [f"candidates[0].frequency.{name}" for name in expected]


def test_repeated_name_is_reported_with_other_invalid_fields() -> None:
    assert violated_fields(candidate(), candidate(), candidate(confidence=101)) == [
        "candidates[2].frequency.confidence",
        "candidates[1].frequency.name",
        "candidates[2].frequency.name",
    ]
