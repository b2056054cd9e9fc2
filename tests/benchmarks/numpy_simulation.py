"""The simulation's model in vectorized numpy: what one would write without a compiler. Gives the same purchases.

Households of a chunk are worked on concurrently: arrays are [h, s] for the needs of each household, and events are
found in rounds, the next purchase of every need that has one.
"""

import functools

import numpy as np
from numpy.typing import NDArray

from pantree_domain.catalog import load_catalog
from pantree_domain.days import day_number
from pantree_domain.limits import MAX_QUANTITY
from pantree_domain.months import add_months
from pantree_simulation.core.assortment import NamedAssortment, catalog_assortment
from pantree_simulation.core.model import archetype_arrays, build_model
from pantree_simulation.core.population import Population
from pantree_simulation.core.pricing import Pricing
from pantree_simulation.core.records import (
    BASKET_FACTORS,
    EXTRA_UNIT_ENDS,
    FIRST_GAPS,
    GAP_FACTORS,
    GAPS,
    INTERVALS,
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
    Assortment,
    Calendar,
    Lines,
    Model,
)
from pantree_simulation.core.streams import household_keys
from pantree_simulation.core.tables import CELLS
from tests.simulation.scenarios import OUR_BEHAVIOR

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Keys = NDArray[np.uint64]
Booleans = NDArray[np.bool_]

_CHUNK = 500
_BEYOND = 2.0  # what ends a row of cumulative shares
_NUMBERS_OF_A_HOUSEHOLD, _NUMBERS_OF_A_NEED, _NUMBERS_OF_A_TRIP, _NUMBERS_OF_A_LINE = 6, 6, 4, 4


@functools.cache
def _prepared() -> tuple[NamedAssortment, Model]:
    return catalog_assortment(load_catalog(), OUR_BEHAVIOR), build_model(OUR_BEHAVIOR)


def numbers_drawn(population: Population, line_count: int) -> int:
    """How many random numbers the kernel draws for a population: two to a hash."""
    named, _ = _prepared()
    per_household = 0.0
    days = day_number(add_months(population.start, population.month_count)) - day_number(population.start)
    for part in population.mix:
        weights = part.archetype.category_weights
        wanted = {at for at, name in enumerate(named.categories) if weights.get(name)}
        needs = np.isin(named.arrays.needs["category"], list(wanted)).sum()
        trips = days / part.archetype.mean_trip_gap_days
        numbers = _NUMBERS_OF_A_HOUSEHOLD + _NUMBERS_OF_A_NEED * needs + _NUMBERS_OF_A_TRIP * trips
        per_household += part.share * numbers
    return int(per_household * population.household_count) + _NUMBERS_OF_A_LINE * line_count


def simulated_with_numpy(population: Population) -> Lines:
    """Purchases of a population, in the order of the kernel."""
    named, model = _prepared()
    from_day = day_number(population.start)
    until_day = day_number(add_months(population.start, population.month_count))
    calendar = Pricing(population.seed, named, OUR_BEHAVIOR).calendar(from_day, until_day)
    mix = population.mix
    archetypes = archetype_arrays(
        [part.archetype for part in mix],
        [part.share for part in mix],
        OUR_BEHAVIOR.trips,
        model,
        named.categories,
        named.choices,
    )
    end = population.first_household + population.household_count
    chunks = []
    for first in range(population.first_household, end, _CHUNK):
        keys = household_keys(population.seed, range(first, min(first + _CHUNK, end)))
        chunks.append(_chunk(keys, until_day, calendar, named.arrays, archetypes, model))
    return Lines(*(np.concatenate(columns) for columns in zip(*chunks, strict=True)))


def same_lines(some: Lines, others: Lines) -> bool:
    """Whether two simulations gave the same purchases, to the last bit."""
    return all(getattr(some, name).tobytes() == getattr(others, name).tobytes() for name in Lines._fields)


