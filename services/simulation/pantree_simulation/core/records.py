"""The arrays that the kernel works on: records for what has many figures, so that each thing is one piece of memory."""

from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

# Arrays of the record types below. Elements are read by field name; numpy's types do not know the fields.
Records: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int32]
# Positions in other arrays: numba counts signed ones from the end when they are negative, which takes as long again.
Positions: TypeAlias = NDArray[np.uint32]
Keys: TypeAlias = NDArray[np.uint64]

NEED = np.dtype(
    [
        # What it is: from the assortment.
        ("code", np.uint64),  # tells its stream from those of other needs
        ("preference", np.float64),  # how much likelier than others to be a staple
        ("category", np.uint32),
        ("first_item", np.int32),  # item of the first purchase that it stands for; -1 for none
        ("member_start", np.uint32),  # where the items that fill it begin in `members`
        ("member_count", np.uint32),
        # How a household has it: drawn when the household settles.
        ("key", np.uint64),  # of its stream
        ("need_days", np.float64),  # mean days from a purchase until it returns; before the first, between purchases
        ("reluctance", np.float64),  # what its urgency is drawn up to, 0 to 1
        ("price_level", np.float64),  # where in an item's price range the household buys
        ("pack_price", np.float64),  # price of the household's pack, in proportion to the catalog's
        ("pause_chance", np.float64),  # at each purchase
        ("swap_chance", np.float64),  # at each purchase
        ("rate_end", np.float64),  # purchases a day of this need and all before it
        ("regularity", np.uint32),  # class of regularity; the one after the last is for occasional needs
        # How things stand: changes with each purchase.
        ("item", np.uint32),  # that fills it
        ("least_kind", np.uint32),  # smallest kind of trip that fills it
        ("purchase_count", np.int32),  # beside the others of its size: a need is two cache lines long
        ("pace", np.float64),  # share of intervals that are shorter than the present one
        ("needed_at", np.float64),  # when it returns, days since 1970-01-01
    ],
    align=True,
)

ITEM = np.dtype(
    [
        ("purchases_a_day", np.float64),  # of a household that uses it regularly
        ("lowest_price", np.float64),
        ("highest_price", np.float64),
        ("given_price", np.float64),  # in the first purchase; -1 for other items
        ("first_drift", np.float64),  # drift on the day of the first purchase
        ("usual_quantity", np.int32),
    ],
    align=True,
)

EVENT = np.dtype(
    [
        ("trip", np.uint32),
        ("need", np.uint32),
        ("item", np.uint32),
        ("quantity", np.int32),  # negative for a first purchase
    ],
    align=True,
)

HOUSEHOLD = np.dtype(
    [
        ("gap_days", np.float64),  # mean days between trips
        ("rhythm_days", np.float64),  # the same before they are moved to whole days, at least one
        ("basket_items", np.float64),
        ("price_level", np.float64),
        ("promotion_ratio", np.float64),
        ("multiple_units_ratio", np.float64),
        # Its next trip.
        ("trip_day", np.int64),
        ("trip_kind", np.int64),
        ("trip_number", np.int64),
    ],
    align=True,
)

ARCHETYPE = np.dtype(
    [
        ("gap_days", np.float64),
        ("rhythm_days", np.float64),
        ("basket_items", np.float64),
        ("price_level", np.float64),
        ("promotion_ratio", np.float64),
        ("multiple_units_ratio", np.float64),
        ("share_end", np.float64),  # share of households of this archetype and all before it
    ],
    align=True,
)

FIGURES = np.dtype(
    [
        ("regularities", np.uint32),  # classes of regularity of staples
        ("spell_days", np.int64),
        ("first_wait_ratio", np.float64),  # mean gaps from a random moment to the next trip
        ("staple_ratio", np.float64),
        ("occasional_volume_ratio", np.float64),
        ("most_purchases_per_trip", np.float64),
        ("impatience", np.float64),  # the reciprocal of patience
        ("habit", np.float64),
        ("days_until_pause", np.float64),
        ("pause_days", np.float64),
        ("days_until_swap", np.float64),
        ("price_spread", np.float64),
        ("promotion_spread", np.float64),
    ],
    align=True,
)


