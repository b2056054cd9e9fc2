"""The compiled simulation, one household at a time.

A household goes on trips and has needs. A need returns some time after it was filled (a renewal process) and is filled
on the next trip that is large enough for its urgency. Needs are independent, so each is followed through the whole
period separately; the purchases are then put in the order of the trips.

All state that lasts from one period to the next is in the household's record and the records of its needs, so one long
simulation yields the same purchases as a simulation month by month. All random numbers come from counter-based streams.
"""

import math
from typing import Any

import numpy as np

from pantree_domain.compiled import compiled, inlined
from pantree_domain.limits import MAX_PRICE, MAX_QUANTITY
from pantree_simulation.core.records import (
    BASKET_FACTORS,
    EXTRA_UNIT_ENDS,
    FIRST_GAPS,
    FIRST_ITEM_FACTORS,
    GAP_FACTORS,
    GAPS,
    INTERVALS,
    MAX_STEPS,
    NORMAL,
    OCCASIONAL_FACTORS,
    PASSED_TRIPS,
    PAUSES,
    REACHES,
    REGULARITY_ENDS,
    SPELL_FACTORS,
    STAPLE_FACTORS,
    TRIP_ENDS,
    WEEKDAYS,
    ArchetypeArrays,
    Calendar,
    Floats,
    Integers,
    KernelState,
    Keys,
    Lines,
    Model,
    Positions,
    slice_lines,
)
from pantree_simulation.core.streams import bits_at, high_ratio, low_ratio
from pantree_simulation.core.tables import quantile

# Counters in a household's stream; the keys of its trips and its spells are two of the numbers.
_SIZE_FACTORS, _PROMOTIONS, _FIRST_TRIP, _ARCHETYPE, _TRIPS, _SPELLS = map(np.uint64, range(6))
# Counters in a need's stream: four single numbers, then two for each purchase.
_ROLE, _PHASE, _PRICE, _PAUSE, _PURCHASES = map(np.uint64, range(5))
_ONE, _TWO = np.uint64(1), np.uint64(2)

EXISTING_HOUSEHOLD = -1
"""Passed instead of an archetype to continue with a household as it is."""
_WEEKDAY_OF_DAY_0 = 3  # 1970-01-01 was a Thursday
_MIN_NEED_RATIO = 0.05  # shortest time until a need returns, in trip gaps
_MIN_DEFERRABILITY, _MAX_DEFERRABILITY = 0.02, 1 - 1e-9
_MAX_CHANCE = 0.5
_BELOW_1 = 1 - 1e-9
# Purchase count of a need that has not had its first purchase.
_NOT_PREPARED = -1
# Rows of sums by category: purchases a day still wanted, of staples, of occasional needs; scale of staples; purchases a
# day of all needs but the first purchase's, and of staples that are bought as often as possible.
_WANTED, _STAPLES, _OCCASIONAL, _SCALES, _TOTALS, _CAPPED = map(np.uint64, range(6))
_MAX_UNITS = 3
# What was bought first says how many units are usual; more are the exception.
_FIRST_ITEM_EXTRA_RATIO = 0.35
_MIN_OCCASIONAL_RATIO = 0.25  # of what occasional needs have when staples are as frequent as in the catalog


@compiled("numpy")
def simulate(
    keys: Keys,
    until_day: int,
    calendar: Calendar,
    state: KernelState,
    lines: Lines,
    line_counts: Integers,
    archetype_indices: Integers,
) -> int:
    """Simulates as many households as fit into `lines`, one after another, each from its first day.

    Args:
        keys: uint64[h], keys of the households.
        until_day: first day after the period, which begins with the calendar.
        calendar: shelf prices and promotions of the period.
        state: the needs and the household are overwritten with those of the last household, at the end of the period.
        lines: receives the lines, household by household, each by day, within a day by need.
        line_counts: int32[h], receives the number of lines of each household.
        archetype_indices: int32[h], receives the archetype of each household.

    Returns:
        Number of households whose lines are written.
    """
    start = 0
    for at in range(len(keys)):
        ratio = high_ratio(bits_at(keys[at], _ARCHETYPE))
        archetype = 0
        while state.archetypes.parameters[archetype]["share_end"] <= ratio:
            archetype += 1
        archetype_indices[at] = archetype
        count = simulate_period(keys[at], archetype, calendar.from_day, until_day, state)
        if start + count > len(lines.days):
            return at
        write_lines(count, calendar, state, slice_lines(lines, start, start + count))
        line_counts[at] = count
        start += count
    return len(keys)


