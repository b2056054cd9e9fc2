"""Next basket: published methods, and boosted trees that order their candidates anew, side by side.

Every household's last basket is held out. What a method knows of other households comes from fitting households only;
lists are judged on validation households, which no parameter was chosen on. Parameters were chosen by cross-validation
over five folds of the fitting households: `python -m tests.quality.next_basket --tune …`.
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import lightgbm
import numpy as np
from scipy import sparse

from tests.quality.baskets import (
    LEAST_BASKETS,
    LISTED,
    NOTHING,
    Baskets,
    Floats,
    Integers,
    Past,
    Sparse,
    TifuKnn,
    UpCf,
    first_items,
    judge,
    read_baskets,
)
from tests.quality.households import FIRST_DAY, Level, ReceiptLines, Split, load_receipt_lines, split_of
from tests.quality.metrics import interval_of

TIFU = {Level.SKU: TifuKnn(7, 0.9, 0.8, 100, 0.7), Level.TYPE: TifuKnn(7, 1.0, 0.8, 300, 0.5)}
UP_CF = {Level.SKU: UpCf(25, 0.5, 4), Level.TYPE: UpCf(25, 0.75, 8)}
ROUNDS = 3
"""How many baskets of each fitting household, from the last one back, the trees learn from."""
FOLDS = 5
BATCH = 128
BOOTSTRAP_SAMPLES = 1000
RERANKER = "boosted re-ranker"

_TREES: dict[str, Any] = {
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 300,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
    "max_bin": 127,
    "verbosity": -1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 5,
}
OBJECTIVES = {Level.SKU: "binary", Level.TYPE: "binary"}
TREE_COUNTS = {Level.SKU: 80, Level.TYPE: 120}
# A baseline that finds less than this share is no measure for others: one item more or less doubles it.
_LEAST_BASELINE = 0.01

# How many candidates each way of finding them puts forward.
_CANDIDATES = {"tifu": 80, "own": 60, "around": 40, "up_cf": 30, "beside_all": 30, "beside_last": 15, "popular": 15}
_COLUMNS = {Level.SKU: ("product_id", "product_type"), Level.TYPE: ("product_type", "product_category")}
_RECENT_WEEKS = 4
_HALF_LIVES_DAYS = (7.0, 30.0, 90.0)


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
    interval_days: Floats
    """Per item: mean days between purchases of one household; NaN when nobody bought it twice."""
    together: Sparse
    """1/√(baskets with the item) where the item is in the basket: [basket, item]."""
    weeks: Floats
    """Purchases before each week of the year: [week, item]."""


def others(baskets: Baskets, households: Integers, dropped: int, tifu: TifuKnn, up_cf: UpCf) -> Others:
    """What the households bought before the basket that is held out.

    Weekly purchases alone go on to the end, as they are only looked up before the day of asking.
    """
    past = baskets.past(households, dropped)
    counts = past.counts()
    popularity = np.bincount(past.items, minlength=past.item_count).astype(np.float64)
    buyers = np.bincount(counts.indices, minlength=past.item_count)
    repeaters = np.bincount(counts.indices[counts.data >= 2], minlength=past.item_count)
    pairs = _pairs(past.rows, past.items, past, past.item_count)
    known = np.isfinite(pairs["interval"])
    item = pairs["key"][known] % past.item_count
    with np.errstate(invalid="ignore"):
        interval = np.bincount(item, pairs["interval"][known], past.item_count) / np.bincount(
            item, minlength=past.item_count
        )
    basket = np.unique(past.rows * 1000 + past.ages, return_inverse=True)[1]
    together = sparse.csr_array(
        ((1 / np.sqrt(popularity[past.items])).astype(np.float32), (basket, past.items)),
        shape=(int(basket.max()) + 1, past.item_count),
    )
    theirs = np.isin(baskets.households, households)
    week = (baskets.days[theirs] - FIRST_DAY) // 7
    weeks = np.bincount(week * past.item_count + baskets.items[theirs], minlength=53 * past.item_count)
    return Others(
        past=past,
        vectors=tifu.vectors(past),
        up_cf_popularity=up_cf.popularity(past),
        popularity=popularity,
        household_ratio=buyers / len(households),
        repeat_ratio=(repeaters + 10 * repeaters.sum() / buyers.sum()) / (buyers + 10),
        interval_days=interval,
        together=together,
        weeks=np.cumsum(np.vstack([np.zeros(past.item_count), weeks.reshape(-1, past.item_count)]), axis=0),
    )


def all_scores(asked: Past, known: Others, tifu: TifuKnn, up_cf: UpCf) -> dict[str, Floats]:
    """Scores of every method: [household, item] each."""
    own, around = tifu.scores(tifu.vectors(asked), known.vectors)
    counts = asked.counts().toarray()
    most = known.popularity.max() + 1
    last = asked.matrix((asked.ages == 0).astype(np.float32))
    decayed = asked.matrix(0.5 ** (asked.days_ago / 30))
    return {
        "popular": np.broadcast_to(known.popularity, counts.shape),
        "personal": counts,
        "gp_top": counts + known.popularity / most,
        "up_cf": up_cf.scores(asked, known.past, known.up_cf_popularity),
        "own": own,
        "around": around,
        "tifu": own + around,
        "beside_last": _beside(last, known),
        "beside_all": _beside(decayed, known),
    }


def _beside(bought: Sparse, known: Others) -> Floats:
    """Cosine similarity by common baskets with what was bought, without the similarity of an item to itself."""
    norms = np.where(known.popularity > 0, 1 / np.sqrt(np.maximum(known.popularity, 1)), 0).astype(np.float32)
    similar = (bought @ known.together.T) @ known.together
    itself = bought.multiply((norms**2 * known.popularity)[None, :])
    return np.asarray((similar - itself).toarray(), np.float32)


def _pairs(rows: Integers, things: Integers, past: Past, thing_count: int) -> dict[str, Any]:
    """Statistics of each household and thing it bought, by ascending key `row × thing_count + thing`."""
    key = rows * thing_count + things
    # Two items of one group in one basket are one purchase of the group.
    _, first = np.unique(key * 1000 + past.ages, return_index=True)
    key, ages, days_ago = key[first], past.ages[first], past.days_ago[first]
    keys, start, inverse, counts = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    lengths = past.lengths[keys // thing_count]

    def total(weights: Floats) -> Floats:
        return np.asarray(np.bincount(inverse, weights, len(keys)), np.float64)

    latest, earliest = days_ago[start], days_ago[start + counts - 1]
    gaps = np.diff(days_ago, append=0).astype(np.float64)
    gaps[start + counts - 1] = 0.0
    steps = np.maximum(counts - 1, 1)
    interval = np.where(counts > 1, (earliest - latest) / steps, np.nan)
    variance = np.maximum(total(gaps**2) / steps - interval**2, 0)
    return {
        "key": keys,
        "count": counts.astype(np.float64),
        "share": counts / lengths,
        "last_5": total((ages < 5).astype(np.float64)),
        "last_20": total((ages < 20).astype(np.float64)),
        **{f"decayed_{half:.0f}": total(0.5 ** (days_ago / half)) for half in _HALF_LIVES_DAYS},
        "decayed_baskets": total(0.9**ages),
        "age": ages[start].astype(np.float64),
        "days_ago": latest.astype(np.float64),
        "first_days_ago": earliest.astype(np.float64),
        "interval": interval,
        "deviation": np.sqrt(variance),
        "due": (latest + 1) / (np.where(np.isnan(interval), np.inf, interval) + 1),
        "since_first_share": counts / (ages[start + counts - 1] + 1),
    }


def _looked_up(pairs: Mapping[str, Any], keys: Integers) -> list[Floats]:
    place = np.minimum(np.searchsorted(pairs["key"], keys), len(pairs["key"]) - 1)
    there = pairs["key"][place] == keys
    return [np.where(there, values[place], np.nan) for name, values in pairs.items() if name != "key"]


def _places(rows: Integers, values: Floats) -> Floats:
    """Place of each value among those of its row, the highest first, from 0.

    Args:
        rows: ascending.
        values: parallel to the rows.
    """
    order = np.lexsort((-values, rows))
    places = np.empty(len(rows))
    places[order] = np.arange(len(rows)) - np.searchsorted(rows, rows)
    return places


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


def candidates(asked: Past, scores: Mapping[str, Floats], known: Others, item_groups: Integers) -> Candidates:
    """Items put forward by some method, and what is known of them."""
    chosen = np.zeros(scores["tifu"].shape, bool)
    for name, count in _CANDIDATES.items():
        values = scores[name]
        best = np.argpartition(-values, count, axis=1)[:, :count]
        positive = np.take_along_axis(values, best, axis=1) > 0
        rows = np.broadcast_to(np.arange(len(values))[:, None], best.shape)
        chosen[rows[positive], best[positive]] = True
    rows, items = np.nonzero(chosen)
    groups, group_count = item_groups[items], int(item_groups.max()) + 1
    own = _pairs(asked.rows, asked.items, asked, asked.item_count)
    kind = _pairs(asked.rows, item_groups[asked.items], asked, group_count)
    mine = _looked_up(own, rows * asked.item_count + items)
    kinds = _looked_up(kind, rows * group_count + groups)
    methods = [scores[name][rows, items] for name in ("tifu", "own", "around", "up_cf", "beside_last", "beside_all")]
    # What counts is the order within a household; scores of households with many baskets are lower.
    places = [_places(rows, scores[name][rows, items]) for name in ("tifu", "around", "up_cf", "beside_all")]
    tifu_best = scores["tifu"].max(axis=1)
    week = (asked.as_of - FIRST_DAY) // 7
    recent = known.weeks[week[rows], items] - known.weeks[np.maximum(week - _RECENT_WEEKS, 0)[rows], items]
    sizes = np.bincount(asked.rows, minlength=len(asked.lengths)) / asked.lengths
    latest_size = np.bincount(asked.rows[asked.ages == 0], minlength=len(asked.lengths))
    distinct = np.bincount(own["key"] // asked.item_count, minlength=len(asked.lengths))
    span = np.zeros(len(asked.lengths), np.int64)
    np.maximum.at(span, asked.rows, asked.days_ago)
    trip_gap = span / np.maximum(asked.lengths - 1, 1)
    household = [asked.lengths, sizes, latest_size, distinct, distinct / (sizes * asked.lengths), trip_gap]
    with np.errstate(invalid="ignore"):
        item_due = (mine[9] + trip_gap[rows]) / (known.interval_days[items] + 1)
        of_kind = mine[0] / kinds[0]
        of_kind_decayed = mine[5] / kinds[5]
    features = [
        *methods, *places, methods[0] / tifu_best[rows], *mine, *kinds, of_kind, of_kind_decayed, item_due,
        known.popularity[items], known.household_ratio[items], known.repeat_ratio[items], known.interval_days[items],
        recent, recent / (known.popularity[items] + 5), *(values[rows] for values in household),
    ]  # fmt: skip
    truth = asked.truth.toarray()
    return Candidates(
        rows,
        items,
        np.column_stack(features).astype(np.float32),
        truth[rows, items],
        truth.sum(axis=1).astype(np.int64),
    )


@dataclass(frozen=True, eq=False)
class Bench:
    """The households of one level, and the parameters."""

    baskets: Baskets
    fitting: Integers
    validation: Integers
    tifu: TifuKnn
    up_cf: UpCf

    def fold(self, index: int) -> tuple[Integers, Integers]:
        """Fitting households outside of a fold, and in it."""
        inside = np.arange(len(self.fitting)) % FOLDS == index
        return self.fitting[~inside], self.fitting[inside]

    def enough(self, households: Integers, dropped: int) -> Integers:
        """Those of the households that have enough baskets left."""
        return households[self.baskets.basket_counts[households] >= LEAST_BASKETS + dropped]

    def known(self, households: Integers, dropped: int) -> Others:
        """What these households tell of others."""
        return others(self.baskets, self.enough(households, dropped), dropped, self.tifu, self.up_cf)

    def batches(self, households: Integers, dropped: int, known: Others) -> Iterator[tuple[Past, dict[str, Floats]]]:
        """Pasts and scores of some households at a time: [household, item] of all would take gigabytes."""
        enough = self.enough(households, dropped)
        for start in range(0, len(enough), BATCH):
            asked = self.baskets.past(enough[start : start + BATCH], dropped)
            yield asked, all_scores(asked, known, self.tifu, self.up_cf)

    def lessons(self, dropped: int) -> list[list[Candidates]]:
        """Candidates of the fitting households by fold; each household is a stranger to the others it is scored by."""
        lessons = []
        for index in range(FOLDS):
            outside, inside = self.fold(index)
            known = self.known(outside, dropped)
            lessons.append(
                [
                    candidates(asked, scores, known, self.baskets.item_groups)
                    for asked, scores in self.batches(inside, dropped, known)
                ]
            )
        return lessons


def fit_trees(lessons: list[Candidates], objective: str, tree_count: int) -> lightgbm.Booster:
    """Trees that tell which candidates are in the next basket.

    Recall counts a hit as one part of the basket, so with `share` the trees are told just that part, 1/size, to learn
    the expected recall of a candidate; with `binary` they learn its probability, with `lambdarank` the order.
    """
    features = np.concatenate([lesson.features for lesson in lessons])
    labels = np.concatenate([lesson.labels for lesson in lessons])
    parameters = dict(_TREES)
    groups = None
    if objective == "lambdarank":
        parameters |= {"objective": "lambdarank", "lambdarank_truncation_level": 15}
        groups = np.concatenate([np.bincount(lesson.rows, minlength=len(lesson.basket_sizes)) for lesson in lessons])
    elif objective == "share":
        sizes = np.concatenate([lesson.basket_sizes[lesson.rows] for lesson in lessons])
        labels = labels / np.maximum(sizes, 1)
        parameters["objective"] = "cross_entropy"
    else:
        parameters["objective"] = objective
    data = lightgbm.Dataset(features, labels, group=groups, params=parameters, free_raw_data=True)
    return lightgbm.train(parameters, data, num_boost_round=tree_count)


def reranked(booster: lightgbm.Booster, lesson: Candidates, shape: tuple[int, int], tree_count: int = 0) -> Integers:
    """The candidates with the highest predictions, as of `first_items`."""
    predicted = np.asarray(booster.predict(lesson.features, num_iteration=tree_count or None, num_threads=2))
    order = np.lexsort((-predicted, lesson.rows))
    rows = lesson.rows[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    listed = np.full((shape[0], LISTED), NOTHING)
    first = place < LISTED
    listed[rows[first], place[first]] = lesson.items[order][first]
    return listed


METHODS = {
    "most popular overall": "popular",
    "personal top-frequency": "personal",
    "GP-TopFreq": "gp_top",
    "UP-CF@r": "up_cf",
    "TIFU-KNN": "tifu",
}


def next_basket_table(lines: ReceiptLines, level: Level) -> dict[str, Any]:
    """Each method's measures over the validation households, and how much better the re-ranker is than TIFU-KNN.

    Args:
        lines: of fitting and validation households.
        level: what counts as an item.
    """
    bench = bench_of(lines, level)
    lessons = [lesson for dropped in range(ROUNDS) for fold in bench.lessons(dropped) for lesson in fold]
    booster = fit_trees(lessons, OBJECTIVES[level], TREE_COUNTS[level])
    del lessons
    known = bench.known(bench.fitting, 0)
    found: dict[str, list[dict[str, Floats]]] = {name: [] for name in (*METHODS, RERANKER)}
    for asked, scores in bench.batches(bench.validation, 0, known):
        asked_for = candidates(asked, scores, known, bench.baskets.item_groups)
        _judge_all(found, asked, scores, known, booster, asked_for)
    return _table(found)


def everyone_table(lines: ReceiptLines, level: Level) -> dict[str, Any]:
    """The same measures over all households that are not reserved, five-way: each is judged by what the others tell.

    Parameters were chosen on the fitting households among them, so that `next_basket_table` is the stricter of the two;
    this one has more households, and its intervals are narrower.

    Args:
        lines: of fitting and validation households.
        level: what counts as an item.
    """
    bench = bench_of(lines, level)
    bench = replace(bench, fitting=np.concatenate([bench.fitting, bench.validation]))
    rounds = [bench.lessons(dropped) for dropped in range(ROUNDS)]
    found: dict[str, list[dict[str, Floats]]] = {name: [] for name in (*METHODS, RERANKER)}
    for index in range(FOLDS):
        learned = [one for lessons in rounds for fold in range(FOLDS) if fold != index for one in lessons[fold]]
        booster = fit_trees(learned, OBJECTIVES[level], TREE_COUNTS[level])
        outside, inside = bench.fold(index)
        known = bench.known(outside, 0)
        for (asked, scores), lesson in zip(bench.batches(inside, 0, known), rounds[0][index], strict=True):
            _judge_all(found, asked, scores, known, booster, lesson)
    return _table(found)


def _judge_all(
    found: dict[str, list[dict[str, Floats]]],
    asked: Past,
    scores: Mapping[str, Floats],
    known: Others,
    booster: lightgbm.Booster,
    lesson: Candidates,
) -> None:
    """Adds every method's measures of some households."""
    truth, seen = asked.truth.toarray() > 0, asked.counts().toarray() > 0
    for name, score in METHODS.items():
        found[name].append(judge(first_items(scores[score], known.popularity), truth, seen))
    found[RERANKER].append(judge(reranked(booster, lesson, truth.shape), truth, seen))


