"""Chooses how to deliver an item: the best option that keeps, and that is likely enough."""

from collections.abc import Mapping
from types import MappingProxyType

from pantree_domain.catalog import Perishability
from pantree_recommendation.core.candidate import Candidate, DeliveryOption, Forecast

# Required of a longer step than the best one. Of longer steps with a probability of .65 to .75, 73 % (products) and 72
# % (types) were bought again within 84 days; from .75 on 95 % and 96 % (a fourth of the fitting households, with models
# that were fitted on the others; cadences up to 56 days).
MIN_LONGER_PROBABILITY = 0.75
MAX_LONGER_FACTOR = 2

# Items with a rhythm of their own say enough with few purchases.
MIN_REGULARITY = 0.3

# The longest supply of one delivery, by how long an item keeps once it is at home.
DEFAULT_MAX_SUPPLY_DAYS: Mapping[Perishability, int] = MappingProxyType(
    {Perishability.DAYS: 10, Perishability.WEEKS: 42, Perishability.MONTHS: 365}
)


def with_best_option(
    candidate: Candidate, required_probability: float, max_supply_days: Mapping[Perishability, int]
) -> Candidate:
    """The candidate with a forecast of the option to offer.

    That is the best option that keeps. If a purchase in its time is not likely enough, steps up to twice as long are
    tried, shortest first: a delivery that comes too seldom does less harm than none. They must be likelier, since their
    items are bought again less often (see `MIN_LONGER_PROBABILITY`); but not those of items with a rhythm of their own,
    whose longer steps bring as many units a day. If none is likely enough, the best one remains.

    Args:
        candidate: one without options is returned as it is.
        required_probability: of a purchase within 1.5 × the interval, 0 to 1.
        max_supply_days: longest supply of one delivery; perishabilities that are missing are not limited.
    """
    forecast = candidate.forecast
    if forecast is None or not forecast.options:
        return candidate
    keeping = [option for option in forecast.options if keeps(candidate, forecast, option, max_supply_days)]
    # Nothing keeps if every option brings more than the household buys at once: then the smallest.
    best = keeping[0] if keeping else min(forecast.options, key=lambda option: (option.quantity, option.interval_days))
    chosen = best
    if best.cadence_probability < required_probability:
        max_interval_days = MAX_LONGER_FACTOR * best.interval_days
        longer = sorted(option for option in keeping if best.interval_days < option.interval_days <= max_interval_days)
        steady = forecast.regularity_ratio >= MIN_REGULARITY
        required_of_longer = required_probability if steady else max(required_probability, MIN_LONGER_PROBABILITY)
        chosen = next((option for option in longer if option.cadence_probability >= required_of_longer), best)
    return candidate._replace(forecast=forecast.with_option(chosen))


def keeps(
    candidate: Candidate, forecast: Forecast, option: DeliveryOption, max_supply_days: Mapping[Perishability, int]
) -> bool:
    """Whether a delivery is used up while it keeps; what the household itself buys at once always does."""
    perishability = candidate.perishability
    limit = None if perishability is None else max_supply_days.get(perishability)
    if limit is None or option.quantity <= candidate.typical_quantity:
        return True
    return forecast.use_days * option.quantity / candidate.typical_quantity <= limit
