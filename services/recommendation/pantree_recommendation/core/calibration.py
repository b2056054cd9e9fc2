"""The fitted part of a ranking model: the probability that an item is bought again, corrected by what came true.

Logistic: the log odds of the evidence's own probability, stretched and shifted, plus a weight for each number that the
model sees of an item (Platt, 1999, with more columns). It is refused a negative slope, so that more confidence never
means a lower place.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from pantree_recommendation.core.ranking import ItemFeatures

# The field of ItemFeatures that holds the probability, and what 1 is in its unit.
PROBABILITY_FEATURE = "cadence_probability"
PROBABILITY_WHOLE = 1.0
# Log odds have no end at 0 and 1.
_NEAREST = 1e-4


@dataclass(frozen=True)
class Weight:
    """What one number adds to the log odds: weight × (damped number − mean) / scale."""

    feature: str
    mean: float
    scale: float
    """Above 0."""
    weight: float


@dataclass(frozen=True)
class Calibration:
    """A correction of probabilities."""

    intercept: float
    slope: float
    """At least 0."""
    weights: tuple[Weight, ...] = ()

    def __post_init__(self) -> None:
        """Refuses numbers that give no probability.

        Raises:
            ValueError: naming what is wrong.
        """
        numbers = [self.intercept, self.slope]
        numbers += [number for weight in self.weights for number in (weight.mean, weight.scale, weight.weight)]
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError("a number of the calibration is not finite")
        if self.slope < 0:
            raise ValueError("the slope of the calibration is negative")
        if any(weight.scale <= 0 for weight in self.weights):
            raise ValueError("a scale of the calibration is not above 0")

    def applied(self, item: ItemFeatures) -> ItemFeatures:
        """The same item with the corrected probability."""
        score = self.intercept + self.slope * log_odds(probability_of(item))
        for weight in self.weights:
            score += weight.weight * (damped(getattr(item, weight.feature)) - weight.mean) / weight.scale
        # One of the two forms never overflows.
        corrected = 1 / (1 + math.exp(-score)) if score >= 0 else math.exp(score) / (1 + math.exp(score))
        change: dict[str, Any] = {PROBABILITY_FEATURE: PROBABILITY_WHOLE * corrected}
        return dataclasses.replace(item, **change)


def probability_of(item: ItemFeatures) -> float:
    """The evidence's own probability of an item, 0 to 1."""
    return float(getattr(item, PROBABILITY_FEATURE)) / PROBABILITY_WHOLE


def log_odds(probability: float) -> float:
    """Log odds, with an end near 0 and 1."""
    bounded = min(max(probability, _NEAREST), 1 - _NEAREST)
    return math.log(bounded / (1 - bounded))


def damped(number: float) -> float:
    """A number whose large values count less: counts, days and money have long tails."""
    return math.copysign(math.log1p(abs(number)), number)
