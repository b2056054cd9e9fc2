"""Compiled loops over purchases: one sort of a composite key, then one pass per household.

Every loop takes a range of households and touches nothing outside it, so that threads can share the work: the loops
hold no lock of the interpreter. What calls one another is in this one file, because numba compiles a kept function anew
when its own file has changed, not when that of a function it calls has. Compiled code is kept in numba's cache
(`NUMBA_CACHE_DIR` names a writable folder for it).
"""

import math

import numpy as np

from pantree_domain.compiled import compiled, inlined

# A line's key within its household: item, day, position. 63 bits, so that keys sort as signed numbers.
ITEM_BITS = 22
DAY_BITS = 17
POSITION_BITS = 24

_POSITION_MASK = (1 << POSITION_BITS) - 1
_DAY_MASK = (1 << DAY_BITS) - 1
_ITEM_MASK = (1 << ITEM_BITS) - 1
_ITEM_SHIFT = DAY_BITS + POSITION_BITS
# A pair's position within its household, below a group or a score.
_PAIR_BITS = 24
_PAIR_MASK = (1 << _PAIR_BITS) - 1

# A line counts as bought on promotion from this share off the shelf price on.
PROMOTION_RATIO = 0.05


# A line as it is kept in memory, so that grouping moves it with one write rather than five; half a cache line.
LINE = np.dtype(
    [
        ("item", np.int32),
        ("day", np.int32),
        ("quantity", np.int32),
        ("unused", np.int32),
        ("price", np.float64),
        ("saving", np.float64),
    ]
)


@compiled()
def group_lines(codes, lowest, group_count, items, days, quantities, prices, savings, lines):
    """Lines grouped by a code, their order kept within each group.

    Every line is read once, in turn, and written to its place at once: one pass of scattered writes is cheaper than a
    pass of scattered reads per column.

    Args:
        codes: int64[n], `lowest` to `lowest + group_count - 1`.
        lowest: the least code.
        group_count: how many codes there are.
        items: int32[n].
        days: int32[n].
        quantities: int32[n].
        prices: float64[n].
        savings: float64[n].
        lines: LINE[n], filled.

    Returns:
        int64[group_count + 1], where each group begins.
    """
    starts = np.zeros(group_count + 1, np.int64)
    for code in codes:
        starts[code - lowest + 1] += 1
    for group in range(group_count):
        starts[group + 1] += starts[group]
    filled = starts[:-1].copy()
    for line in range(len(codes)):
        group = codes[line] - lowest
        place = filled[group]
        filled[group] = place + 1
        lines[place].item = items[line]
        lines[place].day = days[line]
        lines[place].quantity = quantities[line]
        lines[place].price = prices[line]
        lines[place].saving = savings[line]
    return starts


@compiled()
def _sort(keys):
    """Sorts whole numbers in place: quicksort down to short runs, then insertion (R. Sedgewick, 1978).

    numba's own sort gives the same, but takes many seconds to compile, which the first start of a service would pay.
    """
    starts = np.empty(64, np.int64)
    ends = np.empty(64, np.int64)
    starts[0] = 0
    ends[0] = len(keys) - 1
    depth = 1
    while depth:
        depth -= 1
        low = starts[depth]
        high = ends[depth]
        while high - low > 16:
            # The middle one of three as pivot: lines often come sorted by day already.
            middle = (low + high) >> 1
            if keys[middle] < keys[low]:
                keys[middle], keys[low] = keys[low], keys[middle]
            if keys[high] < keys[low]:
                keys[high], keys[low] = keys[low], keys[high]
            if keys[high] < keys[middle]:
                keys[high], keys[middle] = keys[middle], keys[high]
            pivot = keys[middle]
            left = low
            right = high
            while left <= right:
                while keys[left] < pivot:
                    left += 1
                while keys[right] > pivot:
                    right -= 1
                if left <= right:
                    keys[left], keys[right] = keys[right], keys[left]
                    left += 1
                    right -= 1
            # The longer part waits, so that no more than log2(n) parts ever do.
            if right - low < high - left:
                starts[depth] = left
                ends[depth] = high
                high = right
            else:
                starts[depth] = low
                ends[depth] = right
                low = left
            depth += 1
        for position in range(low + 1, high + 1):
            key = keys[position]
            place = position
            while place > low and keys[place - 1] > key:
                keys[place] = keys[place - 1]
                place -= 1
            keys[place] = key


# Digits of the counting sort: 512 counters stay in the nearest cache.
_DIGIT_BITS = 9
_DIGITS = 1 << _DIGIT_BITS
# Below so many keys the counters cost more than they save.
_LEAST_COUNTED = 96


