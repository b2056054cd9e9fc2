"""Forecasts of weekly series as comparators: AutoARIMA, and Croston and TSB for demand that comes and goes.

A series is the number of days on which a pair was bought, week by week, from its first purchase up to the cut-off. The
forecast for the four weeks after it is an expected number of purchases; with a Poisson count it gives the probability
that there is at least one, and seven days over the weekly rate are the interval.

Sources: R. Hyndman, Y. Khandakar, "Automatic Time Series Forecasting", 2008; J. Croston, "Forecasting and Stock Control
for Intermittent Demands", 1972, in the variant of A. Syntetos and J. Boylan, 2005; R. Teunter, A. Syntetos, Z. Babai,
"Intermittent Demand", 2011. All as implemented by Nixtla's statsforecast.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pantree_frequency.core.models.base import Floats
from pantree_research.quality.protocol import CONFIDENCE_DAYS

WEEKS_AHEAD = int(CONFIDENCE_DAYS) // 7
# Shorter series are filled up with weeks without a purchase: nothing can be fitted to three numbers.
MIN_WEEKS = 8
# So many pairs are asked, always the same ones; AutoARIMA takes about half a second for each, so it is asked about few.
SAMPLE_PAIRS = {"intermittent": 3000, "AutoARIMA": 300}


@dataclass(frozen=True, eq=False)
class Forecast:
    """What a comparator says of `p` pairs."""

    probability: Floats
    """[p], of a purchase within 28 days."""
    interval: Floats
    """[p], days between purchases."""


def weekly_series(purchase_days: NDArray[np.int64]) -> NDArray[np.float32]:
    """float32[w], purchase days in each week, oldest first; the last week ends at the cut-off.

    Args:
        purchase_days: int64[n], days from the cut-off, 0 or negative.
    """
    weeks = -purchase_days // 7
    size = max(int(weeks.max()) + 1, MIN_WEEKS)
    return np.bincount(weeks, minlength=size)[::-1].astype(np.float32)


def forecasts(kind: str, purchase_days: Sequence[NDArray[np.int64]]) -> Mapping[str, Forecast]:
    """What each comparator of a kind says of some pairs.

    Args:
        kind: a key of `SAMPLE_PAIRS`.
        purchase_days: for each pair the days from the cut-off on which it was bought, 0 or negative.
    """
    from statsforecast.models import TSB, AutoARIMA, CrostonSBA

    models: dict[str, Any] = (
        {"AutoARIMA, weekly": AutoARIMA(season_length=1)}
        if kind == "AutoARIMA"
        else {"Croston SBA, weekly": CrostonSBA(), "TSB, weekly": TSB(alpha_d=0.1, alpha_p=0.1)}
    )
    series = [weekly_series(days) for days in purchase_days]
    given = {}
    for name, model in models.items():
        expected = np.array([np.sum(model.forecast(y=weeks, h=WEEKS_AHEAD)["mean"]) for weeks in series], np.float64)
        # An ARIMA forecast may fall below what can be bought.
        expected = np.maximum(expected, 0.05)
        given[name] = Forecast(-np.expm1(-expected), CONFIDENCE_DAYS / expected)
    return given


def sample_of(kind: str, count: int) -> NDArray[np.intp]:
    """Which of `count` pairs are asked; the same ones in every run."""
    generator = np.random.default_rng(7)
    return np.sort(generator.choice(count, min(SAMPLE_PAIRS[kind], count), replace=False))
