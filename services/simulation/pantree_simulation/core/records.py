"""The arrays that the kernel works on. Data with many fields are records, so that the fields share cache lines."""

from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from pantree_domain.compiled import compiled

# Arrays of the record types below. Elements are read by field name; numpy's types do not know the fields.
Records: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int32]
# Positions in other arrays. Unsigned, because numba checks whether signed ones are negative, which doubles the time.
Positions: TypeAlias = NDArray[np.uint32]
Keys: TypeAlias = NDArray[np.uint64]

NEED = np.dtype(
    [
        # Definition, from the assortment.
        ("stream_code", np.uint64),  # separates its random stream from those of other needs
        ("preference", np.float32),  # factor of the probability to be a staple; 0 for a one-off of the first purchase
        ("kind", np.uint32),  # kind of the catalog; the one after the last is for items of a first purchase without one
        ("category", np.uint32),
        ("first_item", np.int32),  # its item of the first purchase; -1 for none
        ("member_start", np.uint32),  # position in `members` of the first item that fills it
        ("member_count", np.uint32),
        # Parameters of the household, drawn when it is created.
        ("key", np.uint64),  # of its stream
        ("need_days", np.float64),  # mean days from a purchase until it returns; before the first, between purchases
        ("deferrability", np.float64),  # 0 to 1; the urgency of each return is drawn from 0 (urgent) to this
        ("price_level", np.float64),  # where in an item's price range the household buys
        ("usual_item", np.uint32),  # the variant that the household keeps to
        ("units", np.int32),  # units per purchase, over the usual quantity of the item
        ("pause_chance", np.float64),  # at each purchase
        ("swap_chance", np.float64),  # at each purchase
        ("rate_end", np.float64),  # purchases a day of this need and all before it
        ("regularity", np.uint32),  # class of regularity; the one after the last is for occasional needs
        # State, changes with each purchase.
        ("item", np.uint32),  # item of the next purchase
        ("min_trip_kind", np.uint32),  # smallest kind of trip that fills it
        ("purchase_count", np.int32),  # next to the other 32-bit fields, so that a need is two cache lines long
        ("interval_quantile", np.float64),  # share of intervals that are shorter than the current one
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
        ("drawn_gap_days", np.float64),  # mean of the drawn gaps, before they are rounded to whole days, at least one
        ("basket_items", np.float64),
        ("price_level", np.float64),
        ("promotion_ratio", np.float64),
        ("multiple_units_ratio", np.float64),
        ("promotion_depth_ratio", np.float64),
        ("switch_chance", np.float64),  # at each purchase: probability that the next one is of another variant
        ("max_gap_ratio", np.float64),  # longest gap between trips, in mean gaps
        ("archetype", np.uint64),
        # The next trip.
        ("trip_day", np.int64),
        ("trip_kind", np.int64),
        ("trip_number", np.int64),
    ],
    align=True,
)

ARCHETYPE = np.dtype(
    [
        ("gap_days", np.float64),
        ("drawn_gap_days", np.float64),
        ("basket_items", np.float64),
        ("price_level", np.float64),
        ("promotion_ratio", np.float64),
        ("multiple_units_ratio", np.float64),
        ("promotion_depth_ratio", np.float64),  # discounts over those of all shoppers
        ("switch_chance", np.float64),
        ("use_ratio", np.float64),  # use of a household over that of the catalog's household
        ("share_end", np.float64),  # share of households of this archetype and all before it
    ],
    align=True,
)

PARAMETERS = np.dtype(
    [
        ("regularity_count", np.uint32),  # number of classes of regularity of staples
        ("spell_days", np.int64),
        ("mean_residual_gap_ratio", np.float64),  # mean time from a random moment to the next trip, in mean gaps
        ("max_staple_ratio", np.float64),
        ("max_scale", np.float64),
        ("occasional_volume_ratio", np.float64),
        ("max_purchases_per_trip", np.float64),
        ("reciprocal_patience", np.float64),
        ("habit", np.float64),
        ("days_until_pause", np.float64),
        ("pause_days", np.float64),
        ("active_ratio", np.float64),  # share of the time in which a staple is not paused
        ("days_until_swap", np.float64),
        ("mean_extra_units", np.float64),
        ("max_new_gap_ratio", np.float64),  # longest gap of a household with a first purchase, in mean gaps
        ("new_gap_scale", np.float64),  # factor of its gaps, so that their mean stays the same
        ("staple_promotion_ratio", np.float64),
        ("occasional_promotion_ratio", np.float64),
        ("price_spread", np.float64),
        ("promotion_spread", np.float64),
    ],
    align=True,
)


