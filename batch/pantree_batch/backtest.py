"""Backtests: what a plan of some weeks ago would have done to each household."""

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, cast

from pantree.pipeline.v1 import pipeline_service_pb2 as pipeline
from pantree.recommendation.v1.recommendation_service_pb2 import RecommendResponse
from pantree_batch.household import Household, set_history
from pantree_batch.method import HouseholdScorer, Replayed, RunOptions
from pantree_batch.schemas import BACKTEST_TABLES
from pantree_domain.days import calendar_day, day_number
from pantree_domain.money import minor_unit_digits, round_to_cent
from pantree_pipeline.core.identity import ItemIdentity
from pantree_pipeline.core.replay import DAYS_PER_WEEK, Totals

_NO_TOTALS = Totals(0, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


class Backtest:
    """Replays the plan of the as-of date on each household's later purchases."""

    tables = BACKTEST_TABLES

    def request_of(self, household: Household, options: RunOptions) -> pipeline.WhatIfInput:
        """The history until the end of the replay."""
        weeks = cast(int, options.week_count)
        lines = household.lines_until(options.as_of, options.as_of + timedelta(days=DAYS_PER_WEEK * weeks))
        message = pipeline.WhatIfInput(
            customer_id=household.key[0],
            as_of=options.as_of.isoformat(),
            week_count=weeks,
            max_recommendations=options.max_recommendations,
        )
        set_history(message, lines)
        return message

    def outcomes_of(
        self, requests: Sequence[pipeline.WhatIfInput], scorer: HouseholdScorer
    ) -> Sequence[Replayed | Exception]:
        """The replay of each household, in order, or why it has none."""
        return scorer.replay(requests)

    def row_of(self, household: Household, outcome: Replayed, options: RunOptions) -> dict[str, Any]:
        """The replay of a household and of each item that it would have been offered."""
        replayed, answer = outcome.replay, cast(RecommendResponse, outcome.plan.plan)
        totals = replayed.replay.totals()
        discounts = _discount_costs(outcome)
        digits = minor_unit_digits(replayed.job.plan.currency_code)
        result = {
            "as_of": options.as_of,
            "week_count": options.week_count,
            "currency_code": replayed.job.plan.currency_code or None,
            "offer_count": len(answer.recommendations),
            "box_count": totals.box_count,
            **_columns(totals, round_to_cent(math.fsum(discounts.values()), digits), replayed.replay.stock_cost),
            "promised_savings": replayed.promised_savings,
            "total_spend": replayed.total_spend,
            "has_prices": replayed.has_prices,
            "model_name": answer.model.name,
            "model_version": answer.model.version,
        }
        positions = {name: position for position, name in enumerate(replayed.names)}
        # Needs are sorted by day.
        first_needs = {met.need.item: met.need.day for met in reversed(replayed.replay.needs)}
        subscriptions = []
        for rank, offer in enumerate(answer.recommendations, start=1):
            position = positions.get(offer.name)
            of_item = _NO_TOTALS if position is None else replayed.replay.totals(item=position)
            stock_cost = 0.0 if position is None else float(replayed.replay.stock_costs[position])
            needed = None if position is None else first_needs.get(position)
            identity = replayed.job.plan.identities.get(offer.name) or ItemIdentity(offer.name)
            subscriptions.append(
                {
                    "rank": rank,
                    "item": identity.name,
                    "item_id": identity.item_id,
                    "variant": identity.variant,
                    "category": offer.category,
                    "interval_days": offer.subscription.interval_days,
                    "quantity": offer.subscription.quantity,
                    "first_delivery_date": date.fromisoformat(offer.subscription.first_delivery_date),
                    "probability": offer.cadence_probability,
                    "confidence": offer.confidence,
                    "value": offer.subscription.value or None,
                    "in_plan": position is not None,
                    "first_need_date": None if needed is None else calendar_day(needed),
                    **_columns(of_item, round_to_cent(discounts.get(offer.name, 0.0), digits), stock_cost),
                }
            )
        return {"result": result, "subscriptions": subscriptions}


def _columns(totals: Totals, discount_cost: float, stock_cost: float) -> dict[str, Any]:
    columns = totals._asdict() | {"discount_cost": discount_cost, "stock_cost": stock_cost}
    del columns["box_count"]
    return columns


def _discount_costs(replayed: Replayed) -> dict[str, float]:
    """What the discounts of the deliveries cost the retailer, by item: price × d / (1 − d) for a discount d."""
    plan = cast(RecommendResponse, replayed.plan.plan).plan
    ratios = {day_number(date.fromisoformat(box.date)): box.discount_ratio for box in plan.deliveries}
    costs: defaultdict[str, float] = defaultdict(float)
    for arrived in replayed.replay.replay.deliveries:
        ratio = ratios[arrived.delivery.day]
        # A discount of 1 leaves no price to tell its cost from.
        if ratio < 1:
            costs[replayed.replay.names[arrived.delivery.item]] += arrived.delivery.price * ratio / (1 - ratio)
    return costs
