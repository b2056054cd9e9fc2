"""Predicts what a household buys on its next shopping trip."""

import enum
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pantree_domain.days import calendar_day, day_number
from pantree_domain.evidence import ModelName
from pantree_domain.purchases import PurchaseHistory
from pantree_recommendation.core.basket_features import BasketCandidates, Item, basket_candidates
from pantree_recommendation.core.basket_statistics import BasketStatistics

MaySuggest = Callable[[str, str], bool]
"""Whether an item may be suggested, by its name and category."""

DEFAULT_MAX_ITEMS = 20
_DEFAULT_TRIP_GAP_DAYS = 7


def _anything(name: str, category: str) -> bool:
    return True


class BasketMode(enum.Enum):
    """Which items are returned."""

    REPEAT = enum.auto()
    """Items that the household has bought before."""
    EXPLORE = enum.auto()
    """Items that it has not."""
    BOTH = enum.auto()


@dataclass(frozen=True, eq=False)
class NextBasketRequest:
    """A household's purchases, and what is wanted."""

    history: PurchaseHistory
    """May be empty."""
    as_of: date | None = None
    """Day of the basket; if None, the day of the latest purchase plus the median gap between trips."""
    mode: BasketMode = BasketMode.BOTH
    max_items: int = DEFAULT_MAX_ITEMS
    assortment: tuple[Item, ...] = ()
    """Items that can be bought for the first time; those that the model knows if empty."""
    promoted: frozenset[str] | None = None
    """Keys of the items on promotion on that day; None if unknown."""


@dataclass(frozen=True)
class PredictedItem:
    """An item, and how likely it is in the basket."""

    name: str
    category: str
    probability: float
    """That the household buys it on that day, if it shops then."""
    purchase_count: int
    """Days on which the household bought it; 0 for a new item."""
    last_day: int | None
    """Day of its latest purchase, days since 1970-01-01; None for a new item."""


@dataclass(frozen=True)
class NextBasket:
    """The most probable items, the most probable first; ties by name."""

    as_of: date
    items: tuple[PredictedItem, ...]
    model: ModelName


class BasketTrees(Protocol):
    """Trees that score candidates."""

    def scores(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """float64[m, 1], log odds that a candidate is in the basket.

        Args:
            values: float32[m, len(FEATURES)].
        """


@dataclass(frozen=True, eq=False)
class NextBasketModel:
    """A fitted model."""

    name: ModelName
    statistics: BasketStatistics
    trees: BasketTrees
    uses_promotions: bool = False

    def probabilities(self, candidates: BasketCandidates) -> NDArray[np.float64]:
        """float64[m], the probability of each candidate."""
        return 1 / (1 + np.exp(-self.trees.scores(candidates.values)[:, 0]))

    def predict(self, request: NextBasketRequest, may_suggest: MaySuggest = _anything) -> NextBasket:
        """The most probable items of a household's next basket.

        Args:
            request: the purchases, and what is wanted.
            may_suggest: whether an item that the household never bought may be returned.
        """
        as_of = expected_trip(request.history) if request.as_of is None else day_number(request.as_of)
        candidates = basket_candidates(
            request.history,
            as_of,
            self.statistics,
            assortment=request.assortment,
            promoted=request.promoted if self.uses_promotions else None,
            new_count=0 if request.mode is BasketMode.REPEAT else new_item_count(request.max_items),
        )
        probabilities = self.probabilities(candidates)
        wanted = [
            row
            for row, bought in enumerate(candidates.bought.tolist())
            if request.mode is BasketMode.BOTH or bought == (request.mode is BasketMode.REPEAT)
        ]
        wanted.sort(key=lambda row: (-probabilities[row], candidates.names[row]))
        best = itertools.islice(
            (
                row
                for row in wanted
                if candidates.bought[row] or may_suggest(candidates.names[row], candidates.categories[row])
            ),
            request.max_items,
        )
        return NextBasket(calendar_day(as_of), _items(candidates, probabilities, list(best), as_of), self.name)


def _items(
    candidates: BasketCandidates, probabilities: NDArray[np.float64], rows: Sequence[int], as_of: int
) -> tuple[PredictedItem, ...]:
    recency = candidates.recency_days
    return tuple(
        PredictedItem(
            candidates.names[row],
            candidates.categories[row],
            float(probabilities[row]),
            int(candidates.counts[row]),
            None if math.isnan(recency[row]) else as_of - int(recency[row]),
        )
        for row in rows
    )


def new_item_count(max_items: int) -> int:
    """How many items that a household never bought are considered; some of them may not be suggested."""
    return 2 * max_items + 20


def expected_trip(history: PurchaseHistory) -> int:
    """Day of the next trip if none is given: the latest trip plus the median gap, a week without one.

    Raises:
        ValueError: when there are no purchases.
    """
    days = history.trip_days
    if not len(days):
        raise ValueError("a household without purchases has no next trip; give the day")
    gap = float(np.median(np.diff(days))) if len(days) > 1 else _DEFAULT_TRIP_GAP_DAYS
    return int(days[-1]) + max(1, math.floor(gap + 0.5))
