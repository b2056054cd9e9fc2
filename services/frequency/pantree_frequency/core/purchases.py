"""Purchases of items: receipt lines added up by household, item and day. Statistics and features start from them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pantree_domain.compiled import compiled
from pantree_frequency.core.histories import Histories
from pantree_frequency.core.records import PAIR, Codes, Integer, Integers, Purchases, Records
from pantree_frequency.core.sorting import (
    DAY_MASK,
    DIGITS,
    ITEM_SHIFT,
    POSITION_BITS,
    POSITION_MASK,
    sort_household,
    sort_item_day,
)


@dataclass(frozen=True, eq=False)
class PairPurchases:
    """What `h` households bought of each item up to their as-of days; `p` pairs of a household and an item."""

    histories: Histories
    as_of: Codes
    """[h], days since 1970-01-01."""
    pair_starts: Integers
    """[h + 1], where each household's pairs begin."""
    pairs: Records
    """PAIR[p], household by household, items in dictionary order."""
    purchases: Purchases
    """Pair by pair, days ascending."""


def purchases_by_pair(histories: Histories, as_of: NDArray[np.int32]) -> PairPurchases:
    """What each household bought of each item.

    Args:
        histories: h households.
        as_of: int32[h], days since 1970-01-01; later lines are left out.
    """
    starts, size = histories.household_starts, len(histories.lines)
    purchases, pairs = Purchases.empty(size), np.empty(size, PAIR)
    pair_starts = np.empty(len(starts), np.int64)
    _collect(histories.lines, starts, as_of, purchases, pairs, pair_starts)
    return PairPurchases(histories, as_of, pair_starts, pairs[: pair_starts[-1]], purchases)


@compiled(allocates=False)
def read_day(keys: Integers, line: Integer, lines: Records) -> tuple[Integer, Integer, float, float]:
    """Adds up the lines of one item and day, whose keys begin at `line`.

    Args:
        keys: int64[n], sorted keys of one household; those of the item and day are sorted by price.
        line: where those of the item and day begin.
        lines: LINE[n], of the household.

    Returns:
        Where the next keys begin; units, shelf price and savings.
    """
    if line + 1 == len(keys) or keys[line + 1] >> POSITION_BITS != keys[line] >> POSITION_BITS:
        bought = lines[keys[line] & POSITION_MASK]
        units = np.int64(bought.quantity)
        return line + 1, units, bought.price * units, bought.saving
    return _read_lines(keys, line, lines)


@compiled(allocates=False)
def _read_lines(keys: Integers, first: Integer, lines: Records) -> tuple[Integer, Integer, float, float]:
    """As `read_day`, for any number of lines."""
    end = first + 1
    while end < len(keys) and keys[end] >> POSITION_BITS == keys[first] >> POSITION_BITS:
        end += 1
    sort_item_day(keys, first, end, lines)
    units = np.int64(0)
    shelf = 0.0
    savings = 0.0
    # Units at one price are counted before they are multiplied: a line in two halves has the same product.
    price = lines[keys[first] & POSITION_MASK].price
    price_units = np.int64(0)
    for position in range(first, end):
        bought = lines[keys[position] & POSITION_MASK]
        if bought.price != price:
            units += price_units
            shelf += price * price_units
            price = bought.price
            price_units = np.int64(0)
        price_units += bought.quantity
        savings += bought.saving
    return end, units + price_units, shelf + price * price_units, savings


@compiled()
def max_lines(starts: Integers) -> Integer:
    """Most lines of a household, at least 1."""
    size = np.int64(1)
    for household in range(len(starts) - 1):
        size = max(size, starts[household + 1] - starts[household])
    return size


@compiled()
def _collect(
    lines: Records, starts: Integers, as_of: Codes, purchases: Purchases, pairs: Records, pair_starts: Integers
) -> None:
    """Fills `purchases`, `pairs` and `pair_starts`; there are at most as many as lines.

    Args:
        lines: LINE[n].
        starts: int64[h + 1], where each household's lines begin.
        as_of: int32[h], the last day that counts.
        purchases: [n], filled.
        pairs: PAIR[n], filled.
        pair_starts: int64[h + 1], filled.
    """
    size = max_lines(starts)
    keys = np.empty(size, np.int64)
    scratch = np.empty(size, np.int64)
    counts = np.empty(DIGITS, np.int64)
    pair = 0
    place: Integer = 0
    for household in range(len(starts) - 1):
        pair_starts[household] = pair
        own = lines[starts[household] : starts[household + 1]]
        ordered = sort_household(own, as_of[household], keys, scratch, counts)
        line: Integer = 0
        while line < len(ordered):
            row = pairs[pair]
            item = ordered[line] >> ITEM_SHIFT
            row.household = household
            row.item = item
            row.first = place
            row.units = 0
            row.shelf = row.paid = 0.0
            while line < len(ordered) and ordered[line] >> ITEM_SHIFT == item:
                day = (ordered[line] >> POSITION_BITS) & DAY_MASK
                line, units, shelf, savings = read_day(ordered, line, own)
                purchases.days[place] = day
                purchases.units[place] = units
                purchases.shelf[place] = shelf
                purchases.paid[place] = shelf - savings
                purchases.savings[place] = savings
                row.units += units
                row.shelf += shelf
                row.paid += shelf - savings
                place += 1
            row.end = place
            pair += 1
    pair_starts[len(starts) - 1] = pair