@inlined
def _create_household(key: np.uint64, archetype: int, start_day: int, state: KernelState) -> None:
    """Draws how a household differs from its archetype, what it needs, and how often."""
    model, own, parameters = state.model, state.household[0], state.archetypes.parameters[archetype]
    bits = bits_at(key, _SIZE_FACTORS)
    own["archetype"] = archetype
    own["promotion_depth_ratio"] = parameters["promotion_depth_ratio"]
    own["switch_chance"] = parameters["switch_chance"]
    factor = quantile(model.tables, GAP_FACTORS, high_ratio(bits))
    own["gap_days"], own["drawn_gap_days"] = parameters["gap_days"] * factor, parameters["drawn_gap_days"] * factor
    own["basket_items"] = parameters["basket_items"] * quantile(model.tables, BASKET_FACTORS, low_ratio(bits))
    own["price_level"] = parameters["price_level"]
    own["multiple_units_ratio"] = parameters["multiple_units_ratio"]
    difference = quantile(model.tables, NORMAL, high_ratio(bits_at(key, _PROMOTIONS)))
    own["promotion_ratio"] = parameters["promotion_ratio"] + model.parameters[0]["promotion_spread"] * difference
    has_first_purchase = state.assortment.needs[0]["first_item"] >= 0
    own["max_gap_ratio"] = np.inf
    if has_first_purchase:
        own["max_gap_ratio"] = model.parameters[0]["max_new_gap_ratio"]
        own["drawn_gap_days"] *= model.parameters[0]["new_gap_scale"]
    bits = bits_at(key, _FIRST_TRIP)
    own["trip_number"] = 0
    own["trip_kind"] = _step(model.steps, TRIP_ENDS, low_ratio(bits))
    own["trip_day"] = start_day
    if not has_first_purchase:
        own["trip_day"] += int(quantile(model.tables, FIRST_GAPS, high_ratio(bits)) * own["gap_days"])
    staple_count = _draw_needs(key, archetype, state)
    _scale_needs(archetype, staple_count, state)
    _schedule_needs(start_day, has_first_purchase, state)


@compiled("numpy", inline=True)
def simulate_period(key: np.uint64, archetype: int, from_day: int, until_day: int, state: KernelState) -> int:
    """Finds a household's purchases in a period without their prices, which `write_lines` adds.

    Args:
        key: key of the household.
        archetype: position of its archetype, which creates the household; `EXISTING_HOUSEHOLD` to continue with the
            household and the needs of the state.
        from_day: first day of the period.
        until_day: first day after the period.
        state: the needs and the household are overwritten with those at the end of the period; the workspace receives
            the purchases. If the assortment has items of a first purchase, the first trip is on the first day.

    Returns:
        Number of purchases.
    """
    if archetype != EXISTING_HOUSEHOLD:
        _create_household(key, archetype, from_day, state)
    first_number = state.household[0]["trip_number"]
    trips = _plan_trips(key, from_day, until_day, state)
    starts = state.work.trip_starts
    starts[: trips + 1] = 0
    count = _fill_needs(from_day, until_day, state)
    count = _fill_empty_trips(key, trips, first_number, count, state)
    for trip in range(trips):
        starts[trip + 1] += starts[trip]
    return count


@compiled("numpy")
def _step(steps: Floats, row: int, ratio: float) -> int:
    """The first step whose cumulative share exceeds a ratio."""
    step = 0
    for at in range(MAX_STEPS):  # no early exit: a branch that is hard to predict takes longer
        step += steps[row, at] <= ratio
    return step


