"""Which items are eligible for a subscription."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from pantree_domain.cadence import LADDER
from pantree_domain.catalog import Perishability
from pantree_domain.evidence import Need
from pantree_domain.goods import GoodsMatch, GoodsPolicy, Offering, load_goods_policy
from pantree_domain.goods.seasons import Season, load_seasons
from pantree_recommendation.core.candidate import Candidate
from pantree_recommendation.core.delivery import DEFAULT_MAX_SUPPLY_DAYS, MIN_REGULARITY
from pantree_recommendation.core.discount import DEFAULT_TIERS, DiscountTiers
from pantree_recommendation.core.plan import PlanPolicy
from pantree_recommendation.core.reason import Reason, ReasonCode

# One more step of the ladder, growing as the last one did, would begin here. Items bought less often would be delivered
# faster than they are used up, which is the main reason why people cancel.
MAX_MEAN_INTERVAL_DAYS = LADDER[-1].interval_days * math.sqrt(LADDER[-1].interval_days / LADDER[-2].interval_days)

# What keeps for days only and is bought more often than this is eaten on the same day; a week's worth of it would
# spoil.
MIN_FRESH_INTERVAL_DAYS = 2.5
# A subscription that would end after its first delivery is not worth one.
_MIN_INTERVALS_OF_SEASON = 2.0

# With fewer purchases, a cadence that is this much longer than the household's own interval rests on other households.
_MIN_PURCHASES_OF_OTHER_INTERVAL = 5
_MAX_THIN_RATIO = 1.75

# Late items are not offered, because they are bought again less often than active items of the same probability
# (fitting households: half of those at .6 to .7).
_REASON_BY_NEED = {
    Need.LATE: ReasonCode.NEED_LATE,
    Need.PAUSED: ReasonCode.NEED_PAUSED,
    Need.ENDED: ReasonCode.NEED_ENDED,
    Need.SWITCHED: ReasonCode.NEED_SWITCHED,
}


@dataclass(frozen=True)
class Policy:
    """The shop's thresholds and discounts."""

    min_cadence_probability: float = 0.65
    """Of a purchase within 1.5 × the cadence, 0 to 1. On fitting households .72 (products) to .75 (types) of the first
    five recommendations above it are bought again in that time, and about half of the households get one."""
    min_confidence: float = 0.0
    """0 to 100."""
    min_purchases: int = 3
    """At least 2: a cadence needs an interval."""
    regular_allowance: float = 0.3
    """How much lower the required probability of items with a rhythm of their own is, 0 to 1. Forecasts are pulled
    toward the average, and regular items are above it; when they are due is known best."""
    min_suggestion_score: float = 0.2
    """0 to 1; see `Suggestion.score`."""
    tiers: DiscountTiers = DEFAULT_TIERS
    excluded_categories: frozenset[str] = frozenset()
    """Not delivered by subscription; lower case."""
    max_supply_days: Mapping[Perishability, int] = field(default_factory=lambda: DEFAULT_MAX_SUPPLY_DAYS)
    """The longest supply of one delivery, by how long an item keeps."""
    max_category_ratio: float = 0.5
    """Largest share of the requested recommendations that may come from one category, above 0 to 1."""
    goods: GoodsPolicy = field(default_factory=load_goods_policy)
    """Types of goods that are never offered, discounted or suggested."""
    max_more_expensive_ratio: float = 0.1
    """How much more than the household paid an item may cost, at the discount that the plan reaches."""
    promotional_prices: bool = False
    """Whether discounts are taken off the day's price, promotions included, instead of the shelf price."""

    @property
    def plan_policy(self) -> PlanPolicy:
        """What concerns plans."""
        return PlanPolicy(self.tiers, self.max_more_expensive_ratio, self.promotional_prices)

    def required_probability(self, candidate: Candidate) -> float:
        """The minimum `cadence_probability` of an item, 0 to 1."""
        regular = candidate.forecast is not None and candidate.forecast.regularity_ratio >= MIN_REGULARITY
        return max(0.0, self.min_cadence_probability - (self.regular_allowance if regular else 0.0))

    def max_per_category(self, limit: int) -> int:
        """How many of `limit` items may come from one category, at least 1."""
        return max(1, math.ceil(self.max_category_ratio * limit))

    def may_discount(self, name: str, category: str) -> bool:
        """Whether an item may have a discount and a claim of savings."""
        match = self.goods.match(name, category)
        return match is None or match.goods.discount

    def may_suggest(self, name: str, category: str) -> bool:
        """Whether an item may be suggested because similar customers buy it."""
        if category.casefold() in self.excluded_categories:
            return False
        match = self.goods.match(name, category)
        return match is None or match.goods.suggest


