"""The simulation itself: one household at a time, compiled.

A household goes on trips, and has needs. A need returns some time after it was filled (a renewal process) and is filled
on the next trip that is large enough for its urgency. Needs know nothing of each other, so each is followed through the
whole period on its own; the purchases are then put in the order of the trips.

All that lasts from one period to the next is in the household's record and those of its needs, so that a simulation in
one go and month by month give the same purchases. All random numbers come from counter-based streams.
"""

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
    MOST_PARTS,
    NORMAL,
    OCCASIONAL_FACTORS,
    PACK_ENDS,
    PACK_PRICES,
    PASSED_TRIPS,
    PAUSES,
    REACHES,
    REGULARITY_ENDS,
    SPELL_FACTORS,
    STAPLE_FACTORS,
    TRIP_ENDS,
    WEEKDAYS,
    Archetypes,
    Assortment,
    Calendar,
    Floats,
    Integers,
    Keys,
    Lines,
    Model,
    Positions,
    Records,
    Workspace,
)
from pantree_simulation.core.streams import high_ratio, low_ratio, number_at
from pantree_simulation.core.tables import drawn

# Numbers of a household's own stream; the key of its trips is one of them.
_RHYTHM, _LEVELS, _FIRST_TRIP, _ARCHETYPE, _TRIPS, _SPELLS = map(np.uint64, range(6))
# Numbers of a need's stream: some once, then two for each purchase.
_ROLE, _PHASE, _PRICE, _PAUSE, _PURCHASES = map(np.uint64, range(5))
_ONE, _TWO = np.uint64(1), np.uint64(2)

SETTLED = -1
"""In place of an archetype: the household goes on as it is."""
_WEEKDAY_OF_DAY_0 = 3  # 1970-01-01 was a Thursday
# A need takes at least this share of a trip gap to return.
_LEAST_NEED_RATIO = 0.05
_LEAST_RELUCTANCE, _MOST_RELUCTANCE = 0.02, 1 - 1e-9
_MOST_CHANCE = 0.5
# Purchases of a need that has not come to its first one.
_UNPREPARED = -1
# Rows of sums by category: purchases a day still wanted, of staples, of occasional needs; scale of staples.
_WANTED, _STAPLES, _OCCASIONAL, _SCALES = map(np.uint64, range(4))


@compiled("numpy")
def simulate(
    keys: Keys,
    until_day: int,
    calendar: Calendar,
    assortment: Assortment,
    archetypes: Archetypes,
    model: Model,
    household: Records,
    work: Workspace,
    lines: Lines,
    line_counts: Integers,
    archetype_indices: Integers,
) -> int:
    """Simulates households one after the other, from their beginning, as many as have room in `lines`.

    Args:
        keys: uint64[h], keys of the households.
        until_day: first day after the period, which begins with the calendar.
        calendar: shelf prices and promotions of the period.
        assortment: what there is to be needed. Its needs are written: how the last household has them, as they stand at
            the end of the period.
        archetypes: the archetypes of the population.
        model: behavior.
        household: HOUSEHOLD[1], the last household, as it stands at the end of the period.
        work: is used.
        lines: receives the lines, household by household, each by day, within a day by need.
        line_counts: int32[h], receives the number of lines of each household.
        archetype_indices: int32[h], receives the archetype of each household.

    Returns:
        Number of households whose lines are written.
    """
    start = 0
    for at in range(len(keys)):
        archetype = _archetype_of(keys[at], archetypes.figures)
        archetype_indices[at] = archetype
        from_day = calendar.from_day
        count = _live(keys[at], archetype, from_day, until_day, assortment, archetypes, model, household, work)
        if start + count > len(lines.days):
            return at
        _write_lines(count, calendar, assortment, household, work, _part_of(lines, start, start + count))
        line_counts[at] = count
        start += count
    return len(keys)


@compiled("numpy")
def _archetype_of(key: np.uint64, archetypes: Records) -> int:
    """The archetype of a household of a mixed population."""
    ratio = high_ratio(number_at(key, _ARCHETYPE))
    archetype = 0
    while archetypes[archetype]["share_end"] <= ratio:
        archetype += 1
    return archetype


