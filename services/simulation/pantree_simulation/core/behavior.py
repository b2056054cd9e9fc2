"""How shoppers behave regardless of their archetype: the parameters in `behavior.toml`, which a fit writes."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

from pantree_domain.catalog import CATEGORIES
from pantree_simulation.core.records import MAX_STEPS
from pantree_simulation.core.toml_file import parse_toml, section


def _shares(shares: Sequence[float]) -> Sequence[float]:
    if min(shares) < 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise ValueError("shares must not be negative and must sum to 1")
    return shares


def _ascending(numbers: Sequence[float]) -> Sequence[float]:
    if list(numbers) != sorted(numbers):
        raise ValueError("must be ascending")
    return numbers


@section
class GapKind:
    """One component of the gaps between trips."""

    share: float
    mean: float
    """Mean gap, in household mean gaps before all are scaled to a mean of 1."""
    variation: float
    """Coefficient of variation."""


@section
class TripKind:
    """One kind of trip: errand, top-up, large shop."""

    share: float
    reach: Annotated[float, Field(gt=0, le=1)]
    """Share of the open needs that such a trip fills, most urgent first. Ascending by kind, 1 for the last."""


@section
class Regularity:
    """One class of staples."""

    share: float
    variation: float
    """Coefficient of variation of the time until it is needed again."""


KindT = TypeVar("KindT", GapKind, TripKind, Regularity)


def _kinds(kinds: Sequence[KindT]) -> Sequence[KindT]:
    _shares([kind.share for kind in kinds])
    return kinds


def _reaches(kinds: Sequence[TripKind]) -> Sequence[TripKind]:
    reaches = [kind.reach for kind in kinds]
    if reaches != sorted(set(reaches)) or reaches[-1] != 1:
        raise ValueError("must have ascending reach, 1 for the last kind")
    return kinds


Steps = Field(min_length=1, max_length=MAX_STEPS)


@section
class Trips:
    """When households go shopping, and how much they buy."""

    gap_ratio: float
    """Mean trip gap over the archetype's. The archetype's is between the median and the mean of all gaps, because
    frequent shoppers contribute more gaps."""
    gap_spread: float
    """Spread of the mean trip gap between households of an archetype: standard deviation of the logarithm."""
    basket_ratio: float
    """Target for the mean basket over the archetype's; some needs lead to no purchase."""
    basket_spread: float
    """Spread of the mean basket between households of an archetype: standard deviation of the logarithm."""
    spell_days: int
    """Length of the busy and quiet spells of a household."""
    spell_spread: float
    """Spread of trip gaps and intervals between spells: standard deviation of the logarithm."""
    weekday_weights: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=7, max_length=7)]
    """Popularity of Monday to Sunday: a trip is on its day or a neighboring day in these proportions."""
    gaps: Annotated[tuple[GapKind, ...], Field(min_length=1), AfterValidator(_kinds)]
    max_new_gap_ratio: Annotated[float, Field(ge=1)]
    """Longest gap of a household with a first purchase, in mean gaps: it is followed because it has begun to shop, and
    months away would leave nothing to learn from."""
    kinds: Annotated[tuple[TripKind, ...], Steps, AfterValidator(_kinds), AfterValidator(_reaches)]


@section
class Needs:
    """What households need, and how often."""

    popularity_exponent: float
    """Power of the catalog's popularity in the probability that a household needs a kind of things."""
    max_staple_ratio: float
    """Largest share of the households of an archetype that need a kind of things regularly."""
    max_scale: float
    """Largest factor, and its reciprocal the smallest, by which the frequency of all staples of a category differs from
    that in the catalog."""
    staple_spread: float
    """Spread of the frequency of a household's staples: standard deviation of the logarithm."""
    occasional_volume_ratio: float
    """Share of purchases of other kinds of things, which are bought once or now and then."""
    occasional_spread: float
    """Spread of the frequency of occasional needs."""
    occasional_variation: float
    """Coefficient of variation of the time until an occasional need returns."""
    max_purchases_per_trip: float
    """Mean purchases per trip of a daily need, which some trips skip."""
    patience: float
    """A need that returns after at least this many trip gaps can wait for a large shop; others are more urgent."""
    habit: Annotated[float, Field(ge=0, le=0.5)]
    """Share of intervals with the same quantile as the one before: consumption stays fast or slow for a while."""
    regularity: Annotated[tuple[Regularity, ...], Steps, AfterValidator(_kinds)]
    first_item_spread: float
    """Spread of the frequency of the items of a first purchase around the typical one."""
    complement_preference: float
    """Factor of the probability that complements of the first purchase are staples."""


