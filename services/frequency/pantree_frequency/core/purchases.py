"""Purchases of items: receipt lines added up by household, item and day. Statistics and features start from them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pantree_domain.compiled import compiled
from pantree_frequency.core.histories import Histories
from pantree_frequency.core.records import PAIR, Codes, Integer, Integers, Purchases, Records
from pantree_frequency.core.sorting import DAY_MASK, DIGITS, ITEM_SHIFT, POSITION_BITS, POSITION_MASK, sort_household


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


@compiled()
def read_item(
    keys: Integers, line: Integer, end: Integer, lines: Records, purchases: Purchases, place: Integer
) -> tuple[Integer, Integer, Integer, float, float]:
    """Adds up the lines of the item whose keys begin at `line`, by day, into `purchases` from `place` on.

    Args:
        keys: int64[end], sorted keys of one household.
        line: where the item's keys begin.
        end: how many keys the household has.
        lines: LINE[n], of the household.
        purchases: filled.
        place: where the item's purchases begin.

    Returns:
        Where the next item's keys and purchases begin; units, shelf price and payments of all lines.
    """
    item = keys[line] >> ITEM_SHIFT
    units = np.int64(0)
    shelf = 0.0
    paid = 0.0
    while line < end and keys[line] >> ITEM_SHIFT == item:
        item_day = keys[line] >> POSITION_BITS
        day_units = np.int64(0)
        day_shelf = 0.0
        day_savings = 0.0
        # Units at one price are counted before they are multiplied: a line in two halves has the same product.
        price = lines[keys[line] & POSITION_MASK].price
        price_units = np.int64(0)
        while line < end and keys[line] >> POSITION_BITS == item_day:
            bought = lines[keys[line] & POSITION_MASK]
            if bought.price != price:
                day_units += price_units
                day_shelf += price * price_units
                price = bought.price
                price_units = np.int64(0)
            price_units += bought.quantity
            day_savings += bought.saving
            line += 1
        day_units += price_units
        day_shelf += price * price_units
        day_paid = day_shelf - day_savings
        units += day_units
        shelf += day_shelf
        paid += day_paid
        purchases.days[place] = item_day & DAY_MASK
        purchases.units[place] = day_units
        purchases.shelf[place] = day_shelf
        purchases.paid[place] = day_paid
        purchases.savings[place] = day_savings
        place += 1
    return line, place, units, shelf, paid


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
        end = sort_household(own, as_of[household], keys, scratch, counts)
        line: Integer = 0
        while line < end:
            row = pairs[pair]
            row.household = household
            row.item = keys[line] >> ITEM_SHIFT
            row.first = place
            line, place, row.units, row.shelf, row.paid = read_item(keys, line, end, own, purchases, place)
            row.end = place
            pair += 1
    pair_starts[len(starts) - 1] = pair