def _table(found: Mapping[str, list[dict[str, Floats]]]) -> dict[str, Any]:
    """Means over households, and how much better the re-ranker is than TIFU-KNN."""
    values = {
        name: {measure: np.concatenate([part[measure] for part in parts]) for measure in parts[0]}
        for name, parts in found.items()
    }
    rows = {
        name: {measure: float(np.nanmean(each)) for measure, each in measures.items()}
        for name, measures in values.items()
    }
    gains = {
        measure: {
            "value": rows[RERANKER][measure] / rows["TIFU-KNN"][measure] - 1,
            "interval": relative_interval(values[RERANKER][measure], values["TIFU-KNN"][measure]),
        }
        for measure in rows[RERANKER]
        if rows["TIFU-KNN"][measure] >= _LEAST_BASELINE
    }
    return {"households": len(values[RERANKER]["recall@10"]), "rows": rows, f"{RERANKER} over TIFU-KNN": gains}


def relative_interval(better: Floats, baseline: Floats) -> tuple[float, float]:
    """The middle 95 % of the relative difference of two means over bootstrapped households."""
    there = np.isfinite(better)
    drawn = np.random.default_rng(7).integers(0, there.sum(), (BOOTSTRAP_SAMPLES, there.sum()))
    return interval_of(list(better[there][drawn].mean(axis=1) / baseline[there][drawn].mean(axis=1) - 1))


