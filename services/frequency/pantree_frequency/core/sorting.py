"""Histories whose lines are sorted by item and day: where statistics and features both start."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pantree_frequency.core import kernels
from pantree_frequency.core.histories import Histories


@dataclass(frozen=True, eq=False)
class SortedHistories:
    """Histories with the sorted keys of their lines up to the day of asking."""

    histories: Histories
    as_of: NDArray[np.int32]
    """[h], days since 1970-01-01."""
    keys: NDArray[np.int64]
    """[n], item, day and position of each line, sorted within each household."""
    line_counts: NDArray[np.int64]
    """[h], lines up to the day of asking."""
    pair_starts: NDArray[np.int64]
    """[h + 1], where each household's pairs begin; the last is the number of pairs."""

    @property
    def pair_count(self) -> int:
        """How many (household, item) pairs there are."""
        return int(self.pair_starts[-1])


def sort_histories(histories: Histories, as_of: NDArray[np.int32]) -> SortedHistories:
    """Sorts each household's lines up to its day of asking by item and day.

    Args:
        histories: h households.
        as_of: int32[h], days since 1970-01-01; later lines are left out.
    """
    size = histories.household_count
    keys = np.empty(len(histories.days), np.int64)
    line_counts = np.zeros(size, np.int64)
    pair_counts = np.zeros(size, np.int64)
    kernels.sort_lines(
        0, size, histories.household_starts, as_of, histories.item_indices, histories.days,
        histories.quantities, histories.prices, histories.savings, keys, line_counts, pair_counts,
    )  # fmt: skip
    pair_starts = np.concatenate([[0], np.cumsum(pair_counts)]).astype(np.int64)
    return SortedHistories(histories, as_of, keys, line_counts, pair_starts)
