"""What the recommendation service knows: which evidence suffices, which cadence it supports, and what that saves."""

from pantree_recommendation.core.calibration import Calibration, Weight
from pantree_recommendation.core.candidate import Candidate, Trend
from pantree_recommendation.core.offer import Offer, annual_savings, offer_of
from pantree_recommendation.core.policy import Policy, ground_for_omission
from pantree_recommendation.core.ranking import ItemFeatures, ModelName, Ranker, RankerFailure
from pantree_recommendation.core.reason import Reason, ReasonCode
from pantree_recommendation.core.recommender import Answer, OmittedItem, Question, Recommendation, Recommender
from pantree_recommendation.core.selection import (
    FixedModels,
    ModelCard,
    Models,
    ModelSource,
    Selection,
    Share,
    model_id,
)

__all__ = [
    "Answer",
    "Calibration",
    "Candidate",
    "FixedModels",
    "ItemFeatures",
    "ModelCard",
    "ModelName",
    "ModelSource",
    "Models",
    "Offer",
    "OmittedItem",
    "Policy",
    "Question",
    "Ranker",
    "RankerFailure",
    "Reason",
    "ReasonCode",
    "Recommendation",
    "Recommender",
    "Selection",
    "Share",
    "Trend",
    "Weight",
    "annual_savings",
    "ground_for_omission",
    "model_id",
    "offer_of",
]