@inlined
def _settle(
    key: np.uint64,
    archetype: int,
    start_day: int,
    assortment: Assortment,
    archetypes: Archetypes,
    model: Model,
    household: Records,
    work: Workspace,
) -> None:
    """Makes a household: how it differs from its archetype, what it needs, and how often."""
    own, figures = household[0], archetypes.figures[archetype]
    bits = number_at(key, _RHYTHM)
    factor = drawn(model.tables, GAP_FACTORS, high_ratio(bits))
    own["gap_days"], own["rhythm_days"] = figures["gap_days"] * factor, figures["rhythm_days"] * factor
    own["basket_items"] = figures["basket_items"] * drawn(model.tables, BASKET_FACTORS, low_ratio(bits))
    own["price_level"] = figures["price_level"]
    own["multiple_units_ratio"] = figures["multiple_units_ratio"]
    difference = drawn(model.tables, NORMAL, high_ratio(number_at(key, _LEVELS)))
    own["promotion_ratio"] = figures["promotion_ratio"] + model.figures[0]["promotion_spread"] * difference
    begins_with_purchase = assortment.needs[0]["first_item"] >= 0
    bits = number_at(key, _FIRST_TRIP)
    own["trip_number"] = 0
    own["trip_kind"] = _place(model.parts, TRIP_ENDS, low_ratio(bits))
    own["trip_day"] = start_day
    if not begins_with_purchase:
        own["trip_day"] += int(drawn(model.tables, FIRST_GAPS, high_ratio(bits)) * own["gap_days"])
    staple_count = _draw_needs(key, archetype, assortment, archetypes, model, household, work)
    _scale_needs(archetypes.weights, archetype, assortment, model, household, work, staple_count)
    _begin_needs(start_day, begins_with_purchase, assortment, model, household, work.sums)


@compiled("numpy")
def live(
    key: np.uint64,
    archetype: int,
    from_day: int,
    until_day: int,
    assortment: Assortment,
    archetypes: Archetypes,
    model: Model,
    household: Records,
    work: Workspace,
) -> int:
    """Lets a household live through a period: all but its prices, which `write_lines` looks up.

    Args:
        key: of the household.
        archetype: position of its archetype; `SETTLED` when it goes on as `household` and the needs of `assortment`
            say.
        from_day: first day of the period.
        until_day: first day after the period.
        assortment: what there is to be needed. Its needs are written: how the household has them, as they stand at the
            end of the period. With items of a first purchase, which come first, the first trip is on the first day.
        archetypes: the archetypes of the population.
        model: behavior.
        household: HOUSEHOLD[1], the household, as it stands at the end of the period.
        work: receives the purchases.

    Returns:
        Number of purchases.
    """
    return _live(key, archetype, from_day, until_day, assortment, archetypes, model, household, work)


@inlined
def _live(
    key: np.uint64,
    archetype: int,
    from_day: int,
    until_day: int,
    assortment: Assortment,
    archetypes: Archetypes,
    model: Model,
    household: Records,
    work: Workspace,
) -> int:
    """`live` as a part of its callers: calls of it and of `write_lines` take a population 3 % longer."""
    if archetype != SETTLED:
        _settle(key, archetype, from_day, assortment, archetypes, model, household, work)
    first_number = household[0]["trip_number"]
    trips = _plan_trips(key, from_day, until_day, model, household, work)
    starts = work.trip_starts
    starts[: trips + 1] = 0
    count = _fill_needs(from_day, until_day, assortment, model, household, work)
    count = _fill_empty_trips(key, trips, first_number, assortment, model, household, work, count)
    for trip in range(trips):
        starts[trip + 1] += starts[trip]
    return count


@compiled("numpy")
def _part_of(lines: Lines, start: int, end: int) -> Lines:
    """Some of the lines; the same memory."""
    return Lines(
        lines.days[start:end],
        lines.items[start:end],
        lines.quantities[start:end],
        lines.prices[start:end],
        lines.savings[start:end],
    )


@compiled("numpy")
def _place(parts: Floats, row: int, ratio: float) -> int:
    """The first part whose cumulative share exceeds a ratio."""
    place = 0
    for part in range(MOST_PARTS):  # to the end, since a loop that ends by chance takes longer
        place += parts[row, part] <= ratio
    return place