@section
class Changes:
    """How staples come and go."""

    days_until_pause: float
    """Mean days until a need pauses."""
    pause_days: float
    """Mean length of a pause; exponentially distributed."""
    days_until_swap: float
    """Mean days until another item of the kind replaces the current one."""


@section
class Quantities:
    """How many units are bought."""

    extra_units: Annotated[tuple[float, ...], Steps, AfterValidator(_shares)]
    """When more units than usual are bought: shares of one more, two more, and so on."""


def _every_category(levels: Mapping[str, float]) -> Mapping[str, float]:
    if levels.keys() != set(CATEGORIES):
        raise ValueError(f"must name each of {', '.join(CATEGORIES)}")
    return levels


@section
class Prices:
    """Shelf prices."""

    spread: float
    """Standard deviation of a household's position in an item's price range, around its archetype's."""
    drift_days: Annotated[int, Field(ge=1)]
    """Days between changes of a shelf price."""
    drift_ratio: float
    """Standard deviation of a shelf price around its long-term level."""
    levels: Annotated[Mapping[str, float], AfterValidator(_every_category)]
    """By category: paid prices in proportion to the catalog's."""


@section
class Variants:
    """How often the makes and packs of an item are chosen by all shoppers together, over its plain regular pack."""

    organic: Annotated[float, Field(gt=0)]
    store_brand: Annotated[float, Field(gt=0)]
    small: Annotated[float, Field(gt=0)]
    family: Annotated[float, Field(gt=0)]
    interval_per_content: Annotated[float, Field(ge=0, le=1)]
    """Power of a pack's content in the time that it lasts: who buys larger packs uses more."""


def _zero_to_one(shares: Sequence[float]) -> Sequence[float]:
    if shares[0] != 0 or shares[-1] != 1:
        raise ValueError("must go from 0 to 1")
    return shares


@section
class Promotions:
    """Promotions by item and campaign; all shoppers see the same ones."""

    campaign_days: Annotated[int, Field(ge=1)]
    household_spread: float
    """Standard deviation between households of the share of purchases on promotion."""
    staple_ratio: Annotated[float, Field(gt=0)]
    """Share of the purchases of staples on promotion over that of all purchases: a household keeps to its variant."""
    occasional_ratio: Annotated[float, Field(gt=0)]
    """The same of occasional needs, which promotions bring to mind."""
    ratios: Annotated[Mapping[str, float], AfterValidator(_every_category)]
    """By category: share of purchases on promotion over that of all categories."""
    depths: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], AfterValidator(_ascending)]
    """Quantiles of the discount over the shelf price, ascending."""
    depth_shares: Annotated[
        tuple[float, ...], Field(min_length=2), AfterValidator(_ascending), AfterValidator(_zero_to_one)
    ]
    """Share of promotions with a smaller depth than each of these; from 0 to 1."""

    def __post_init__(self) -> None:
        if len(self.depths) != len(self.depth_shares):
            raise ValueError("depths and depth_shares must have the same length")


@section
class Behavior:
    """How shoppers behave regardless of their archetype."""

    trips: Trips
    needs: Needs
    changes: Changes
    quantities: Quantities
    variants: Variants
    prices: Prices
    promotions: Promotions


def parse_behavior(text: str) -> Behavior:
    """Behavior from TOML text in the format of `behavior.toml`.

    Raises:
        ValueError: the text is not TOML, or fields are missing, unknown or invalid; names each of them.
    """
    return parse_toml(text, Behavior)
