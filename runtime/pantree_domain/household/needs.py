"""Folds the names of one need: spellings, pack sizes, and what took the place of what is no longer bought.

The history that results has one entry for each need. Its quantities count the largest content that all packs of a need
are multiples of, so that four rolls and twelve rolls add up; `Pack.units` says how many of them one pack has.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pantree_domain.catalog.catalog import Catalog
from pantree_domain.household.pack import PackName, read_pack
from pantree_domain.item_key import item_key
from pantree_domain.purchases import PurchaseHistory

# A pack counts as usual by the purchases of this time; older ones only if there are none.
_RECENT_DAYS = 180
# A successor is bought this many times the interval of the old item after its last purchase, at most.
_MAX_SUCCESSOR_INTERVALS = 2.5
_MIN_PURCHASES_TO_SUCCEED = 3
_OVERDUE_INTERVALS = 1.5
# Only a regular need is seen to move from one item to another: a coefficient of variation.
_MAX_VARIATION = 0.5
# Last words that the names of two brands of an unknown kind have in common: `Acme Shower Gel` and `Bravo Shower Gel`.
_MIN_COMMON_WORDS = 2
# The old item may be bought once more after the first purchase of the next size.
_MAX_OVERLAPPING_PURCHASES = 1
_MAX_UNITS_PER_PACK = 48


class Pack(NamedTuple):
    """The pack of a need that is offered."""

    units: int
    """Units of the folded history in one pack; 1 when all packs are alike."""
    names: tuple[str, ...]
    """All names of the need, by name; the offered one is among them."""


@dataclass(frozen=True)
class Needs:
    """A history with one entry per need."""

    history: PurchaseHistory
    packs: Mapping[str, Pack]
    """By name in the folded history; only needs with several names."""
    replaced: Mapping[str, str]
    """Names that are no longer bought, and what took their place."""


def fold_needs(history: PurchaseHistory, as_of_day: int, catalog: Catalog) -> Needs:
    """The needs behind the items of a history.

    Args:
        history: with distinct items, at least one line, none later than the as-of date.
        as_of_day: days since 1970-01-01.
        catalog: names the kinds of items, for successors of another brand.
    """
    parts = [read_pack(name) for name in history.item_names]
    spans = _spans(history)
    groups = _groups(parts)
    chains, replaced_items = _successors(history, groups, parts, spans, as_of_day, catalog)
    if all(len(group) == 1 for group in chains):
        return Needs(history, {}, {})
    return _fold(history, chains, replaced_items, parts, spans, as_of_day)


class _Span(NamedTuple):
    """When an item or a group was bought."""

    days: NDArray[np.int64]
    """Distinct days, ascending."""
    first: int
    last: int

    @property
    def mean_interval(self) -> float:
        return (self.last - self.first) / max(len(self.days) - 1, 1)


def _spans(history: PurchaseHistory) -> list[_Span]:
    # One sort for all items.
    begin = int(history.days.min())
    width = int(history.days.max()) - begin + 1
    items, days = np.divmod(np.unique(history.item_indices.astype(np.int64) * width + (history.days - begin)), width)
    days += begin
    bounds = np.searchsorted(items, np.arange(len(history.item_names) + 1)).tolist()
    firsts = days[np.minimum(bounds[:-1], len(days) - 1)].tolist()
    lasts = days[np.maximum(np.array(bounds[1:]) - 1, 0)].tolist()
    return [
        _Span(days[start:end], first, last)
        for (start, end), first, last in zip(itertools.pairwise(bounds), firsts, lasts, strict=True)
    ]


def _groups(parts: Sequence[PackName]) -> list[list[int]]:
    """Items that are one need in packs of one unit; those without a pack size belong to the only unit there is."""
    by_need: defaultdict[tuple[object, int | None], dict[str, list[int]]] = defaultdict(dict)
    for item, part in enumerate(parts):
        by_need[part.need, part.size].setdefault(part.unit, []).append(item)
    groups = []
    for units in by_need.values():
        sized = [items for unit, items in units.items() if unit]
        if "" in units and len(sized) == 1:
            sized[0].extend(units[""])
        elif "" in units:
            sized.append(units[""])
        groups += [sorted(items) for items in sized]
    return sorted(groups)


def _successors(
    history: PurchaseHistory,
    groups: list[list[int]],
    parts: Sequence[PackName],
    spans: Sequence[_Span],
    as_of_day: int,
    catalog: Catalog,
) -> tuple[list[list[int]], dict[int, int]]:
    """Groups joined with those that they took the place of, and the items that were replaced with an item of theirs."""
    if not all(len(span.days) for span in spans):
        return groups, {}
    days = [_joined([spans[item] for item in group]) for group in groups]
    successor: dict[int, int] = {}
    for old, new in _next_sizes(groups, parts, days):
        successor[old] = new
    for old, new in _next_brands(history, groups, days, as_of_day, catalog, set(successor)):
        if old not in successor and new not in successor.values():
            successor[old] = new
    joined: dict[int, list[int]] = {number: list(group) for number, group in enumerate(groups)}
    replaced: dict[int, int] = {}
    for old in sorted(successor, key=lambda number: days[number].last):
        new = successor[old]
        replaced.update((item, groups[new][0]) for item in joined[old])
        joined[new] += joined.pop(old)
    return list(joined.values()), replaced


def _joined(spans: Sequence[_Span]) -> _Span:
    if len(spans) == 1:
        return spans[0]
    days = np.unique(np.concatenate([span.days for span in spans]))
    return _Span(days, int(days[0]), int(days[-1]))


def _next_sizes(
    groups: Sequence[Sequence[int]], parts: Sequence[PackName], days: Sequence[_Span]
) -> list[tuple[int, int]]:
    by_need: defaultdict[object, list[tuple[int, int]]] = defaultdict(list)
    for number, group in enumerate(groups):
        part = parts[group[0]]
        if part.size is not None:
            by_need[part.need].append((part.size, number))
    pairs = []
    for sizes in by_need.values():
        sizes.sort()
        for (_, old), (_, new) in itertools.pairwise(sizes):
            overlapping = int((days[old].days > days[new].first).sum())
            if overlapping <= _MAX_OVERLAPPING_PURCHASES and days[new].last > days[old].last:
                pairs.append((old, new))
    return pairs


def _next_brands(
    history: PurchaseHistory,
    groups: Sequence[Sequence[int]],
    days: Sequence[_Span],
    as_of_day: int,
    catalog: Catalog,
    taken: set[int],
) -> list[tuple[int, int]]:
    """Pairs of an item that is no longer bought and the only one like it that was first bought when it was due."""
    stopped = [
        number
        for number, span in enumerate(days)
        if number not in taken
        and len(span.days) >= _MIN_PURCHASES_TO_SUCCEED
        and as_of_day - span.last > _OVERDUE_INTERVALS * span.mean_interval
        and _is_regular(span)
    ]
    pairs = []
    firsts = np.array([span.first for span in days])
    for old in stopped:
        last, interval = days[old].last, days[old].mean_interval
        begun = np.flatnonzero((firsts > last) & (firsts <= last + _MAX_SUCCESSOR_INTERVALS * interval)).tolist()
        if not begun:
            continue
        alike = [new for new in begun if _are_alike(history, groups[old], groups[new], catalog)]
        if len(alike) == 1:
            pairs.append((old, alike[0]))
    news = Counter(new for _, new in pairs)
    return [(old, new) for old, new in pairs if news[new] == 1]


def _is_regular(span: _Span) -> bool:
    """Whether the standard deviation of the intervals is a small share of their mean."""
    days: list[int] = span.days.tolist()
    count, total = len(days) - 1, span.last - span.first
    squares = sum((after - before) ** 2 for before, after in itertools.pairwise(days))
    # The same in whole numbers, which need no rounding: both sides times the number of intervals, and squared.
    return count * squares - total**2 <= _MAX_VARIATION**2 * total**2


def _are_alike(history: PurchaseHistory, old: Sequence[int], new: Sequence[int], catalog: Catalog) -> bool:
    """Whether items of two groups are of one kind; if the catalog knows neither kind, whether the names end alike."""
    kind = _kind(history, old, catalog)
    if kind != _kind(history, new, catalog):
        return False
    if kind:
        return True
    endings = [read_pack(history.item_names[group[0]]).words[-_MIN_COMMON_WORDS:] for group in (old, new)]
    return len(endings[0]) == _MIN_COMMON_WORDS and endings[0] == endings[1]


def _kind(history: PurchaseHistory, group: Sequence[int], catalog: Catalog) -> str:
    """The kind of the items of a group, if their name contains it; empty otherwise."""
    name = history.item_names[group[0]]
    found = catalog.categorize(name)
    if found.item is None or not set(found.item.kind.split("_")) <= set(read_pack(name).words):
        return ""
    return found.item.kind


def _fold(
    history: PurchaseHistory,
    chains: Sequence[Sequence[int]],
    replaced_items: Mapping[int, int],
    parts: Sequence[PackName],
    spans: Sequence[_Span],
    as_of_day: int,
) -> Needs:
    group_of = [0] * len(parts)
    factor = [1.0] * len(parts)  # units of the folded history in a pack of each item
    names, categories = [], []
    packs: dict[str, Pack] = {}
    replaced: dict[str, str] = {}
    line_counts = _line_counts(history, as_of_day)
    for number, chain in enumerate(chains):
        for item in chain:
            group_of[item] = number
        if len(chain) == 1:
            names.append(history.item_names[chain[0]])
            categories.append(history.item_categories[chain[0]])
            continue
        current = [item for item in chain if item not in replaced_items]
        usual = _usual(history, current, parts, spans, line_counts)
        name = history.item_names[usual]
        names.append(name)
        known = [history.item_categories[item] for item in [usual, *chain] if history.item_categories[item]]
        categories.append(known[0] if known else "")
        units = _units(parts, chain, usual)
        for item in chain:
            factor[item] = units[item]
        packs[name] = Pack(units[usual], tuple(sorted(history.item_names[item] for item in current)))
        replaced.update((history.item_names[item], name) for item in chain if item in replaced_items)
    factors = np.array(factor, np.float64)[history.item_indices]
    folded = replace(
        history,
        item_names=tuple(names),
        item_categories=tuple(categories),
        item_indices=np.array(group_of, np.int32)[history.item_indices],
        quantities=np.maximum(np.rint(history.quantities * factors), 1).astype(np.int32),
        prices=history.prices / factors,
    )
    return Needs(folded, packs, replaced)


def _line_counts(history: PurchaseHistory, as_of_day: int) -> tuple[list[int], list[int]]:
    """Number of lines of each item lately, and of all of its lines."""
    recent = history.item_indices[history.days > as_of_day - _RECENT_DAYS]
    counts = (np.bincount(indices, minlength=len(history.item_names)) for indices in (recent, history.item_indices))
    lately, ever = (found.tolist() for found in counts)
    return lately, ever


def _usual(
    history: PurchaseHistory,
    items: Sequence[int],
    parts: Sequence[PackName],
    spans: Sequence[_Span],
    line_counts: tuple[list[int], list[int]],
) -> int:
    """The item of a need that is bought most often lately; of equals the larger one, then the one bought last."""
    lately, ever = line_counts
    counts = lately if any(lately[item] for item in items) else ever
    bought = [item for item in items if counts[item]]
    lines_of_pack: defaultdict[float | None, int] = defaultdict(int)
    for item in bought:
        lines_of_pack[parts[item].content] += counts[item]
    return min(
        bought,
        key=lambda item: (
            -lines_of_pack[parts[item].content],
            -(parts[item].content or 0.0),
            -spans[item].last,
            item_key(history.item_names[item]),
            history.item_names[item],
        ),
    )


def _units(parts: Sequence[PackName], chain: Sequence[int], usual: int) -> dict[int, int]:
    """Units of each item's pack. Packs without a content count as the usual one."""
    default = parts[usual].content
    same_unit = {parts[item].unit for item in chain if parts[item].unit}
    if default is None or len(same_unit) > 1:
        return dict.fromkeys(chain, 1)
    contents = {item: parts[item].content or default for item in chain}
    smallest = min(contents.values())
    for divisor in range(1, 13):
        base = smallest / divisor
        units = {item: content / base for item, content in contents.items()}
        if max(units.values()) > _MAX_UNITS_PER_PACK:
            break
        if all(abs(unit - round(unit)) <= 0.02 * unit for unit in units.values()):
            return {item: round(unit) for item, unit in units.items()}
    return {item: max(1, round(content / smallest)) for item, content in contents.items()}
