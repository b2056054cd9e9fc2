"""The hazard model: boosted trees predict, step by step, the probability of a purchase that has not come yet.

Time after the as-of day is cut into steps. Each pair contributes one row per step that it reached without a purchase,
with the step's end as one more feature; the trees learn the probability of a purchase within the step. So one model
covers every horizon. Its log odds are averaged with those of a few closed forms, which have different errors; on
households that neither was fitted on, the mean ranks better and is better calibrated than the trees with Platt scaling.

Sources: discrete-time survival, P. Allison, "Discrete-Time Methods for the Analysis of Event Histories", 1982; trees,
G. Ke et al., "LightGBM", NeurIPS 2017.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pantree_frequency.core.features import COLUMN, FeatureTable
from pantree_frequency.core.models.base import Floats, Model

# Ends of the steps, days. They contain the ladder, so that its probabilities need no interpolation.
STEPS = np.array([3.0, 7.0, 14.0, 21.0, 28.0, 42.0, 56.0, 84.0])

# Weight of the ensemble together; between .2 and .5 it hardly matters (chosen on validation households).
ENSEMBLE_WEIGHT = 0.35


# Weight of a rhythm that is trusted fully; it falls with the square of the trust above the least one. Below it, trees
# alone predict best; with a trust of .6 to .85, a weight of .2 to .3 does, and there are hardly any pairs beyond (a
# fourth of the fitting households, with trees that were fitted on the others).
_MIN_RHYTHM_TRUST = 0.4
MAX_RHYTHM_WEIGHT = 0.3


class Trees(Protocol):
    """Trees that score each of `STEPS`, such as `StepTrees`."""

    def scores(self, values: NDArray[np.float32]) -> Floats:
        """float64[p, s], the log odds of each pair at each step, given float32[p, f]."""


class Curve:
    """Probability of an event by the ends of steps, and in between by a hazard that is constant within a step."""

    def __init__(self, probabilities: Floats) -> None:
        """Takes float64[p, s], by the end of each of `STEPS`."""
        self._log_survival = np.log1p(-np.clip(probabilities, 0.0, 1.0 - 1e-9))

    def within(self, days: Floats) -> Floats:
        """float64[p, d], probability by each number of days; beyond the last step the hazard stays that of the last."""
        ends = np.concatenate([[0.0], STEPS])
        logs = np.concatenate([np.zeros((len(self._log_survival), 1)), self._log_survival], axis=1)
        step = np.clip(np.searchsorted(ends, days, side="left"), 1, len(STEPS))
        share = (days - ends[step - 1]) / (ends[step] - ends[step - 1])
        # `take` keeps rows contiguous, indexing does not; functions are compiled again for each layout.
        before, after = logs.take(step - 1, axis=1), logs.take(step, axis=1)
        return np.asarray(-np.expm1(before + share * (after - before)))


class Hazard:
    """Two sets of trees over the same features: days to the next purchase, and the interval after that one."""

    name = "hazard"

    def __init__(
        self,
        *,
        version: str,
        features: Sequence[str],
        next_trees: Trees,
        interval_trees: Trees,
        ensemble: Sequence[Model] = (),
    ) -> None:
        """Creates the model.

        Args:
            version: of the fit.
            features: the columns that the trees were fitted on, in order.
            next_trees: score of a purchase within a step, given that there was none before it.
            interval_trees: the same for the interval from the next purchase to the one after it.
            ensemble: models whose log odds are averaged with those of `next_trees`; none for the trees alone.
        """
        self.version = version
        self._columns = np.array([COLUMN[name] for name in features])
        self._next_trees = next_trees
        self._interval_trees = interval_trees
        self._ensemble = tuple(ensemble)

    def within(self, table: FeatureTable, days: Floats) -> Floats:
        """float64[p, d], probability of a purchase within each number of days of the as-of day."""
        curve = Curve(self._blended(self.raw_curve(self._next_trees, table), table)).within(days)
        trust = np.maximum(table.rhythms.trust - _MIN_RHYTHM_TRUST, 0.0) / (1.0 - _MIN_RHYTHM_TRUST)
        weight = MAX_RHYTHM_WEIGHT * trust**2
        chosen = np.flatnonzero(weight)
        own = table.rhythms.only(chosen).within(days)
        score = (1.0 - weight[chosen, None]) * _log_odds(curve[chosen]) + weight[chosen, None] * _log_odds(own)
        curve[chosen] = 1.0 / (1.0 + np.exp(-score))
        return curve

    def interval_within(self, table: FeatureTable, days: Floats) -> Floats:
        """float64[p, d], probability that an interval between purchases is at most each number of days long."""
        curve = Curve(self.raw_curve(self._interval_trees, table)).within(days)
        regular = np.flatnonzero(table.rhythms.regular)
        curve[regular] = table.rhythms.only(regular).interval_within(days)
        return curve

    def raw_curve(self, trees: Trees, table: FeatureTable) -> Floats:
        """float64[p, s], probability by the end of each step according to the trees."""
        scores = trees.scores(table.values.take(self._columns, axis=1))
        # log(1 − hazard) = −log(1 + e^score)
        return np.asarray(-np.expm1(-np.logaddexp(0.0, scores).cumsum(axis=1)))

    def _blended(self, curve: Floats, table: FeatureTable) -> Floats:
        """The curve with its log odds averaged with those of the ensemble, step by step; it stays monotone."""
        if not self._ensemble:
            return curve
        others = sum(_log_odds(member.within(table, STEPS)) for member in self._ensemble)
        score = (1 - ENSEMBLE_WEIGHT) * _log_odds(curve) + ENSEMBLE_WEIGHT * others / len(self._ensemble)
        return np.asarray(1.0 / (1.0 + np.exp(-score)))


def _log_odds(probability: Floats) -> Floats:
    bounded = np.clip(probability, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(bounded / (1 - bounded)))
