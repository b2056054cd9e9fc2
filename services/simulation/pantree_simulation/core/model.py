"""Behavior and archetypes in the form that the kernel works with."""

import functools
import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from pantree_simulation.core.archetypes import Archetype
from pantree_simulation.core.behavior import Behavior, Trips
from pantree_simulation.core.records import (
    ARCHETYPE,
    EVENT,
    FIGURES,
    GAPS,
    HOUSEHOLD,
    PARTS_WIDTH,
    Archetypes,
    Assortment,
    Floats,
    Lines,
    Model,
    Records,
    Workspace,
)
from pantree_simulation.core.tables import (
    exponential_table,
    factor_table,
    interval_table,
    mean_below_table,
    mixed_table,
    normal_table,
    residual_table,
    spell_table,
    table_mean,
    table_mean_square,
)

_BEYOND_ANY_RATIO = 2.0
_RHYTHM_STEPS = 8


def model_of(behavior: Behavior) -> Model:
    """Behavior as tables."""
    trips, needs, changes = behavior.trips, behavior.needs, behavior.changes
    gaps = mixed_table(
        [gap.share for gap in trips.gaps], [gap.mean for gap in trips.gaps], [gap.variation for gap in trips.gaps]
    )
    variations = [regularity.variation for regularity in needs.regularity] + [needs.occasional_variation]
    intervals = [interval_table(variation) for variation in variations]
    # Trips that are too small for a need before one of a kind comes that is not.
    smaller = [0.0, *itertools.accumulate(kind.share for kind in trips.kinds[:-1])]
    passed_trips = [1 / (1 - share) - 1 for share in smaller]
    tables = [
        factor_table(trips.gap_spread),
        factor_table(trips.basket_spread),
        normal_table(),
        gaps,
        residual_table(gaps),
        exponential_table(),
        factor_table(needs.staple_spread),
        factor_table(needs.occasional_spread),
        factor_table(needs.first_item_spread),
        spell_table(trips.spell_spread),
        mean_below_table([0.0, *(kind.reach for kind in trips.kinds)], passed_trips),
        *intervals,
        *(residual_table(table) for table in intervals),
    ]
    parts = np.full((7, PARTS_WIDTH), _BEYOND_ANY_RATIO)
    for row, values in enumerate(
        (
            _ends([regularity.share for regularity in needs.regularity]),
            _ends([kind.share for kind in trips.kinds]),
            np.array([*(kind.reach for kind in trips.kinds[:-1]), _BEYOND_ANY_RATIO]),
            _ends(behavior.quantities.extra_units),
            np.array(trips.weekday_weights),
            _ends([pack.share for pack in behavior.prices.packs]),
            np.array([pack.price_ratio for pack in behavior.prices.packs]),
        )
    ):
        parts[row, : len(values)] = values
    figures = np.zeros(1, FIGURES)
    for name, value in {
        "regularities": len(needs.regularity),
        "spell_days": trips.spell_days,
        # Time left of a gap that is under way, in mean gaps (renewal theory).
        "first_wait_ratio": table_mean_square(gaps) / table_mean(gaps) ** 2 / 2,
        "staple_ratio": needs.staple_ratio,
        "occasional_volume_ratio": needs.occasional_volume_ratio,
        "most_purchases_per_trip": needs.most_purchases_per_trip,
        "impatience": 1 / needs.patience,
        "habit": needs.habit,
        "days_until_pause": changes.days_until_pause,
        "pause_days": changes.pause_days,
        "days_until_swap": changes.days_until_swap,
        "price_spread": behavior.prices.spread,
        "promotion_spread": behavior.promotions.household_spread,
    }.items():
        figures[name] = value
    return Model(figures, np.array(tables), parts)


