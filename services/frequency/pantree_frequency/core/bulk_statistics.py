"""Statistics of very many pairs: lines in, one table out, without an object for each pair."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pantree_domain.compiled import compiled
from pantree_frequency.core.histories import Histories
from pantree_frequency.core.intervals import spread
from pantree_frequency.core.purchases import max_lines, read_day
from pantree_frequency.core.records import BULK_STATISTICS, Integer, Integers, Records
from pantree_frequency.core.sorting import DAY_MASK, DIGITS, ITEM_SHIFT, POSITION_BITS, sort_household


@dataclass(frozen=True, eq=False)
class BulkStatistics:
    """Statistics of `p` (household, item) pairs, household by household, items in dictionary order."""

    pair_counts: Integers
    """[h], pairs of each household."""
    rows: Records
    """BULK_STATISTICS[p]; NaN where there are too few purchases."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """[p], one field of the rows."""
        return np.asarray(self.rows[name])


def bulk_statistics(histories: Histories, as_of_day: int) -> BulkStatistics:
    """Statistics of every item that each household bought by a day; the same digits as `pair_statistics`.

    Args:
        histories: h households.
        as_of_day: days since 1970-01-01; later lines are left out.
    """
    pair_counts = np.empty(histories.household_count, np.int64)
    # Room for a pair per line; pages that nothing is written to take no memory.
    rows = np.empty(len(histories.lines), BULK_STATISTICS)
    count = _bulk_statistics(histories.lines, histories.household_starts, as_of_day, pair_counts, rows)
    return BulkStatistics(pair_counts, rows[:count])


def joined(parts: Sequence[BulkStatistics]) -> BulkStatistics:
    """The statistics of successive households as one table."""
    return BulkStatistics(
        np.concatenate([part.pair_counts for part in parts]), np.concatenate([part.rows for part in parts])
    )


@compiled("numpy")
def _bulk_statistics(lines: Records, starts: Integers, as_of: Integer, pair_counts: Integers, rows: Records) -> Integer:
    """Sorts each household's lines and computes the statistics of its items while they are in the nearest cache.

    Trends and unit prices are left out: they take longer than all the rest.

    Args:
        lines: LINE[n].
        starts: int64[h + 1], where each household's lines begin.
        as_of: the last day that counts.
        pair_counts: int64[h], filled.
        rows: BULK_STATISTICS[n], filled.

    Returns:
        How many rows were filled.
    """
    size = max_lines(starts)
    keys = np.empty(size, np.int64)
    scratch = np.empty(size, np.int64)
    counts = np.empty(DIGITS, np.int64)
    days = np.empty(size, np.int64)
    intervals = np.empty(size, np.int64)
    by_length = np.empty(size, np.int64)
    pair = 0
    for household in range(len(starts) - 1):
        own = lines[starts[household] : starts[household + 1]]
        ordered = sort_household(own, as_of, keys, scratch, counts)
        first = pair
        line: Integer = 0
        while line < len(ordered):
            item = ordered[line] >> ITEM_SHIFT
            count = 0
            total_units = np.int64(0)
            paid = 0.0
            while line < len(ordered) and ordered[line] >> ITEM_SHIFT == item:
                days[count] = (ordered[line] >> POSITION_BITS) & DAY_MASK
                line, units, shelf, savings = read_day(ordered, line, own)
                total_units += units
                paid += shelf - savings
                count += 1
            mean, median, deviation = spread(days, count, intervals, by_length)
            row = rows[pair]
            row.item = item
            row.purchase_count = count
            row.first_day = days[0]
            row.last_day = days[count - 1]
            row.mean_interval_days = mean
            row.median_interval_days = median
            row.standard_deviation_days = deviation
            row.coefficient_of_variation = deviation / mean
            row.total_quantity = total_units
            row.total_spend = paid
            pair += 1
        pair_counts[household] = pair - first
    return pair