@inlined
def _choose(
    need: Any, ratio: float, archetype: np.uint64, archetypes: ArchetypeArrays, members: Positions
) -> np.uint32:
    """The item of its kind that an archetype chooses with a random number from 0 to below 1."""
    place = ratio * need["member_count"]
    whole = int(place)
    member = np.uint64(need["member_start"] + whole)
    other = np.uint64(archetypes.aliases[archetype, member])  # loaded in any case, so that there is no branch
    return members[member if place - whole < archetypes.choice_ratios[archetype, member] else other]  # type: ignore[no-any-return]


@inlined
def _draw_needs(key: np.uint64, archetype: int, state: KernelState) -> int:
    """Draws each need's role, item and purchases a day, which are not scaled yet and kept in `need_days`.

    Returns the number of staples; the workspace lists them.
    """
    assortment, model, work, archetypes = state.assortment, state.model, state.work, state.archetypes
    weights, usual = archetypes.weights, archetypes.parameters[archetype]
    parameters, tables, own, sums = model.parameters[0], model.tables, state.household[0], work.sums
    occasional = parameters["regularity_count"]
    max_staple_ratio, use_ratio = parameters["max_staple_ratio"], usual["use_ratio"]
    # Purchases a day over the archetype's: who buys more needs more kinds of things.
    size = own["basket_items"] * usual["gap_days"] / (own["gap_days"] * usual["basket_items"])
    max_a_day = parameters["max_purchases_per_trip"] / own["gap_days"]
    sums[:] = 0.0
    staple_count = 0
    for at in range(len(assortment.needs)):
        need = assortment.needs[at]
        category = need["category"]
        first_item = need["first_item"]
        if weights[archetype, category] == 0 and first_item < 0:
            need["need_days"] = 0.0
            continue
        stream = bits_at(key, need["stream_code"])
        role = bits_at(stream, _ROLE)
        item = np.uint32(first_item)
        units = 1
        if first_item >= 0:
            factor = quantile(tables, FIRST_ITEM_FACTORS, low_ratio(role))
            rate = min(assortment.items[item]["purchases_a_day"] * use_ratio / factor, max_a_day)
            # People put into a first basket what they buy most regularly.
            need["regularity"] = 0 if need["preference"] > 0 else occasional
            sums[_WANTED, category] -= rate
        else:
            item = _choose(need, high_ratio(stream), np.uint64(archetype), archetypes, assortment.members)
            rate = assortment.items[item]["purchases_a_day"] * use_ratio
            popularity = archetypes.popularity[archetype, need["kind"]]
            chance = archetypes.staple_scales[archetype, category] * popularity * size
            if high_ratio(role) < min(chance * need["preference"], max_staple_ratio):
                rate *= quantile(tables, STAPLE_FACTORS, low_ratio(role))
                if rate > max_a_day:
                    # More units than one for what is used up before the next trip.
                    units = min(max(int(rate / max_a_day + 0.5), 1), _MAX_UNITS)
                    rate /= units
                rate *= parameters["active_ratio"]
                need["regularity"] = _step(model.steps, REGULARITY_ENDS, low_ratio(stream))
                sums[_STAPLES, category] += rate
                work.staples[staple_count] = at
                staple_count += 1
            else:
                rate = quantile(tables, OCCASIONAL_FACTORS, low_ratio(role)) * math.sqrt(popularity / rate)
                need["regularity"] = occasional
                sums[_OCCASIONAL, category] += rate
        need["key"] = stream
        need["item"] = item
        need["usual_item"] = item
        need["units"] = units
        need["need_days"] = rate
    return staple_count


