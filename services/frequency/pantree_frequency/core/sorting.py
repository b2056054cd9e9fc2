"""Sorts a household's receipt lines by item and day, through one integer key per line; compiled."""

from typing import Any

import numpy as np

from pantree_domain.compiled import compiled
from pantree_frequency.core.records import Integer, Integers, Records

# A line's key within its household: item, day, position. 63 bits, so that keys sort as signed numbers.
ITEM_BITS = 22
DAY_BITS = 17
POSITION_BITS = 24

POSITION_MASK = (1 << POSITION_BITS) - 1
DAY_MASK = (1 << DAY_BITS) - 1
ITEM_SHIFT = DAY_BITS + POSITION_BITS
_ITEM_MASK = (1 << ITEM_BITS) - 1

# Digits of the counting sort: 512 counters stay in the nearest cache.
_DIGIT_BITS = 9
DIGITS = 1 << _DIGIT_BITS
# With fewer keys, counters cost more than they save.
_MIN_COUNTED = 96


@compiled()
def _count_sort(
    keys: Integers, other: Integers, counts: Integers, shift: Integer, mask: Integer, lowest: Integer, highest: Integer
) -> tuple[Integers, Integers]:
    """Sorts keys by a part of them, least digit first; keys equal in it keep their order.

    Args:
        keys: int64[n].
        other: int64[n], scratch.
        counts: int64[DIGITS], scratch.
        shift: where the part begins.
        mask: of the part, once shifted.
        lowest: its least value.
        highest: its greatest value.

    Returns:
        The two arrays, the sorted one first.
    """
    digit = 0
    while (highest - lowest) >> digit:
        counts[:] = 0
        for key in keys:
            counts[((((key >> shift) & mask) - lowest) >> digit) & (DIGITS - 1)] += 1
        total = np.int64(0)
        for value in range(DIGITS):
            size = counts[value]
            counts[value] = total
            total += size
        for key in keys:
            value = ((((key >> shift) & mask) - lowest) >> digit) & (DIGITS - 1)
            other[counts[value]] = key
            counts[value] += 1
        keys, other = other, keys
        digit += _DIGIT_BITS
    return keys, other


@compiled()
def _comes_after(line: Any, other: Any) -> bool:
    """Whether a line belongs after another of the same item and day. Quantities are added exactly, in any order."""
    if line.price != other.price:
        return bool(line.price > other.price)
    return bool(line.saving > other.saving)


@compiled()
def _sort_item_day(keys: Integers, lines: Records) -> None:
    """Sorts the keys of one item and day by what their lines hold: Shell's sort, for a few lines an insertion."""
    gap = 1
    while 3 * gap + 1 < len(keys):
        gap = 3 * gap + 1
    while gap:
        for position in range(gap, len(keys)):
            key = keys[position]
            place = position
            while place >= gap and _comes_after(lines[keys[place - gap] & POSITION_MASK], lines[key & POSITION_MASK]):
                keys[place] = keys[place - gap]
                place -= gap
            keys[place] = key
        gap //= 3


@compiled()
def sort_household(lines: Records, as_of: Integer, keys: Integers, scratch: Integers, counts: Integers) -> Integer:
    """Fills `keys` with the sorted keys of the lines up to a day; returns how many there are.

    Lines of one item and day are ordered by price and saving, so that the order in which lines came cannot change the
    last digit of a sum.

    Args:
        lines: LINE[n], of one household.
        as_of: the last day that counts.
        keys: int64[n or more], filled.
        scratch: int64[n or more].
        counts: int64[DIGITS], scratch.
    """
    count = 0
    ascending = True
    lowest_item = lowest_day = np.int64(1) << 40
    highest_item = highest_day = np.int64(-1)
    for position in range(len(lines)):
        line = lines[position]
        day = np.int64(line.day)
        if day <= as_of:
            item = np.int64(line["item"])
            keys[count] = (item << ITEM_SHIFT) | (day << POSITION_BITS) | position
            count += 1
            if day < highest_day:
                ascending = False
            lowest_item = min(lowest_item, item)
            highest_item = max(highest_item, item)
            lowest_day = min(lowest_day, day)
            highest_day = max(highest_day, day)
    own = keys[:count]
    if count < _MIN_COUNTED:
        own.sort()
    else:
        # Positions ascend already; so do days, as a rule.
        ordered = own
        other = scratch[:count]
        if not ascending:
            ordered, other = _count_sort(ordered, other, counts, POSITION_BITS, DAY_MASK, lowest_day, highest_day)
        ordered, other = _count_sort(ordered, other, counts, ITEM_SHIFT, _ITEM_MASK, lowest_item, highest_item)
        own[:] = ordered
    first = 0
    while first < count:
        end = first + 1
        while end < count and own[end] >> POSITION_BITS == own[first] >> POSITION_BITS:
            end += 1
        if end > first + 1:
            _sort_item_day(own[first:end], lines)
        first = end
    return count
