"""The purchases of many households as arrays: what bulk statistics, features and fitting work on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pantree_domain.purchases import PurchaseHistory
from pantree_frequency.core import kernels

_Number = TypeVar("_Number", np.int32, np.float64)


@dataclass(frozen=True, eq=False)
class Histories:
    """Receipt lines of `h` households over one dictionary of `k` items; `n` lines, grouped by household."""

    household_ids: NDArray[np.int64]
    """[h], what the caller knows them by."""
    household_starts: NDArray[np.int64]
    """[h + 1]; lines of household `i` are `household_starts[i]:household_starts[i + 1]`."""
    item_names: tuple[str, ...]
    """`k` names."""
    item_types: tuple[str, ...]
    """`k` types, such as `fluid milk`: what the item is, whoever makes it. An empty string means unknown."""
    item_categories: tuple[str, ...]
    """`k` categories. An empty string means unknown."""
    item_indices: NDArray[np.int32]
    """[n], position of each line's item in the dictionary."""
    days: NDArray[np.int32]
    """[n], days since 1970-01-01."""
    quantities: NDArray[np.int32]
    """[n], units, at least 1."""
    prices: NDArray[np.float64]
    """[n], shelf price of one unit."""
    savings: NDArray[np.float64]
    """[n], what was taken off the whole line."""

    @property
    def household_count(self) -> int:
        """How many households there are."""
        return len(self.household_starts) - 1

    def only(self, chosen: NDArray[np.bool_]) -> "Histories":
        """The histories of some households.

        Args:
            chosen: bool[h].
        """
        sizes = np.diff(self.household_starts)
        lines = np.repeat(chosen, sizes)
        return Histories(
            household_ids=self.household_ids[chosen],
            household_starts=np.concatenate([[0], np.cumsum(sizes[chosen])]).astype(np.int64),
            item_names=self.item_names,
            item_types=self.item_types,
            item_categories=self.item_categories,
            item_indices=self.item_indices[lines],
            days=self.days[lines],
            quantities=self.quantities[lines],
            prices=self.prices[lines],
            savings=self.savings[lines],
        )

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
        """Histories of lines in any order, each with the id of its household; households come out in order of id.

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
        if ids is None:  # too far apart to count them all
            ids, codes = np.unique(codes, return_inverse=True)
            lowest = 0
        else:
            lowest = int(ids[0]) if len(ids) else 0
        starts, *columns = kernels.group_lines(
            codes, lowest, len(ids),
            np.asarray(item_indices, np.int32), np.asarray(days, np.int32), np.asarray(quantities, np.int32),
            np.asarray(prices, np.float64), np.asarray(savings, np.float64),
        )  # fmt: skip
        occupied = np.flatnonzero(np.diff(starts))  # a range of ids has gaps
        return Histories(
            ids[occupied],
            np.append(starts[occupied], len(codes)),
            tuple(item_names),
            tuple(item_types),
            tuple(item_categories),
            *columns,
        )

    @staticmethod
    def of_households(
        histories: Sequence[PurchaseHistory], item_types: Sequence[Sequence[str]] | None = None
    ) -> "Histories":
        """The histories of several households, in this order; their dictionaries are laid end to end.

        Args:
            histories: one per household, at least one.
            item_types: for each household the types of its items; None when nobody knows them.
        """
        sizes = [len(history.item_names) for history in histories]
        first_items = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        types = item_types if item_types is not None else [("",) * size for size in sizes]
        return Histories(
            household_ids=np.arange(len(histories), dtype=np.int64),
            household_starts=np.concatenate([[0], np.cumsum([len(history) for history in histories])]).astype(np.int64),
            item_names=tuple(name for history in histories for name in history.item_names),
            item_types=tuple(type_ for household in types for type_ in household),
            item_categories=tuple(category for history in histories for category in history.item_categories),
            item_indices=_joined(
                [history.item_indices + first for history, first in zip(histories, first_items, strict=False)]
            ),
            days=_joined([history.days for history in histories]),
            quantities=_joined([history.quantities for history in histories]),
            prices=_joined([history.prices for history in histories]),
            savings=_joined([history.savings for history in histories]),
        )


def _joined(arrays: list[NDArray[_Number]]) -> NDArray[_Number]:
    return np.concatenate(arrays)


def _possible_ids(ids: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """All ids from the lowest to the highest, so that they can be counted unsorted; None when they lie far apart."""
    if not len(ids):
        return ids
    lowest, highest = int(ids.min()), int(ids.max())
    return np.arange(lowest, highest + 1) if highest - lowest < 4 * len(ids) else None