def _rows(first: int, end: int) -> tuple[int, ...]:
    """Row numbers as numpy integers, since numba compiles a function again for each different Python constant."""
    return cast(tuple[int, ...], tuple(map(np.uint64, range(first, end))))


# Rows of `Model.tables`; the tables of intervals follow, then those of residual intervals.
GAP_FACTORS, BASKET_FACTORS, NORMAL, GAPS, FIRST_GAPS = _rows(0, 5)
PAUSES, STAPLE_FACTORS, OCCASIONAL_FACTORS, FIRST_ITEM_FACTORS, SPELL_FACTORS, PASSED_TRIPS, INTERVALS = _rows(5, 12)
# Rows of `Model.steps`: cumulative shares and the values that belong to them.
REGULARITY_ENDS, TRIP_ENDS, REACHES, EXTRA_UNIT_ENDS, WEEKDAYS = _rows(0, 5)
STEPS_WIDTH = 8
MAX_STEPS = 4


class Model(NamedTuple):
    """Behavior as arrays; `behavior.py` describes the parameters."""

    parameters: Records
    """PARAMETERS[1]"""
    tables: Floats
    """[t, CELLS + 1], quantile tables."""
    steps: Floats
    """[5, STEPS_WIDTH]; shorter rows are filled with a number above 1."""


class ArchetypeArrays(NamedTuple):
    """The archetypes of a population."""

    parameters: Records
    """ARCHETYPE[a]"""
    weights: Floats
    """[a, c], shares of purchases by category; each row sums to 1."""
    staple_scales: Floats
    """[a, c], probability that a kind of a category is a staple, over its popularity."""
    popularity: Floats
    """[a, k + 1], popularity of each kind of the catalog, 0 to 1 for all shoppers together; 0 for no kind."""
    choice_ratios: Floats
    """[a, m], probability of each member of a kind in its alias table (Walker, 1977)."""
    aliases: Positions
    """[a, m], the member that is chosen otherwise."""


class Assortment(NamedTuple):
    """The kinds of things that a household may need."""

    needs: Records
    """NEED[s]; only their definitions are filled in."""
    items: Records
    """ITEM[i]"""
    members: Positions
    """Items that fill the needs, kind by kind."""


class Calendar(NamedTuple):
    """Shelf prices and promotions of a period, the same for all households."""

    from_day: int
    """First day, days since 1970-01-01."""
    changes: Positions
    """[d], number of the price interval that each day of the period is in."""
    drifts: Floats
    """[i, q], shelf price over its long-term level, by price interval."""
    shifts: Positions
    """[i], days of an item's first campaign that are before the period."""
    campaign_numbers: Positions
    """[d + campaign_days], number of an item's campaign by days since its first campaign began."""
    campaigns: Floats
    """[i, b, 2]: the promotion ratio above which a household takes part, and the saving over the shelf price."""


class Workspace(NamedTuple):
    """Scratch memory of the kernel for a period of `d` days."""

    trip_offsets: Positions
    """[d], days from the first of the period until a trip."""
    spell_factors: Floats
    """[d], factor of the intervals that begin with a trip."""
    trip_starts: Positions
    """[d + 2], position of each trip's first purchase."""
    next_trips: Integers
    """[v, d], the next trip of at least a kind, by kind and day; -1 for none."""
    events: Records
    """EVENT[e], purchases in the order in which the kernel finds them."""
    filled_days: Positions
    """[v], number of days for which the next trips of a kind are filled in."""
    staples: Positions
    """[s], positions of the needs that are staples."""
    sums: Floats
    """[6, c]"""


class KernelState(NamedTuple):
    """Everything that the kernel reads and writes, one household at a time."""

    assortment: Assortment
    archetypes: ArchetypeArrays
    model: Model
    household: Records
    """HOUSEHOLD[1]"""
    work: Workspace


class Lines(NamedTuple):
    """Receipt lines; arrays of equal length."""

    days: Integers
    """Days since 1970-01-01."""
    items: Integers
    """Positions in the assortment."""
    quantities: Integers
    prices: Floats
    """Shelf price of one unit."""
    savings: Floats
    """Discount on the whole line."""


@compiled("numpy")
def slice_lines(lines: Lines, start: int, end: int) -> Lines:
    """The lines from `start` to `end`, without copying them."""
    return Lines(
        lines.days[start:end],
        lines.items[start:end],
        lines.quantities[start:end],
        lines.prices[start:end],
        lines.savings[start:end],
    )
