"""What the pipeline finds out about a household before the stages: needs, prices, calendar, and what is unusual."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from pantree_domain.catalog import OTHER, load_catalog
from pantree_domain.days import calendar_day, day_number
from pantree_domain.goods.seasons import load_seasons
from pantree_domain.household.absences import Calendar, household_calendar
from pantree_domain.household.needs import Pack, fold_needs
from pantree_domain.household.pack import read_pack
from pantree_domain.household.prices import PaidLine, ReferencePrice, reference_price
from pantree_domain.purchases import PurchaseHistory
from pantree_pipeline.core.events import Degradation

COMPONENT = "history"

# An item of a season is bought all year if this share of its purchases is outside of the season.
_MIN_SHARE_OUT_OF_SEASON = 0.25
_MIN_DAYS_TO_JUDGE_SEASON = 300
# What was bought less often is not recommended, unless a shop lowers its threshold; then all payments count.
_MIN_PURCHASES_OF_PRICE = 3
_MIN_UNKNOWN_ITEMS = 10
_MIN_UNKNOWN_SHARE = 0.5
_MAX_NAMES_SHOWN = 3


@dataclass(frozen=True)
class Household:
    """A household's history, prepared for the stages."""

    history: PurchaseHistory
    """One entry per need; see `pantree_domain.household.needs`."""
    clock: PurchaseHistory
    """The same, with the days moved so that the household's absences don't count."""
    last_days: Mapping[str, date]
    """Day of the latest purchase of each item."""
    packs: Mapping[str, Pack]
    replaced: Mapping[str, str]
    all_year: frozenset[str]
    """Items of a season that this household buys in other months, too."""
    warnings: tuple[Degradation, ...]


def prepare(history: PurchaseHistory, as_of: date) -> Household:
    """The household behind a history.

    Args:
        history: at least one line, none later than the as-of date.
        as_of: as-of date.
    """
    needs = fold_needs(history, day_number(as_of), load_catalog())
    folded = needs.history
    calendar = household_calendar(history.trip_days, day_number(as_of))
    last_days = np.zeros(len(folded.item_names), np.int64)
    np.maximum.at(last_days, folded.item_indices, folded.days)
    return Household(
        history=folded,
        clock=replace(folded, days=calendar.at_home(folded.days)) if calendar.absences else folded,
        last_days={name: calendar_day(day) for name, day in zip(folded.item_names, last_days.tolist(), strict=True)},
        packs=needs.packs,
        replaced=needs.replaced,
        all_year=_bought_all_year(folded),
        warnings=(*_calendar_warnings(calendar, history, as_of), *_name_warnings(history, needs.packs)),
    )


def household_prices(history: PurchaseHistory, household: Household) -> dict[str, ReferencePrice]:
    """What a household lately paid, by name; only items that were paid for.

    Args:
        history: the household's, from which it was prepared.
        household: the household.
    """
    return reference_prices(history, household.packs, frozenset(household.history.item_names))


def reference_prices(
    history: PurchaseHistory, packs: Mapping[str, Pack], offered: frozenset[str]
) -> dict[str, ReferencePrice]:
    """Reference prices of the packs that are offered, from the lines of packs with the same content."""
    order = np.argsort(history.days, kind="stable")
    lines_of: list[list[PaidLine]] = [[] for _ in history.item_names]
    columns = (history.item_indices, history.days, history.quantities, history.prices, history.savings)
    items, *lines = (column[order].tolist() for column in columns)
    for item, line in zip(items, map(PaidLine, *lines), strict=True):
        lines_of[item].append(line)
    by_name = dict(zip(history.item_names, lines_of, strict=True))
    full = float((history.prices * history.quantities).sum())
    usual_discount_ratio = min(max(float(history.savings.sum()) / full, 0.0), 1.0) if full > 0 else 0.0
    found = {}
    for name in offered:
        lines = by_name[name]
        if name in packs:
            content = read_pack(name).content
            alike = [other for other in packs[name].names if read_pack(other).content in {content, None}]
            lines = sorted(line for other in alike for line in by_name[other])
        price = reference_price(lines, usual_discount_ratio) if len(lines) >= _MIN_PURCHASES_OF_PRICE else None
        if price is not None:
            found[name] = price
    return found


def _bought_all_year(history: PurchaseHistory) -> frozenset[str]:
    if int(np.ptp(history.days)) < _MIN_DAYS_TO_JUDGE_SEASON:
        return frozenset()
    found = []
    for item, (name, category) in enumerate(zip(history.item_names, history.item_categories, strict=True)):
        season = load_seasons().match(name, category)
        if season is None:
            continue
        days = np.unique(history.days[history.item_indices == item])
        outside = [not season.includes(calendar_day(day).month) for day in days]
        if sum(outside) >= _MIN_SHARE_OUT_OF_SEASON * len(outside):
            found.append(name)
    return frozenset(found)


def _calendar_warnings(calendar: Calendar, history: PurchaseHistory, as_of: date) -> list[Degradation]:
    if calendar.is_stale:
        last = calendar_day(int(history.days.max()))
        message = (
            f"the last purchase was on {last.isoformat()}, {calendar.days_since_last_trip} days before the as-of date "
            f"{as_of.isoformat()}: send newer purchases, or set as_of to the day of the export"
        )
        return [Degradation(COMPONENT, "STALE_HISTORY", message)]
    if not calendar.absences:
        return []
    gaps = ", ".join(
        f"{absence.days} days after {calendar_day(absence.begin).isoformat()}" for absence in calendar.absences[-3:]
    )
    message = f"the household bought nothing for a time ({gaps}): these days don't count as intervals of its items"
    return [Degradation(COMPONENT, "HOUSEHOLD_GAP", message)]


def _name_warnings(history: PurchaseHistory, packs: Mapping[str, Pack]) -> list[Degradation]:
    warnings = []
    several = [pack.names for pack in packs.values() if len(pack.names) > 1]
    if several:
        shown = "; ".join(" = ".join(names) for names in sorted(several)[:_MAX_NAMES_SHOWN])
        message = f"{len(several)} items have several names or pack sizes and count as one each: {shown}"
        warnings.append(Degradation(COMPONENT, "SEVERAL_NAMES", message))
    unknown = [
        name
        for name, category in zip(history.item_names, history.item_categories, strict=True)
        if category in {"", OTHER}
    ]
    if len(unknown) >= max(_MIN_UNKNOWN_ITEMS, _MIN_UNKNOWN_SHARE * len(history.item_names)):
        message = (
            f"{len(unknown)} of {len(history.item_names)} items have no category and are unknown to the catalog, such "
            f"as {', '.join(sorted(unknown)[:_MAX_NAMES_SHOWN])}: send the shop's categories"
        )
        warnings.append(Degradation(COMPONENT, "UNKNOWN_ITEMS", message))
    return warnings