def bench_of(lines: ReceiptLines, level: Level) -> Bench:
    """Households with three baskets or more, at a level."""
    baskets = read_baskets(lines.frame, *_COLUMNS[level])
    validates = np.array([split_of(int(id_)) is Split.VALIDATION for id_ in baskets.household_ids])
    return Bench(baskets, np.flatnonzero(~validates), np.flatnonzero(validates), TIFU[level], UP_CF[level])


def without_rare_items(lines: ReceiptLines, level: Level, least_buyers: int) -> ReceiptLines:
    """The lines of items that enough households buy; what hardly anybody buys again cannot be found in a basket."""
    buyers = lines.frame.groupby(_COLUMNS[level][0]).household_id.nunique()
    kept = lines.frame[_COLUMNS[level][0]].map(buyers) >= least_buyers
    return ReceiptLines(lines.frame[kept].reset_index(drop=True))


def print_table(level: Level, table: Mapping[str, Any], whose: str = "validation households") -> None:
    """Prints what `next_basket_table` or `everyone_table` found."""
    measures = list(table["rows"][RERANKER])
    print(f"\nnext basket, {level.value}, {table['households']} {whose}\n{'':30s}", end="")
    print("".join(f"{measure:>26s}" for measure in measures))
    for name, row in table["rows"].items():
        print(f"{name:30s}" + "".join(f"{row[measure]:>26.4f}" for measure in measures))
    label = f"{RERANKER} over TIFU-KNN"
    cells = []
    for measure in measures:
        if measure not in table[label]:
            cells.append("")
            continue
        low, high = table[label][measure]["interval"]
        cells.append(f"{table[label][measure]['value']:+.1%} ({low:+.1%} – {high:+.1%})")
    print(f"{'over TIFU-KNN':30s}" + "".join(f"{cell:>26s}" for cell in cells))


