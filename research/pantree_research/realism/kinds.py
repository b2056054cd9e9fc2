"""Whether the kinds of the catalog are bought in the order of their typical intervals."""

import numpy as np
from scipy.stats import spearmanr

from pantree_domain.catalog import load_catalog
from pantree_research.realism.statistics import Floats, Integers, Purchases, intervals_of_types

MIN_INTERVAL_ORDER = 0.8
"""Rank correlation of the median intervals with the catalog's."""
_MIN_INTERVALS = 30


def interval_order(purchases: Purchases) -> float:
    """Rank correlation (Spearman's) of simulated median intervals by kind with the catalog's.

    Kinds that are hardly ever bought twice are left out.
    """
    intervals, kinds = intervals_of_types(purchases)
    catalog = load_catalog()
    names = list(dict.fromkeys(item.kind for item in catalog.items))
    compared = np.flatnonzero(np.bincount(kinds, minlength=len(names)) >= _MIN_INTERVALS)
    typical = [
        float(np.median([item.typical_interval_days for item in catalog.items_of_kind(names[kind])]))
        for kind in compared
    ]
    return float(spearmanr(_medians(intervals, kinds, compared), typical).statistic)


def _medians(values: Floats, groups: Integers, wanted: Integers) -> list[float]:
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts, ends = np.searchsorted(ordered, wanted), np.searchsorted(ordered, wanted, side="right")
    return [float(np.median(values[order[start:end]])) for start, end in zip(starts, ends, strict=True)]
