"""Receipt lines of many households as arrays, the input of statistics, features and fitting."""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pantree_domain.compiled import compiled, prefetch
from pantree_domain.item_key import item_key
from pantree_domain.purchases import PurchaseHistory
from pantree_frequency.core.records import LINE, Codes, Floats, Integers, Records


class Columns(NamedTuple):
    """Receipt lines as columns of equal length."""

    items: Codes
    days: Codes
    quantities: Codes
    prices: Floats
    savings: Floats


@dataclass(frozen=True, eq=False)
class Histories:
    """Receipt lines of `h` households over one dictionary of `k` items; `n` lines, grouped by household."""

    household_ids: NDArray[np.int64]
    """[h], the caller's ids."""
    household_starts: NDArray[np.int64]
    """[h + 1]; lines of household `i` are `household_starts[i]:household_starts[i + 1]`."""
    item_names: tuple[str, ...]
    """`k` names."""
    item_types: tuple[str, ...]
    """`k` types, such as `fluid milk`, independent of the brand. An empty string means unknown."""
    item_categories: tuple[str, ...]
    """`k` categories. An empty string means unknown."""
    lines: Records
    """LINE[n]."""

    @property
    def household_count(self) -> int:
        """Number of households."""
        return len(self.household_starts) - 1

    def only(self, chosen: NDArray[np.bool_]) -> "Histories":
        """The histories of some households.

        Args:
            chosen: bool[h].
        """
        sizes = np.diff(self.household_starts)
        return Histories(
            household_ids=self.household_ids[chosen],
            household_starts=np.concatenate([[0], np.cumsum(sizes[chosen])]).astype(np.int64),
            item_names=self.item_names,
            item_types=self.item_types,
            item_categories=self.item_categories,
            lines=self.lines[np.repeat(chosen, sizes)],
        )

    def split(self, count: int) -> list["Histories"]:
        """Successive households in at most so many shards of about as many lines each, at least one."""
        starts = self.household_starts
        targets = [int(starts[-1]) * number // count for number in range(1, count)]
        cuts = [0, *np.searchsorted(starts[:-1], targets).tolist(), self.household_count]
        shards = [
            dataclasses.replace(
                self,
                household_ids=self.household_ids[first:end],
                household_starts=starts[first : end + 1] - starts[first],
                lines=self.lines[starts[first] : starts[end]],
            )
            for first, end in itertools.pairwise(cuts)
            if end > first
        ]
        return shards or [self]

    @staticmethod
    def of_lines(
        *,
        households: ArrayLike,
        item_names: Sequence[str],
        item_types: Sequence[str],
        item_categories: Sequence[str],
        item_indices: ArrayLike,
        days: ArrayLike,
        quantities: ArrayLike,
        prices: ArrayLike,
        savings: ArrayLike,
    ) -> "Histories":
        """Histories of lines in any order, each with the id of its household; households are ordered by id.

        Args:
            households: int64[n], ids of households.
            item_names: k names.
            item_types: k types.
            item_categories: k categories.
            item_indices: int32[n].
            days: int32[n].
            quantities: int32[n].
            prices: float64[n].
            savings: float64[n].
        """
        codes = np.asarray(households, np.int64)
        ids = _possible_ids(codes)
        if ids is None:  # too far apart to count
            ids, codes = np.unique(codes, return_inverse=True)
            lowest = 0
        else:
            lowest = int(ids[0]) if len(ids) else 0
        lines = np.empty(len(codes), LINE)
        columns = Columns(
            np.asarray(item_indices, np.int32), np.asarray(days, np.int32), np.asarray(quantities, np.int32),
            np.asarray(prices, np.float64), np.asarray(savings, np.float64),
        )  # fmt: skip
        starts = _group_lines(codes, lowest, len(ids), columns, lines)
        occupied = np.flatnonzero(np.diff(starts))  # a range of ids has gaps
        return Histories(
            ids[occupied],
            np.append(starts[occupied], len(codes)),
            tuple(item_names),
            tuple(item_types),
            tuple(item_categories),
            lines,
        )

    @staticmethod
    def of_households(
        histories: Sequence[PurchaseHistory], item_types: Sequence[Sequence[str]] | None = None
    ) -> "Histories":
        """The histories of several households, in this order; their dictionaries are concatenated.

        Items of a household are ordered by their keys, so that sums over items and ranks of equal items do not depend
        on the order in which a caller names them.

        Args:
            histories: one per household, at least one.
            item_types: for each household the types of its items; None if all are unknown.
        """
        sizes = [len(history.item_names) for history in histories]
        first_items = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        types = item_types if item_types is not None else [("",) * size for size in sizes]
        orders = [_by_key(history.item_names) for history in histories]
        starts = np.concatenate([[0], np.cumsum([len(history) for history in histories])]).astype(np.int64)
        lines = np.zeros(int(starts[-1]), LINE)
        for position, history in enumerate(histories):
            own = lines[starts[position] : starts[position + 1]]
            own["item"] = first_items[position] + _places(orders[position])[history.item_indices]
            own["day"], own["quantity"] = history.days, history.quantities
            own["price"], own["saving"] = history.prices, history.savings
        return Histories(
            household_ids=np.arange(len(histories), dtype=np.int64),
            household_starts=starts,
            item_names=_in_order([history.item_names for history in histories], orders),
            item_types=_in_order(types, orders),
            item_categories=_in_order([history.item_categories for history in histories], orders),
            lines=lines,
        )


def _by_key(names: Sequence[str]) -> list[int]:
    """Positions of items by their keys; those of one item by their spellings."""
    keys = [(item_key(name), name) for name in names]
    return sorted(range(len(keys)), key=keys.__getitem__)


def _places(order: Sequence[int]) -> Codes:
    """int32[k], where each position comes in an order of k positions."""
    places = np.empty(len(order), np.int32)
    places[order] = np.arange(len(order), dtype=np.int32)
    return places


def _in_order(texts: Sequence[Sequence[str]], orders: Sequence[Sequence[int]]) -> tuple[str, ...]:
    """The texts of each household in its order, all households' in a row."""
    return tuple(own[position] for own, order in zip(texts, orders, strict=True) for position in order)


def _possible_ids(ids: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """All ids from the lowest to the highest, so that they can be counted unsorted; None if they are far apart."""
    if not len(ids):
        return ids
    lowest, highest = int(ids.min()), int(ids.max())
    return np.arange(lowest, highest + 1) if highest - lowest < 4 * len(ids) else None


# Places of lines are found so many lines ahead; a power of 2.
_LINES_AHEAD = 32


@compiled()
def _group_lines(codes: Integers, lowest: int, group_count: int, columns: Columns, lines: Records) -> Integers:
    """Groups lines by a code, their order kept within each group; returns int64[group_count + 1], where each begins.

    Lines are read in order and each is written to its place: one pass of scattered writes is cheaper than a pass of
    scattered reads per column. Places are found some lines ahead, so that their memory has arrived when they are
    written.

    Args:
        codes: int64[n], `lowest` to `lowest + group_count - 1`.
        lowest: the least code.
        group_count: how many codes there are.
        columns: [n].
        lines: LINE[n], filled.
    """
    starts = np.zeros(group_count + 1, np.int64)
    for code in codes:
        starts[code - lowest + 1] += 1
    for group in range(group_count):
        starts[group + 1] += starts[group]
    filled = starts[:-1].copy()
    places = np.empty(_LINES_AHEAD, np.uint64)  # unsigned, so that none is checked for counting from the end
    for ahead in range(len(codes) + _LINES_AHEAD):
        slot = ahead & (_LINES_AHEAD - 1)
        position = ahead - _LINES_AHEAD
        if position >= 0:
            line = lines[places[slot]]
            line.item = columns.items[position]
            line.day = columns.days[position]
            line.quantity = columns.quantities[position]
            line.price = columns.prices[position]
            line.saving = columns.savings[position]
        if ahead < len(codes):
            group = codes[ahead] - lowest
            places[slot] = filled[group]
            filled[group] += 1
            prefetch(lines, places[slot])
    return starts
