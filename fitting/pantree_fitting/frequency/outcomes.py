"""What happened after a day of asking: the labels that models are fitted on and judged by."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pantree_frequency.core import kernels
from pantree_frequency.core.features import FeatureTable
from pantree_frequency.core.histories import Histories


@dataclass(frozen=True, eq=False)
class Outcomes:
    """For each of `p` pairs the first two purchase days after the day of asking."""

    days_to_first: NDArray[np.float64]
    """[p], days from the day of asking; infinite when there was none by the end."""
    days_to_second: NDArray[np.float64]
    """[p], days from the day of asking; infinite when there was none by the end."""
    follow_up: NDArray[np.float64]
    """[p], days from the day of asking to the end of what is seen."""

    def only(self, chosen: NDArray[np.bool_]) -> "Outcomes":
        """The outcomes of some pairs."""
        return Outcomes(self.days_to_first[chosen], self.days_to_second[chosen], self.follow_up[chosen])


def outcomes(histories: Histories, table: FeatureTable, as_of: NDArray[np.int32], end_day: int) -> Outcomes:
    """What each pair of a feature table did after the day of asking.

    Args:
        histories: the histories the table was made from, which may go on after `as_of`.
        table: p pairs, ungrouped by nothing: as `feature_table` made it.
        as_of: int32[h], days since 1970-01-01.
        end_day: last day that may be looked at; no label reaches beyond it.
    """
    first = np.full(len(table), np.inf)
    second = np.full(len(table), np.inf)
    kernels.next_days(
        histories.household_starts, histories.item_indices, histories.days, as_of, end_day,
        table.pair_starts, table.items, len(histories.item_names), first, second,
    )  # fmt: skip
    return Outcomes(first, second, (end_day - as_of[table.households]).astype(np.float64))
