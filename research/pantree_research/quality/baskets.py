"""Next-basket prediction: baskets, the published methods it is held against, and how good a list is.

A basket is what a household buys on one day. The methods are written after their papers:

- personal top-frequency and GP-TopFreq (personal items first, then the most popular): Li et al., "A Next Basket
  Recommendation Reality Check", TOIS 2023.
- TIFU-KNN: Hu et al., "Modeling Personalized Item Frequency Information for Next-basket Recommendation", SIGIR 2020.
- UP-CF@r: Faggioli et al., "Recency Aware Collaborative Filtering for Next Basket Recommendation", UMAP 2020.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]
# SciPy ships no types.
Sparse = Any

MIN_BASKETS = 3
LISTED = 20
NOTHING = -1


@dataclass(frozen=True, eq=False)
class Baskets:
    """Which household bought which item in which of its baskets."""

    households: Integers
    """Per purchase, 0…: ascending."""
    positions: Integers
    """Per purchase: which basket of the household, 0 is the first."""
    items: Integers
    """Per purchase; an item is once in a basket."""
    days: Integers
    """Per purchase, days since 1970-01-01."""
    shops: Integers
    """Per purchase: where it was bought, an id."""
    household_ids: Integers
    """Per household, as in the data set."""
    basket_counts: Integers
    """Per household."""
    item_groups: Integers
    """Per item: what it is a kind of, 0…"""

    @property
    def item_count(self) -> int:
        """How many items there are."""
        return len(self.item_groups)

    def past(self, households: Integers, dropped: int = 0, *, day_known: bool = False) -> "Past":
        """What these households bought before their last basket, or before the one `dropped` earlier.

        Args:
            households: that have at least `MIN_BASKETS + dropped` baskets, without repetition.
            dropped: baskets at the end that are left out altogether.
            day_known: whether the methods are given the day of the basket to predict; never what was bought on it.
        """
        rows = np.full(len(self.household_ids), NOTHING)
        rows[households] = np.arange(len(households))
        row = rows[self.households]
        targets = self.basket_counts[self.households] - 1 - dropped
        evaluation, before = row != NOTHING, self.positions < targets
        kept, target, latest = (
            evaluation & before,
            evaluation & (self.positions == targets),
            evaluation & (self.positions + 1 == targets),
        )
        as_of, shops = np.zeros(len(households), np.int64), np.zeros(len(households), np.int64)
        given = target if day_known else latest
        as_of[row[given]] = self.days[given]
        shops[row[latest]] = self.shops[latest]
        truth = sparse.csr_array(
            (np.ones(target.sum(), np.float32), (row[target], self.items[target])),
            shape=(len(households), self.item_count),
        )
        return Past(
            rows=row[kept],
            items=self.items[kept],
            ages=(targets - 1 - self.positions)[kept],
            days_ago=as_of[row[kept]] - self.days[kept],
            lengths=self.basket_counts[households] - 1 - dropped,
            as_of=as_of,
            day_known=day_known,
            shops=shops,
            item_count=self.item_count,
            truth=truth,
        )


@dataclass(frozen=True, eq=False)
class Past:
    """What households bought before the basket that is asked for."""

    rows: Integers
    """Per purchase: the household, 0…"""
    items: Integers
    ages: Integers
    """Per purchase: baskets of the household after this one, 0 is the latest known."""
    days_ago: Integers
    """Per purchase: days before `as_of`."""
    lengths: Integers
    """Per household: known baskets."""
    as_of: Integers
    """Day of the basket to predict, per household; of the latest known basket if the day is not given."""
    day_known: bool
    shops: Integers
    """Per household: shop of the latest known basket, an id."""
    item_count: int
    truth: Sparse
    """1 where the item is in the next basket: [household, item]."""

    def matrix(self, weights: Floats) -> Sparse:
        """Sums of the weights of purchases: [household, item]."""
        shape = (len(self.lengths), self.item_count)
        return sparse.csr_array((weights.astype(np.float32), (self.rows, self.items)), shape=shape)

    def counts(self) -> Sparse:
        """In how many baskets each item was: [household, item]."""
        return self.matrix(np.ones(len(self.rows)))


@dataclass(frozen=True)
class TifuKnn:
    """Parameters of TIFU-KNN: how the baskets of a household become one vector, and how vectors become a prediction."""

    groups: int
    """Into how many groups of equal size the baskets are split; the earliest may be smaller."""
    basket_decay: float
    """r_b: weight of a basket relative to the next one of its group."""
    group_decay: float
    """r_g: weight of a group relative to the next one."""
    neighbors: int
    own_ratio: float
    """Alpha: weight of the household's own vector; the rest is the mean vector of the neighbors."""

    def vectors(self, past: Past) -> Sparse:
        """Temporal item frequencies: [household, item]."""
        size = -(-past.lengths // self.groups)
        group_counts = -(-past.lengths // size)
        group, place = np.divmod(past.ages, size[past.rows])
        earliest_size = past.lengths - (group_counts - 1) * size
        of_group = np.where(group == group_counts[past.rows] - 1, earliest_size[past.rows], size[past.rows])
        weights = self.basket_decay**place / of_group * self.group_decay**group / group_counts[past.rows]
        return past.matrix(weights)

    def nearest(self, evaluation: Sparse, known: Sparse) -> Sparse:
        """Equal weights of the known vectors that are nearest by Euclidean distance: [asked, known]."""
        count = min(self.neighbors, known.shape[0])
        squares = np.asarray(known.multiply(known).sum(axis=1)).ravel()
        # What all known vectors have in common, the asked vector's own square, does not change the order.
        distances = squares[None, :] - 2 * (evaluation @ known.T).toarray()
        chosen = np.argpartition(distances, count - 1, axis=1)[:, :count]
        rows = np.repeat(np.arange(evaluation.shape[0]), count)
        weights = np.full(len(rows), 1 / count, np.float32)
        return sparse.csr_array((weights, (rows, chosen.ravel())), shape=distances.shape)

    def scores(self, evaluation: Sparse, known: Sparse) -> tuple[Floats, Floats]:
        """The two terms of the prediction, of the household itself and of its neighbors: [asked, item] each."""
        around = (self.nearest(evaluation, known) @ known).toarray()
        return self.own_ratio * evaluation.toarray(), (1 - self.own_ratio) * around


@dataclass(frozen=True)
class UpCf:
    """Parameters of UP-CF@r."""

    recent: int
    """r: baskets at the end that popularity for a household is counted over."""
    asymmetry: float
    """Alpha of the asymmetric cosine: the power of the asked household's number of items."""
    locality: float
    """q: the power of the similarity; the higher, the more the nearest count."""

    def popularity(self, past: Past) -> Sparse:
        """Share of a household's recent baskets that an item was in: [household, item]."""
        recent = past.ages < self.recent
        return past.matrix(recent / np.minimum(past.lengths, self.recent)[past.rows])

    def scores(self, evaluation: Past, known: Past, known_popularity: Sparse) -> Floats:
        """Popularity for all households, weighted by similarity; a household is most similar to itself."""
        mine, theirs = evaluation.counts().sign(), known.counts().sign()
        mine_sizes = np.asarray(mine.sum(axis=1)).ravel()
        their_sizes = np.asarray(theirs.sum(axis=1)).ravel()
        norm = mine_sizes[:, None] ** self.asymmetry * their_sizes[None, :] ** (1 - self.asymmetry)
        weights = ((mine @ theirs.T).toarray() / norm) ** self.locality
        total = self.popularity(evaluation).toarray() + weights.astype(np.float32) @ known_popularity
        return np.asarray(total, np.float32) / (1 + known.lengths.size)


def read_baskets(frame: pd.DataFrame, item_column: str, group_column: str) -> Baskets:
    """Baskets of the households with `MIN_BASKETS` or more.

    Args:
        frame: receipt lines of `ReceiptLines`.
        item_column: what counts as an item.
        group_column: what items are kinds of.
    """
    bought = frame[["household_id", "day", "store_id", item_column, group_column]].drop_duplicates(
        ["household_id", "day", item_column]
    )
    bought = bought[bought.groupby("household_id").day.transform("nunique") >= MIN_BASKETS]
    bought = bought.sort_values(["household_id", "day", item_column], kind="stable")
    households, household_ids = pd.factorize(bought.household_id)
    items, names = pd.factorize(bought[item_column].astype(str), sort=True)
    groups, _ = pd.factorize(bought[group_column].astype(str), sort=True)
    item_groups = np.zeros(len(names), np.int64)
    item_groups[items] = groups
    positions = bought.groupby("household_id").day.rank(method="dense").to_numpy().astype(np.int64) - 1
    counts = np.zeros(len(household_ids), np.int64)
    np.maximum.at(counts, households, positions + 1)
    return Baskets(
        households, positions, items, bought.day.to_numpy().astype(np.int64), bought.store_id.to_numpy(),
        np.asarray(household_ids), counts, item_groups,
    )  # fmt: skip


def first_items(scores: Floats, popularity: Floats) -> Integers:
    """The items of the highest scores above nought, ties by popularity: [household, LISTED], then `NOTHING`."""
    keys = scores.astype(np.float64) + 1e-9 * popularity / popularity.max()
    keys[scores <= 0] = -np.inf
    count = min(LISTED, keys.shape[1])
    chosen = np.argpartition(-keys, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(keys, chosen, axis=1), axis=1, kind="stable")
    chosen = np.take_along_axis(chosen, order, axis=1)
    chosen[np.isneginf(np.take_along_axis(keys, chosen, axis=1))] = NOTHING
    return np.pad(chosen, ((0, 0), (0, LISTED - count)), constant_values=NOTHING)


def judge(listed: Integers, truth: Bools, seen: Bools) -> dict[str, Floats]:
    """Measures of each household's list; NaN where there is nothing to find.

    Args:
        listed: items, best first, of `first_items`.
        truth: whether the item is in the next basket, [household, item].
        seen: whether the household bought it before: finding those is the repeat part, the others the explore part.
    """
    rows = np.arange(len(listed))[:, None]
    hits = truth[rows, listed] & (listed != NOTHING)
    again = hits & seen[rows, listed]
    size = truth.sum(axis=1)
    repeated = (truth & seen).sum(axis=1)
    gains = 1 / np.log2(np.arange(10) + 2.0)
    best = np.concatenate([[0.0], np.cumsum(gains)])[np.minimum(size, 10)]

    def share(found: Integers, wanted: Integers) -> Floats:
        return np.where(wanted > 0, found / np.maximum(wanted, 1), np.nan)

    return {
        "recall@10": share(hits[:, :10].sum(axis=1), size),
        "NDCG@10": np.where(size > 0, (hits[:, :10] * gains).sum(axis=1) / np.where(size > 0, best, 1), np.nan),
        "recall@20": share(hits.sum(axis=1), size),
        "repeat recall@10": share(again[:, :10].sum(axis=1), repeated),
        "explore recall@10": share((hits & ~again)[:, :10].sum(axis=1), size - repeated),
    }