@compiled("numpy")
def _chosen_item(need: Any, stream: np.uint64, members: Positions) -> np.uint32:
    """The item of its kind that a household prefers at first; the key of a need's stream is random itself."""
    return members[np.uint64(need["member_start"] + int(high_ratio(stream) * need["member_count"]))]  # type: ignore[no-any-return]


@inlined
def _draw_needs(
    key: np.uint64,
    archetype: int,
    assortment: Assortment,
    archetypes: Archetypes,
    model: Model,
    household: Records,
    work: Workspace,
) -> int:
    """Draws each need's role, item and purchases a day (in `need_days` for now), before they are scaled.

    Returns how many staples there are; they are listed in the workspace.
    """
    figures, tables, own, sums = model.figures[0], model.tables, household[0], work.sums
    occasional = figures["regularities"]
    staple_ratio = figures["staple_ratio"]
    most_a_day = figures["most_purchases_per_trip"] / own["gap_days"]
    sums[:] = 0.0
    staple_count = 0
    for at in range(len(assortment.needs)):
        need = assortment.needs[at]
        category = need["category"]
        first_item = need["first_item"]
        if archetypes.weights[archetype, category] == 0 and first_item < 0:
            need["need_days"] = 0.0
            continue
        stream = number_at(key, need["code"])
        role = number_at(stream, _ROLE)
        item = np.uint32(first_item)
        if first_item >= 0:
            factor = drawn(tables, FIRST_ITEM_FACTORS, low_ratio(role))
            rate = min(assortment.items[item]["purchases_a_day"] / factor, most_a_day)
            need["regularity"] = 0  # what people put into a first basket is what they buy most regularly
            sums[_WANTED, category] -= rate
        else:
            item = _chosen_item(need, stream, assortment.members)
            rate = assortment.items[item]["purchases_a_day"]
            if high_ratio(role) < staple_ratio * need["preference"]:
                rate *= drawn(tables, STAPLE_FACTORS, low_ratio(role))
                need["regularity"] = _place(model.parts, REGULARITY_ENDS, low_ratio(stream))
                sums[_STAPLES, category] += rate
                work.staples[staple_count] = at
                staple_count += 1
            else:
                rate *= drawn(tables, OCCASIONAL_FACTORS, low_ratio(role))
                need["regularity"] = occasional
                sums[_OCCASIONAL, category] += rate
        need["key"] = stream
        need["item"] = item
        need["need_days"] = rate
    return staple_count


@inlined
def _scale_needs(
    weights: Floats,
    archetype: int,
    assortment: Assortment,
    model: Model,
    household: Records,
    work: Workspace,
    staple_count: int,
) -> None:
    """Finds by what the needs of each category are to be scaled so that its purchases come to its weight.

    Scales the staples to begin with; what they lack for being capped is found from what they then come to.
    """
    figures, own, sums, needs = model.figures[0], household[0], work.sums, assortment.needs
    purchases_a_day = own["basket_items"] / own["gap_days"]
    most_a_day = figures["most_purchases_per_trip"] / own["gap_days"]
    for category in range(weights.shape[1]):
        wanted = max(weights[archetype, category] * purchases_a_day + sums[_WANTED, category], 0.0)
        staples, others = sums[_STAPLES, category], sums[_OCCASIONAL, category]
        of_others = wanted
        if staples > 0:
            of_others *= figures["occasional_volume_ratio"]
        sums[_WANTED, category] = wanted - of_others
        sums[_SCALES, category] = (wanted - of_others) / staples if staples > 0 else 0.0
        sums[_OCCASIONAL, category] = of_others / others if others > 0 else 0.0
        sums[_STAPLES, category] = 0.0
    # Nothing is bought on every trip; what the most frequent staples cannot bring, the others do.
    for position in range(staple_count):
        need = needs[work.staples[position]]
        category = need["category"]
        rate = need["need_days"] * sums[_SCALES, category]
        need["need_days"] = rate
        if rate >= most_a_day:
            sums[_WANTED, category] -= most_a_day
        else:
            sums[_STAPLES, category] += rate
    for category in range(weights.shape[1]):
        others = sums[_STAPLES, category]
        sums[_SCALES, category] = max(sums[_WANTED, category], 0.0) / others if others > 0 else 1.0


