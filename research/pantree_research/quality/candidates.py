"""Candidates for a next basket, and their features on the as-of date.

The as-of date is the day of the basket to predict; nothing that is bought on that day is used. Knowledge of other
households comes from the given ones only, and from before the baskets that are held out.
"""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
from scipy import sparse

from pantree_domain.days import day_number
from pantree_fitting.frequency import models as fitting
from pantree_frequency.core.features import MODELED, FeatureTable, feature_table
from pantree_frequency.core.histories import Histories
from pantree_frequency.core.priors import Priors
from pantree_frequency.core.purchases import purchases_by_pair
from pantree_research.quality.baskets import (
    MIN_BASKETS,
    Baskets,
    Floats,
    Integers,
    Past,
    Sparse,
    TifuKnn,
    UpCf,
)
from pantree_research.quality.households import FIRST_DAY, Level
from pantree_research.quality.promotions import Promotions

FOLDS = 5
BATCH = 128

# How many candidates each way of finding them puts forward.
_CANDIDATES = {"tifu": 60, "own": 50, "up_cf": 20, "around": 10, "popular": 10, "beside_all": 5, "beside_last": 5}
_RECENT_WEEKS = 4
_RECENT_BASKETS = 5
_WEEKDAY_OF_DAY_0 = 3  # 1970-01-01 was a Thursday
# Most held-out baskets are later; the typical intervals of items must not come from them.
_PRIORS_END = day_number(date(2017, 11, 30))


class Given(enum.Enum):
    """What the trees are given about the as-of date; published methods use nothing of it."""

    NOTHING = "nothing"
    """The as-of date is the day of the latest known basket."""
    DAY = "day"
    """They are asked on the day of the basket that is asked for."""
    PROMOTIONS = "promotions"
    """And what the shops advertise in that week."""


@dataclass(frozen=True, eq=False)
class Others:
    """What is known of other households."""

    past: Past
    vectors: Sparse
    up_cf_popularity: Sparse
    popularity: Floats
    """Per item: baskets that it was in."""
    household_ratio: Floats
    """Per item: share of the households that bought it."""
    repeat_ratio: Floats
    """Per item: share of its buyers that bought it on two days or more, drawn to the mean of all items."""
    together: Sparse
    """1/√(baskets with the item) where the item is in the basket: [basket, item]."""
    weeks: Floats
    """Purchases before each week of the year: [week, item]."""
    priors: Priors
    """Rhythms of items, types and categories."""


def all_scores(evaluation: Past, known: Others, tifu: TifuKnn, up_cf: UpCf) -> dict[str, Floats]:
    """Scores of every method: [household, item] each."""
    own, around = tifu.scores(tifu.vectors(evaluation), known.vectors)
    counts = evaluation.counts().toarray()
    highest = known.popularity.max() + 1
    last = evaluation.matrix((evaluation.ages == 0).astype(np.float32))
    decayed = evaluation.matrix(0.5 ** (evaluation.days_ago / 30))
    return {
        "popular": np.broadcast_to(known.popularity, counts.shape),
        "personal": counts,
        "gp_top": counts + known.popularity / highest,
        "up_cf": up_cf.scores(evaluation, known.past, known.up_cf_popularity),
        "own": own,
        "around": around,
        "tifu": own + around,
        "beside_last": _associated(last, known),
        "beside_all": _associated(decayed, known),
    }


def _associated(bought: Sparse, known: Others) -> Floats:
    """Cosine similarity by common baskets with what was bought, without the similarity of an item to itself."""
    norms = np.where(known.popularity > 0, 1 / np.sqrt(np.maximum(known.popularity, 1)), 0).astype(np.float32)
    similar = (bought @ known.together.T) @ known.together
    itself = bought.multiply((norms**2 * known.popularity)[None, :])
    return np.asarray((similar - itself).toarray(), np.float32)


def places_in_rows(rows: Integers, values: Floats) -> Floats:
    """Place of each value among those of its row, the highest first, from 0.

    Args:
        rows: ascending.
        values: parallel to the rows.
    """
    order = np.lexsort((-values, rows))
    places = np.empty(len(rows))
    places[order] = np.arange(len(rows)) - np.searchsorted(rows, rows)
    return places


def standardised_in_rows(rows: Integers, values: Floats) -> Floats:
    """The values with mean 0 and deviation 1 in each row; 0 where all values of a row are the same.

    Args:
        rows: ascending.
        values: parallel to the rows.
    """
    counts = np.maximum(np.bincount(rows), 1)
    centred = values - (np.bincount(rows, values) / counts)[rows]
    deviation = np.sqrt(np.bincount(rows, centred**2) / counts)[rows]
    return np.asarray(np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 0))