@compiled()
def _count_sort(keys, other, counts, shift, mask, lowest, highest):
    """Sorts keys by one part of them, digit by digit, the least one first; keys equal in it keep their order.

    Args:
        keys: int64[n].
        other: int64[n], scratch.
        counts: int64[_DIGITS], scratch.
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
            counts[((((key >> shift) & mask) - lowest) >> digit) & (_DIGITS - 1)] += 1
        total = np.int64(0)
        for value in range(_DIGITS):
            size = counts[value]
            counts[value] = total
            total += size
        for key in keys:
            value = ((((key >> shift) & mask) - lowest) >> digit) & (_DIGITS - 1)
            other[counts[value]] = key
            counts[value] += 1
        keys, other = other, keys
        digit += _DIGIT_BITS
    return keys, other


@compiled()
def _comes_after(left, right, quantities, prices, savings):
    if quantities[left] != quantities[right]:
        return quantities[left] > quantities[right]
    if prices[left] != prices[right]:
        return prices[left] > prices[right]
    return savings[left] > savings[right]


@compiled()
def _sort_household(
    start, end, as_of, items, days, quantities, prices, savings, keys, scratch, counts
):  # fmt: skip
    """Sorts the keys of the lines `[start, end)` up to a day into `keys`.

    Lines of one item and one day are ordered by what they hold, so that the order in which lines came cannot change the
    last digit of a sum.

    Returns:
        How many keys there are, and of how many items.
    """
    count = 0
    ascending = True
    lowest_item = np.int64(1) << 40
    highest_item = np.int64(-1)
    lowest_day = np.int64(1) << 40
    highest_day = np.int64(-1)
    for line in range(start, end):
        day = np.int64(days[line])
        if day <= as_of:
            item = np.int64(items[line])
            keys[count] = (item << _ITEM_SHIFT) | (day << POSITION_BITS) | (line - start)
            count += 1
            if day < highest_day:
                ascending = False
            lowest_item = min(lowest_item, item)
            highest_item = max(highest_item, item)
            lowest_day = min(lowest_day, day)
            highest_day = max(highest_day, day)
    own = keys[:count]
    if count < _LEAST_COUNTED:
        _sort(own)
    else:
        # Positions ascend already; so do days, as a rule.
        ordered = own
        other = scratch[:count]
        if not ascending:
            ordered, other = _count_sort(ordered, other, counts, POSITION_BITS, _DAY_MASK, lowest_day, highest_day)
        ordered, other = _count_sort(ordered, other, counts, _ITEM_SHIFT, _ITEM_MASK, lowest_item, highest_item)
        own[:] = ordered
    pairs = 0
    for line in range(count):
        if line == 0 or own[line] >> _ITEM_SHIFT != own[line - 1] >> _ITEM_SHIFT:
            pairs += 1
        # Insertion into the lines of the same item and day, which are few.
        place = line
        while place > 0 and own[place] >> POSITION_BITS == own[place - 1] >> POSITION_BITS:
            left = start + (own[place - 1] & _POSITION_MASK)
            right = start + (own[place] & _POSITION_MASK)
            if not _comes_after(left, right, quantities, prices, savings):
                break
            own[place - 1], own[place] = own[place], own[place - 1]
            place -= 1
    return count, pairs


@compiled()
def sort_lines(
    first_household, end_household, starts, as_of, items, days, quantities, prices, savings,
    keys, line_counts, pair_counts,
):  # fmt: skip
    """Sorts the keys of each household's lines up to its day of asking.

    Args:
        first_household: first of the range.
        end_household: end of the range.
        starts: int64[h + 1].
        as_of: int32[h], the last day that counts.
        items: int32[n].
        days: int32[n].
        quantities: int32[n].
        prices: float64[n].
        savings: float64[n].
        keys: int64[n], filled from each household's start on.
        line_counts: int64[h], filled with the number of keys.
        pair_counts: int64[h], filled with the number of items that were bought.
    """
    scratch = np.empty(_longest(first_household, end_household, starts), np.int64)
    counts = np.empty(_DIGITS, np.int64)
    for household in range(first_household, end_household):
        start = starts[household]
        end = starts[household + 1]
        line_counts[household], pair_counts[household] = _sort_household(
            start, end, as_of[household], items, days, quantities, prices, savings, keys[start:end], scratch, counts
        )


@compiled()
def _longest(first_household, end_household, starts):
    """Most lines of a household in the range, at least 1."""
    longest = np.int64(1)
    for household in range(first_household, end_household):
        longest = max(longest, starts[household + 1] - starts[household])
    return longest


@compiled()
def _median(values, count, scratch):
    """Median of the first `count` values; the mean of the middle two when they are even in number."""
    for position in range(count):
        value = values[position]
        place = position
        while place > 0 and scratch[place - 1] > value:
            scratch[place] = scratch[place - 1]
            place -= 1
        scratch[place] = value
    if count % 2:
        return scratch[count // 2]
    return (scratch[count // 2 - 1] + scratch[count // 2]) / 2


# Columns of `pair_statistics`, in order.
STATISTICS = (
    "purchase_count",
    "mean_interval_days",
    "median_interval_days",
    "standard_deviation_days",
    "coefficient_of_variation",
    "trend_slope_days",
    "first_day",
    "last_day",
    "total_quantity",
    "total_spend",
    "mean_unit_price",
    "latest_unit_price",
    "median_quantity",
    "trend_t",
    "paid_unit_price_deviation",
)


_STATISTIC_COUNT = len(STATISTICS)


@compiled("numpy")
def _slope(intervals, gaps):
    """Least-squares change from one interval to the next, and its t statistic with gaps − 2 degrees of freedom.

    Intervals that lie on a line to the last digit have an infinite t, those that are all equal have 0.
    """
    mean = 0.0
    for gap in range(gaps):
        mean += intervals[gap] / gaps
    top = 0.0
    bottom = 0.0
    for gap in range(gaps):
        place = gap - (gaps - 1) / 2
        top += place * intervals[gap]
        bottom += place * place
    slope = top / bottom
    if slope == 0.0:
        return slope, 0.0
    squares = 0.0
    total = 0.0
    for gap in range(gaps):
        squares += (intervals[gap] - mean - slope * (gap - (gaps - 1) / 2)) ** 2
        total += (intervals[gap] - mean) ** 2
    if squares <= 1e-20 * total:
        return slope, math.copysign(np.inf, slope)
    return slope, slope / math.sqrt(squares / (gaps - 2) / bottom)


@compiled("numpy")
def _deviation_of_ratios(payments, units, count):
    """Sample standard deviation of the first `count` payments, each over its units."""
    mean = 0.0
    for number in range(count):
        mean += payments[number] / units[number]
    mean /= count
    squares = 0.0
    for number in range(count):
        squares += (payments[number] / units[number] - mean) ** 2
    return math.sqrt(squares / (count - 1))


@inlined
def _statistics_of_item(
    keys, line, end, start, quantities, prices, savings, intervals, units, payments, scratch, row
):  # fmt: skip
    """Fills `row` with the `STATISTICS` of the item whose keys begin at `line`; returns where those of the next begin.

    Args:
        keys: int64[end], sorted keys of one household.
        line: where the item's keys begin.
        end: how many keys the household has.
        start: where the household's lines begin.
        quantities: int32[n].
        prices: float64[n].
        savings: float64[n].
        intervals: float64[end], scratch.
        units: float64[end], scratch.
        payments: float64[end], scratch.
        scratch: float64[end], scratch.
        row: float64[len(STATISTICS)], filled; NaN for what cannot be told.
    """
    for column in range(1, 6):
        row[column] = np.nan
    row[13] = np.nan
    row[14] = np.nan
    item = keys[line] >> _ITEM_SHIFT
    first_day = (keys[line] >> POSITION_BITS) & _DAY_MASK
    if line + 1 == end or keys[line + 1] >> _ITEM_SHIFT != item:
        # A single line, as most pairs have: all that follows from it at once.
        position = start + (keys[line] & _POSITION_MASK)
        quantity = np.int64(quantities[position])
        price = prices[position] * quantity
        row[0] = 1.0
        row[6] = first_day
        row[7] = first_day
        row[8] = quantity
        row[9] = price - savings[position]
        row[10] = price / quantity
        row[11] = price / quantity
        row[12] = quantity
        line += 1
    else:
        day_count = 0
        day = np.int64(-1)
        total_units = np.int64(0)
        shelf = 0.0
        paid = 0.0
        latest_units = np.int64(0)
        latest_shelf = 0.0
        while line < end and keys[line] >> _ITEM_SHIFT == item:
            key = keys[line]
            position = start + (key & _POSITION_MASK)
            line_day = (key >> POSITION_BITS) & _DAY_MASK
            if line_day != day:
                if day_count:
                    intervals[day_count - 1] = line_day - day
                day = line_day
                units[day_count] = 0.0
                payments[day_count] = 0.0
                day_count += 1
                latest_units = np.int64(0)
                latest_shelf = 0.0
            quantity = np.int64(quantities[position])
            price = prices[position] * quantity
            units[day_count - 1] += quantity
            payments[day_count - 1] += price - savings[position]
            total_units += quantity
            shelf += price
            paid += price - savings[position]
            latest_units += quantity
            latest_shelf += price
            line += 1
        gaps = day_count - 1
        row[0] = day_count
        if gaps:
            row[1] = (day - first_day) / gaps
            row[2] = _median(intervals, gaps, scratch)
        if gaps > 1:
            squares = 0.0
            for gap in range(gaps):
                squares += (intervals[gap] - row[1]) ** 2
            row[3] = math.sqrt(squares / (gaps - 1))
            row[4] = row[3] / row[1]
        if gaps > 2:
            row[5], row[13] = _slope(intervals, gaps)
        row[6] = first_day
        row[7] = day
        row[8] = total_units
        row[9] = paid
        row[10] = shelf / total_units
        row[11] = latest_shelf / latest_units
        row[12] = _median(units, day_count, scratch)
        if day_count > 1:
            row[14] = _deviation_of_ratios(payments, units, day_count)
    return line


@compiled("numpy")
def pair_statistics(
    first_household, end_household, starts, keys, line_counts, pair_starts, quantities, prices, savings, pair_items, out
):  # fmt: skip
    """Statistics of each household's items from sorted keys.

    Args:
        first_household: first of the range.
        end_household: end of the range.
        starts: int64[h + 1], where each household's lines and keys begin.
        keys: int64[n], from `sort_lines`.
        line_counts: int64[h], from `sort_lines`.
        pair_starts: int64[h + 1], where each household's pairs begin.
        quantities: int32[n].
        prices: float64[n].
        savings: float64[n].
        pair_items: int32[p], filled.
        out: float64[len(STATISTICS), p], filled; NaN for what cannot be told.
    """
    longest = _longest(first_household, end_household, starts)
    intervals = np.empty(longest, np.float64)
    units = np.empty(longest, np.float64)
    payments = np.empty(longest, np.float64)
    scratch = np.empty(longest, np.float64)
    row = np.empty(_STATISTIC_COUNT, np.float64)
    for household in range(first_household, end_household):
        start = starts[household]
        count = line_counts[household]
        own = keys[start : start + count]
        pair = pair_starts[household]
        line = 0
        while line < count:
            pair_items[pair] = own[line] >> _ITEM_SHIFT
            line = _statistics_of_item(
                own, line, count, start, quantities, prices, savings, intervals, units, payments, scratch, row
            )
            for column in range(_STATISTIC_COUNT):
                out[column, pair] = row[column]
            pair += 1


@compiled("numpy")
def bulk_statistics(
    first_household, end_household, starts, as_of, items, days, quantities, prices, savings,
    pair_counts, pair_items, dates, medians, out,
):  # fmt: skip
    """Sorts each household's lines and takes the statistics of its items, while they are in the nearest cache.

    Only what a table of pairs holds, by the same steps as `pair_statistics` and so with the same digits: trends and
    unit prices take longer than all the rest. Pairs are written one after the other, from the line on at which the
    range's lines begin: there are at most as many pairs as lines.

    Args:
        first_household: first of the range.
        end_household: end of the range.
        starts: int64[h + 1], where each household's lines begin.
        as_of: the last day that counts.
        items: int32[n].
        days: int32[n].
        quantities: int32[n].
        prices: float64[n].
        savings: float64[n].
        pair_counts: int64[h], filled with the number of items that were bought.
        pair_items: int32[n], filled.
        dates: int32[3, n], filled: count of purchases, first day, last day.
        medians: float32[n], filled: half days are exact in it.
        out: float64[5, n], filled: mean, standard deviation, coefficient of variation, quantity, spend.
    """
    longest = _longest(first_household, end_household, starts)
    keys = np.empty(longest, np.int64)
    other = np.empty(longest, np.int64)
    counts = np.empty(_DIGITS, np.int64)
    intervals = np.empty(longest, np.int64)
    ascending = np.empty(longest, np.int64)
    pair = starts[first_household]
    for household in range(first_household, end_household):
        start = starts[household]
        count, pair_counts[household] = _sort_household(
            start, starts[household + 1], as_of, items, days, quantities, prices, savings, keys, other, counts
        )
        line = 0
        while line < count:
            item = keys[line] >> _ITEM_SHIFT
            first_day = (keys[line] >> POSITION_BITS) & _DAY_MASK
            day = first_day
            gaps = 0
            units = np.int64(0)
            paid = 0.0
            while line < count and keys[line] >> _ITEM_SHIFT == item:
                key = keys[line]
                position = start + (key & _POSITION_MASK)
                line_day = (key >> POSITION_BITS) & _DAY_MASK
                if line_day != day:
                    interval = line_day - day
                    intervals[gaps] = interval
                    # Kept in order as they come, for the median.
                    place = gaps
                    while place > 0 and ascending[place - 1] > interval:
                        ascending[place] = ascending[place - 1]
                        place -= 1
                    ascending[place] = interval
                    gaps += 1
                    day = line_day
                quantity = np.int64(quantities[position])
                units += quantity
                paid += prices[position] * quantity - savings[position]
                line += 1
            mean = np.nan
            median = np.nan
            deviation = np.nan
            if gaps:
                mean = (day - first_day) / gaps
                median = (ascending[(gaps - 1) >> 1] + ascending[gaps >> 1]) / 2
                if gaps > 1:
                    squares = 0.0
                    for gap in range(gaps):
                        squares += (intervals[gap] - mean) ** 2
                    deviation = math.sqrt(squares / (gaps - 1))
            pair_items[pair] = item
            dates[0, pair] = gaps + 1
            dates[1, pair] = first_day
            dates[2, pair] = day
            medians[pair] = median
            out[0, pair] = mean
            out[1, pair] = deviation
            out[2, pair] = deviation / mean
            out[3, pair] = units
            out[4, pair] = paid
            pair += 1


# What is told of a rhythm: a series of distinct days, of a pair, a type, a category, or the household's trips.
RHYTHM = (
    "count",
    "recency",
    "age",
    "mean_interval",
    "median_interval",
    "sd_interval",
    "last_interval",
    "longest_interval",
    "log_mean",
    "log_squares",
    "in_7",
    "in_14",
    "in_28",
    "in_56",
    "in_84",
    "in_168",
    "decay_7",
    "decay_14",
    "decay_28",
    "decay_56",
    "decay_112",
    "trend",
    "ends_within_14",
    "ends_within_28",
)
RHYTHM_SIZE = len(RHYTHM)
_WINDOWS = np.array([7, 14, 28, 56, 84, 168])
_HALF_LIVES = np.array([7.0, 14.0, 28.0, 56.0, 112.0])
_FIRST_WINDOW = RHYTHM.index("in_7")
_FIRST_DECAY = RHYTHM.index("decay_7")
_TREND = RHYTHM.index("trend")
_LOG_MEAN = RHYTHM.index("log_mean")
_LOG_SQUARES = RHYTHM.index("log_squares")
_MEAN = RHYTHM.index("mean_interval")


@compiled()
def rhythm(days, first, end, as_of, intervals, scratch, out, base):
    """Fills `out[base:base + RHYTHM_SIZE]` with what `RHYTHM` names, from ascending distinct days `[first, end)`."""
    count = end - first
    gaps = count - 1
    recency = as_of - days[end - 1]
    out[base] = count
    out[base + 1] = recency
    out[base + 2] = as_of - days[first]
    for column in range(3, RHYTHM_SIZE):
        out[base + column] = np.nan
    for window in range(len(_WINDOWS)):
        out[base + _FIRST_WINDOW + window] = 0.0
    for scale in range(len(_HALF_LIVES)):
        out[base + _FIRST_DECAY + scale] = 0.0
    for position in range(first, end):
        passed = as_of - days[position]
        for window in range(len(_WINDOWS)):
            if passed < _WINDOWS[window]:
                out[base + _FIRST_WINDOW + window] += 1.0
        for scale in range(len(_HALF_LIVES)):
            out[base + _FIRST_DECAY + scale] += 0.5 ** (passed / _HALF_LIVES[scale])
    if gaps < 1:
        return
    longest = 0.0
    log_sum = 0.0
    # Once it is due, what the intervals say of the days left is held as it stood then: past intervals that are longer
    # than all this time are too few to tell, and what ages must never make a purchase likelier.
    passed = min(np.float64(recency), (days[end - 1] - days[first]) / gaps)
    outlasting = 0
    within_14 = 0
    within_28 = 0
    for gap in range(gaps):
        interval = np.float64(days[first + gap + 1] - days[first + gap])
        intervals[gap] = interval
        longest = max(longest, interval)
        log_sum += math.log(interval)
        if interval > passed:
            outlasting += 1
            within_14 += interval <= passed + 14
            within_28 += interval <= passed + 28
    mean = (days[end - 1] - days[first]) / gaps
    log_mean = log_sum / gaps
    squares = 0.0
    log_squares = 0.0
    top = 0.0
    bottom = 0.0
    for gap in range(gaps):
        squares += (intervals[gap] - mean) ** 2
        log_squares += (math.log(intervals[gap]) - log_mean) ** 2
        place = gap - (gaps - 1) / 2
        top += place * intervals[gap]
        bottom += place * place
    out[base + _MEAN] = mean
    out[base + _MEAN + 1] = _median(intervals, gaps, scratch)
    if gaps > 1:
        out[base + _MEAN + 2] = math.sqrt(squares / (gaps - 1))
    out[base + _MEAN + 3] = intervals[gaps - 1]
    out[base + _MEAN + 4] = longest
    out[base + _LOG_MEAN] = log_mean
    out[base + _LOG_SQUARES] = log_squares
    if gaps > 2:
        out[base + _TREND] = top / bottom / mean
    # Half a gap on either side, so that one gap does not speak with certainty.
    out[base + _TREND + 1] = (within_14 + 0.5) / (outlasting + 1.0)
    out[base + _TREND + 2] = (within_28 + 0.5) / (outlasting + 1.0)


# What is told of a pair beside rhythms.
PAIR = (
    "trips_since_last",
    "trip_ratio",
    "last_quantity",
    "quantity_ratio",
    "promotion_ratio",
    "last_on_promotion",
    "log_price",
    "type_days_since_last",
    "type_share",
    "type_share_decayed",
    "type_item_count",
    "category_days_since_last",
    "category_share",
    "category_item_count",
    "household_pairs",
    "household_repeat_ratio",
    "household_promotion_ratio",
    "household_items_per_trip",
    "rank_in_basket",
    "chances_28",
    "hits_28",
    "chances_84",
    "hits_84",
    "supply_days",
    "recent_log_interval",
)
PAIR_SIZE = len(PAIR)

# A row of raw features: the rhythms of pair, type, category and household trips, then PAIR.
PAIR_BASE = 0
TYPE_BASE = RHYTHM_SIZE
CATEGORY_BASE = 2 * RHYTHM_SIZE
TRIP_BASE = 3 * RHYTHM_SIZE
EXTRA_BASE = 4 * RHYTHM_SIZE
RAW_SIZE = EXTRA_BASE + PAIR_SIZE
RAW = tuple(f"{level}_{name}" for level in ("pair", "type", "category", "trip") for name in RHYTHM) + PAIR
_DECAY_28 = RHYTHM.index("decay_28")
_CHANCES = EXTRA_BASE + PAIR.index("chances_28")
_SUPPLY = EXTRA_BASE + PAIR.index("supply_days")
_RECENT = EXTRA_BASE + PAIR.index("recent_log_interval")
# Weight of the newest interval in a mean that forgets.
_RECENT_WEIGHT = 0.35
_HIGHEST_SCORE = 1 << 38


@compiled()
def _group_rhythms(
    groups, pair_first, pair_items, pairs, days, as_of, keys, group_days, intervals, scratch, row, out, base
):
    """Rhythm of each pair's group (its type, or its category) into `out[:, base:]`.

    Args:
        groups: int32[k], group of each item; -1 for none.
        pair_first: int64[pairs + 1], where each pair's purchase days begin.
        pair_items: int32[pairs].
        pairs: how many there are.
        days: int64[d], purchase days of all pairs.
        as_of: the day of asking.
        keys: int64[d], scratch.
        group_days: int64[d], scratch; keeps the distinct days of each group.
        intervals: scratch.
        scratch: scratch.
        row: float64[RHYTHM_SIZE], scratch.
        out: float32[pairs, RAW_SIZE].
        base: first column to fill.

    Returns:
        int64[pairs] and int64[pairs], the range of each pair's group in `group_days`, and int64[pairs], how many of the
        household's items are in the group.
    """
    first = np.zeros(pairs, np.int64)
    end = np.zeros(pairs, np.int64)
    members = np.zeros(pairs, np.int64)
    count = 0
    for pair in range(pairs):
        group = groups[pair_items[pair]]
        if group < 0:
            continue
        for position in range(pair_first[pair], pair_first[pair + 1]):
            keys[count] = (np.int64(group) << DAY_BITS) | days[position]
            count += 1
    own = keys[:count]
    _sort(own)
    # Pairs sorted by group, so that each group's rhythm is reckoned once.
    by_group = np.empty(pairs, np.int64)
    grouped = 0
    for pair in range(pairs):
        group = groups[pair_items[pair]]
        if group >= 0:
            by_group[grouped] = (np.int64(group) << _PAIR_BITS) | pair
            grouped += 1
    _sort(by_group[:grouped])
    line = 0
    filled = 0
    place = 0
    while line < count:
        group = own[line] >> DAY_BITS
        start = filled
        last = np.int64(-1)
        while line < count and own[line] >> DAY_BITS == group:
            day = own[line] & _DAY_MASK
            if day != last:
                group_days[filled] = day
                filled += 1
                last = day
            line += 1
        rhythm(group_days, start, filled, as_of, intervals, scratch, row, 0)
        member_start = place
        while place < grouped and by_group[place] >> _PAIR_BITS == group:
            place += 1
        for member in range(member_start, place):
            pair = by_group[member] & _PAIR_MASK
            first[pair] = start
            end[pair] = filled
            members[pair] = place - member_start
            for column in range(RHYTHM_SIZE):
                out[pair, base + column] = row[column]
    return first, end, members


@compiled()
def _days_after(days, first, end, day):
    """How many of the ascending days `[first, end)` are later than `day`."""
    low = first
    high = end
    while low < high:
        middle = (low + high) // 2
        if days[middle] <= day:
            low = middle + 1
        else:
            high = middle
    return end - low


@compiled()
def _follow_ups(days, first, end, as_of, out):
    """Counts purchases at least 28 days old and those followed within 28 days, and the same for 84, into `out[:4]`."""
    out[:4] = 0.0
    for position in range(first, end):
        gap = days[position + 1] - days[position] if position + 1 < end else np.int64(1 << 20)
        for window in range(2):
            length = 28 if window == 0 else 84
            if as_of - days[position] >= length:
                out[2 * window] += 1.0
                out[2 * window + 1] += gap <= length


@compiled()
def pair_features(
    first_household, end_household, starts, as_of, keys, line_counts, pair_starts, quantities, prices, savings,
    item_types, item_categories, out_items, out_households, out,
):  # fmt: skip
    """Raw features of each household's items from sorted keys.

    Args:
        first_household: first of the range.
        end_household: end of the range.
        starts: int64[h + 1], where each household's lines and keys begin.
        as_of: int32[h], the day of asking.
        keys: int64[n], from `sort_lines`.
        line_counts: int64[h], from `sort_lines`.
        pair_starts: int64[h + 1], where each household's pairs begin.
        quantities: int32[n].
        prices: float64[n].
        savings: float64[n].
        item_types: int32[k], type of each item; -1 for unknown.
        item_categories: int32[k], category of each item; -1 for unknown.
        out_items: int32[p], filled.
        out_households: int32[p], filled.
        out: float32[p, RAW_SIZE], filled; NaN for what cannot be told.
    """
    longest = 1
    most_pairs = 1
    for household in range(first_household, end_household):
        longest = max(longest, line_counts[household])
        most_pairs = max(most_pairs, pair_starts[household + 1] - pair_starts[household])
    intervals = np.empty(longest, np.float64)
    scratch = np.empty(longest, np.float64)
    days = np.empty(longest, np.int64)
    trips = np.empty(longest, np.int64)
    type_days = np.empty(longest, np.int64)
    category_days = np.empty(longest, np.int64)
    group_keys = np.empty(longest, np.int64)
    pair_first = np.empty(most_pairs + 1, np.int64)
    pair_items = np.empty(most_pairs, np.int32)
    ranks = np.empty(most_pairs, np.int64)
    row = np.empty(RHYTHM_SIZE, np.float64)
    trip_row = np.empty(RHYTHM_SIZE, np.float64)
    for household in range(first_household, end_household):
        start = starts[household]
        end = start + line_counts[household]
        if start == end:
            continue
        today = np.int64(as_of[household])
        first_pair = pair_starts[household]
        pairs = pair_starts[household + 1] - first_pair
        features = out[first_pair : first_pair + pairs]
        for pair in range(pairs):
            for column in range(TYPE_BASE, TRIP_BASE):
                features[pair, column] = np.nan
        # Purchase days of every pair, and what only the lines tell.
        pair = -1
        filled = 0
        line = start
        promotion_days_of_household = 0
        repeat_days = 0
        while line < end:
            item = keys[line] >> _ITEM_SHIFT
            pair += 1
            pair_first[pair] = filled
            pair_items[pair] = item
            day = np.int64(-1)
            day_units = 0.0
            total_units = 0.0
            shelf = 0.0
            day_shelf = 0.0
            day_savings = 0.0
            promotion_days = 0
            last_on_promotion = False
            while line < end and keys[line] >> _ITEM_SHIFT == item:
                key = keys[line]
                position = start + (key & _POSITION_MASK)
                line_day = (key >> POSITION_BITS) & _DAY_MASK
                if line_day != day:
                    promotion_days += last_on_promotion
                    day = line_day
                    days[filled] = day
                    filled += 1
                    day_units = 0.0
                    day_shelf = 0.0
                    day_savings = 0.0
                price = prices[position] * quantities[position]
                day_units += quantities[position]
                total_units += quantities[position]
                day_shelf += price
                shelf += price
                day_savings += savings[position]
                last_on_promotion = day_savings >= PROMOTION_RATIO * day_shelf and day_savings > 0
                line += 1
            promotion_days += last_on_promotion
            count = filled - pair_first[pair]
            promotion_days_of_household += promotion_days
            repeat_days += count - 1
            rhythm(days, pair_first[pair], filled, today, intervals, scratch, row, 0)
            for column in range(RHYTHM_SIZE):
                features[pair, PAIR_BASE + column] = row[column]
            features[pair, EXTRA_BASE + 2] = day_units
            features[pair, EXTRA_BASE + 3] = day_units / (total_units / count)
            features[pair, EXTRA_BASE + 4] = promotion_days / count
            features[pair, EXTRA_BASE + 5] = last_on_promotion
            features[pair, EXTRA_BASE + 6] = math.log1p(shelf / total_units)
            _follow_ups(days, pair_first[pair], filled, today, features[pair, _CHANCES : _CHANCES + 4])
            features[pair, _SUPPLY] = np.nan
            features[pair, _RECENT] = np.nan
            if count > 1:
                before = total_units - day_units
                features[pair, _SUPPLY] = day_units * (days[filled - 1] - days[pair_first[pair]]) / before
                recent = math.log(np.float64(days[pair_first[pair] + 1] - days[pair_first[pair]]))
                for position in range(pair_first[pair] + 2, filled):
                    recent += _RECENT_WEIGHT * (math.log(np.float64(days[position] - days[position - 1])) - recent)
                features[pair, _RECENT] = recent
            out_items[first_pair + pair] = item
            out_households[first_pair + pair] = household
        pair_first[pairs] = filled
        # Trips: the distinct days of all lines.
        for position in range(filled):
            group_keys[position] = days[position]
        _sort(group_keys[:filled])
        trip_count = 0
        for position in range(filled):
            if position == 0 or group_keys[position] != group_keys[position - 1]:
                trips[trip_count] = group_keys[position]
                trip_count += 1
        rhythm(trips, 0, trip_count, today, intervals, scratch, trip_row, 0)
        type_first, type_end, type_members = _group_rhythms(
            item_types, pair_first, pair_items, pairs, days, today, group_keys, type_days, intervals, scratch, row,
            features, TYPE_BASE,
        )  # fmt: skip
        category_first, category_end, category_members = _group_rhythms(
            item_categories, pair_first, pair_items, pairs, days, today, group_keys, category_days, intervals, scratch,
            row, features, CATEGORY_BASE,
        )  # fmt: skip
        # Ranks by decayed count, the highest first; a share of a millionth is as good as a tie.
        for position in range(pairs):
            score = np.int64(features[position, _DECAY_28 + 2] * 1e6)
            ranks[position] = ((_HIGHEST_SCORE - score) << _PAIR_BITS) | position
        _sort(ranks[:pairs])
        for rank in range(pairs):
            features[ranks[rank] & _PAIR_MASK, EXTRA_BASE + 18] = (rank + 0.5) / pairs
        for pair in range(pairs):
            for column in range(RHYTHM_SIZE):
                features[pair, TRIP_BASE + column] = trip_row[column]
            first_day = days[pair_first[pair]]
            last_day = days[pair_first[pair + 1] - 1]
            count = pair_first[pair + 1] - pair_first[pair]
            features[pair, EXTRA_BASE] = _days_after(trips, 0, trip_count, last_day)
            features[pair, EXTRA_BASE + 1] = count / _days_after(trips, 0, trip_count, first_day - 1)
            for column in range(7, 14):
                features[pair, EXTRA_BASE + column] = np.nan
            if type_end[pair] > type_first[pair]:
                own_days = type_end[pair] - type_first[pair]
                features[pair, EXTRA_BASE + 7] = _days_after(type_days, type_first[pair], type_end[pair], last_day)
                features[pair, EXTRA_BASE + 8] = count / own_days
                features[pair, EXTRA_BASE + 9] = features[pair, _DECAY_28] / features[pair, TYPE_BASE + _DECAY_28]
                features[pair, EXTRA_BASE + 10] = type_members[pair]
            if category_end[pair] > category_first[pair]:
                own_days = category_end[pair] - category_first[pair]
                features[pair, EXTRA_BASE + 11] = _days_after(
                    category_days, category_first[pair], category_end[pair], last_day
                )
                features[pair, EXTRA_BASE + 12] = count / own_days
                features[pair, EXTRA_BASE + 13] = category_members[pair]
            features[pair, EXTRA_BASE + 14] = pairs
            features[pair, EXTRA_BASE + 15] = repeat_days / filled
            features[pair, EXTRA_BASE + 16] = promotion_days_of_household / filled
            features[pair, EXTRA_BASE + 17] = filled / trip_count


@compiled()
def count_follow_ups(starts, line_counts, pair_starts, keys, as_of, out):
    """Counts, per pair, purchases at least 28 days old and those followed within 28 days, and the same for 84.

    Args:
        starts: int64[h + 1], where each household's lines and keys begin.
        line_counts: int64[h], from `sort_lines`.
        pair_starts: int64[h + 1], where each household's pairs begin.
        keys: int64[n], from `sort_lines`.
        as_of: int32[h], the day of asking.
        out: float64[p, 4], zeros to begin with.
    """
    for household in range(len(pair_starts) - 1):
        end = starts[household] + line_counts[household]
        line = starts[household]
        for pair in range(pair_starts[household], pair_starts[household + 1]):
            item = keys[line] >> _ITEM_SHIFT
            while line < end and keys[line] >> _ITEM_SHIFT == item:
                day = (keys[line] >> POSITION_BITS) & _DAY_MASK
                while line < end and keys[line] >> POSITION_BITS == (item << DAY_BITS) | day:
                    line += 1
                followed = line < end and keys[line] >> _ITEM_SHIFT == item
                gap = ((keys[line] >> POSITION_BITS) & _DAY_MASK) - day if followed else 1 << 20
                for window in range(2):
                    length = 28 if window == 0 else 84
                    if as_of[household] - day >= length:
                        out[pair, 2 * window] += 1
                        out[pair, 2 * window + 1] += gap <= length


@compiled()
def next_days(starts, items, days, as_of, end_day, pair_starts, pair_items, item_count, first, second):
    """Finds, per pair, the days from the day of asking to the first and the second purchase day after it.

    Args:
        starts: int64[h + 1], where each household's lines begin.
        items: int32[n].
        days: int32[n].
        as_of: int32[h], the day of asking.
        end_day: last day that is looked at.
        pair_starts: int64[h + 1], where each household's pairs begin.
        pair_items: int32[p].
        item_count: size of the dictionary.
        first: float64[p], infinite to begin with.
        second: float64[p], infinite to begin with.
    """
    pair_of_item = np.full(item_count, -1, np.int64)
    for household in range(len(starts) - 1):
        for pair in range(pair_starts[household], pair_starts[household + 1]):
            pair_of_item[pair_items[pair]] = pair
        for line in range(starts[household], starts[household + 1]):
            pair = pair_of_item[items[line]]
            if pair < 0 or days[line] <= as_of[household] or days[line] > end_day:
                continue
            passed = np.float64(days[line] - as_of[household])
            if passed < first[pair]:
                second[pair] = first[pair]
                first[pair] = passed
            elif first[pair] < passed < second[pair]:
                second[pair] = passed
        for pair in range(pair_starts[household], pair_starts[household + 1]):
            pair_of_item[pair_items[pair]] = -1