def _rows(first: int, end: int) -> tuple[int, ...]:
    """Numbers of numpy's: numba would compile a function anew for each constant of Python's that it is called with."""
    return cast(tuple[int, ...], tuple(map(np.uint64, range(first, end))))


# Rows of `Model.tables`; the tables of intervals follow, then those of the time left of an interval.
GAP_FACTORS, BASKET_FACTORS, NORMAL, GAPS, FIRST_GAPS = _rows(0, 5)
PAUSES, STAPLE_FACTORS, OCCASIONAL_FACTORS, FIRST_ITEM_FACTORS, SPELL_FACTORS, PASSED_TRIPS, INTERVALS = _rows(5, 12)
# Rows of `Model.parts`: cumulative shares, and what goes with them.
REGULARITY_ENDS, TRIP_ENDS, REACHES, EXTRA_UNIT_ENDS, WEEKDAYS, PACK_ENDS, PACK_PRICES = _rows(0, 7)
PARTS_WIDTH = 8
MOST_PARTS = 4


class Model(NamedTuple):
    """Behavior as the kernel reads it: see `behavior.toml`."""

    figures: Records
    """FIGURES[1]"""
    tables: Floats
    """[t, CELLS + 1], quantile tables."""
    parts: Floats
    """[7, PARTS_WIDTH]; rows that are shorter end with a number above 1."""


class Archetypes(NamedTuple):
    """Archetypes of a population."""

    figures: Records
    """ARCHETYPE[a]"""
    weights: Floats
    """[a, c], shares of purchases by category; each row sums to 1."""


class Assortment(NamedTuple):
    """What there is to be needed."""

    needs: Records
    """NEED[s], of which only what they are is filled in."""
    items: Records
    """ITEM[i]"""
    members: Positions
    """Items that fill the needs."""


class Calendar(NamedTuple):
    """Shelf prices and promotions of a period, the same for all households."""

    from_day: int
    """First day, days since 1970-01-01."""
    changes: Positions
    """[d], by day of the period: which of the period's times between changes of price it is in."""
    drifts: Floats
    """[i, q], shelf price over its long-term level, by times between changes of price."""
    shifts: Positions
    """[i], days of an item's first campaign that lie before the period."""
    campaign_numbers: Positions
    """[d + campaign_days], by days since an item's first campaign began: which of its campaigns it is."""
    campaigns: Floats
    """[i, b, 2]: share of purchases on promotion from which a household takes part, and saving over shelf price."""


class Workspace(NamedTuple):
    """Room for the work within a period of `d` days."""

    trip_places: Positions
    """[d], days from the first of the period until a trip."""
    trip_spells: Floats
    """[d], how much longer than usual things last at the time of a trip."""
    trip_starts: Positions
    """[d + 2], where each trip's purchases begin."""
    next_trips: Integers
    """[v, d], first trip from a day on of at least a kind; -1 for none."""
    events: Records
    """EVENT[e], purchases as they are found."""
    known_days: Positions
    """[v], for how many days the next trips of a kind are filled in."""
    staples: Positions
    """[s], positions of the needs that are staples."""
    sums: Floats
    """[4, c]"""


class Lines(NamedTuple):
    """Receipt lines; arrays of equal length."""

    days: Integers
    """Days since 1970-01-01."""
    items: Integers
    quantities: Integers
    prices: Floats
    """Shelf price of one unit."""
    savings: Floats
    """What was taken off the line."""


def part_of(lines: Lines, start: int, end: int) -> Lines:
    """Some of the lines; the same memory."""
    return Lines(
        lines.days[start:end],
        lines.items[start:end],
        lines.quantities[start:end],
        lines.prices[start:end],
        lines.savings[start:end],
    )
