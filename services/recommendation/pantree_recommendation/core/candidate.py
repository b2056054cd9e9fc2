"""The evidence on one item.

Named tuples, since there is one for every item that a household ever bought, and they are created about five times as
fast as frozen dataclasses.
"""

from datetime import date
from typing import NamedTuple

from pantree_domain.cadence import nearest_cadence
from pantree_domain.catalog import Perishability
from pantree_domain.evidence import Need, Trend

# The weight halves with every mean interval that an item is overdue, so this is a gap of four mean intervals. If
# purchases came at random, a gap that long would have a probability of e⁻⁴, below 2 %.
MIN_RECENCY_WEIGHT = 0.125


class DeliveryOption(NamedTuple):
    """A way to deliver an item: a step of the ladder with the quantity that fits it."""

    interval_days: int
    quantity: int
    """Units of a delivery."""
    supply_ratio: float
    """Units delivered over units used, while the need lasts."""
    stockout_probability: float
    """Of at least one stockout within 84 days, or one interval if that is longer, 0 to 1."""
    overstock_ratio: float
    """Share of the deliveries within that time that would come early, 0 to 1."""
    cadence_probability: float
    """Of a purchase within 1.5 × the interval, 0 to 1."""
    units_on_hand: float = 0.0
    """Units at home on average, expected while the need lasts; 0 when unknown."""


class Forecast(NamedTuple):
    """The forecast for an item, as of the as-of date."""

    interval_days: int
    """A step of the ladder: the cadence with the best trade-off of stockout and overstock."""
    cadence_probability: float
    """Of a purchase within 1.5 × the interval, 0 to 1."""
    stockout_probability: float
    """Of at least one stockout within 84 days of deliveries at that interval, 0 to 1."""
    overstock_ratio: float
    """Share of deliveries at that interval that would come early, 0 to 1."""
    need: Need
    need_probability: float
    """Of that state, 0 to 1."""
    first_delivery_day: date | None = None
    """None when unknown."""
    quantity: int = 0
    """Units of a delivery; 0 for the typical quantity."""
    supply_ratio: float = 1.0
    """Units delivered over units used, while the need lasts."""
    regularity_ratio: float = 0.0
    """How far the item has a rhythm of its own, 0 to 1."""
    use_days: float = 0.0
    """Days in which the typical quantity is used up; 0 when unknown."""
    units_on_hand: float = 0.0
    """Units at home on average, expected while the need lasts; 0 when unknown."""
    options: tuple[DeliveryOption, ...] = ()
    """Other ways to deliver it, and the one above, best first; empty when unknown."""

    def with_option(self, option: DeliveryOption) -> "Forecast":
        """The forecast for another way to deliver the item."""
        return self._replace(
            interval_days=option.interval_days,
            quantity=option.quantity,
            supply_ratio=option.supply_ratio,
            stockout_probability=option.stockout_probability,
            overstock_ratio=option.overstock_ratio,
            cadence_probability=option.cadence_probability,
            units_on_hand=option.units_on_hand,
        )


class PaidPrice(NamedTuple):
    """The price that a household paid for a unit, promotions included."""

    mean: float
    deviation: float
    """Sample standard deviation over purchases."""
    latest: float | None = None
    """What was paid last; None when unknown."""
    purchase_count: int | None = None
    """Purchases behind it; None for all."""
    usual_discount_ratio: float = 0.0
    """Share that promotions take off all of the household's purchases, 0 to 1."""
    promoted: bool = False
    """Whether one of the purchases was on promotion; only known for a reference price."""


class Candidate(NamedTuple):
    """How regularly a household buys one item, and what is known about such items."""

    name: str
    category: str
    """Empty when unknown."""
    purchase_count: int
    """Distinct days on which it was bought."""
    mean_interval_days: float | None
    """None for one purchase."""
    consistency_ratio: float
    """1 / (1 + coefficient of variation of the intervals), 0 to 1; 0 when unknown."""
    recency_weight_ratio: float
    """1 until the item is due, then halving with every further mean interval."""
    trend: Trend
    confidence: float
    """0 to 100."""
    last_day: date
    """Day of the latest purchase."""
    next_due_day: date | None
    """Last purchase plus the mean interval; None for one purchase."""
    latest_unit_price: float
    """Shelf price of one unit."""
    typical_quantity: int
    """Units per purchase, at least 1."""
    perishability: Perishability | None = None
    """None when unknown."""
    suggested_interval_days: int | None = None
    """How often such items are typically bought; None when unknown."""
    forecast: Forecast | None = None
    """None when the evidence has none; see `effective_forecast`."""
    paid_price: PaidPrice | None = None
    """None when unknown, and for one purchase."""
    units_per_pack: int = 1
    """Units of `typical_quantity` in one pack. Prices are those of a pack."""
    other_names: tuple[str, ...] = ()
    """Other names of the item, such as those of other pack sizes."""
    all_year: bool = False
    """Whether the household buys goods of a season in other months, too."""

    @property
    def effective_forecast(self) -> Forecast | None:
        """The forecast, or one derived from the purchase statistics; None for one purchase.

        The derived forecast has the step nearest to the mean interval, the confidence as its probability and the
        irregularity of the intervals as its risks. Its need ends after a gap of four mean intervals.
        """
        if self.forecast is not None or self.mean_interval_days is None:
            return self.forecast
        return Forecast(
            interval_days=nearest_cadence(self.mean_interval_days).interval_days,
            cadence_probability=self.confidence / 100,
            stockout_probability=1 - self.consistency_ratio,
            overstock_ratio=1 - self.consistency_ratio,
            need=Need.ACTIVE if self.recency_weight_ratio >= MIN_RECENCY_WEIGHT else Need.ENDED,
            need_probability=self.confidence / 100,
        )
