"""The knowledge of the recommendation service: which evidence suffices, which cadence it supports, what that saves."""

from pantree_domain.evidence import ModelName, Need, Trend
from pantree_recommendation.core.calibration import Calibration, Weight
from pantree_recommendation.core.candidate import Candidate, Forecast, PaidPrice
from pantree_recommendation.core.discount import DEFAULT_TIERS, DiscountTier, DiscountTiers
from pantree_recommendation.core.offer import Price, offer_of
from pantree_recommendation.core.plan import Plan
from pantree_recommendation.core.policy import Policy, rejection_reason
from pantree_recommendation.core.ranking import ItemFeatures, Ranker, RankerFailure, features_of
from pantree_recommendation.core.reason import Reason, ReasonCode
from pantree_recommendation.core.recommender import (
    DEFAULT_SUGGESTIONS,
    FilteredRequest,
    OmittedItem,
    Recommendation,
    RecommendationRequest,
    RecommendationResult,
    ScoredRequest,
    filter_candidates,
    score,
    select,
)
from pantree_recommendation.core.savings import SavingsVsPaid
from pantree_recommendation.core.selection import ModelCard, Models, ModelSource, Selection, Share, model_id
from pantree_recommendation.core.suggestion import (
    SUGGESTION_SOURCE,
    CoPurchasedItem,
    Neighborhood,
    NeighborItem,
    Suggestion,
    suggestions_of,
)

__all__ = [
    "DEFAULT_SUGGESTIONS",
    "DEFAULT_TIERS",
    "SUGGESTION_SOURCE",
    "Calibration",
    "Candidate",
    "CoPurchasedItem",
    "DiscountTier",
    "DiscountTiers",
    "FilteredRequest",
    "Forecast",
    "ItemFeatures",
    "ModelCard",
    "ModelName",
    "ModelSource",
    "Models",
    "Need",
    "NeighborItem",
    "Neighborhood",
    "OmittedItem",
    "PaidPrice",
    "Plan",
    "Policy",
    "Price",
    "Ranker",
    "RankerFailure",
    "Reason",
    "ReasonCode",
    "Recommendation",
    "RecommendationRequest",
    "RecommendationResult",
    "SavingsVsPaid",
    "ScoredRequest",
    "Selection",
    "Share",
    "Suggestion",
    "Trend",
    "Weight",
    "features_of",
    "filter_candidates",
    "model_id",
    "offer_of",
    "rejection_reason",
    "score",
    "select",
    "suggestions_of",
]
