"""Which evidence is too little for a subscription."""

import math
from dataclasses import dataclass
from datetime import date

from pantree_domain.cadence import LADDER
from pantree_recommendation.core.candidate import Candidate
from pantree_recommendation.core.reason import Reason, ReasonCode

# The weight halves with every mean interval that an item is overdue, so this is a gap of four mean intervals. Were
# purchases without any rhythm, a gap that long would have a probability of e⁻⁴, below 2 %.
LEAST_RECENCY_WEIGHT = 0.125

# Where the next step of the ladder would begin if it had one, growing as it did last. Items bought less often would get
# deliveries faster than they are used up, the first reason for which people cancel.
LONGEST_MEAN_INTERVAL_DAYS = LADDER[-1].interval_days * math.sqrt(LADDER[-1].interval_days / LADDER[-2].interval_days)


@dataclass(frozen=True)
class Policy:
    """What the shop asks of an item, and what it offers."""

    min_confidence: float = 50.0
    """0 to 100."""
    min_purchases: int = 3
    """At least 2: a cadence needs an interval."""
    discount_ratio: float = 0.05
    """Subscription's discount on the shelf price, 0 to 1."""


def ground_for_omission(candidate: Candidate, as_of: date, policy: Policy) -> Reason | None:
    """Why an item is not worth a subscription; None when it may be.

    Args:
        candidate: the evidence.
        as_of: the day on which the question is asked.
        policy: what is asked of an item.
    """
    mean = candidate.mean_interval_days
    if mean is None or candidate.purchase_count < policy.min_purchases:
        return Reason(
            ReasonCode.TOO_FEW_PURCHASES,
            {"purchase_count": candidate.purchase_count, "min_purchases": policy.min_purchases},
        )
    if candidate.recency_weight_ratio < LEAST_RECENCY_WEIGHT:
        return Reason(
            ReasonCode.NEED_ENDED,
            {
                "days_since_last_purchase": (as_of - candidate.last_day).days,
                "mean_interval_days": mean,
                "recency_weight_ratio": candidate.recency_weight_ratio,
            },
        )
    if mean > LONGEST_MEAN_INTERVAL_DAYS:
        return Reason(
            ReasonCode.INTERVAL_TOO_LONG,
            {"mean_interval_days": mean, "longest_interval_days": LADDER[-1].interval_days},
        )
    if candidate.confidence < policy.min_confidence:
        return Reason(
            ReasonCode.LOW_CONFIDENCE, {"confidence": candidate.confidence, "min_confidence": policy.min_confidence}
        )
    return None
