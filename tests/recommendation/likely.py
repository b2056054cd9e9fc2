"""Items by how likely they are bought again, whichever feature holds that."""

from typing import Any

from pantree_recommendation.core import ItemFeatures
from pantree_recommendation.core.calibration import PROBABILITY_FEATURE, PROBABILITY_WHOLE
from tests.recommendation.evidence import features


def likely(probability: float, **changes: Any) -> ItemFeatures:
    """An ordinary item with this probability, 0 to 1."""
    return features(**{PROBABILITY_FEATURE: PROBABILITY_WHOLE * probability, **changes})
