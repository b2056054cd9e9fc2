"""Which evidence is too little for a subscription."""

import math
from dataclasses import dataclass
from datetime import date

from pantree_domain.cadence import LADDER
from pantree_domain.evidence import Need
from pantree_recommendation.core.candidate import Candidate
from pantree_recommendation.core.discount import DEFAULT_TIERS, DiscountTiers
from pantree_recommendation.core.reason import Reason, ReasonCode

# Where the next step of the ladder would begin if it had one, growing as it did last. Items bought less often would get
# deliveries faster than they are used up, the first reason for which people cancel.
LONGEST_MEAN_INTERVAL_DAYS = LADDER[-1].interval_days * math.sqrt(LADDER[-1].interval_days / LADDER[-2].interval_days)

# From here on an item counts as regular: a coefficient of variation of at most .43, and five intervals to tell it by.
PURCHASES_OF_REGULAR = 6
CONSISTENCY_OF_REGULAR = 0.7

# A late item is one to wait for: at equal probability fewer of them were bought again than of active ones (fitting
# households: half of those at .6 to .7).
_GROUNDS = {
    Need.LATE: ReasonCode.NEED_LATE,
    Need.PAUSED: ReasonCode.NEED_PAUSED,
    Need.ENDED: ReasonCode.NEED_ENDED,
    Need.SWITCHED: ReasonCode.NEED_SWITCHED,
}


@dataclass(frozen=True)
class Policy:
    """What the shop asks of an item, and what it offers."""

    min_cadence_probability: float = 0.65
    """Of a purchase within 1.5 times the cadence, 0 to 1. On fitting households .72 (products) to .75 (types) of the
    first five recommendations above it are bought again in that time, and about half of the households get one."""
    min_confidence: float = 0.0
    """0 to 100."""
    min_purchases: int = 3
    """At least 2: a cadence needs an interval."""
    regular_allowance: float = 0.05
    """How much less a regular item needs, 0 to 1. Forecasts are drawn towards what is usual, and regular items are not:
    of those on fitting households with .60 to .65, .67 were bought again in that time (574, products and types)."""
    min_suggestion_score: float = 0.2
    """Of the share of similar customers who buy an item regularly, at its least, 0 to 1."""
    tiers: DiscountTiers = DEFAULT_TIERS
    """Subscription's discounts on the shelf price."""
    excluded_categories: frozenset[str] = frozenset()
    """What the shop does not deliver by subscription, in lower case."""
    max_category_ratio: float = 0.5
    """Largest share of the recommendations asked for that may come from one category, above 0 to 1."""

    def probability_needed(self, candidate: Candidate) -> float:
        """The least probability of a purchase within 1.5 times the cadence that an item needs, 0 to 1."""
        regular = (
            candidate.forecast is not None  # the caller's own confidence is taken at its word
            and candidate.purchase_count >= PURCHASES_OF_REGULAR
            and candidate.consistency_ratio >= CONSISTENCY_OF_REGULAR
        )
        return max(0.0, self.min_cadence_probability - (self.regular_allowance if regular else 0.0))

    @property
    def discount_ratio(self) -> float:
        """Discount on an item that comes alone, 0 to 1."""
        return self.tiers.first.discount_ratio

    def most_of_category(self, max_recommendations: int) -> int:
        """How many recommendations may come from one category, at least 1."""
        return max(1, math.ceil(self.max_category_ratio * max_recommendations))


def rejection_reason(candidate: Candidate, as_of: date, policy: Policy) -> Reason | None:
    """Why an item is not worth a subscription; None when it may be.

    Args:
        candidate: the evidence.
        as_of: the day on which the question is asked.
        policy: what is asked of an item.
    """
    mean, forecast = candidate.mean_interval_days, candidate.expected
    if mean is None or forecast is None or candidate.purchase_count < policy.min_purchases:
        return Reason(
            ReasonCode.TOO_FEW_PURCHASES,
            {"purchase_count": candidate.purchase_count, "min_purchases": policy.min_purchases},
        )
    if candidate.category.casefold() in policy.excluded_categories:
        return Reason(ReasonCode.NOT_SUBSCRIBABLE, {})
    if forecast.need is not Need.ACTIVE:
        return Reason(
            _GROUNDS[forecast.need],
            {
                "days_since_last_purchase": (as_of - candidate.last_day).days,
                "mean_interval_days": mean,
                "recency_weight_ratio": candidate.recency_weight_ratio,
                "need_probability": forecast.need_probability,
            },
        )
    if mean > LONGEST_MEAN_INTERVAL_DAYS:
        return Reason(
            ReasonCode.INTERVAL_TOO_LONG,
            {"mean_interval_days": mean, "longest_interval_days": LADDER[-1].interval_days},
        )
    needed = policy.probability_needed(candidate)
    if forecast.cadence_probability < needed:
        return Reason(
            ReasonCode.LOW_PROBABILITY,
            {
                "cadence_probability": forecast.cadence_probability,
                "min_cadence_probability": needed,
                "interval_days": forecast.interval_days,
            },
        )
    if candidate.confidence < policy.min_confidence:
        return Reason(
            ReasonCode.LOW_CONFIDENCE, {"confidence": candidate.confidence, "min_confidence": policy.min_confidence}
        )
    return None
