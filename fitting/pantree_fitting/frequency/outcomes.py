"""Labels of fitting and evaluation: purchases after the as-of day."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pantree_frequency.core.features import FeatureTable
from pantree_frequency.core.histories import Histories


@dataclass(frozen=True, eq=False)
class Outcomes:
    """For each of `p` pairs, the first two purchase days after the as-of day."""

    days_to_first: NDArray[np.float64]
    """[p], days from the as-of day; infinite if there was none by the end."""
    days_to_second: NDArray[np.float64]
    """[p], days from the as-of day; infinite if there was none by the end."""
    follow_up: NDArray[np.float64]
    """[p], days from the as-of day to the end of the observed time."""

    def only(self, chosen: NDArray[np.bool_]) -> "Outcomes":
        """The outcomes of some pairs."""
        return Outcomes(self.days_to_first[chosen], self.days_to_second[chosen], self.follow_up[chosen])


def outcomes(histories: Histories, table: FeatureTable, as_of: NDArray[np.int32], end_day: int) -> Outcomes:
    """The next purchases of each pair of a feature table.

    Args:
        histories: the histories that the table was computed from, including lines after `as_of`.
        table: p pairs, all that `feature_table` computed.
        as_of: int32[h], days since 1970-01-01.
        end_day: last observed day; no label depends on later lines.
    """
    size = len(histories.item_names)
    lines, household_of_line = histories.lines, np.repeat(np.arange(len(as_of)), np.diff(histories.household_starts))
    after = (lines["day"] > as_of[household_of_line]) & (lines["day"] <= end_day)
    keys = table.households.astype(np.int64) * size + table.items  # ascending
    key_of_line = household_of_line[after] * size + lines["item"][after]
    pairs = np.searchsorted(keys, key_of_line)
    known = pairs < len(keys)
    known[known] = keys[pairs[known]] == key_of_line[known]
    # Distinct purchase days, pair by pair.
    bought = np.unique(np.stack([pairs[known], lines["day"][after][known]], axis=1), axis=0)
    pair, day = bought[:, 0], bought[:, 1]
    days = (day - as_of[table.households[pair]]).astype(np.float64)
    is_first = np.diff(pair, prepend=-1) != 0
    is_second = ~is_first & np.insert(is_first[:-1], 0, False)
    first, second = np.full(len(table), np.inf), np.full(len(table), np.inf)
    first[pair[is_first]] = days[is_first]
    second[pair[is_second]] = days[is_second]
    return Outcomes(first, second, (end_day - as_of[table.households]).astype(np.float64))