def tune_tifu(bench: Bench) -> None:
    """Prints recall@10 and NDCG@10 of TIFU-KNN's parameters over folds of the fitting households."""
    print("groups, r_b, r_g, neighbours, alpha: recall@10, NDCG@10")
    found: dict[TifuKnn, list[dict[str, Floats]]] = {}
    for index in range(FOLDS):
        outside, inside = bench.fold(index)
        past = bench.baskets.past(outside)
        popularity = past.counts().sum(axis=0)
        for start in range(0, len(inside), BATCH):
            asked = bench.baskets.past(inside[start : start + BATCH])
            truth, seen = asked.truth.toarray() > 0, asked.counts().toarray() > 0
            for groups, basket_decay, group_decay in _TIFU_GRID:
                base = TifuKnn(groups, basket_decay, group_decay, 300, 0.5)
                vectors, known = base.vectors(asked), base.vectors(past)
                for neighbours in (100, 300, 700):
                    own, around = replace(base, neighbours=neighbours).scores(vectors, known)
                    for ratio in (0.5, 0.7, 0.9, 0.97):
                        listed = first_items(ratio * own + (1 - ratio) * around, popularity)
                        name = replace(base, neighbours=neighbours, own_ratio=ratio)
                        found.setdefault(name, []).append(judge(listed, truth, seen))
    _print_best({str(name): parts for name, parts in found.items()})