@dataclass(frozen=True, eq=False)
class Candidates:
    """What the trees choose from, household by household."""

    rows: Integers
    items: Integers
    features: Floats
    """[candidate, feature]"""
    labels: Floats
    """1 where the item is in the next basket."""
    basket_sizes: Integers
    """Per household: items in the next basket."""


@dataclass(frozen=True, eq=False)
class Bench:
    """The households of one level, and the parameters."""

    baskets: Baskets
    histories: Mapping[Level, Histories]
    """The same households' receipt lines, finest level first."""
    level: Level
    promotions: Promotions
    fitting: Integers
    validation: Integers
    tifu: TifuKnn
    up_cf: UpCf
    given: Given

    def fold(self, index: int) -> tuple[Integers, Integers]:
        """Fitting households outside of a fold, and in it."""
        inside = np.arange(len(self.fitting)) % FOLDS == index
        return self.fitting[~inside], self.fitting[inside]

    def enough(self, households: Integers, dropped: int) -> Integers:
        """Those of the households that have enough baskets left."""
        return households[self.baskets.basket_counts[households] >= MIN_BASKETS + dropped]

    def known(self, households: Integers, dropped: int) -> Others:
        """What these households tell of others: all that they bought before the basket that is held out.

        Weekly purchases alone go on to the end, as they are only looked up before the as-of date.
        """
        past = self.baskets.past(self.enough(households, dropped), dropped)
        counts = past.counts()
        popularity = np.bincount(past.items, minlength=past.item_count).astype(np.float64)
        buyers = np.bincount(counts.indices, minlength=past.item_count)
        repeaters = np.bincount(counts.indices[counts.data >= 2], minlength=past.item_count)
        basket = np.unique(past.rows * 1000 + past.ages, return_inverse=True)[1]
        together = sparse.csr_array(
            ((1 / np.sqrt(popularity[past.items])).astype(np.float32), (basket, past.items)),
            shape=(int(basket.max()) + 1, past.item_count),
        )
        theirs = np.isin(self.baskets.households, households)
        week = (self.baskets.days[theirs] - FIRST_DAY) // 7
        weeks = np.bincount(week * past.item_count + self.baskets.items[theirs], minlength=53 * past.item_count)
        ids = self.baskets.household_ids[households]
        return Others(
            past=past,
            vectors=self.tifu.vectors(past),
            up_cf_popularity=self.up_cf.popularity(past),
            popularity=popularity,
            household_ratio=buyers / len(past.lengths),
            repeat_ratio=(repeaters + 10 * repeaters.sum() / buyers.sum()) / (buyers + 10),
            together=together,
            weeks=np.cumsum(np.vstack([np.zeros(past.item_count), weeks.reshape(-1, past.item_count)]), axis=0),
            priors=fitting.priors_of(
                [
                    fitting.Level(histories.only(np.isin(histories.household_ids, ids)), ("full",))
                    for histories in self.histories.values()
                ],
                _PRIORS_END,
            ),
        )

    def batches(
        self, households: Integers, dropped: int, known: Others
    ) -> Iterator[tuple[Past, dict[str, Floats], Candidates]]:
        """Pasts, scores and candidates of some households at a time: [household, item] of all would take gigabytes."""
        enough = self.enough(households, dropped)
        for start in range(0, len(enough), BATCH):
            some = enough[start : start + BATCH]
            evaluation = self.baskets.past(some, dropped, day_known=self.given is not Given.NOTHING)
            scores = all_scores(evaluation, known, self.tifu, self.up_cf)
            yield evaluation, scores, self._candidates(some, evaluation, scores, known)

    def lessons(self, dropped: int) -> list[list[Candidates]]:
        """Candidates of the fitting households by fold; each household is a stranger to the others it is scored by."""
        lessons = []
        for index in range(FOLDS):
            outside, inside = self.fold(index)
            lessons.append([lesson for *_, lesson in self.batches(inside, dropped, self.known(outside, dropped))])
        return lessons

    def _candidates(
        self, households: Integers, evaluation: Past, scores: Mapping[str, Floats], known: Others
    ) -> Candidates:
        """Items put forward by some method, and what is known of them."""
        chosen = np.zeros(scores["tifu"].shape, bool)
        for name, count in _CANDIDATES.items():
            values = scores[name]
            best = np.argpartition(-values, count, axis=1)[:, :count]
            positive = np.take_along_axis(values, best, axis=1) > 0
            rows = np.broadcast_to(np.arange(len(values))[:, None], best.shape)
            chosen[rows[positive], best[positive]] = True
        rows, items = np.nonzero(chosen)
        features = [
            *_method_features(rows, items, scores),
            *_item_features(rows, items, evaluation, known),
            *_household_features(rows, items, evaluation),
            *self._habits(households, rows, items, evaluation, known.priors).T,
        ]
        if self.given is Given.PROMOTIONS:
            features += self.promotions.features(evaluation.as_of[rows], evaluation.shops[rows], items)
        truth = evaluation.truth.toarray()
        return Candidates(
            rows,
            items,
            np.column_stack(features).astype(np.float32),
            truth[rows, items],
            truth.sum(axis=1).astype(np.int64),
        )

    def _habits(
        self, households: Integers, rows: Integers, items: Integers, evaluation: Past, priors: Priors
    ) -> Floats:
        """What `frequency` sees of pairs, [candidate, feature]; NaN for items that the household never bought."""
        histories = self.histories[self.level]
        ids = self.baskets.household_ids[households]
        theirs = histories.only(np.isin(histories.household_ids, ids))
        order = np.searchsorted(theirs.household_ids, ids)
        # Features include everything bought up to a day, and nothing bought on the as-of date.
        until = np.empty(len(ids), np.int32)
        until[order] = evaluation.as_of - evaluation.day_known
        table: FeatureTable = feature_table(purchases_by_pair(theirs, until), priors)
        keys = table.households.astype(np.int64) * evaluation.item_count + table.items
        wanted = order[rows] * evaluation.item_count + items
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        values = np.column_stack([table[name] for name in MODELED])[place]
        return np.where((keys[place] == wanted)[:, None], values, np.nan)