@inlined
def _begin_needs(
    start_day: int,
    begins_with_purchase: bool,
    assortment: Assortment,
    model: Model,
    household: Records,
    sums: Floats,
) -> None:
    """Turns purchases a day into the time until a need returns, and draws when each does so first."""
    figures, tables, parts = model.figures[0], model.tables, model.parts
    gap = household[0]["gap_days"]
    trips_a_day = 1 / gap
    occasional = figures["regularities"]
    impatience, pause_days, first_wait_ratio = figures["impatience"], figures["pause_days"], figures["first_wait_ratio"]
    first_residual = INTERVALS + occasional + _ONE
    most_a_day = figures["most_purchases_per_trip"] / gap
    total = 0.0
    for at in range(len(assortment.needs)):
        need = assortment.needs[at]
        need["purchase_count"] = _UNPREPARED
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
            elif rate < most_a_day:
                rate *= sums[_SCALES, need["category"]]
            rate = min(rate, most_a_day)
        total += rate
        need["rate_end"] = total
        if rate <= 0:
            need["needed_at"] = np.inf
            continue
        interval = 1 / rate
        reluctance = min(max(interval * trips_a_day - 1, _LEAST_RELUCTANCE) * impatience, _MOST_RELUCTANCE)
        wait = gap * (first_wait_ratio + drawn(tables, PASSED_TRIPS, reluctance))
        bits = number_at(need["key"], _PHASE)
        need["reluctance"] = reluctance
        need["need_days"] = interval
        need["pace"] = high_ratio(bits)
        pause_chance = 0.0
        if regularity != occasional:
            # The most frequent needs have no time for pauses.
            left = max(interval - wait - _LEAST_NEED_RATIO * gap, 0.0) / pause_days
            pause_chance = min(interval / figures["days_until_pause"], left, _MOST_CHANCE)
        need["pause_chance"] = pause_chance
        if is_first:
            need["needed_at"] = start_day
            need["least_kind"] = 0
            continue
        needed_at = start_day - wait
        pause = number_at(need["key"], _PAUSE) if pause_chance > 0 else bits
        if pause_chance > 0 and high_ratio(pause) < pause_chance * pause_days * rate:
            needed_at += pause_days * drawn(tables, PAUSES, low_ratio(pause))
        else:
            needed_at += interval * drawn(tables, first_residual + regularity, high_ratio(bits))
        if begins_with_purchase:
            needed_at = max(needed_at, start_day + 1.0)
        need["needed_at"] = needed_at
        need["least_kind"] = _place(parts, REACHES, low_ratio(bits) * reluctance)


@compiled("numpy")
def _prepare_need(need: Any, gap: float, model: Model) -> None:
    """Works out what only matters from a need's first purchase on; most needs never come to it within a period."""
    figures = model.figures[0]
    interval = need["need_days"]
    wait = gap * (figures["first_wait_ratio"] + drawn(model.tables, PASSED_TRIPS, need["reluctance"]))
    need["swap_chance"] = min(interval / figures["days_until_swap"], _MOST_CHANCE)
    left = interval - wait - need["pause_chance"] * figures["pause_days"]
    need["need_days"] = max(left, _LEAST_NEED_RATIO * gap)


@compiled("numpy")
def _draw_price(need: Any, level: float, model: Model) -> None:
    """Draws which pack of its kind a household buys, and where in the range of prices."""
    bits = number_at(need["key"], _PRICE)
    need["pack_price"] = model.parts[PACK_PRICES, _place(model.parts, PACK_ENDS, low_ratio(bits))]
    difference = model.figures[0]["price_spread"] * drawn(model.tables, NORMAL, high_ratio(bits))
    need["price_level"] = min(max(level + difference, 0.0), 1.0)