# Groups, r_b and r_g; around what the authors found for their four data sets (their table 3).
_TIFU_GRID = tuple(product((3, 7, 15), (0.9, 1.0), (0.6, 0.8, 1.0)))


def tune_up_cf(bench: Bench) -> None:
    """The same of UP-CF@r."""
    found: dict[str, list[dict[str, Floats]]] = {}
    for index in range(FOLDS):
        outside, inside = bench.fold(index)
        past = bench.baskets.past(outside)
        popularity = past.counts().sum(axis=0)
        for start in range(0, len(inside), BATCH):
            asked = bench.baskets.past(inside[start : start + BATCH])
            truth, seen = asked.truth.toarray() > 0, asked.counts().toarray() > 0
            for recent in (25, 1000):
                for asymmetry in (0.5, 0.75):
                    for locality in (4, 8):
                        way = UpCf(recent, asymmetry, locality)
                        listed = first_items(way.scores(asked, past, way.popularity(past)), popularity)
                        found.setdefault(str(way), []).append(judge(listed, truth, seen))
    _print_best(found)


def tune_trees(bench: Bench) -> None:
    """The same of the trees' objective and number: fitted on four folds, judged on the last baskets of the fifth."""
    rounds = [bench.lessons(dropped) for dropped in range(ROUNDS)]
    found: dict[str, list[dict[str, Floats]]] = {}
    for index in range(FOLDS):
        learned = [one for lessons in rounds for fold in range(FOLDS) if fold != index for one in lessons[fold]]
        boosters = {name: fit_trees(learned, name, 400) for name in ("binary", "share")}
        outside, inside = bench.fold(index)
        known = bench.known(outside, 0)
        for (asked, scores), lesson in zip(bench.batches(inside, 0, known), rounds[0][index], strict=True):
            truth, seen = asked.truth.toarray() > 0, asked.counts().toarray() > 0
            found.setdefault("TIFU-KNN", []).append(judge(first_items(scores["tifu"], known.popularity), truth, seen))
            for name, booster in boosters.items():
                for count in (100, 200, 300, 400):
                    listed = reranked(booster, lesson, truth.shape, count)
                    found.setdefault(f"{name}, {count} trees", []).append(judge(listed, truth, seen))
    _print_best(found)


