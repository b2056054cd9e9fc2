"""Demo: prints the response for a weekly item, one with little evidence, and one that is no longer needed."""

import grpc
from google.protobuf import json_format

from pantree.catalog.v1 import catalog_pb2
from pantree.frequency.v1.frequency_service_pb2 import TREND_STABLE, ItemFrequency
from pantree.recommendation.v1 import recommendation_service_pb2 as messages
from pantree.recommendation.v1 import recommendation_service_pb2_grpc as rpc

_CANDIDATES = [
    messages.Candidate(
        frequency=ItemFrequency(
            name="Bananas",
            category="produce",
            purchase_count=8,
            mean_interval_days=7.2,
            consistency_ratio=0.88,
            recency_weight_ratio=1.0,
            trend=TREND_STABLE,
            confidence=85.3,
            last_date="2026-06-18",
            next_due_date="2026-06-25",
            latest_unit_price=1.99,
            typical_quantity=1,
        ),
        perishability=catalog_pb2.PERISHABILITY_DAYS,
        suggested_interval_days=7,
    ),
    messages.Candidate(
        frequency=ItemFrequency(
            name="Dish Soap",
            category="household",
            purchase_count=3,
            mean_interval_days=20.5,
            consistency_ratio=0.61,
            recency_weight_ratio=0.8,
            confidence=68.4,
            last_date="2026-05-23",
            next_due_date="2026-06-13",
            latest_unit_price=3.49,
            typical_quantity=1,
        ),
        perishability=catalog_pb2.PERISHABILITY_MONTHS,
        suggested_interval_days=42,
    ),
    messages.Candidate(
        frequency=ItemFrequency(
            name="Baby Formula",
            category="baby",
            purchase_count=9,
            mean_interval_days=10.1,
            consistency_ratio=0.8,
            recency_weight_ratio=0.001,
            trend=TREND_STABLE,
            confidence=64.7,
            last_date="2026-03-01",
            next_due_date="2026-03-11",
            latest_unit_price=24.99,
            typical_quantity=1,
        ),
    ),
]


async def demo(channel: grpc.aio.Channel) -> None:
    """Calls `Recommend` and prints the response as JSON."""
    request = messages.RecommendRequest(candidates=_CANDIDATES, as_of="2026-06-20", include_omitted=True)
    response = await rpc.RecommendationServiceStub(channel).Recommend(request)
    print(json_format.MessageToJson(response, preserving_proto_field_name=True))
