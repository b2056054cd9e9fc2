"""Cadence by risk: the delivery interval that best trades running out against piling up."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pantree_domain.cadence import LADDER

Floats = NDArray[np.float64]

LADDER_DAYS: Floats = np.array([step.interval_days for step in LADDER], np.float64)

# Days on which the interval's distribution is looked at; what is longer counts as twice the longest step.
DAYS: Floats = np.arange(1.0, 2 * LADDER_DAYS[-1] + 1)

# How many of a hundred intervals may end before the delivery, when the caller does not say. On validation households this
# runs out about as often as the mean-interval rule does, and comes early clearly less often (see the model card).
DEFAULT_RUN_OUT_TOLERANCE = 0.5


@dataclass(frozen=True, eq=False)
class Cadences:
    """The chosen step of the ladder for each of `p` pairs."""

    interval_days: NDArray[np.int64]
    """[p]."""
    run_out_probability: Floats
    """[p], that the household would buy the item again before the delivery."""
    pile_up_probability: Floats
    """[p], that it would buy it again only after the delivery."""


def choose_cadences(intervals: Floats, run_out_tolerance: float = DEFAULT_RUN_OUT_TOLERANCE) -> Cadences:
    """The ladder step with the least expected harm for each pair.

    A day without the item costs `1 − run_out_tolerance`, a day with one too many costs `run_out_tolerance`; the step with
    the least expected cost is the one nearest to that quantile of the interval (the newsvendor's rule: K. Arrow,
    T. Harris, J. Marschak, "Optimal Inventory Policy", 1951).

    Args:
        intervals: float64[p, len(DAYS)], probability that an interval is at most each number of `DAYS` long.
        run_out_tolerance: share of intervals that may end before the delivery, between 0 and 1.
    """
    steps = LADDER_DAYS.astype(int)
    # Expected days without: sum of P(interval ≤ d) for d below the step; days too many: sum of P(interval > d) from it on.
    below = np.concatenate([np.zeros((len(intervals), 1)), np.cumsum(intervals, axis=1)], axis=1)
    above = np.cumsum((1.0 - intervals)[:, ::-1], axis=1)[:, ::-1]
    cost = (1 - run_out_tolerance) * below[:, steps - 1] + run_out_tolerance * above[:, steps - 1]
    chosen = steps[np.argmin(cost, axis=1)]
    rows = np.arange(len(intervals))
    return Cadences(
        interval_days=chosen,
        run_out_probability=intervals[rows, chosen - 2],
        pile_up_probability=1.0 - intervals[rows, chosen - 1],
    )