@inlined
def _scale_needs(archetype: int, staple_count: int, state: KernelState) -> None:
    """Finds the factor by which to scale the needs of each category so that its purchases match its weight.

    Staples are scaled, then capped; the uncapped ones are scaled a second time to make up for the difference. Both
    times within limits, so that their intervals stay those of their kinds; occasional needs make up for the rest.
    """
    weights, needs, work, own = state.archetypes.weights, state.assortment.needs, state.work, state.household[0]
    parameters, sums = state.model.parameters[0], work.sums
    max_scale = parameters["max_scale"]
    min_scale = 1 / max_scale
    purchases_a_day = own["basket_items"] / own["gap_days"]
    max_a_day = parameters["max_purchases_per_trip"] / own["gap_days"]
    for category in range(weights.shape[1]):
        wanted = max(weights[archetype, category] * purchases_a_day + sums[_WANTED, category], 0.0)
        staples = sums[_STAPLES, category]
        scale = 0.0
        if staples > 0:
            for_staples = wanted * (1 - parameters["occasional_volume_ratio"])
            scale = min(max(for_staples / staples, min_scale), max_scale)
        sums[_TOTALS, category] = wanted
        sums[_WANTED, category] = scale * staples
        sums[_SCALES, category] = scale
        sums[_STAPLES, category] = 0.0
    # No item is bought on every trip: less frequent staples make up for the ones that are capped.
    for position in range(staple_count):
        need = needs[work.staples[position]]
        category = need["category"]
        rate = need["need_days"] * sums[_SCALES, category]
        need["need_days"] = rate
        if rate >= max_a_day:
            sums[_WANTED, category] -= max_a_day
            sums[_CAPPED, category] += max_a_day
        else:
            sums[_STAPLES, category] += rate
    for category in range(weights.shape[1]):
        uncapped, others, wanted = sums[_STAPLES, category], sums[_OCCASIONAL, category], sums[_TOTALS, category]
        scale = 1.0
        if uncapped > 0:
            scale = min(max(max(sums[_WANTED, category], 0.0) / uncapped, min_scale), max_scale)
        sums[_SCALES, category] = scale
        left = wanted - sums[_CAPPED, category] - scale * uncapped
        min_rate = wanted * parameters["occasional_volume_ratio"] * _MIN_OCCASIONAL_RATIO
        sums[_OCCASIONAL, category] = max(left, min_rate) / others if others > 0 else 0.0


@inlined
def _schedule_needs(start_day: int, has_first_purchase: bool, state: KernelState) -> None:
    """Converts purchases a day to the time until a need returns, and draws when each need returns first."""
    needs, model, sums = state.assortment.needs, state.model, state.work.sums
    parameters, tables, steps = model.parameters[0], model.tables, model.steps
    gap = state.household[0]["gap_days"]
    trips_a_day = 1 / gap
    occasional = parameters["regularity_count"]
    reciprocal_patience, pause_days, mean_residual_gap_ratio = (
        parameters["reciprocal_patience"],
        parameters["pause_days"],
        parameters["mean_residual_gap_ratio"],
    )
    first_residual = INTERVALS + occasional + _ONE
    max_a_day = parameters["max_purchases_per_trip"] / gap
    total = 0.0
    for at in range(len(needs)):
        need = needs[at]
        need["purchase_count"] = _NOT_PREPARED
        rate = need["need_days"]
        regularity = need["regularity"]
        if rate <= 0:
            need["needed_at"] = np.inf
            need["rate_end"] = total
            continue
        is_first = need["first_item"] >= 0
        if not is_first:
            if regularity == occasional:
                rate *= sums[_OCCASIONAL, need["category"]]
            elif rate < max_a_day:
                rate *= sums[_SCALES, need["category"]]
            rate = min(rate, max_a_day)
        total += rate
        need["rate_end"] = total
        if rate <= 0:
            need["needed_at"] = np.inf
            continue
        interval = 1 / rate
        deferrability = min(
            max(interval * trips_a_day - 1, _MIN_DEFERRABILITY) * reciprocal_patience, _MAX_DEFERRABILITY
        )
        wait = gap * (mean_residual_gap_ratio + quantile(tables, PASSED_TRIPS, deferrability))
        bits = bits_at(need["key"], _PHASE)
        need["deferrability"] = deferrability
        need["need_days"] = interval
        need["interval_quantile"] = high_ratio(bits)
        pause_chance = 0.0
        if regularity != occasional and not is_first:
            # The most frequent needs have no time for pauses.
            left = max(interval - wait - _MIN_NEED_RATIO * gap, 0.0) / pause_days
            active_days = interval * parameters["active_ratio"]
            pause_chance = min(active_days / parameters["days_until_pause"], left, _MAX_CHANCE)
        need["pause_chance"] = pause_chance
        if is_first:
            need["needed_at"] = start_day
            need["min_trip_kind"] = 0
            continue
        needed_at = start_day - wait
        pause = bits_at(need["key"], _PAUSE) if pause_chance > 0 else bits
        if pause_chance > 0 and high_ratio(pause) < pause_chance * pause_days * rate:
            needed_at += pause_days * quantile(tables, PAUSES, low_ratio(pause))
        else:
            needed_at += interval * quantile(tables, first_residual + regularity, high_ratio(bits))
        if has_first_purchase:
            needed_at = max(needed_at, start_day + 1.0)
        need["needed_at"] = needed_at
        need["min_trip_kind"] = _step(steps, REACHES, low_ratio(bits) * deferrability)


