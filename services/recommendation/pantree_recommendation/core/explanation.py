"""Reasons for recommending an item."""

import math
from datetime import date

from pantree_domain.cadence import GRACE_FACTOR
from pantree_domain.catalog import Perishability
from pantree_domain.evidence import Trend
from pantree_domain.goods import GoodsType
from pantree_domain.goods.seasons import Season
from pantree_recommendation.core.candidate import Candidate
from pantree_recommendation.core.offer import Offer, Price
from pantree_recommendation.core.reason import Reason, ReasonCode

# A coefficient of variation of at most 0.5. Only a fifth of the items that real households buy repeatedly are this
# regular (84.51° Complete Journey, 2017).
MIN_CONSISTENCY_OF_REGULAR = 1 / 1.5
# "You may be running out" next to a first delivery weeks away would contradict itself.
MAX_DAYS_TO_DELIVERY_OF_DUE = 7


def recommendation_reasons(
    candidate: Candidate,
    offer: Offer,
    as_of: date,
    first_delivery_day: date,
    goods: GoodsType | None = None,
    season: Season | None = None,
    price: Price | None = None,
) -> tuple[Reason, ...]:
    """Reasons for recommending an offered item, most important first.

    Args:
        candidate: the item.
        offer: its subscription.
        as_of: as-of date.
        first_delivery_day: not before the as-of date.
        goods: type of goods with rules of its own; None for ordinary groceries.
        season: when such goods are bought; None for all year.
        price: costs and savings in the plan; None for those of the item alone.
    """
    assert candidate.mean_interval_days is not None  # an offer needs an interval
    regular = candidate.consistency_ratio >= MIN_CONSISTENCY_OF_REGULAR
    reasons = [
        Reason(
            ReasonCode.BOUGHT_REGULARLY if regular else ReasonCode.BOUGHT_REPEATEDLY,
            {
                "purchase_count": candidate.purchase_count,
                "mean_interval_days": candidate.mean_interval_days,
                "consistency_ratio": candidate.consistency_ratio,
            },
        )
    ]
    due = candidate.next_due_day is not None and candidate.next_due_day <= as_of
    if due and (first_delivery_day - as_of).days <= MAX_DAYS_TO_DELIVERY_OF_DUE:
        assert candidate.next_due_day is not None  # it is due
        reasons.append(Reason(ReasonCode.DUE_NOW, {"overdue_days": (as_of - candidate.next_due_day).days}))
    reasons += _cadence_reasons(candidate, offer)
    if season is not None:
        reasons.append(Reason(ReasonCode.SEASONAL, {}, label=season.label))
    reasons += _savings_reasons(offer, price or offer.price, goods)
    if candidate.trend is Trend.ACCELERATING:
        reasons.append(Reason(ReasonCode.BOUGHT_MORE_OFTEN, {"mean_interval_days": candidate.mean_interval_days}))
    if candidate.perishability is Perishability.MONTHS:
        reasons.append(Reason(ReasonCode.KEEPS_FOR_MONTHS, {}))
    return tuple(reasons)


def _cadence_reasons(candidate: Candidate, offer: Offer) -> list[Reason]:
    reasons = []
    forecast = candidate.forecast
    if forecast is not None:
        values = {
            "cadence_probability": forecast.cadence_probability,
            "days": math.floor(forecast.interval_days * GRACE_FACTOR),
        }
        reasons.append(Reason(ReasonCode.LIKELY_BOUGHT_AGAIN, values))
    if candidate.units_per_pack > 1:
        values = {"units_per_pack": candidate.units_per_pack, "interval_days": offer.cadence.interval_days}
        reasons.append(Reason(ReasonCode.WHOLE_PACKS, values))
    elif offer.cadence != offer.supported_cadence:
        assert candidate.suggested_interval_days is not None  # nothing else lengthens a cadence
        values = {
            "interval_days": offer.cadence.interval_days,
            "supported_interval_days": offer.supported_cadence.interval_days,
            "purchase_count": candidate.purchase_count,
            "suggested_interval_days": candidate.suggested_interval_days,
        }
        reasons.append(Reason(ReasonCode.CADENCE_LENGTHENED, values))
    elif forecast is not None:
        values = {
            "interval_days": forecast.interval_days,
            "stockout_probability": forecast.stockout_probability,
            "overstock_ratio": forecast.overstock_ratio,
        }
        reasons.append(Reason(ReasonCode.CADENCE_BY_RISK, values))
    if forecast is not None and offer.units_on_hand > 0:
        values = {
            "delivered_per_used_ratio": offer.supply_ratio,
            "overstock_ratio": forecast.overstock_ratio,
            "expected_units_on_hand": round(offer.units_on_hand, 2),
        }
        reasons.append(Reason(ReasonCode.STOCK_AT_HOME, values))
    return reasons


def _savings_reasons(offer: Offer, price: Price, goods: GoodsType | None) -> list[Reason]:
    """The savings compared with what was paid, if that is known; none if it does not save or lately paid less."""
    if not offer.discounted and goods is not None:
        return [Reason(ReasonCode.SHELF_PRICE_ONLY, {}, goods_type=goods.id, label=goods.label)]
    savings = price.savings_vs_paid
    if savings is None:
        if price.estimated_annual_savings <= 0:
            return []
        values = {
            "estimated_annual_savings": price.estimated_annual_savings,
            "discount_ratio": price.tier.discount_ratio,
        }
        return [Reason(ReasonCode.SAVES_MONEY, values, digits=offer.digits)]
    unit_prices = {
        "paid_unit_price": savings.paid_unit_price,
        "subscription_unit_price": savings.subscription_unit_price,
    }
    if not (savings.is_claim and savings.supported):
        return []
    values = {
        **unit_prices,
        "expected_annual_savings": savings.expected,
        "low_annual_savings": savings.low,
        "high_annual_savings": savings.high,
        "discount_ratio": price.tier.discount_ratio,
    }
    return [Reason(ReasonCode.SAVES_VS_PAID, values, digits=offer.digits)]
