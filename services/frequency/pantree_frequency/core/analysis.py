"""The analysis of a household's history: every item's statistics, with what they are worth today."""

from dataclasses import dataclass

from pantree_domain.purchases import PurchaseHistory
from pantree_frequency.core import heuristic
from pantree_frequency.core.statistics import ItemStatistics, item_statistics


@dataclass(frozen=True)
class ItemFrequency:
    """An item's statistics and what they say about today."""

    statistics: ItemStatistics
    recency_weight_ratio: float
    """1 while the item is not yet due, then falling; 0 to 1."""
    confidence: float
    """0 to 100."""
    next_due_day: int | None
    """Last purchase plus mean interval, days since 1970-01-01; None for one purchase."""


@dataclass(frozen=True)
class HistoryAnalysis:
    """All items of a history, most confident first."""

    items: tuple[ItemFrequency, ...]
    model_name: str
    model_version: str


def analyze_history(history: PurchaseHistory, as_of_day: int) -> HistoryAnalysis:
    """Every item of a history, most confident first, then by name.

    Args:
        history: receipt lines in any order, none later than `as_of_day`.
        as_of_day: days since 1970-01-01.
    """
    items = [_item_frequency(statistics, as_of_day) for statistics in item_statistics(history)]
    items.sort(key=lambda item: (-item.confidence, item.statistics.name))
    return HistoryAnalysis(tuple(items), heuristic.NAME, heuristic.VERSION)


def _item_frequency(statistics: ItemStatistics, as_of_day: int) -> ItemFrequency:
    mean = statistics.mean_interval_days
    return ItemFrequency(
        statistics=statistics,
        recency_weight_ratio=heuristic.recency_weight(statistics, as_of_day),
        confidence=heuristic.confidence(statistics, as_of_day),
        next_due_day=None if mean is None else statistics.last_day + round(mean),
    )