@inlined
def _prepare_need(need: Any, usual_quantity: int, household: Any, model: Model) -> None:
    """Computes the parameters that a need has from its first purchase on. Most needs have no purchase in a period."""
    parameters = model.parameters[0]
    interval, gap = need["need_days"], household["gap_days"]
    wait = gap * (parameters["mean_residual_gap_ratio"] + quantile(model.tables, PASSED_TRIPS, need["deferrability"]))
    # A household keeps to what it chose itself.
    swap_chance = min(interval / parameters["days_until_swap"], _MAX_CHANCE)
    need["swap_chance"] = 0.0 if need["first_item"] >= 0 else swap_chance
    left = interval - wait - need["pause_chance"] * parameters["pause_days"]
    if need["regularity"] != parameters["regularity_count"]:
        # More units than usual last longer.
        extra_units = household["multiple_units_ratio"] * parameters["mean_extra_units"]
        if need["first_item"] >= 0:
            extra_units *= _FIRST_ITEM_EXTRA_RATIO
        left /= 1 + extra_units / (usual_quantity * need["units"])
    need["need_days"] = max(left, _MIN_NEED_RATIO * gap)


@inlined
def _draw_price(need: Any, level: float, model: Model) -> None:
    """Draws the price level of the item that a household buys."""
    bits = bits_at(need["key"], _PRICE)
    difference = model.parameters[0]["price_spread"] * quantile(model.tables, NORMAL, high_ratio(bits))
    need["price_level"] = min(max(level + difference, 0.0), 1.0)


