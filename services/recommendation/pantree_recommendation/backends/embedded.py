"""The ranking model in this process, which also answers when SageMaker fails."""

from collections.abc import Sequence

from pantree_domain.evidence import ModelName
from pantree_recommendation.core.calibration import Calibration
from pantree_recommendation.core.ranking import ItemFeatures
from pantree_runtime.cpu import run_cpu

CLOSED_FORM = ModelName("embedded-heuristic", "2")
"""The formula below. Calibrations are fitted to one version of it: increase the version when the formula changes, so
that models for the old version are rejected."""

# Measured.
_MS_PER_ITEM = 0.002
# Share of an offer's value that is lost when all deliveries come early: the sooner an item spoils, the more of it is
# thrown away. These numbers are a judgment, not fitted.
_OVERSTOCK_LOSS = {"days": 0.5, "weeks": 0.3, "months": 0.1, "": 0.3}
# Share of an offer's value that is convenience. The rest is savings.
_CONVENIENCE_VALUE = 0.5
# Annual savings at which the value of savings reaches half of its maximum. Compared with ranking by probability alone,
# the first five recommendations of fitting households save twice as much; .01 fewer of them are bought again in time.
_HALF_VALUE_SAVINGS = 30.0


class EmbeddedRanker:
    """Expected value to the customer: probability × value of the offer × (1 − loss by overstock).

    A fitted calibration corrects the probability first.
    """

    source = "embedded"

    def __init__(self, model: ModelName = CLOSED_FORM, calibration: Calibration | None = None) -> None:
        self.model = model
        self._calibration = calibration

    async def scores(self, items: Sequence[ItemFeatures]) -> Sequence[float]:
        return await run_cpu(len(items) * _MS_PER_ITEM, lambda: [self.score(item) for item in items])

    def score(self, item: ItemFeatures) -> float:
        """Score of an item, 0 to 1 if its features are in their ranges."""
        if self._calibration is not None:
            item = self._calibration.apply(item)
        # A household that already pays less gains only convenience.
        savings = max(0.0, item.annual_savings_vs_paid)
        value = _CONVENIENCE_VALUE + (1 - _CONVENIENCE_VALUE) * savings / (savings + _HALF_VALUE_SAVINGS)
        loss = _OVERSTOCK_LOSS[item.perishability] * item.overstock_ratio
        return item.cadence_probability * value * (1 - loss)