@inlined
def _plan_trips(
    key: np.uint64, from_day: int, until_day: int, model: Model, household: Records, work: Workspace
) -> int:
    """Draws the trips of a period and finds, for each day, the next trip of each kind. Returns how many there are."""
    own, tables, parts = household[0], model.tables, model.parts
    next_trips, known_days = work.next_trips, work.known_days
    stream, spells = number_at(key, _TRIPS), number_at(key, _SPELLS)
    days, spell_days = until_day - from_day, model.figures[0]["spell_days"]
    known_days[:] = 0
    count = 0
    day, number, rhythm_days = own["trip_day"], own["trip_number"], own["rhythm_days"]
    trip_kind = own["trip_kind"]
    while day < until_day:
        spell = drawn(tables, SPELL_FACTORS, high_ratio(number_at(spells, np.uint64(day // spell_days))))
        work.trip_places[count] = day - from_day
        work.trip_spells[count] = spell
        for kind in range(trip_kind + 1):
            for before in range(known_days[kind], day - from_day + 1):
                next_trips[kind, before] = count
            known_days[kind] = day - from_day + 1
        count += 1
        bits = number_at(stream, np.uint64(number) * _TWO)
        trip_kind = _place(parts, TRIP_ENDS, low_ratio(bits))
        # The day that the rhythm says or one of its neighbors, by how popular their weekdays are.
        target = day + max(1, int(drawn(tables, GAPS, high_ratio(bits)) * rhythm_days * spell + 0.5))
        first = max(day + 1, target - 1)
        total = 0.0
        for candidate in range(first, target + 2):
            total += parts[WEEKDAYS, (candidate + _WEEKDAY_OF_DAY_0) % 7]
        left = high_ratio(number_at(stream, np.uint64(number) * _TWO + _ONE)) * total
        day = first
        left -= parts[WEEKDAYS, (day + _WEEKDAY_OF_DAY_0) % 7]
        while left >= 0 and day < target + 1:
            day += 1
            left -= parts[WEEKDAYS, (day + _WEEKDAY_OF_DAY_0) % 7]
        number += 1
    own["trip_day"], own["trip_number"], own["trip_kind"] = day, number, trip_kind
    for kind in range(next_trips.shape[0]):
        next_trips[kind, known_days[kind] : days] = -1
    return count


@inlined
def _fill_needs(
    from_day: int, until_day: int, assortment: Assortment, model: Model, household: Records, work: Workspace
) -> int:
    """Follows each need through a period and notes its purchases. Returns how many there are."""
    tables, parts, items, events, starts = model.tables, model.parts, assortment.items, work.events, work.trip_starts
    pause_days, habit = model.figures[0]["pause_days"], model.figures[0]["habit"]
    own = household[0]
    gap, level, multiple = own["gap_days"], own["price_level"], own["multiple_units_ratio"]
    count = 0
    for at in range(len(assortment.needs)):
        need = assortment.needs[at]
        needed_at = need["needed_at"]
        if needed_at >= until_day:
            continue
        stream, number, item, least_kind = need["key"], need["purchase_count"], need["item"], need["least_kind"]
        if number == _UNPREPARED:
            number = 0
            _prepare_need(need, gap, model)
            _draw_price(need, level, model)
        need_days, swap_chance, pause_chance = need["need_days"], need["swap_chance"], need["pause_chance"]
        reluctance, pace = need["reluctance"], need["pace"]
        table = INTERVALS + need["regularity"]
        while needed_at < until_day:
            next_trip = work.next_trips[least_kind, np.uint64(max(int(needed_at) - from_day, 0))]
            if next_trip < 0:
                break
            trip = np.uint64(next_trip)
            starts[trip + _ONE] += 1
            counter = _PURCHASES + np.uint64(number) * _TWO
            bits = number_at(stream, counter)
            fate_and_units = number_at(stream, counter + _ONE)
            quantity = items[item]["usual_quantity"]
            units = low_ratio(fate_and_units)
            if number == 0 and need["first_item"] >= 0:
                quantity = -quantity
            elif units < multiple:
                quantity = min(quantity + 1 + _place(parts, EXTRA_UNIT_ENDS, units / multiple), MAX_QUANTITY)
            event = events[count]
            event["trip"], event["need"], event["item"], event["quantity"] = trip, at, item, quantity
            count += 1
            number += 1
            fate = high_ratio(fate_and_units)
            if fate < 1 - habit:
                pace = high_ratio(bits)
            days = drawn(tables, table, pace) * need_days * work.trip_spells[trip]
            if fate < swap_chance:
                members = need["member_count"]
                if members > 0:
                    other = min(int(fate / swap_chance * members), members - 1)
                    item = assortment.members[np.uint64(need["member_start"] + other)]
            elif fate < swap_chance + pause_chance:
                days += drawn(tables, PAUSES, (fate - swap_chance) / pause_chance) * pause_days
            needed_at = from_day + work.trip_places[trip] + max(days, 1.0)
            least_kind = np.uint32(_place(parts, REACHES, low_ratio(bits) * reluctance))
        need["needed_at"], need["purchase_count"], need["item"], need["least_kind"] = (
            needed_at,
            number,
            item,
            least_kind,
        )
        need["pace"] = pace
    return count


@inlined
def _fill_empty_trips(
    key: np.uint64,
    trips: int,
    first_number: int,
    assortment: Assortment,
    model: Model,
    household: Records,
    work: Workspace,
    count: int,
) -> int:
    """Lets each trip that fills no need fetch something anyway: nobody goes shopping for nothing."""
    needs, events = assortment.needs, work.events
    stream = number_at(key, _TRIPS)
    last = len(needs) - 1
    for trip in range(trips):
        if work.trip_starts[trip + 1] > 0:
            continue
        number = number_at(stream, np.uint64(first_number + trip) * _TWO + _ONE)
        sought = low_ratio(number) * needs[last]["rate_end"]
        low, high = 0, last
        while low < high:
            middle = (low + high) // 2
            if needs[middle]["rate_end"] > sought:
                high = middle
            else:
                low = middle + 1
        # What the household began with: what it has swapped to since is not known of a trip in the past.
        first_item = needs[low]["first_item"]
        item = np.uint32(first_item)
        if first_item < 0:
            item = _chosen_item(needs[low], needs[low]["key"], assortment.members)
        _draw_price(needs[low], household[0]["price_level"], model)
        event, quantity = events[count], assortment.items[item]["usual_quantity"]
        event["trip"], event["need"], event["item"], event["quantity"] = trip, low, item, quantity
        work.trip_starts[trip + 1] = 1
        count += 1
    return count


@compiled("numpy")
def write_lines(
    count: int,
    calendar: Calendar,
    assortment: Assortment,
    household: Records,
    work: Workspace,
    lines: Lines,
) -> None:
    """Writes purchases in the order of the trips, with the prices and promotions of their days.

    Args:
        count: how many there are.
        calendar: shelf prices and promotions of the period, at least of the items that are bought.
        assortment: what was needed.
        household: HOUSEHOLD[1], who buys.
        work: the purchases, as `live` left them; only once.
        lines: receives the lines by day, within a day by need.
    """
    _write_lines(count, calendar, assortment, household, work, lines)


@inlined
def _write_lines(
    count: int,
    calendar: Calendar,
    assortment: Assortment,
    household: Records,
    work: Workspace,
    lines: Lines,
) -> None:
    """`write_lines` as a part of its callers."""
    drifts, campaigns = calendar.drifts, calendar.campaigns
    promotion_ratio = household[0]["promotion_ratio"]
    needs, items, events, starts = assortment.needs, assortment.items, work.events, work.trip_starts
    for number in range(count):
        event = events[number]
        trip, item, quantity = event["trip"], event["item"], event["quantity"]
        place = work.trip_places[trip]
        drift = drifts[item, calendar.changes[place]]
        price = items[item]["given_price"]
        if price >= 0:
            drift /= items[item]["first_drift"]
            if drift != 1.0:
                price = min(int(price * drift * 100 + 0.5) / 100, MAX_PRICE)
        else:
            need, low = needs[event["need"]], items[item]["lowest_price"]
            price = low + need["price_level"] * (items[item]["highest_price"] - low)
            price = (
                max(int(price * need["pack_price"] * drift * 10 + 0.5), 1) * 10 - 1
            ) / 100  # ends in 9, as shelf prices do
        campaign = calendar.campaign_numbers[place + calendar.shifts[item]]
        # Times yes or no: no one can guess which it will be, and a wrong guess takes a processor longer.
        depth = campaigns[item, campaign, 1] * (campaigns[item, campaign, 0] < promotion_ratio)
        if quantity < 0:
            quantity, depth = -quantity, 0.0
        at = starts[trip]
        starts[trip] += 1
        lines.days[at] = calendar.from_day + place
        lines.items[at] = item
        lines.quantities[at] = quantity
        lines.prices[at] = price
        lines.savings[at] = int(price * quantity * depth * 100) / 100