def _print_best(found: Mapping[str, list[dict[str, Floats]]]) -> None:
    means = {
        name: [float(np.nanmean(np.concatenate([part[measure] for part in parts]))) for measure in parts[0]]
        for name, parts in found.items()
    }
    for name, (recall, gain, *_) in sorted(means.items(), key=lambda entry: -entry[1][0])[:15]:
        print(f"{recall:.4f} {gain:.4f}  {name}", flush=True)
    if "TIFU-KNN" in means:
        print(f"{means['TIFU-KNN'][0]:.4f} {means['TIFU-KNN'][1]:.4f}  TIFU-KNN", flush=True)


def main() -> None:
    """Prints the tables, or what the parameters were chosen by."""
    parser = argparse.ArgumentParser(prog="python -m tests.quality.next_basket", description=__doc__)
    parser.add_argument("--level", choices=["sku", "type"], help="only this level")
    parser.add_argument("--tune", choices=["tifu", "up_cf", "trees"], help="cross-validate on fitting households only")
    parser.add_argument(
        "--least-buyers", type=int, default=1, help="leave out items that fewer households buy, as many studies do"
    )
    parser.add_argument("--everyone", action="store_true", help="five-way over all households that are not reserved")
    arguments = parser.parse_args()
    all_lines = load_receipt_lines()
    for level in [Level(arguments.level)] if arguments.level else [Level.SKU, Level.TYPE]:
        lines = without_rare_items(all_lines, level, arguments.least_buyers)
        if arguments.tune:
            bench = bench_of(lines.of(Split.FITTING), level)
            {"tifu": tune_tifu, "up_cf": tune_up_cf, "trees": tune_trees}[arguments.tune](bench)
        elif arguments.everyone:
            print_table(level, everyone_table(lines, level), "households, five-way")
        else:
            print_table(level, next_basket_table(lines, level))


if __name__ == "__main__":
    main()
