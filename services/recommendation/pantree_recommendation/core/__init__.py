"""What the recommendation service knows: which evidence suffices, which cadence it supports, and what that saves."""

from pantree_domain.evidence import ModelName, Need, Trend
from pantree_recommendation.core.calibration import Calibration, Weight
from pantree_recommendation.core.candidate import MS_PER_CANDIDATE, Candidate, Forecast, PaidPrice
from pantree_recommendation.core.discount import DEFAULT_TIERS, DiscountTier, DiscountTiers
from pantree_recommendation.core.money import SavingsVsPaid, annual_cost, annual_savings, savings_vs_paid
from pantree_recommendation.core.offer import Offer, Price, offer_of
from pantree_recommendation.core.plan import Plan, plan_of
from pantree_recommendation.core.policy import Policy, rejection_reason
from pantree_recommendation.core.ranking import ItemFeatures, Ranker, RankerFailure
from pantree_recommendation.core.reason import Reason, ReasonCode
from pantree_recommendation.core.recommender import (
    DEFAULT_SUGGESTIONS,
    Answer,
    OmittedItem,
    Question,
    Recommendation,
    Recommender,
)
from pantree_recommendation.core.selection import (
    FixedModels,
    ModelCard,
    Models,
    ModelSource,
    Selection,
    Share,
    model_id,
)
from pantree_recommendation.core.suggestion import SOURCE as SUGGESTION_SOURCE
from pantree_recommendation.core.suggestion import Companion, Neighborhood, NeighborItem, Suggestion, suggestions_of

__all__ = [
    "DEFAULT_SUGGESTIONS",
    "DEFAULT_TIERS",
    "MS_PER_CANDIDATE",
    "SUGGESTION_SOURCE",
    "Answer",
    "Calibration",
    "Candidate",
    "Companion",
    "DiscountTier",
    "DiscountTiers",
    "FixedModels",
    "Forecast",
    "ItemFeatures",
    "ModelCard",
    "ModelName",
    "ModelSource",
    "Models",
    "Need",
    "NeighborItem",
    "Neighborhood",
    "Offer",
    "OmittedItem",
    "PaidPrice",
    "Plan",
    "Policy",
    "Price",
    "Question",
    "Ranker",
    "RankerFailure",
    "Reason",
    "ReasonCode",
    "Recommendation",
    "Recommender",
    "SavingsVsPaid",
    "Selection",
    "Share",
    "Suggestion",
    "Trend",
    "Weight",
    "annual_cost",
    "annual_savings",
    "model_id",
    "offer_of",
    "plan_of",
    "rejection_reason",
    "savings_vs_paid",
    "suggestions_of",
]