def archetypes_of(
    archetypes: Sequence[Archetype],
    shares: Sequence[float],
    trips: Trips,
    model: Model,
    categories: Sequence[str],
    added_weights: Mapping[str, float] | None = None,
) -> Archetypes:
    """Figures of archetypes.

    Args:
        archetypes: at least one.
        shares: how many of the households are of each; they sum to 1.
        trips: how the archetypes' figures are to be understood.
        model: the behavior that they are of.
        categories: ids of the categories, in the order that the kernel counts them by.
        added_weights: weights of categories for which an archetype has none.
    """
    weights = [{**(added_weights or {}), **archetype.category_weights} for archetype in archetypes]
    figures = np.zeros(len(archetypes), ARCHETYPE)
    gaps = model.tables[GAPS].tobytes()
    figures["gap_days"] = [archetype.mean_trip_gap_days * trips.gap_ratio for archetype in archetypes]
    figures["rhythm_days"] = [_rhythm_days(gaps, gap_days) for gap_days in figures["gap_days"].tolist()]
    figures["basket_items"] = [archetype.mean_basket_items * trips.basket_ratio for archetype in archetypes]
    figures["price_level"] = [archetype.price_level_ratio for archetype in archetypes]
    figures["promotion_ratio"] = [archetype.promotion_ratio for archetype in archetypes]
    figures["multiple_units_ratio"] = [archetype.multiple_units_ratio for archetype in archetypes]
    figures["share_end"] = _ends(shares)
    shares_by_category = [[own.get(category, 0) / sum(own.values()) for category in categories] for own in weights]
    return Archetypes(figures, np.array(shares_by_category, dtype=np.float64))


# There are as many as archetypes, and every household is of one of them.
@functools.lru_cache(maxsize=1024)
def _rhythm_days(gap_table: bytes, gap_days: float) -> float:
    """Mean of the gaps that are drawn, so that they come to a mean after they are moved to whole days, at least one.

    Args:
        gap_table: float64, the table of gaps.
        gap_days: the mean to come to.
    """
    gaps = np.frombuffer(gap_table)
    sample = (gaps[:-1] + gaps[1:]) / 2
    rhythm_days = gap_days
    for _ in range(_RHYTHM_STEPS):
        drawn = np.maximum(np.floor(sample * rhythm_days + 0.5), 1.0)
        # A trip on the next day can only be moved to a later one, and is so half the time.
        rhythm_days *= gap_days / float((drawn + 0.5 * (drawn == 1)).mean())
    return rhythm_days


def new_household() -> Records:
    """Room for a household."""
    return np.zeros(1, HOUSEHOLD)


def new_workspace(days: int, assortment: Assortment, behavior: Behavior, category_count: int) -> Workspace:
    """Room for the work within a period. What is in it is not cleared: every value is written before it is read.

    Args:
        days: length of the period.
        assortment: what there is to be needed.
        behavior: gives the kinds of trips.
        category_count: number of categories.
    """
    return Workspace(
        trip_places=np.empty(days, np.uint32),
        trip_spells=np.empty(days),
        trip_starts=np.empty(days + 2, np.uint32),
        next_trips=np.empty((len(behavior.trips.kinds), days), np.int32),
        # A need is filled at most once a day.
        events=np.empty(days * len(assortment.needs), EVENT),
        known_days=np.empty(len(behavior.trips.kinds), np.uint32),
        staples=np.empty(len(assortment.needs), np.uint32),
        sums=np.empty((4, category_count)),
    )


def new_lines(count: int) -> Lines:
    """Room for receipt lines; not cleared."""
    return Lines(
        days=np.empty(count, np.int32),
        items=np.empty(count, np.int32),
        quantities=np.empty(count, np.int32),
        prices=np.empty(count),
        savings=np.empty(count),
    )


def _ends(shares: Sequence[float]) -> Floats:
    """Cumulative shares; the last one beyond any ratio, whatever the rounding."""
    ends = np.array(list(itertools.accumulate(shares)), dtype=np.float64)
    ends[-1] = _BEYOND_ANY_RATIO
    return ends