@inlined
def _plan_trips(key: np.uint64, from_day: int, until_day: int, state: KernelState) -> int:
    """Draws the trips of a period and finds, for each day, the next trip of each kind. Returns their number."""
    work, model, own = state.work, state.model, state.household[0]
    tables, steps = model.tables, model.steps
    next_trips, filled_days = work.next_trips, work.filled_days
    stream, spells = bits_at(key, _TRIPS), bits_at(key, _SPELLS)
    days, spell_days = until_day - from_day, model.parameters[0]["spell_days"]
    filled_days[:] = 0
    count = 0
    day, number, drawn_gap_days = own["trip_day"], own["trip_number"], own["drawn_gap_days"]
    trip_kind, max_gap_ratio = own["trip_kind"], own["max_gap_ratio"]
    while day < until_day:
        spell = quantile(tables, SPELL_FACTORS, high_ratio(bits_at(spells, np.uint64(day // spell_days))))
        work.trip_offsets[count] = day - from_day
        work.spell_factors[count] = spell
        for kind in range(trip_kind + 1):
            for before in range(filled_days[kind], day - from_day + 1):
                next_trips[kind, before] = count
            filled_days[kind] = day - from_day + 1
        count += 1
        bits = bits_at(stream, np.uint64(number) * _TWO)
        trip_kind = _step(steps, TRIP_ENDS, low_ratio(bits))
        # The drawn day or one of its neighbors, weighted by the popularity of their weekdays.
        gap = min(quantile(tables, GAPS, high_ratio(bits)) * spell, max_gap_ratio)
        target = day + max(1, int(gap * drawn_gap_days + 0.5))
        first = max(day + 1, target - 1)
        total = 0.0
        for candidate in range(first, target + 2):
            total += steps[WEEKDAYS, (candidate + _WEEKDAY_OF_DAY_0) % 7]
        left = high_ratio(bits_at(stream, np.uint64(number) * _TWO + _ONE)) * total
        day = first
        left -= steps[WEEKDAYS, (day + _WEEKDAY_OF_DAY_0) % 7]
        while left >= 0 and day < target + 1:
            day += 1
            left -= steps[WEEKDAYS, (day + _WEEKDAY_OF_DAY_0) % 7]
        number += 1
    own["trip_day"], own["trip_number"], own["trip_kind"] = day, number, trip_kind
    for kind in range(next_trips.shape[0]):
        next_trips[kind, filled_days[kind] : days] = -1
    return count


@inlined
def _fill_needs(from_day: int, until_day: int, state: KernelState) -> int:
    """Follows each need through a period and records its purchases. Returns their number."""
    assortment, model, work, own = state.assortment, state.model, state.work, state.household[0]
    tables, steps, items, events, starts = model.tables, model.steps, assortment.items, work.events, work.trip_starts
    pause_days, habit = model.parameters[0]["pause_days"], model.parameters[0]["habit"]
    level = own["price_level"]
    switch, archetype = own["switch_chance"], own["archetype"]
    count = 0
    for at in range(len(assortment.needs)):
        need = assortment.needs[at]
        needed_at = need["needed_at"]
        if needed_at >= until_day:
            continue
        stream, number, item, min_trip_kind = need["key"], need["purchase_count"], need["item"], need["min_trip_kind"]
        if number == _NOT_PREPARED:
            number = 0
            _prepare_need(need, items[item]["usual_quantity"], own, model)
            _draw_price(need, level, model)
        need_days, swap_chance, pause_chance = need["need_days"], need["swap_chance"], need["pause_chance"]
        deferrability, interval_quantile = need["deferrability"], need["interval_quantile"]
        table = INTERVALS + need["regularity"]
        multiple = own["multiple_units_ratio"]
        if need["first_item"] >= 0:
            multiple *= _FIRST_ITEM_EXTRA_RATIO
        is_staple = need["regularity"] != model.parameters[0]["regularity_count"]
        usual_item, has_members = need["usual_item"], need["member_count"] > 0
        while needed_at < until_day:
            next_trip = work.next_trips[min_trip_kind, np.uint64(max(int(needed_at) - from_day, 0))]
            if next_trip < 0:
                break
            trip = np.uint64(next_trip)
            starts[trip + _ONE] += 1
            counter = _PURCHASES + np.uint64(number) * _TWO
            bits = bits_at(stream, counter)
            change_bits = bits_at(stream, counter + _ONE)
            usual_quantity = items[item]["usual_quantity"] * need["units"]
            quantity = usual_quantity
            units = low_ratio(change_bits)
            if number == 0 and need["first_item"] >= 0:
                quantity = -quantity
            elif units < multiple:
                quantity = min(quantity + 1 + _step(steps, EXTRA_UNIT_ENDS, units / multiple), MAX_QUANTITY)
            event = events[count]
            event["trip"], event["need"], event["item"], event["quantity"] = trip, at, item, quantity
            count += 1
            number += 1
            stock = 1.0
            if is_staple and quantity > usual_quantity:
                stock = quantity / usual_quantity
            change = high_ratio(change_bits)
            if change < 1 - habit:
                interval_quantile = high_ratio(bits)
            days = quantile(tables, table, interval_quantile) * need_days * stock * work.spell_factors[trip]
            item = usual_item
            if change < swap_chance:
                item = _choose(
                    need, min(change / swap_chance, _BELOW_1), archetype, state.archetypes, assortment.members
                )
                usual_item = item
            elif change < swap_chance + pause_chance:
                days += quantile(tables, PAUSES, (change - swap_chance) / pause_chance) * pause_days
            elif has_members and change < swap_chance + pause_chance + switch:
                ratio = (change - swap_chance - pause_chance) / switch
                item = _choose(need, min(ratio, _BELOW_1), archetype, state.archetypes, assortment.members)
            needed_at = from_day + work.trip_offsets[trip] + max(days, 1.0)
            min_trip_kind = np.uint32(_step(steps, REACHES, low_ratio(bits) * deferrability))
        need["usual_item"] = usual_item
        need["needed_at"], need["purchase_count"], need["item"], need["min_trip_kind"] = (
            needed_at,
            number,
            item,
            min_trip_kind,
        )
        need["interval_quantile"] = interval_quantile
    return count


@inlined
def _fill_empty_trips(key: np.uint64, trips: int, first_number: int, count: int, state: KernelState) -> int:
    """Adds one purchase to each trip that fills no need, because no trip is empty. Returns the number of purchases."""
    assortment, work = state.assortment, state.work
    needs, events = assortment.needs, work.events
    stream = bits_at(key, _TRIPS)
    last = len(needs) - 1
    for trip in range(trips):
        if work.trip_starts[trip + 1] > 0:
            continue
        number = bits_at(stream, np.uint64(first_number + trip) * _TWO + _ONE)
        sought = low_ratio(number) * needs[last]["rate_end"]
        low, high = 0, last
        while low < high:
            middle = (low + high) // 2
            if needs[middle]["rate_end"] > sought:
                high = middle
            else:
                low = middle + 1
        # The initial item: for a trip in the past, the item that the need has been swapped to is not known.
        first_item = needs[low]["first_item"]
        item = np.uint32(first_item)
        if first_item < 0:
            ratio = high_ratio(needs[low]["key"])
            item = _choose(needs[low], ratio, state.household[0]["archetype"], state.archetypes, assortment.members)
        _draw_price(needs[low], state.household[0]["price_level"], state.model)
        event, quantity = events[count], assortment.items[item]["usual_quantity"] * needs[low]["units"]
        event["trip"], event["need"], event["item"], event["quantity"] = trip, low, item, quantity
        work.trip_starts[trip + 1] = 1
        count += 1
    return count


@compiled("numpy", inline=True)
def write_lines(count: int, calendar: Calendar, state: KernelState, lines: Lines) -> None:
    """Writes purchases in the order of the trips, with the prices and promotions of their days.

    Args:
        count: number of purchases.
        calendar: shelf prices and promotions of the period, at least of the items that are bought.
        state: as `simulate_period` left it; the purchases can be written only once.
        lines: receives the lines by day, within a day by need.
    """
    drifts, campaigns = calendar.drifts, calendar.campaigns
    promotion_ratio, work, assortment = state.household[0]["promotion_ratio"], state.work, state.assortment
    depth_ratio = state.household[0]["promotion_depth_ratio"]
    parameters = state.model.parameters[0]
    occasional = parameters["regularity_count"]
    staple_ratio, occasional_ratio = parameters["staple_promotion_ratio"], parameters["occasional_promotion_ratio"]
    needs, items, events, starts = assortment.needs, assortment.items, work.events, work.trip_starts
    for number in range(count):
        event = events[number]
        trip, item, quantity = event["trip"], event["item"], event["quantity"]
        offset = work.trip_offsets[trip]
        drift = drifts[item, calendar.changes[offset]]
        price = items[item]["given_price"]
        if price >= 0:
            drift /= items[item]["first_drift"]
            if drift != 1.0:
                price = min(int(price * drift * 100 + 0.5) / 100, MAX_PRICE)
        else:
            need, low = needs[event["need"]], items[item]["lowest_price"]
            price = low + need["price_level"] * (items[item]["highest_price"] - low)
            price = (max(int(price * drift * 10 + 0.5), 1) * 10 - 1) / 100  # ends in 9, as shelf prices do
        campaign = calendar.campaign_numbers[offset + calendar.shifts[item]]
        is_occasional = needs[event["need"]]["regularity"] == occasional
        # Products instead of branches, which processors cannot predict.
        ratio = promotion_ratio * (staple_ratio + (occasional_ratio - staple_ratio) * is_occasional)
        depth = campaigns[item, campaign, 1] * depth_ratio * (campaigns[item, campaign, 0] < ratio)
        if quantity < 0:
            quantity, depth = -quantity, 0.0
        at = starts[trip]
        starts[trip] += 1
        lines.days[at] = calendar.from_day + offset
        lines.items[at] = item
        lines.quantities[at] = quantity
        lines.prices[at] = price
        lines.savings[at] = int(price * quantity * depth * 100) / 100
