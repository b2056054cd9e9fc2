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

# Digits of the counting sort have at most so many bits: 512 counters stay in the nearest cache.
_MAX_DIGIT_BITS = 9
DIGITS = 1 << _MAX_DIGIT_BITS
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
    bits = 0
    while (highest - lowest) >> bits:
        bits += 1
    # Digits of equal size: two of 8 bits take less time than one of 9 and one of 7.
    passes = -(-bits // _MAX_DIGIT_BITS)
    size = -(-bits // max(passes, 1))
    digit_mask = (1 << size) - 1
    for number in range(passes):
        digit = number * size
        counts[: digit_mask + 1] = 0
        for key in keys:
            counts[((((key >> shift) & mask) - lowest) >> digit) & digit_mask] += 1
        total = np.int64(0)
        for value in range(digit_mask + 1):
            count = counts[value]
            counts[value] = total
            total += count
        for key in keys:
            value = ((((key >> shift) & mask) - lowest) >> digit) & digit_mask
            other[counts[value]] = key
            counts[value] += 1
        keys, other = other, keys
    return keys, other


@compiled(allocates=False)
def _comes_after(line: Any, other: Any) -> bool:
    """Whether a line belongs after another of the same item and day. Quantities are added exactly, in any order."""
    if line.price != other.price:
        return bool(line.price > other.price)
    return bool(line.saving > other.saving)


@compiled(allocates=False)
def sort_item_day(keys: Integers, first: Integer, end: Integer, lines: Records) -> None:
    """Sorts the keys of one item and day by price and saving, so that sums do not depend on the order of lines.

    Shell's sort, for a few lines an insertion.

    Args:
        keys: int64[n], of one household.
        first: where the keys of the item and day begin.
        end: where they end.
        lines: LINE[n], of the household.
    """
    gap = 1
    while 3 * gap + 1 < end - first:
        gap = 3 * gap + 1
    while gap:
        for position in range(first + gap, end):
            key = keys[position]
            place = position
            while place >= first + gap and _comes_after(
                lines[keys[place - gap] & POSITION_MASK], lines[key & POSITION_MASK]
            ):
                keys[place] = keys[place - gap]
                place -= gap
            keys[place] = key
        gap //= 3


@compiled()
def sort_household(lines: Records, as_of: Integer, keys: Integers, scratch: Integers, counts: Integers) -> Integers:
    """Sorted keys of the lines up to a day: by item, then day. They are in `keys` or in `scratch`.

    Args:
        lines: LINE[n], of one household.
        as_of: the last day that counts.
        keys: int64[n or more], scratch.
        scratch: int64[n or more], scratch.
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
    ordered = keys[:count]
    if count < _MIN_COUNTED:
        ordered.sort()
        return ordered
    # Positions ascend already; so do days, as a rule.
    other = scratch[:count]
    if not ascending:
        ordered, other = _count_sort(ordered, other, counts, POSITION_BITS, DAY_MASK, lowest_day, highest_day)
    return _count_sort(ordered, other, counts, ITEM_SHIFT, _ITEM_MASK, lowest_item, highest_item)[0]