def _method_features(rows: Integers, items: Integers, scores: Mapping[str, Floats]) -> list[Floats]:
    """What the methods say of each candidate.

    What counts is the order within a household; scores of households with many baskets are lower.
    """
    names = ("tifu", "own", "around", "up_cf", "beside_last", "beside_all")
    values = {name: scores[name][rows, items] for name in names}
    places = [places_in_rows(rows, values[name]) for name in ("tifu", "around", "up_cf", "beside_all")]
    return [*values.values(), *places, values["tifu"] / scores["tifu"].max(axis=1)[rows]]


def _item_features(rows: Integers, items: Integers, evaluation: Past, known: Others) -> list[Floats]:
    """How other households buy each candidate, over the year and in the weeks before the week of asking."""
    week = (evaluation.as_of - FIRST_DAY) // 7
    recent = known.weeks[week[rows], items] - known.weeks[np.maximum(week - _RECENT_WEEKS, 0)[rows], items]
    popularity = known.popularity[items]
    return [popularity, known.household_ratio[items], known.repeat_ratio[items], recent, recent / (popularity + 5)]


def _household_features(rows: Integers, items: Integers, evaluation: Past) -> list[Floats]:
    """How the household shops, when it last did, and in which of its baskets each candidate was."""
    counts = evaluation.counts().toarray()
    baskets, basket, basket_sizes = np.unique(
        evaluation.rows * 1000 + evaluation.ages, return_inverse=True, return_counts=True
    )
    basket_rows, basket_ages = np.divmod(baskets, 1000)
    recent = np.minimum(evaluation.lengths, _RECENT_BASKETS)
    size = np.bincount(basket_rows, basket_sizes) / evaluation.lengths
    latest_size = np.bincount(basket_rows, basket_sizes * (basket_ages == 0))
    recent_size = np.bincount(basket_rows, basket_sizes * (basket_ages < _RECENT_BASKETS)) / recent
    distinct = (counts > 0).sum(axis=1)
    since, first = np.full(len(evaluation.lengths), np.iinfo(np.int64).max), np.zeros(len(evaluation.lengths), np.int64)
    np.minimum.at(since, evaluation.rows, evaluation.days_ago)
    np.maximum.at(first, evaluation.rows, evaluation.days_ago)
    gap = (first - since) / np.maximum(evaluation.lengths - 1, 1)
    weekday = (evaluation.as_of + _WEEKDAY_OF_DAY_0) % 7
    shares = (
        evaluation.matrix(
            (evaluation.as_of[evaluation.rows] - evaluation.days_ago + _WEEKDAY_OF_DAY_0) % 7
            == weekday[evaluation.rows]
        ),
        # Some items are bought alone, others only on a large trip.
        evaluation.matrix(np.log(basket_sizes[basket])),
    )
    of_household = (
        evaluation.lengths, size, latest_size, recent_size, distinct, distinct / (size * evaluation.lengths), gap,
        since, since / np.maximum(gap, 0.5), weekday, (evaluation.as_of - FIRST_DAY) // 7,
    )  # fmt: skip
    return [
        *(values[rows] for values in of_household),
        *(share.toarray()[rows, items] / np.maximum(counts[rows, items], 1) for share in shares),
    ]
