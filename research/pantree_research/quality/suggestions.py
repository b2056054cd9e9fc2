"""Suggestions to newcomers, from real customers alike, through the code of vector and recommendation.

The store holds the fitting households, with all they bought up to a cut-off. A validation household comes as a
newcomer: of its purchases up to then only the last few trips are known. A suggestion comes true when the household buys
the item on two days or more in the twelve weeks after. New items and items that it has tried are counted
separately. The baseline is as many items, ordered by how many of all stored households buy them regularly.

    python -m pantree_research.quality.suggestions
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from pantree_domain.purchases import PurchaseHistory
from pantree_fitting.metrics import interval_of
from pantree_recommendation.core.policy import Policy
from pantree_recommendation.core.suggestion import CoPurchasedItem, Neighborhood, NeighborItem, suggestions_of
from pantree_research.quality.households import FITTING_END, Level, ReceiptLines, Split, load_receipt_lines
from pantree_research.quality.recommendations import history_before, later_days
from pantree_vector.backends.cached import CachedEmbedder
from pantree_vector.backends.memory import MemoryStore
from pantree_vector.backends.static import StaticEmbedder
from pantree_vector.core.household_points import HistoryToIndex
from pantree_vector.core.neighborhood import REGULAR_DAYS
from pantree_vector.core.neighborhood import Neighborhood as Counted
from pantree_vector.core.similarity import Similarity

KNOWN_TRIPS = (2, 4, 8)
FOLLOW_UP_DAYS = 84
DAYS_OF_A_HABIT = 2
MAX_SUGGESTIONS = 5
BOOTSTRAP_SAMPLES = 1000
_NEWCOMER = "newcomer"
_SHOWN_ITEMS = 100


@dataclass(frozen=True)
class Found:
    """What became of the suggestions of one kind to one newcomer."""

    hits: int
    count: int
    popular_hits: int
    """Of as many items in the order of popularity."""


def suggestions_table(lines: ReceiptLines) -> dict[str, dict[str, float]]:
    """Share of suggestions that came true, by known trips and kind, and of popular items.

    Args:
        lines: of fitting and validation households; items are types, which have names to compare.
    """
    return asyncio.run(_table(lines))


async def _table(lines: ReceiptLines) -> dict[str, dict[str, float]]:
    similarity = Similarity(MemoryStore(max_items=10_000_000), CachedEmbedder(StaticEmbedder(), 20_000))
    await similarity.open()
    stored = lines.of(Split.FITTING).histories(Level.TYPE)
    customers = []
    popular: Counter[str] = Counter()
    for household in range(stored.household_count):
        history = history_before(stored, household, FITTING_END)
        if len(history):
            customers.append(HistoryToIndex("", f"customer-{household}", history, FITTING_END))
            popular.update(name for name, days in _days_by_item(history).items() if days >= REGULAR_DAYS)
    await similarity.index_histories(customers)
    newcomers = lines.of(Split.VALIDATION).histories(Level.TYPE)
    found: dict[tuple[int, str], list[Found]] = {}
    for household in range(newcomers.household_count):
        history = history_before(newcomers, household, FITTING_END)
        later = Counter(name for name, _ in later_days(newcomers, household, FITTING_END, FITTING_END + FOLLOW_UP_DAYS))
        for trips in KNOWN_TRIPS:
            if len(history.trip_days) < trips:
                continue
            known = history_before(newcomers, household, FITTING_END, first=int(history.trip_days[-trips]))
            await similarity.index_history(HistoryToIndex("", _NEWCOMER, known, FITTING_END))
            counted = await similarity.neighborhood("", _NEWCOMER, limit=_SHOWN_ITEMS)
            own = _days_by_item(known)
            for kind, tried in (("new", False), ("tried", True)):
                items = _suggested(counted, tried)
                if items:
                    others = [name for name, _ in popular.most_common() if _is_of_kind(own.get(name, 0), tried)]
                    found.setdefault((trips, kind), []).append(
                        Found(_hits(items, later), len(items), _hits(others[: len(items)], later))
                    )
    return {f"{trips} trips known, {kind}": _row(parts) for (trips, kind), parts in sorted(found.items())}


def _suggested(counted: Counted, tried: bool) -> list[str]:
    """Names of the first suggestions of one kind, as the recommendation gives them."""
    items = tuple(
        NeighborItem(
            name=item.name,
            category=item.category,
            buyer_count=item.buyer_count,
            regular_buyer_count=item.regular_buyer_count,
            low_interval_days=item.interval_quartiles[0],
            high_interval_days=item.interval_quartiles[2],
            own_day_count=item.own_day_count,
            associated_item=None
            if item.associated_item is None
            else CoPurchasedItem(
                item.associated_item.name, item.associated_item.buyer_count, item.associated_item.regular_count
            ),
        )
        for item in counted.items
        if bool(item.own_day_count) is tried
    )
    found = suggestions_of(Neighborhood(counted.neighbor_count, items), (), Policy(), MAX_SUGGESTIONS)
    return [suggestion.item.name for suggestion in found]


def _days_by_item(history: PurchaseHistory) -> Mapping[str, int]:
    pairs = np.unique(np.stack([history.item_indices, history.days]), axis=1)
    return Counter(history.item_names[item] for item in pairs[0].tolist())


def _is_of_kind(own_days: int, tried: bool) -> bool:
    return 0 < own_days < REGULAR_DAYS if tried else own_days == 0


def _hits(names: list[str], later: Mapping[str, int]) -> int:
    return sum(later.get(name, 0) >= DAYS_OF_A_HABIT for name in names)


def _row(parts: list[Found]) -> dict[str, float]:
    hits, counts, popular = np.array([(part.hits, part.count, part.popular_hits) for part in parts]).T
    drawn = np.random.default_rng(7).integers(0, len(parts), (BOOTSTRAP_SAMPLES, len(parts)))
    more = hits - popular
    low, high = interval_of(list(more[drawn].sum(axis=1) / counts[drawn].sum(axis=1)))
    return {
        "newcomers": len(parts),
        "suggestions": int(counts.sum()),
        "came true": float(hits.sum() / counts.sum()),
        "popular ones": float(popular.sum() / counts.sum()),
        "difference": float(more.sum() / counts.sum()),
        "from": low,
        "to": high,
    }


def print_suggestions(rows: Mapping[str, Mapping[str, float]]) -> None:
    """Prints what `suggestions_table` found."""
    names = list(next(iter(rows.values())))
    print(f"\nsuggestions to newcomers, bought on two days or more within 84\n{'':24s}", end="")
    print("".join(f"{name:>14s}" for name in names))
    for label, row in rows.items():
        print(f"{label:24s}" + "".join(f"{row[name]:>14.3f}" for name in names))


if __name__ == "__main__":
    print(f"as of {date(2017, 8, 31)}")
    print_suggestions(suggestions_table(load_receipt_lines()))
