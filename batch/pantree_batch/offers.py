"""Scoring: what is offered to each household."""

import uuid
from collections.abc import Sequence
from datetime import date
from typing import Any

from pantree.pipeline.v1 import pipeline_service_pb2 as pipeline
from pantree.recommendation.v1.recommendation_service_pb2 import Recommendation
from pantree_batch.household import Household, Key, set_history
from pantree_batch.method import HouseholdScorer, RunOptions
from pantree_batch.schemas import SCORE_TABLES

# Namespace of change ids: an arbitrary UUID.
_CHANGE_NAMESPACE = uuid.UUID("b1a7d0c2-3f5e-5c3b-8f0a-9d2a4e6c7b15")


class Offers:
    """Scores households."""

    tables = SCORE_TABLES

    def request_of(self, household: Household, options: RunOptions) -> pipeline.ProcessInput:
        """The request that the household would send."""
        lines = household.lines_until(options.as_of, options.as_of)
        message = pipeline.ProcessInput(
            customer_id=household.key[0],
            as_of=options.as_of.isoformat(),
            max_recommendations=options.max_recommendations,
        )
        set_history(message, lines)
        return message

    def outcomes_of(
        self, requests: Sequence[pipeline.ProcessInput], scorer: HouseholdScorer
    ) -> Sequence[pipeline.ProcessResult | Exception]:
        """The result of each household, in order, or why it has none."""
        return scorer.score(requests)

    def row_of(self, household: Household, outcome: pipeline.ProcessResult, options: RunOptions) -> dict[str, Any]:
        """The result and the offers of a household."""
        answer, summary = outcome.recommendations, outcome.history_summary
        result = {
            "as_of": options.as_of,
            "recommendation_id": outcome.recommendation_id,
            "offer_count": len(answer.recommendations),
            "annual_cost": answer.plan.annual_cost,
            "estimated_annual_savings": answer.plan.estimated_annual_savings,
            "annual_savings_vs_paid": answer.plan.annual_savings_vs_paid
            if answer.plan.HasField("annual_savings_vs_paid")
            else None,
            "boxes_per_month": answer.plan.boxes_per_month,
            "deliveries": [
                {
                    "date": date.fromisoformat(delivery.date),
                    "items": [{"item": item.name, "quantity": item.quantity} for item in delivery.items],
                    "discount_ratio": delivery.discount_ratio,
                    "price": delivery.price,
                }
                for delivery in answer.plan.deliveries
            ],
            "currency_code": outcome.currency_code or None,
            "line_count": summary.purchase_count,
            "trip_count": summary.trip_count,
            "item_count": summary.item_count,
            "first_date": date.fromisoformat(summary.first_date),
            "last_date": date.fromisoformat(summary.last_date),
            "total_spend": summary.total_spend,
            "warnings": [{"code": warning.code, "text": warning.message} for warning in outcome.warnings],
            "near_misses": [
                {"item": near.name, "code": near.reason.code, "text": near.reason.text} for near in answer.near_misses
            ],
            "model_name": outcome.model.name,
            "model_version": outcome.model.version,
            "source": outcome.source,
            "confidence_model_name": outcome.confidence_model.name,
            "confidence_model_version": outcome.confidence_model.version,
        }
        offers = [_offer(offer, rank, household.key) for rank, offer in enumerate(answer.recommendations, start=1)]
        return {"result": result, "offers": offers}


def _offer(offer: Recommendation, rank: int, key: Key) -> dict[str, Any]:
    subscription = offer.subscription
    paid = subscription.savings_vs_paid
    return {
        "change_id": change_id(offer, key),
        "rank": rank,
        "item": offer.name,
        "item_id": offer.item_id,
        "variant": offer.variant,
        "category": offer.category,
        "frequency": subscription.frequency,
        "interval_days": subscription.interval_days,
        "quantity": subscription.quantity,
        "units_per_pack": subscription.units_per_pack,
        "first_delivery_date": date.fromisoformat(subscription.first_delivery_date),
        "last_delivery_date": date.fromisoformat(subscription.last_delivery_date)
        if subscription.last_delivery_date
        else None,
        "next_due_date": date.fromisoformat(offer.next_due_date),
        "probability": offer.cadence_probability,
        "confidence": offer.confidence,
        "score": offer.score,
        "purchase_count": offer.count,
        "mean_interval_days": offer.avg_interval,
        "discount_ratio": subscription.discount_ratio,
        "annual_cost": subscription.annual_cost,
        "estimated_annual_savings": subscription.estimated_annual_savings,
        "annual_savings_vs_paid": paid.expected_annual_savings if subscription.HasField("savings_vs_paid") else None,
        "value": subscription.value or None,
        "discount_ratio_in_plan": subscription.discount_ratio_in_plan,
        "annual_savings_in_plan": subscription.annual_savings_in_plan
        if subscription.HasField("annual_savings_in_plan")
        else None,
        "next_charge": subscription.next_charge,
        "reasons": [{"code": reason.code, "text": reason.text} for reason in offer.reasons],
    }


def change_id(offer: Recommendation, key: Key) -> str:
    """Id of an offer's content: equal in two runs if a shopper would see the same offer.

    Probabilities, scores and texts change every night and are not part of it.
    """
    subscription = offer.subscription
    content = (
        *key, offer.name, offer.item_id, offer.variant, subscription.interval_days, subscription.quantity,
        subscription.units_per_pack, subscription.first_delivery_date, subscription.last_delivery_date,
        subscription.discount_ratio, subscription.annual_cost, subscription.estimated_annual_savings,
    )  # fmt: skip
    return str(uuid.uuid5(_CHANGE_NAMESPACE, repr(content)))
