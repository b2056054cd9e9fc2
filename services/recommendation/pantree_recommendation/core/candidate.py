"""The evidence on one item.

There is some of every item that a household ever bought: named tuples, which are made in a fifth of the time of frozen
dataclasses.
"""

from datetime import date
from typing import NamedTuple

from pantree_domain.cadence import nearest_cadence
from pantree_domain.catalog import Perishability
from pantree_domain.evidence import Need, Trend

# The weight halves with every mean interval that an item is overdue, so this is a gap of four mean intervals. Were
# purchases without any rhythm, a gap that long would have a probability of e⁻⁴, below 2 %.
LEAST_RECENCY_WEIGHT = 0.125

# Estimated time to check, judge and explain a candidate.
MS_PER_CANDIDATE = 0.025


class Forecast(NamedTuple):
    """What is expected of an item from the day of the question on."""

    interval_days: int
    """Of the ladder: the cadence that best trades running out against piling up."""
    cadence_probability: float
    """That of a purchase within 1.5 times that interval, 0 to 1."""
    stockout_probability: float
    """That of running out at some time within 84 days of deliveries at that interval, 0 to 1."""
    overstock_ratio: float
    """Share of deliveries at that interval that would come early, 0 to 1."""
    need: Need
    need_probability: float
    """That of the state, 0 to 1."""
    first_delivery_day: date | None = None
    """When deliveries at that interval best begin; None when the evidence does not say."""


class PaidPrice(NamedTuple):
    """What a household really paid for a unit, promotions included."""

    mean: float
    deviation: float
    """Sample standard deviation over purchases."""


class Candidate(NamedTuple):
    """How regularly a household buys one item, and what is known of such items."""

    name: str
    category: str
    """An empty string when unknown."""
    purchase_count: int
    """Distinct days on which it was bought."""
    mean_interval_days: float | None
    """None for one purchase."""
    consistency_ratio: float
    """1 / (1 + coefficient of variation of the intervals), 0 to 1; 0 when unknown."""
    recency_weight_ratio: float
    """1 while the item is not yet due, halving with every further mean interval."""
    trend: Trend
    confidence: float
    """0 to 100."""
    last_day: date
    """Day of the latest purchase."""
    next_due_day: date | None
    """When it is needed again by its intervals alone; None for one purchase."""
    latest_unit_price: float
    """Shelf price of one unit."""
    typical_quantity: int
    """Units per purchase, at least 1."""
    perishability: Perishability | None = None
    """None when nobody knows."""
    suggested_interval_days: int | None = None
    """How often such items are typically bought; None when unknown."""
    forecast: Forecast | None = None
    """None when the evidence holds none; see `expected`."""
    paid_price: PaidPrice | None = None
    """None when the evidence does not tell, and for one purchase."""

    @property
    def expected(self) -> Forecast | None:
        """The forecast; without one, what the plain statistics say; None for one purchase.

        The statistics' own: the step nearest to the mean interval, the confidence as probability, irregular intervals
        as deliveries that come early, and a need that ends with a gap of four mean intervals.
        """
        if self.forecast is not None or self.mean_interval_days is None:
            return self.forecast
        return Forecast(
            interval_days=nearest_cadence(self.mean_interval_days).interval_days,
            cadence_probability=self.confidence / 100,
            stockout_probability=1 - self.consistency_ratio,
            overstock_ratio=1 - self.consistency_ratio,
            need=Need.ACTIVE if self.recency_weight_ratio >= LEAST_RECENCY_WEIGHT else Need.ENDED,
            need_probability=self.confidence / 100,
        )
