"""The port for ranking models, and the features that they get of an item."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from pantree_domain.evidence import ModelName
from pantree_recommendation.core.candidate import Candidate
from pantree_recommendation.core.offer import Offer


@dataclass(frozen=True)
class ItemFeatures:
    """Features of an item. The names and their order are part of the contract with models on SageMaker."""

    name: str
    category: str
    """Empty when unknown."""
    purchase_count: int
    mean_interval_days: float
    consistency_ratio: float
    recency_weight_ratio: float
    trend: str
    """`unknown`, `stable`, `accelerating` or `slowing`."""
    confidence: float
    """0 to 100."""
    days_since_last_purchase: int
    perishability: str
    """`days`, `weeks`, `months`; empty when unknown."""
    suggested_interval_days: int
    """0 when unknown."""
    interval_days: int
    """Days between deliveries."""
    quantity: int
    """Units per delivery."""
    latest_unit_price: float
    discount_ratio: float
    estimated_annual_savings: float
    cadence_probability: float
    """Of a purchase within 1.5 × the supported cadence, 0 to 1."""
    stockout_probability: float
    """0 to 1."""
    overstock_ratio: float
    """Share of deliveries that would come early, 0 to 1."""
    need_probability: float
    """That the need is active, 0 to 1."""
    mean_paid_unit_price: float
    """Promotions included; the latest shelf price when unknown."""
    annual_savings_vs_paid: float
    """Negative when the subscription costs more; the estimated savings when unknown."""


FEATURES = tuple(field.name for field in dataclasses.fields(ItemFeatures))


def features_of(candidate: Candidate, offer: Offer, as_of: date) -> ItemFeatures:
    """Features of an offered item."""
    assert candidate.mean_interval_days is not None  # an offer needs an interval
    price, paid = offer.price, candidate.paid_price
    savings = price.savings_vs_paid
    return ItemFeatures(
        name=candidate.name,
        category=candidate.category,
        purchase_count=candidate.purchase_count,
        mean_interval_days=candidate.mean_interval_days,
        consistency_ratio=candidate.consistency_ratio,
        recency_weight_ratio=candidate.recency_weight_ratio,
        trend=candidate.trend.value,
        confidence=candidate.confidence,
        days_since_last_purchase=(as_of - candidate.last_day).days,
        perishability="" if candidate.perishability is None else candidate.perishability.value,
        suggested_interval_days=candidate.suggested_interval_days or 0,
        interval_days=offer.cadence.interval_days,
        quantity=offer.quantity,
        latest_unit_price=candidate.latest_unit_price,
        discount_ratio=price.tier.discount_ratio,
        estimated_annual_savings=price.estimated_annual_savings,
        cadence_probability=offer.forecast.cadence_probability,
        stockout_probability=offer.forecast.stockout_probability,
        overstock_ratio=offer.forecast.overstock_ratio,
        need_probability=offer.forecast.need_probability,
        mean_paid_unit_price=candidate.latest_unit_price if paid is None else paid.mean,
        annual_savings_vs_paid=price.estimated_annual_savings if savings is None else savings.expected,
    )


class RankerFailure(Exception):
    """A model returned no usable scores. The message is for operators."""

    reason = "SageMaker is unavailable; the embedded model ranked the items"
    """What callers outside learn: nothing about hosts, settings and permissions."""


class Ranker(Protocol):
    """A model that ranks items."""

    @property
    def model(self) -> ModelName:
        """Name and version."""

    @property
    def source(self) -> str:
        """Where it runs: `embedded` or `sagemaker`."""

    async def scores(self, items: Sequence[ItemFeatures]) -> Sequence[float]:
        """Score of each item, in the order of the items, 0 to 1; higher is better.

        Raises:
            RankerFailure: when there is no usable score for every item.
        """
