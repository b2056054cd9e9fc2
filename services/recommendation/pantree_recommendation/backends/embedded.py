"""The closed form that ranks items in this process: always there, and the stand-in when SageMaker fails."""

import asyncio
from collections.abc import Sequence

from pantree_recommendation.core import ItemFeatures, ModelName

# How much of an offer's worth is lost when all deliveries come early: they pile up, and the sooner they spoil, the more
# of them is thrown away. A judgement, not a fit.
_PILING_UP_LOSS = {"days": 0.5, "weeks": 0.3, "months": 0.1, "": 0.3}
# Share of an offer's worth that has nothing to do with money: not having to think of it, not running out.
_CONVENIENCE_WORTH = 0.5
# Saving in a year at which the other share is half of its most. On fitting households this doubles what the first five
# recommendations save against ranking by probability alone, and .01 fewer of them are bought again in time.
_HALF_WORTH_SAVINGS = 30.0


class EmbeddedRanker:
    """Expected value to the customer: probability × worth of the offer × what is left of it after piling up."""

    model = ModelName("embedded-heuristic", "2")
    source = "embedded"

    async def scores(self, items: Sequence[ItemFeatures]) -> Sequence[float]:
        """Score of each item, 0 to 1; never fails."""
        return await asyncio.to_thread(lambda: [_score(item) for item in items])


def _score(item: ItemFeatures) -> float:
    # Who already pays less loses by the subscription's price and gains by its convenience alone.
    savings = max(0.0, item.honest_annual_savings)
    worth = _CONVENIENCE_WORTH + (1 - _CONVENIENCE_WORTH) * savings / (savings + _HALF_WORTH_SAVINGS)
    loss = _PILING_UP_LOSS[item.perishability] * item.pile_up_ratio
    return item.cadence_probability * worth * (1 - loss)
