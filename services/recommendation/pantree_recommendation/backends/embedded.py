"""The model that ranks items in this process: always there, and the stand-in when SageMaker fails."""

from collections.abc import Sequence

from pantree_recommendation.core import MS_PER_CANDIDATE, Calibration, ItemFeatures, ModelName
from pantree_runtime.cpu import run_cpu

CLOSED_FORM = ModelName("embedded-heuristic", "2")
"""The formula below. A calibration was fitted for one formula, so a change of the formula needs another version here,
after which artefacts that were made for the old one are refused."""

# How much of an offer's worth is lost when all deliveries come early: they pile up, and the sooner they spoil, the more
# of them is thrown away. A judgement, not a fit.
_PILING_UP_LOSS = {"days": 0.5, "weeks": 0.3, "months": 0.1, "": 0.3}
# Share of an offer's worth that has nothing to do with money: not having to think of it, not running out.
_CONVENIENCE_WORTH = 0.5
# Saving in a year at which the other share is half of its most. On fitting households this doubles what the first five
# recommendations save against ranking by probability alone, and .01 fewer of them are bought again in time.
_HALF_WORTH_SAVINGS = 30.0


class EmbeddedRanker:
    """Expected value to the customer: probability × worth of the offer × what is left of it after piling up.

    A correction of the probability, if one was fitted, comes first: whatever the formula is, it sees an ordinary item.
    """

    source = "embedded"

    def __init__(self, model: ModelName = CLOSED_FORM, calibration: Calibration | None = None) -> None:
        """Takes what was fitted.

        Args:
            model: name and version of the whole.
            calibration: correction of the probability; None when nothing was fitted.
        """
        self.model = model
        self._calibration = calibration

    async def scores(self, items: Sequence[ItemFeatures]) -> Sequence[float]:
        """Score of each item, 0 to 1; never fails."""
        return await run_cpu(len(items) * MS_PER_CANDIDATE, lambda: [self.score(item) for item in items])

    def score(self, item: ItemFeatures) -> float:
        """Score of an item, 0 to 1, when its features are what the service makes of evidence."""
        return _score(item if self._calibration is None else self._calibration.applied(item))


def _score(item: ItemFeatures) -> float:
    # Who already pays less loses by the subscription's price and gains by its convenience alone.
    savings = max(0.0, item.annual_savings_vs_paid)
    worth = _CONVENIENCE_WORTH + (1 - _CONVENIENCE_WORTH) * savings / (savings + _HALF_WORTH_SAVINGS)
    loss = _PILING_UP_LOSS[item.perishability] * item.overstock_ratio
    return item.cadence_probability * worth * (1 - loss)
