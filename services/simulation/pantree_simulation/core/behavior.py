"""Behavior: how shoppers shop, whatever their archetype. Read from `behavior.toml`, which comes from a fit."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from pantree_domain.catalog import CATEGORIES
from pantree_simulation.core.records import MOST_PARTS


@dataclass(frozen=True)
class GapKind:
    """Some of the gaps between trips."""

    share: float
    mean: float
    """Mean gap, in household mean gaps before all are scaled to a mean of 1."""
    variation: float
    """Coefficient of variation."""


@dataclass(frozen=True)
class TripKind:
    """Some of the trips: errands, top-ups, large shops."""

    share: float
    reach: float
    """Share of the open needs that such a trip fills, the most urgent ones; ascending, 1 for the last kind."""


@dataclass(frozen=True)
class Trips:
    """When households go shopping, and for how much."""

    gap_ratio: float
    """Mean trip gap in proportion to the archetype's figure, which is between the median and the mean of all gaps:
    frequent shoppers have more of them."""
    gap_spread: float
    """Spread of the mean trip gap between households of an archetype: standard deviation of the logarithm."""
    basket_ratio: float
    """Mean basket that is aimed at in proportion to the archetype's figure; some needs come to nothing."""
    basket_spread: float
    """Spread of the mean basket between households of an archetype: standard deviation of the logarithm."""
    spell_days: int
    """Households have busy and quiet spells of so many days."""
    spell_spread: float
    """Spread of trip gaps and intervals between these: standard deviation of the logarithm."""
    weekday_weights: Sequence[float]
    """How popular Monday to Sunday are: a trip falls on its day or one of its neighbors in these proportions."""
    gaps: Sequence[GapKind]
    kinds: Sequence[TripKind]


@dataclass(frozen=True)
class Regularity:
    """Some of the staples."""

    share: float
    variation: float
    """Coefficient of variation of the time until it is needed again."""


@dataclass(frozen=True)
class Needs:
    """What households need, and how often."""

    staple_ratio: float
    """Share of the kinds of things in the catalog that a household needs regularly."""
    staple_spread: float
    """Spread of how often, between the staples of a household: standard deviation of the logarithm."""
    occasional_volume_ratio: float
    """Share of purchases that are of other kinds of things: once, or now and then."""
    occasional_spread: float
    """Spread of how often, between these."""
    occasional_variation: float
    """Coefficient of variation of the time until these are needed again."""
    most_purchases_per_trip: float
    """Even a daily need is now and then left out."""
    patience: float
    """A need that returns only after this many trip gaps, or more, can wait for a large shop; others are urgent."""
    habit: float
    """Share of intervals that are as long as the one before, 0 to 0.5: what is quickly used up is so for a while."""
    regularity: Sequence[Regularity]
    first_item_spread: float
    """Spread of how often the items of a first purchase are bought, around what is typical."""
    complement_preference: float
    """What goes with the first purchase is this much likelier to be a staple."""


@dataclass(frozen=True)
class Changes:
    """How staples come and go."""

    days_until_pause: float
    """Mean days after which a need pauses."""
    pause_days: float
    """Mean length of a pause; exponentially distributed."""
    days_until_swap: float
    """Mean days after which another item of the kind takes the place of the present one."""


@dataclass(frozen=True)
class Quantities:
    """How many units are bought."""

    extra_units: Sequence[float]
    """When there are more than usual: shares of one more, two more, and so on."""


@dataclass(frozen=True)
class Pack:
    """Some of the packs that households choose."""

    share: float
    price_ratio: float
    """Price in proportion to that of the pack in the catalog."""


@dataclass(frozen=True)
class Prices:
    """Shelf prices."""

    spread: float
    """Standard deviation of where in an item's price range a household buys, around its archetype's figure."""
    drift_days: int
    """Days between changes of a shelf price."""
    drift_ratio: float
    """Standard deviation of a shelf price around its long-term level."""
    packs: Sequence[Pack]
    levels: Mapping[str, float]
    """By category: what is paid in proportion to the catalog's prices."""


