"""The subscription that the evidence supports, with its costs and savings."""

from dataclasses import dataclass, replace

from pantree_domain.cadence import LADDER, Cadence, nearest_cadence
from pantree_domain.money import CENT_DIGITS
from pantree_recommendation.core.candidate import Candidate, Forecast, PaidPrice
from pantree_recommendation.core.delivery import MIN_REGULARITY
from pantree_recommendation.core.discount import DiscountTier, DiscountTiers
from pantree_recommendation.core.savings import SavingsVsPaid, annual_cost, annual_savings, savings_vs_paid

# With at most three intervals, the typical interval of such items is still informative.
MAX_PURCHASES_OF_THIN_EVIDENCE = 4

# A longer cadence must bring whole packs this much closer to the use.
_CLOSE_ENOUGH_RATIO = 0.1

_CADENCE_BY_DAYS = {step.interval_days: step for step in LADDER}


@dataclass(frozen=True)
class Price:
    """Costs and savings of a subscription at one discount tier, in the currency of the price, whole cents."""

    tier: DiscountTier
    annual_cost: float
    """Never below the exact value."""
    estimated_annual_savings: float
    """Compared with the shelf price; never above the exact value."""
    savings_vs_paid: SavingsVsPaid | None
    """None when it is unknown what the household paid."""


@dataclass(frozen=True)
class Offer:
    """A subscription to an item."""

    cadence: Cadence
    supported_cadence: Cadence
    """The cadence that the purchases alone support; never longer than `cadence`."""
    forecast: Forecast
    """Its risks are those of `supported_cadence`."""
    quantity: int
    """Units per delivery."""
    supply_ratio: float
    """Units delivered over units used, while the need lasts."""
    units_on_hand: float
    """Units at home on average, expected while the need lasts; 0 when unknown."""
    prices: tuple[Price, ...]
    """At each discount tier, smallest delivery first."""
    discounted: bool = True
    """Whether discounts apply; False for goods that the policy excludes from them."""
    digits: int = CENT_DIGITS
    """Decimal places of amounts."""

    @property
    def price(self) -> Price:
        """The price when the item is delivered alone."""
        return self.prices[0]


def offer_of(
    candidate: Candidate, tiers: DiscountTiers, *, discounted: bool = True, digits: int = CENT_DIGITS
) -> Offer:
    """The subscription that the evidence supports.

    When there is little evidence and such items are typically bought less often, by a step of the ladder or more, the
    cadence is one step longer. It is only one step, because the household's own purchases outweigh what is typical. It
    is never shorter than the purchases support, because a late delivery does less harm than an early one.

    Without a discount, it has the shelf price at each tier and is not compared with what was paid. Amounts have
    `digits` decimal places.

    Raises:
        ValueError: when the candidate has no interval.
    """
    forecast = candidate.effective_forecast
    if forecast is None:
        raise ValueError(f"{candidate.name!r} has no interval to choose a cadence from")
    supported = _CADENCE_BY_DAYS[forecast.interval_days]
    cadence = supported
    if (
        candidate.purchase_count <= MAX_PURCHASES_OF_THIN_EVIDENCE
        and forecast.regularity_ratio < MIN_REGULARITY
        and supported != LADDER[-1]
        and candidate.suggested_interval_days is not None
        and nearest_cadence(candidate.suggested_interval_days).interval_days > supported.interval_days
    ):
        cadence = LADDER[LADDER.index(supported) + 1]
    units = forecast.quantity or candidate.typical_quantity
    quantity = units
    if candidate.units_per_pack > 1:
        cadence, quantity = _whole_packs(units, candidate.units_per_pack, supported, cadence)
    delivered_ratio = quantity * candidate.units_per_pack / units * supported.interval_days / cadence.interval_days
    return Offer(
        cadence=cadence,
        supported_cadence=supported,
        forecast=forecast,
        quantity=quantity,
        supply_ratio=forecast.supply_ratio * delivered_ratio,
        units_on_hand=_units_on_hand(forecast, units, quantity, candidate.units_per_pack, delivered_ratio),
        prices=tuple(
            price_of(
                candidate.latest_unit_price,
                candidate.paid_price,
                candidate.purchase_count,
                cadence,
                quantity,
                tier,
                discounted,
                digits,
            )
            for tier in tiers.tiers
        ),
        discounted=discounted,
        digits=digits,
    )


def _units_on_hand(forecast: Forecast, units: int, quantity: int, units_per_pack: int, delivered_ratio: float) -> float:
    """Units at home if `quantity` packs come instead of the `units` of the forecast; 0 when unknown.

    Half of a delivery for the share of the interval that it lasts; what is left of earlier ones stays as forecast.
    """
    if forecast.units_on_hand <= 0:
        return 0.0
    left_over = max(forecast.units_on_hand - units * forecast.supply_ratio / 2.0, 0.0)
    return quantity * forecast.supply_ratio * delivered_ratio / 2.0 + left_over / units_per_pack


def _whole_packs(units: int, units_per_pack: int, supported: Cadence, cadence: Cadence) -> tuple[Cadence, int]:
    """Cadence and number of packs that supply what the units at the supported cadence do.

    It is the shortest cadence at which whole packs come close enough, and never a shorter one than `cadence`.
    """
    best = None
    for step in LADDER[LADDER.index(cadence) :]:
        needed = units * step.interval_days / supported.interval_days / units_per_pack
        packs = max(1, round(needed))
        error = abs(packs / needed - 1)
        if best is None or error < best[0] - _CLOSE_ENOUGH_RATIO:
            best = error, step, packs
    assert best is not None  # the ladder has a step from every cadence on
    return best[1], best[2]


def price_of(
    unit_price: float,
    paid: PaidPrice | None,
    purchase_count: int,
    cadence: Cadence,
    quantity: int,
    tier: DiscountTier,
    discounted: bool,
    digits: int,
) -> Price:
    """Costs and savings of a subscription at a tier."""
    if not discounted:
        tier = replace(tier, discount_ratio=0.0)
    terms = (unit_price, quantity, tier.discount_ratio, cadence, digits)
    return Price(
        tier=tier,
        annual_cost=annual_cost(*terms),
        estimated_annual_savings=annual_savings(*terms),
        savings_vs_paid=None if paid is None or not discounted else savings_vs_paid(paid, purchase_count, *terms),
    )