def _number(keys: Keys, counter: Integers | Keys | int) -> Keys:
    bits = keys + (np.atleast_1d(counter).astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(bits ^ (bits >> np.uint64(31)))


def _high(bits: Keys) -> Floats:
    return np.asarray((bits >> np.uint64(32)).astype(np.float64) * (1 / 2**32))


def _low(bits: Keys) -> Floats:
    return np.asarray((bits & np.uint64(0xFFFFFFFF)).astype(np.float64) * (1 / 2**32))


def _drawn(model: Model, rows: Integers | int, ratios: Floats) -> Floats:
    places = ratios * CELLS
    cells = places.astype(np.int64)
    low = model.tables[rows, cells]
    return np.asarray(low + (model.tables[rows, cells + 1] - low) * (places - cells))


def _step(model: Model, row: int, ratios: Floats) -> Integers:
    return np.searchsorted(model.steps[row], ratios, side="right")


def _chunk(
    keys: Keys, until_day: int, calendar: Calendar, assortment: Assortment, archetypes: ArchetypeArrays, model: Model
) -> Lines:
    parameters, needs, items = model.parameters[0], assortment.needs, assortment.items
    from_day, days = calendar.from_day, until_day - calendar.from_day
    everyone = np.arange(len(keys))[:, None]
    occasional = int(parameters["regularity_count"])

    # The households.
    archetype = np.searchsorted(archetypes.parameters["share_end"], _high(_number(keys, 3)), side="right")
    own = archetypes.parameters[archetype]
    bits = _number(keys, 0)
    factor = _drawn(model, GAP_FACTORS, _high(bits))
    gap, drawn_gap_days = own["gap_days"] * factor, own["drawn_gap_days"] * factor
    basket = own["basket_items"] * _drawn(model, BASKET_FACTORS, _low(bits))
    promotion = own["promotion_ratio"] + parameters["promotion_spread"] * _drawn(model, NORMAL, _high(_number(keys, 1)))
    bits = _number(keys, 2)
    trip_day = from_day + (_drawn(model, FIRST_GAPS, _high(bits)) * gap).astype(np.int64)
    trip_kind = _step(model, TRIP_ENDS, _low(bits))

    # Their needs, and how often they would be filled.
    streams = _number(keys[:, None], needs["stream_code"].astype(np.uint64)[None, :])
    category = needs["category"][None, :]
    wanted = np.broadcast_to(archetypes.weights[archetype][:, needs["category"]] > 0, streams.shape)
    role = _number(streams, 0)
    by_need = np.broadcast_to(np.arange(len(needs)), streams.shape)

    def choose(need: Integers, ratios: Floats, of: Integers) -> Integers:
        """Items of their kinds that archetypes choose."""
        places = ratios * needs["member_count"][need]
        whole = places.astype(np.int64)
        members = needs["member_start"][need] + whole
        other_member = archetypes.aliases[of, members]
        members = np.where(places - whole >= archetypes.choice_ratios[of, members], other_member, members)
        return np.asarray(assortment.members[members].astype(np.int64))

    chosen = choose(by_need, _high(streams), archetype[:, None])
    size = basket * own["gap_days"] / (gap * own["basket_items"])
    popularity = archetypes.popularity[archetype][:, needs["kind"]]
    chance = archetypes.staple_scales[archetype][:, needs["category"]] * popularity * size[:, None]
    staple = wanted & (_high(role) < np.minimum(chance * needs["preference"], parameters["max_staple_ratio"]))
    other = wanted & ~staple
    rate = items["purchases_a_day"][chosen] * own["use_ratio"][:, None]
    highest = (parameters["max_purchases_per_trip"] / gap)[:, None]
    of_staples = rate * _drawn(model, STAPLE_FACTORS, _low(role))
    several = staple & (of_staples > highest)
    usual_units = np.where(several, (of_staples / highest + 0.5).astype(np.int64).clip(1, 3), 1)
    of_others = _drawn(model, OCCASIONAL_FACTORS, _low(role)) * np.sqrt(popularity / rate)
    rate = np.where(staple, of_staples / usual_units * parameters["active_ratio"], np.where(other, of_others, 0.0))
    regularity = np.where(staple, _step(model, REGULARITY_ENDS, _low(streams)), occasional)
    price_bits = _number(streams, 2)
    level = own["price_level"][:, None] + parameters["price_spread"] * _drawn(model, NORMAL, _high(price_bits))
    level = level.clip(0.0, 1.0)

    def by_category(values: Floats, mask: Booleans) -> Floats:
        """[h, c], sums in the order of the needs."""
        sums = np.zeros(archetypes.weights[archetype].shape)
        np.add.at(
            sums,
            (np.broadcast_to(everyone, mask.shape)[mask], np.broadcast_to(category, mask.shape)[mask]),
            values[mask],
        )
        return sums

    total = np.maximum(archetypes.weights[archetype] * (basket / gap)[:, None], 0.0)
    staples, others = by_category(rate, staple), by_category(rate, other)
    for_staples = total * (1 - parameters["occasional_volume_ratio"])
    max_scale = parameters["max_scale"]
    min_scale = 1 / max_scale
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(staples > 0, (for_staples / staples).clip(min_scale, max_scale), 0.0)
        left = scale * staples
        of_capped = np.zeros(left.shape)
        scaled = rate * scale[everyone, category]
        capped = staple & (scaled >= highest)
        # One at a time, as the kernel does it, for the same rounding.
        np.subtract.at(
            left,
            (np.broadcast_to(everyone, capped.shape)[capped], np.broadcast_to(category, capped.shape)[capped]),
            np.broadcast_to(highest, capped.shape)[capped],
        )
        np.add.at(
            of_capped,
            (np.broadcast_to(everyone, capped.shape)[capped], np.broadcast_to(category, capped.shape)[capped]),
            np.broadcast_to(highest, capped.shape)[capped],
        )
        uncapped = by_category(scaled, staple & ~capped)
        more = np.where(uncapped > 0, (np.maximum(left, 0.0) / uncapped).clip(min_scale, max_scale), 1.0)
        rest = np.maximum(total - of_capped - more * uncapped, total * parameters["occasional_volume_ratio"] * 0.25)
        other_scale = np.where(others > 0, rest / others, 0.0)
    scaled = np.where(staple & ~capped, scaled * more[everyone, category], scaled)
    rate = np.where(other, rate * other_scale[everyone, category], np.where(staple, scaled, 0.0))
    rate = np.minimum(rate, highest)
    rate_end = np.cumsum(rate, axis=1)

    # When each need returns.
    gaps = gap[:, None]
    exists = rate > 0
    interval = 1 / np.where(exists, rate, 1.0)
    deferrability = np.minimum(
        np.maximum(interval * (1 / gaps) - 1, 0.02) * parameters["reciprocal_patience"], 1 - 1e-9
    )
    wait = gaps * (parameters["mean_residual_gap_ratio"] + _drawn(model, PASSED_TRIPS, deferrability))
    room = np.maximum(interval - wait - 0.05 * gaps, 0.0) / parameters["pause_days"]
    pause_chance = np.minimum(
        np.minimum(interval * parameters["active_ratio"] / parameters["days_until_pause"], room), 0.5
    )
    pause_chance = np.where(regularity != occasional, pause_chance, 0.0)
    swap_chance = np.minimum(interval / parameters["days_until_swap"], 0.5)
    need_days = interval - wait - pause_chance * parameters["pause_days"]
    extra_units = (own["multiple_units_ratio"] * parameters["mean_extra_units"])[:, None]
    need_days = np.where(regularity != occasional, need_days / (1 + extra_units / usual_units), need_days)
    need_days = np.maximum(need_days, 0.05 * gaps)
    bits = _number(streams, 1)
    interval_quantile = _high(bits)
    pause_bits = _number(streams, 3)
    paused = _high(pause_bits) < pause_chance * parameters["pause_days"] * rate
    needed_at = (from_day - wait) + np.where(
        paused,
        parameters["pause_days"] * _drawn(model, PAUSES, _low(pause_bits)),
        interval * _drawn(model, int(INTERVALS) + occasional + 1 + regularity, interval_quantile),
    )
    needed_at = np.where(exists, needed_at, np.inf)
    min_trip_kind = _step(model, REACHES, _low(bits) * deferrability)

    # Trips, in rounds: the next one of every household.
    kinds = int((model.steps[TRIP_ENDS] < _BEYOND).sum()) + 1
    trip_stream, spell_stream = _number(keys, 4), _number(keys, 5)
    next_trips = np.full((kinds, len(keys), days), -1)
    trip_days, spell_factors, count, number = [], [], np.zeros(len(keys), np.int64), 0
    while (active := trip_day < until_day).any():
        who = np.flatnonzero(active)
        for kind in range(next_trips.shape[0]):
            not_below = who[trip_kind[who] >= kind]
            next_trips[kind, not_below, trip_day[not_below] - from_day] = number
        spell = _drawn(model, SPELL_FACTORS, _high(_number(spell_stream, trip_day // parameters["spell_days"])))
        trip_days.append(trip_day)
        spell_factors.append(spell)
        count += active
        bits = _number(trip_stream, 2 * number)
        target = trip_day + np.maximum(
            1, (_drawn(model, GAPS, _high(bits)) * spell * drawn_gap_days + 0.5).astype(np.int64)
        )
        candidates = target[:, None] + np.arange(-1, 2)
        weights = np.where(candidates > trip_day[:, None], model.steps[WEEKDAYS][(candidates + 3) % 7], 0.0)
        sought = _high(_number(trip_stream, 2 * number + 1)) * (weights[:, 0] + weights[:, 1] + weights[:, 2])
        sought -= weights[:, 0]
        shift = (sought >= 0).astype(np.int64)
        sought -= weights[:, 1]
        shift += (shift == 1) & (sought >= 0)
        trip_day = np.where(active, target - 1 + shift, trip_day)
        trip_kind = np.where(active, _step(model, TRIP_ENDS, _low(bits)), trip_kind)
        number += 1
    for day in range(days - 2, -1, -1):
        here = next_trips[:, :, day]
        next_trips[:, :, day] = np.where(here >= 0, here, next_trips[:, :, day + 1])
    day_of_trip = np.stack(trip_days, axis=1) if trip_days else np.zeros((len(keys), 0), np.int64)
    spell_of_trip = np.stack(spell_factors, axis=1) if trip_days else np.zeros((len(keys), 0))

    # Purchases, in rounds: the next one of every need that has one.
    found: list[tuple[Integers, Integers, Integers, Integers, Integers]] = []
    item, usual_item = chosen.copy(), chosen.copy()
    household, need = np.nonzero(needed_at < until_day)
    purchase = 0
    while len(household):
        at = (household, need)
        needed_on = np.maximum(needed_at[at].astype(np.int64) - from_day, 0)
        trip = next_trips[min_trip_kind[at], household, needed_on]
        filled = trip >= 0
        household, need, trip = household[filled], need[filled], trip[filled]
        at = (household, need)
        bits, change_bits = _number(streams[at], 4 + 2 * purchase), _number(streams[at], 5 + 2 * purchase)
        units, change = _low(change_bits), _high(change_bits)
        multiple = own["multiple_units_ratio"][household]
        extra = 1 + _step(model, EXTRA_UNIT_ENDS, units / multiple)
        usual_quantity = items["usual_quantity"][item[at]] * usual_units[at]
        quantity = usual_quantity
        quantity = np.where(units < multiple, np.minimum(quantity + extra, MAX_QUANTITY), quantity)
        found.append((household, trip, need, item[at], quantity))
        interval_quantile[at] = np.where(change < 1 - parameters["habit"], _high(bits), interval_quantile[at])
        later = (
            _drawn(model, int(INTERVALS) + regularity[at], interval_quantile[at])
            * need_days[at]
            * np.where(regularity[at] != occasional, quantity / usual_quantity, 1.0)
            * spell_of_trip[household, trip]
        )
        swap, pause = swap_chance[at], pause_chance[at]
        swapped = change < swap
        below_1 = 1 - 1e-9
        swapped_to = choose(need, np.where(swapped, np.minimum(change / swap, below_1), 0.0), archetype[household])
        usual_item[at] = np.where(swapped, swapped_to, usual_item[at])
        paused = ~swapped & (change < swap + pause)
        switch = own["switch_chance"][household]
        switched = ~swapped & ~paused & (change < swap + pause + switch)
        ratio = np.where(switched, np.minimum((change - swap - pause) / switch, below_1), 0.0)
        item[at] = np.where(switched, choose(need, ratio, archetype[household]), usual_item[at])
        ratio = np.where(paused, (change - swap) / np.where(pause > 0, pause, 1.0), 0.0)
        later = np.where(paused, later + _drawn(model, PAUSES, ratio) * parameters["pause_days"], later)
        needed_at[at] = day_of_trip[at[0], trip] + np.maximum(later, 1.0)
        min_trip_kind[at] = _step(model, REACHES, _low(bits) * deferrability[at])
        going_on = needed_at[at] < until_day
        household, need = household[going_on], need[going_on]
        purchase += 1

    # Trips that fill no need fetch something anyway.
    events = [np.concatenate(column) for column in zip(*found, strict=True)]
    filled_trips = np.zeros(day_of_trip.shape, np.bool_)
    filled_trips[events[0], events[1]] = True
    household, trip = np.nonzero(~filled_trips & (np.arange(day_of_trip.shape[1]) < count[:, None]))
    sought = _low(_number(trip_stream[household], 2 * trip + 1)) * rate_end[household, -1]
    need = np.minimum((rate_end[household] <= sought[:, None]).sum(axis=1), len(needs) - 1)
    fetched = chosen[household, need]
    extra_events = (household, trip, need, fetched, items["usual_quantity"][fetched] * usual_units[household, need])
    events = [np.concatenate(pair) for pair in zip(events, extra_events, strict=True)]
    order = np.lexsort((events[2], events[1], events[0]))
    household, trip, need, bought, quantity = (column[order] for column in events)

    # Receipt lines.
    day = day_of_trip[household, trip]
    price = items["lowest_price"][bought]
    price = price + level[household, need] * (items["highest_price"][bought] - price)
    drift = calendar.drifts[bought, calendar.changes[day - from_day]]
    price = (price * drift * 10 + 0.5).astype(np.int64)
    price = (np.maximum(price, 1) * 10 - 1) / 100
    campaign = calendar.campaign_numbers[day - from_day + calendar.shifts[bought]]
    staple_ratio, occasional_ratio = parameters["staple_promotion_ratio"], parameters["occasional_promotion_ratio"]
    by_role = staple_ratio + (occasional_ratio - staple_ratio) * (regularity[household, need] == occasional)
    promoted = calendar.campaigns[bought, campaign, 0] < promotion[household] * by_role
    depth = calendar.campaigns[bought, campaign, 1] * own["promotion_depth_ratio"][household] * promoted
    saving = (price * quantity * depth * 100).astype(np.int64) / 100
    return Lines(day.astype(np.int32), bought.astype(np.int32), quantity.astype(np.int32), price, saving)