@dataclass(frozen=True)
class Promotions:
    """Promotions come by item and campaign: who shops then sees the same ones."""

    campaign_days: int
    household_spread: float
    """Standard deviation between households of the share of purchases on promotion."""
    depths: Sequence[float]
    """Quantiles of the saving over the shelf price, ascending."""
    depth_shares: Sequence[float]
    """Share of promotions that are less deep than each of these; from 0 to 1."""


@dataclass(frozen=True)
class Behavior:
    """How shoppers behave, whatever their archetype."""

    trips: Trips
    needs: Needs
    changes: Changes
    quantities: Quantities
    prices: Prices
    promotions: Promotions

    def __post_init__(self) -> None:
        for name, parts in (
            ("trips.gaps", self.trips.gaps),
            ("trips.kinds", self.trips.kinds),
            ("needs.regularity", self.needs.regularity),
            ("prices.packs", self.prices.packs),
        ):
            _check_shares(f"{name}.share", [part.share for part in parts])
        _check_shares("quantities.extra_units", self.quantities.extra_units)
        longest = max(
            map(len, (self.trips.kinds, self.needs.regularity, self.quantities.extra_units, self.prices.packs))
        )
        if longest > MOST_PARTS:
            raise ValueError(f"nothing may have more than {MOST_PARTS} parts")
        reaches = [kind.reach for kind in self.trips.kinds]
        if reaches != sorted(set(reaches)) or reaches[0] <= 0 or reaches[-1] != 1:
            raise ValueError("trips.kinds must have ascending reach, the last one 1")
        if len(self.trips.weekday_weights) != 7 or min(self.trips.weekday_weights) <= 0:
            raise ValueError("trips.weekday_weights must be seven positive numbers")
        if self.prices.levels.keys() != set(CATEGORIES):
            raise ValueError(f"prices.levels must name each of {list(CATEGORIES)}")
        depths, shares = self.promotions.depths, self.promotions.depth_shares
        if len(depths) != len(shares) or list(depths) != sorted(depths) or list(shares) != sorted(shares):
            raise ValueError("promotions.depths and depth_shares must be equally long and ascending")
        if shares[0] != 0 or shares[-1] != 1 or not 0 < depths[0] <= depths[-1] <= 1:
            raise ValueError("promotions.depths must lie between 0 and 1, depth_shares go from 0 to 1")
        if not 0 <= self.needs.habit <= 0.5:
            raise ValueError("needs.habit must lie between 0 and 0.5")
        if self.prices.drift_days < 1 or self.promotions.campaign_days < 1:
            raise ValueError("prices.drift_days and promotions.campaign_days must be at least 1")


def parse_behavior(text: str) -> Behavior:
    """Behavior written in TOML, in the form of `behavior.toml`.

    Raises:
        ValueError: when a figure makes no sense, naming it.
        TypeError: when a figure is missing or unknown.
    """
    return _read(Behavior, tomllib.loads(text))


Section = TypeVar("Section")


def _read(section: type[Section], values: Mapping[str, Any]) -> Section:
    hints = get_type_hints(section)
    known = {field.name for field in fields(section)}  # type: ignore[arg-type] # only dataclasses are sections
    return section(**{name: _value(hints[name], value) if name in known else value for name, value in values.items()})


def _value(hint: Any, value: Any) -> Any:
    if is_dataclass(hint):
        return _read(hint, value)  # type: ignore[arg-type]
    if get_origin(hint) is not None and isinstance(value, list):
        return tuple(_value(get_args(hint)[0], element) for element in value)
    return value


def _check_shares(name: str, shares: Sequence[float]) -> None:
    if not shares or min(shares) < 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise ValueError(f"{name} must be positive and sum to 1")
