"""A fitted correction of the probability that an item is bought again.

Logistic regression on the log odds of the forecast's probability and on features of the item (Platt scaling, 1999, with
more inputs). The slope must not be negative, so that a higher probability never lowers a score.
"""

import dataclasses
import math
from dataclasses import dataclass

from pantree_recommendation.core.ranking import ItemFeatures

# Keeps log odds finite at probabilities of 0 and 1.
_MIN_PROBABILITY = 1e-4


@dataclass(frozen=True)
class Weight:
    """Contribution of one feature to the log odds: weight × (signed_log1p(feature) − mean) / scale."""

    feature: str
    mean: float
    scale: float
    """Above 0."""
    weight: float


@dataclass(frozen=True)
class Calibration:
    """A correction of probabilities.

    Raises:
        ValueError: when a number is not finite, the slope is negative, or a scale is not above 0.
    """

    intercept: float
    slope: float
    """At least 0."""
    weights: tuple[Weight, ...] = ()

    def __post_init__(self) -> None:
        numbers = [self.intercept, self.slope]
        numbers += [number for weight in self.weights for number in (weight.mean, weight.scale, weight.weight)]
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError("the calibration has a number that is not finite")
        if self.slope < 0:
            raise ValueError(f"the slope of the calibration must be 0 or more; is {self.slope:g}")
        if any(weight.scale <= 0 for weight in self.weights):
            raise ValueError("every scale of the calibration must be above 0")

    def apply(self, item: ItemFeatures) -> ItemFeatures:
        """Item with the corrected probability."""
        score = self.intercept + self.slope * log_odds(item.cadence_probability)
        for weight in self.weights:
            score += weight.weight * (signed_log1p(getattr(item, weight.feature)) - weight.mean) / weight.scale
        # The form that does not overflow.
        corrected = 1 / (1 + math.exp(-score)) if score >= 0 else math.exp(score) / (1 + math.exp(score))
        return dataclasses.replace(item, cadence_probability=corrected)


def log_odds(probability: float) -> float:
    """Log odds of a probability, which is clipped to 0.0001 to 0.9999 first."""
    bounded = min(max(probability, _MIN_PROBABILITY), 1 - _MIN_PROBABILITY)
    return math.log(bounded / (1 - bounded))


def signed_log1p(number: float) -> float:
    """sign(x) · ln(1 + |x|), which shortens the long tails of counts, days and money."""
    return math.copysign(math.log1p(abs(number)), number)
