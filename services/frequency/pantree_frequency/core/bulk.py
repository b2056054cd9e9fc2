"""Statistics of very many pairs at once: lines in, one table out, nothing made for each pair."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pantree_frequency.core import kernels
from pantree_frequency.core.histories import Histories

_Number = TypeVar("_Number", np.int32, np.float32, np.float64)


@dataclass(frozen=True, eq=False)
class BulkStatistics:
    """Statistics of `p` (household, item) pairs as columns, household by household, items in dictionary order.

    What cannot be told from too few purchases is NaN.
    """

    pair_starts: NDArray[np.int64]
    """[h + 1], where each household's pairs begin."""
    items: NDArray[np.int32]
    """[p], position of the item in the dictionary."""
    purchase_counts: NDArray[np.int32]
    """[p], distinct days on which it was bought."""
    first_days: NDArray[np.int32]
    """[p], days since 1970-01-01."""
    last_days: NDArray[np.int32]
    """[p], days since 1970-01-01."""
    mean_days: NDArray[np.float64]
    """[p], mean interval."""
    median_days: NDArray[np.float32]
    """[p], median interval; whole and half days are exact."""
    standard_deviation_days: NDArray[np.float64]
    """[p], sample standard deviation of the intervals."""
    coefficients_of_variation: NDArray[np.float64]
    """[p], standard deviation over mean."""
    quantities: NDArray[np.float64]
    """[p], units bought."""
    spend: NDArray[np.float64]
    """[p], paid, after savings."""

    def __len__(self) -> int:
        return len(self.items)


def bulk_statistics(histories: Histories, as_of_day: int, thread_count: int = 1) -> BulkStatistics:
    """Statistics of every item that each household bought by a day; the same digits as `pair_statistics`.

    Peak memory beside the histories is 60 bytes per pair; with several threads, twice that.

    Args:
        histories: h households.
        as_of_day: days since 1970-01-01; later lines are left out.
        thread_count: households are shared among so many threads.
    """
    starts = histories.household_starts
    size = len(histories.days)
    pair_counts = np.zeros(histories.household_count, np.int64)
    # Room for a pair per line; pages that nothing is written to take no memory.
    items = np.empty(size, np.int32)
    dates = np.empty((3, size), np.int32)
    medians = np.empty(size, np.float32)
    others = np.empty((5, size))
    bounds = household_ranges(starts, thread_count)

    def work(first: int, end: int) -> None:
        kernels.bulk_statistics(
            first, end, starts, as_of_day, histories.item_indices, histories.days, histories.quantities,
            histories.prices, histories.savings, pair_counts, items, dates, medians, others,
        )  # fmt: skip

    if len(bounds) == 1:
        work(*bounds[0])
    else:
        with ThreadPoolExecutor(len(bounds)) as threads:
            for done in [threads.submit(work, *bound) for bound in bounds]:
                done.result()
    written = [slice(int(starts[first]), int(starts[first] + pair_counts[first:end].sum())) for first, end in bounds]

    def column(values: NDArray[_Number]) -> NDArray[_Number]:
        parts = [values[part] for part in written]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    return BulkStatistics(
        pair_starts=np.concatenate([[0], np.cumsum(pair_counts)]).astype(np.int64),
        items=column(items),
        purchase_counts=column(dates[0]),
        first_days=column(dates[1]),
        last_days=column(dates[2]),
        mean_days=column(others[0]),
        median_days=column(medians),
        standard_deviation_days=column(others[1]),
        coefficients_of_variation=column(others[2]),
        quantities=column(others[3]),
        spend=column(others[4]),
    )


def household_ranges(household_starts: NDArray[np.int64], count: int) -> list[tuple[int, int]]:
    """Households in at most so many ranges of about as many lines each, at least one range.

    Args:
        household_starts: int64[h + 1], where each household's lines begin.
        count: at least 1.
    """
    households, lines = len(household_starts) - 1, int(household_starts[-1])
    wanted = [lines * number // count for number in range(1, count)]
    cuts = [0, *np.searchsorted(household_starts[:-1], wanted).tolist(), households]
    ranges = [(first, end) for first, end in itertools.pairwise(cuts) if end > first]
    return ranges or [(0, households)]
