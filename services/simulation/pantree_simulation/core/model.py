"""Behavior and archetypes as the arrays that the kernel reads."""

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pantree_simulation.core.archetypes import Archetype
from pantree_simulation.core.behavior import Behavior, Trips
from pantree_simulation.core.choices import Choices, ChoiceTables
from pantree_simulation.core.records import (
    ARCHETYPE,
    EVENT,
    GAPS,
    HOUSEHOLD,
    PARAMETERS,
    STEPS_WIDTH,
    ArchetypeArrays,
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

_ABOVE_ANY_RATIO = 2.0
_GAP_ITERATIONS = 8
_MAX_SCALE, _SCALE_ITERATIONS = 1e6, 80
# Households of which the catalog's intervals are typical (US Census: 2.5 persons a household), and how use grows with
# the persons: less than in proportion, because much is shared.
_CATALOG_HOUSEHOLD_SIZE = 2.5
_USE_PER_PERSON = 0.5


def build_model(behavior: Behavior) -> Model:
    """Behavior as arrays."""
    trips, needs, changes = behavior.trips, behavior.needs, behavior.changes
    gaps = mixed_table(
        [gap.share for gap in trips.gaps], [gap.mean for gap in trips.gaps], [gap.variation for gap in trips.gaps]
    )
    variations = [regularity.variation for regularity in needs.regularity] + [needs.occasional_variation]
    intervals = [interval_table(variation) for variation in variations]
    # Mean number of trips that are too small for a need, before one that is large enough.
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
    steps = np.full((5, STEPS_WIDTH), _ABOVE_ANY_RATIO)
    for row, values in enumerate(
        (
            _ends([regularity.share for regularity in needs.regularity]),
            _ends([kind.share for kind in trips.kinds]),
            np.array([*(kind.reach for kind in trips.kinds[:-1]), _ABOVE_ANY_RATIO]),
            _ends(behavior.quantities.extra_units),
            np.array(trips.weekday_weights),
        )
    ):
        steps[row, : len(values)] = values
    parameters = np.zeros(1, PARAMETERS)
    for name, value in {
        "regularity_count": len(needs.regularity),
        "spell_days": trips.spell_days,
        # Mean residual time of a gap, in mean gaps (renewal theory).
        "mean_residual_gap_ratio": table_mean_square(gaps) / table_mean(gaps) ** 2 / 2,
        "max_staple_ratio": needs.max_staple_ratio,
        "max_scale": needs.max_scale,
        "occasional_volume_ratio": needs.occasional_volume_ratio,
        "max_purchases_per_trip": needs.max_purchases_per_trip,
        "reciprocal_patience": 1 / needs.patience,
        "habit": needs.habit,
        "days_until_pause": changes.days_until_pause,
        "pause_days": changes.pause_days,
        "active_ratio": 1 / (1 + changes.pause_days / changes.days_until_pause),
        "days_until_swap": changes.days_until_swap,
        "max_new_gap_ratio": trips.max_new_gap_ratio,
        "new_gap_scale": table_mean(gaps) / table_mean(np.minimum(gaps, trips.max_new_gap_ratio)),
        "mean_extra_units": sum(units * share for units, share in enumerate(behavior.quantities.extra_units, start=1)),
        "staple_promotion_ratio": behavior.promotions.staple_ratio,
        "occasional_promotion_ratio": behavior.promotions.occasional_ratio,
        "price_spread": behavior.prices.spread,
        "promotion_spread": behavior.promotions.household_spread,
    }.items():
        parameters[name] = value
    return Model(parameters, np.array(tables), steps)


def archetype_arrays(
    archetypes: Sequence[Archetype],
    shares: Sequence[float],
    trips: Trips,
    model: Model,
    categories: Sequence[str],
    choices: Choices,
    added_weights: Mapping[str, float] | None = None,
) -> ArchetypeArrays:
    """Archetypes as arrays.

    Args:
        archetypes: at least one.
        shares: share of each archetype's households; they sum to 1.
        trips: scales the archetypes' gaps and baskets.
        model: the behavior as arrays.
        categories: ids of the categories, in the order of the kernel's category positions.
        choices: what there is to choose from.
        added_weights: weights of categories that have none in an archetype.
    """
    weights = [{**(added_weights or {}), **archetype.category_weights} for archetype in archetypes]
    parameters = np.zeros(len(archetypes), ARCHETYPE)
    gaps = model.tables[GAPS].tobytes()
    parameters["gap_days"] = [archetype.mean_trip_gap_days * trips.gap_ratio for archetype in archetypes]
    parameters["drawn_gap_days"] = [_drawn_gap_days(gaps, gap_days) for gap_days in parameters["gap_days"].tolist()]
    parameters["basket_items"] = [archetype.mean_basket_items * trips.basket_ratio for archetype in archetypes]
    parameters["price_level"] = [archetype.price_level_ratio for archetype in archetypes]
    parameters["promotion_ratio"] = [archetype.promotion_ratio for archetype in archetypes]
    parameters["multiple_units_ratio"] = [archetype.multiple_units_ratio for archetype in archetypes]
    parameters["promotion_depth_ratio"] = [archetype.promotion_depth_ratio for archetype in archetypes]
    parameters["switch_chance"] = [1 - archetype.variant_loyalty_ratio for archetype in archetypes]
    parameters["use_ratio"] = [
        (archetype.household_size / _CATALOG_HOUSEHOLD_SIZE) ** _USE_PER_PERSON for archetype in archetypes
    ]
    parameters["share_end"] = _ends(shares)
    shares_by_category = [[own.get(category, 0) / sum(own.values()) for category in categories] for own in weights]
    weight_rows = np.array(shares_by_category, dtype=np.float64)
    tables = [choices.tables_of(archetype) for archetype in archetypes]
    scales = [
        _staple_scales(own, row, choices, table, model)
        for own, row, table in zip(parameters, weight_rows, tables, strict=True)
    ]
    return ArchetypeArrays(
        parameters,
        weight_rows,
        staple_scales=np.array(scales),
        popularity=np.array([table.popularity for table in tables]),
        choice_ratios=np.array([table.choice_ratios for table in tables]),
        aliases=np.array([table.aliases for table in tables]),
    )


def _staple_scales(own: Any, weights: Floats, choices: Choices, table: ChoiceTables, model: Model) -> Floats:
    """By category: the factor of the popularity of kinds with which staples make up their share of the purchases."""
    parameters = model.parameters[0]
    max_a_day = parameters["max_purchases_per_trip"] / own["gap_days"]
    rates = np.minimum(table.purchases_a_day * own["use_ratio"], max_a_day) * parameters["active_ratio"]
    wanted = weights * own["basket_items"] / own["gap_days"] * (1 - parameters["occasional_volume_ratio"])
    categories, popularity = choices.kind_categories, table.popularity[:-1]
    low, high = np.zeros(len(weights)), np.full(len(weights), _MAX_SCALE)
    for _ in range(_SCALE_ITERATIONS):  # of all categories together
        middle = np.where(low > 0, np.sqrt(low * high), high / 2)
        filled = np.minimum(middle[categories] * popularity, parameters["max_staple_ratio"]) * rates
        is_enough = np.bincount(categories, filled, len(weights)) >= wanted
        low, high = np.where(is_enough, low, middle), np.where(is_enough, middle, high)
    has_staples = (wanted > 0) & (np.bincount(categories, popularity, len(weights)) > 0)
    return np.where(has_staples, high, 0.0)


# One entry for each archetype.
@functools.lru_cache(maxsize=1024)
def _drawn_gap_days(gap_table: bytes, gap_days: float) -> float:
    """Mean of the gaps to draw so that their mean is `gap_days` after rounding to whole days, at least one.

    `gap_table` is the quantile table of gaps, float64, as bytes.
    """
    gaps = np.frombuffer(gap_table)
    sample = (gaps[:-1] + gaps[1:]) / 2
    drawn_gap_days = gap_days
    for _ in range(_GAP_ITERATIONS):
        rounded = np.maximum(np.floor(sample * drawn_gap_days + 0.5), 1.0)
        # A trip on the next day can only be moved to a later one, which happens half the time.
        drawn_gap_days *= gap_days / float((rounded + 0.5 * (rounded == 1)).mean())
    return drawn_gap_days


def new_household() -> Records:
    """An empty household record."""
    return np.zeros(1, HOUSEHOLD)


def new_workspace(days: int, assortment: Assortment, trip_kind_count: int, category_count: int) -> Workspace:
    """Scratch memory for a period of `days` days. Not initialized: every value is written before it is read."""
    return Workspace(
        trip_offsets=np.empty(days, np.uint32),
        spell_factors=np.empty(days),
        trip_starts=np.empty(days + 2, np.uint32),
        next_trips=np.empty((trip_kind_count, days), np.int32),
        # A need is filled at most once a day.
        events=np.empty(days * len(assortment.needs), EVENT),
        filled_days=np.empty(trip_kind_count, np.uint32),
        staples=np.empty(len(assortment.needs), np.uint32),
        sums=np.empty((6, category_count)),
    )


def new_lines(count: int) -> Lines:
    """Memory for receipt lines. Not initialized."""
    return Lines(
        days=np.empty(count, np.int32),
        items=np.empty(count, np.int32),
        quantities=np.empty(count, np.int32),
        prices=np.empty(count),
        savings=np.empty(count),
    )


def _ends(shares: Sequence[float]) -> Floats:
    """Cumulative shares; the last one is above any ratio, whatever the rounding errors."""
    ends = np.cumsum(shares, dtype=np.float64)
    ends[-1] = _ABOVE_ANY_RATIO
    return ends