def rejection_reason(candidate: Candidate, as_of: date, policy: Policy) -> Reason | None:
    """Why an item with its option is not eligible for a subscription; None when it is.

    Fits ask it of deliveries as they are; requests choose the option between the two questions.
    """
    return item_rejection_reason(candidate, as_of, policy) or option_rejection_reason(candidate, as_of, policy)


def item_rejection_reason(candidate: Candidate, as_of: date, policy: Policy) -> Reason | None:
    """Why an item is not eligible however it would be delivered; None when an option of it may be."""
    match = policy.goods.match(candidate.name, candidate.category)
    if match is not None and not policy.goods.may_offer(match.goods):
        return _goods_reason(match)
    season = season_of(candidate)
    if season is not None and (reason := _season_reason(season, candidate, as_of)) is not None:
        return reason
    # An item with an interval has a forecast, at least a derived one.
    if candidate.mean_interval_days is None or candidate.purchase_count < policy.min_purchases:
        return Reason(
            ReasonCode.TOO_FEW_PURCHASES,
            {"purchase_count": candidate.purchase_count, "min_purchases": policy.min_purchases},
        )
    return None


def option_rejection_reason(candidate: Candidate, as_of: date, policy: Policy) -> Reason | None:
    """Why the option of an item's forecast is not eligible; None when it is.

    Args:
        candidate: passes `item_rejection_reason`.
        as_of: as-of date.
        policy: of the shop.
    """
    mean, forecast = candidate.mean_interval_days, candidate.effective_forecast
    assert mean is not None  # the item has enough purchases
    assert forecast is not None
    thin = candidate.purchase_count < _MIN_PURCHASES_OF_OTHER_INTERVAL
    if thin and forecast.interval_days > _MAX_THIN_RATIO * mean:
        # What others buy alone would choose the cadence, and equal records would get different answers.
        return Reason(
            ReasonCode.TOO_FEW_PURCHASES,
            {"purchase_count": candidate.purchase_count, "min_purchases": _MIN_PURCHASES_OF_OTHER_INTERVAL},
        )
    if candidate.category.casefold() in policy.excluded_categories:
        return Reason(ReasonCode.NOT_SUBSCRIBABLE, {})
    if candidate.perishability is Perishability.DAYS and mean < MIN_FRESH_INTERVAL_DAYS:
        return Reason(ReasonCode.EATEN_FRESH, {"mean_interval_days": mean})
    if forecast.need is not Need.ACTIVE:
        return Reason(
            _REASON_BY_NEED[forecast.need],
            {
                "days_since_last_purchase": (as_of - candidate.last_day).days,
                "mean_interval_days": mean,
                "recency_weight_ratio": candidate.recency_weight_ratio,
                "need_probability": forecast.need_probability,
            },
        )
    # A rhythm may have changed, so that the mean interval is none that the item still has.
    own_days = forecast.use_days if forecast.regularity_ratio > 0 and forecast.use_days > 0 else mean
    if own_days > MAX_MEAN_INTERVAL_DAYS:
        return Reason(
            ReasonCode.INTERVAL_TOO_LONG,
            {"mean_interval_days": own_days, "max_interval_days": LADDER[-1].interval_days},
        )
    required = policy.required_probability(candidate)
    if forecast.cadence_probability < required:
        return Reason(
            ReasonCode.LOW_PROBABILITY,
            {
                "cadence_probability": forecast.cadence_probability,
                "min_cadence_probability": required,
                "interval_days": forecast.interval_days,
            },
        )
    if candidate.confidence < policy.min_confidence:
        return Reason(
            ReasonCode.LOW_CONFIDENCE, {"confidence": candidate.confidence, "min_confidence": policy.min_confidence}
        )
    return None


def season_of(candidate: Candidate) -> Season | None:
    """The season of an item; None if it, or this household, has none."""
    return None if candidate.all_year else load_seasons().match(candidate.name, candidate.category)


def _season_reason(season: Season, candidate: Candidate, as_of: date) -> Reason | None:
    last_day = season.last_day(as_of)
    if last_day is None:
        return Reason(ReasonCode.OUT_OF_SEASON, {}, label=season.label)
    days = (last_day - as_of).days
    if days < _MIN_INTERVALS_OF_SEASON * (candidate.mean_interval_days or LADDER[0].interval_days):
        return Reason(ReasonCode.SEASON_ENDS, {"days": days}, label=season.label)
    return None


def _goods_reason(match: GoodsMatch) -> Reason:
    if not match.certain:
        code = ReasonCode.GOODS_UNCERTAIN
    elif match.goods.offer is Offering.OPT_IN:
        code = ReasonCode.GOODS_OPT_IN
    else:
        code = ReasonCode.GOODS_NEVER_OFFERED
    return Reason(code, {}, goods_type=match.goods.id, label=match.goods.label)
