"""Next basket: published methods, and boosted trees that re-rank their candidates.

Every household's last basket is held out. What a method knows of other households comes from fitting households only;
lists are judged on validation households, which no parameter was chosen on. Parameters were chosen by cross-validation
over five folds of the fitting households: `python -m pantree_research.quality.next_basket --tune …`.

The as-of date is the day of the basket to predict; nothing that is bought on that day is used. The published methods
do not use the date; the trees do, and the week's mailers and displays. `--given` removes either.
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import lightgbm
import numpy as np
import pandas as pd

from pantree_fitting.metrics import interval_of
from pantree_research.quality.baskets import (
    LISTED,
    NOTHING,
    Floats,
    Integers,
    Past,
    TifuKnn,
    UpCf,
    first_items,
    judge,
    read_baskets,
)
from pantree_research.quality.candidates import (
    BATCH,
    FOLDS,
    Bench,
    Candidates,
    Given,
    Others,
    places_in_rows,
    standardised_in_rows,
)
from pantree_research.quality.households import Level, ReceiptLines, Split, load_receipt_lines, split_of
from pantree_research.quality.promotions import load_promotions

MIN_BUYERS = {Level.SKU: 12, Level.TYPE: 1}
"""Of the 1,425 households that can be seen; see docs/decisions/0018."""
TIFU = {Level.SKU: TifuKnn(5, 1.0, 0.5, 100, 0.4), Level.TYPE: TifuKnn(4, 1.0, 0.6, 100, 0.4)}
UP_CF = {Level.SKU: UpCf(25, 0.5, 4), Level.TYPE: UpCf(25, 0.75, 8)}
ROUNDS = 6
"""How many baskets of each fitting household, from the last one back, the trees learn from."""
TUNED_ROUNDS = 3
"""How many of them parameters are chosen by: one alone is too few to tell similar ones apart."""
BOOTSTRAP_SAMPLES = 1000
RERANKER = "boosted re-ranker"

_TREES: dict[str, Any] = {
    "learning_rate": 0.07,
    "num_leaves": 12,
    "min_data_in_leaf": 200,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
    "max_bin": 63,
    "verbosity": -1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 5,
}
OBJECTIVES = {"probability": "binary", "part": "cross_entropy"}
"""What two sets of trees learn of a candidate: the probability that it is in the basket, and the expected part of the
basket that it is. Recall counts a hit as the latter, so that small baskets matter more; the order of the two together
is better by recall and by NDCG than that of either."""
TREE_COUNT = 250
# A baseline that finds less than this share is no measure for others: one item more or less doubles it.
_MIN_BASELINE = 0.01

_COLUMNS = {Level.SKU: ("product_id", "product_type"), Level.TYPE: ("product_type", "product_category")}


@dataclass(frozen=True, eq=False)
class Reranker:
    """Sets of trees, one for each objective."""

    boosters: tuple[lightgbm.Booster, ...]

    def scores(self, lesson: Candidates, tree_count: int = TREE_COUNT) -> Floats:
        """Sum of what the sets say of each candidate, standardised within its household."""
        total = np.zeros(len(lesson.rows))
        for booster in self.boosters:
            said = booster.predict(lesson.features, num_iteration=tree_count, raw_score=True, num_threads=1)
            total += standardised_in_rows(lesson.rows, np.asarray(said))
        return total


def fit_reranker(lessons: list[Candidates], tree_count: int = TREE_COUNT) -> Reranker:
    """Trees that tell which candidates are in the next basket."""
    features = np.concatenate([lesson.features for lesson in lessons])
    labels = np.concatenate([lesson.labels for lesson in lessons])
    sizes = np.concatenate([lesson.basket_sizes[lesson.rows] for lesson in lessons])
    targets = {"probability": labels, "part": labels / np.maximum(sizes, 1)}
    data = lightgbm.Dataset(features, labels, params=_TREES, free_raw_data=False).construct()
    boosters = []
    for name, objective in OBJECTIVES.items():
        data.set_label(targets[name])
        boosters.append(lightgbm.train(_TREES | {"objective": objective}, data, num_boost_round=tree_count))
    return Reranker(tuple(boosters))


def reranked(scores: Floats, lesson: Candidates) -> Integers:
    """The candidates with the highest scores, as of `first_items`."""
    places = places_in_rows(lesson.rows, scores)
    listed = np.full((len(lesson.basket_sizes), LISTED), NOTHING)
    first = places < LISTED
    listed[lesson.rows[first], places[first].astype(np.int64)] = lesson.items[first]
    return listed


METHODS = {
    "most popular overall": "popular",
    "personal top-frequency": "personal",
    "GP-TopFreq": "gp_top",
    "UP-CF@r": "up_cf",
    "TIFU-KNN": "tifu",
}


def next_basket_table(lines: ReceiptLines, level: Level, given: Given = Given.PROMOTIONS) -> dict[str, Any]:
    """Each method's measures over the validation households, and how much better the re-ranker is than TIFU-KNN.

    Args:
        lines: of fitting and validation households.
        level: what counts as an item.
        given: what the re-ranker is given about the as-of date.
    """
    bench = bench_of(lines, level, given)
    lessons = [lesson for dropped in range(ROUNDS) for fold in bench.lessons(dropped) for lesson in fold]
    reranker = fit_reranker(lessons)
    del lessons
    known = bench.known(bench.fitting, 0)
    found: dict[str, list[dict[str, Floats]]] = {name: [] for name in (*METHODS, RERANKER)}
    for evaluation, scores, lesson in bench.batches(bench.validation, 0, known):
        _judge_all(found, evaluation, scores, known, reranker, lesson)
    return _table(found)


def everyone_table(lines: ReceiptLines, level: Level, given: Given = Given.PROMOTIONS) -> dict[str, Any]:
    """The same measures over all households that are not reserved, five-way cross-validated.

    Parameters were chosen on the fitting households among them, so that `next_basket_table` is the stricter of the two;
    this one has more households, and its intervals are narrower.

    Args:
        lines: of fitting and validation households.
        level: what counts as an item.
        given: what the re-ranker is given about the as-of date.
    """
    bench = bench_of(lines, level, given)
    bench = replace(bench, fitting=np.concatenate([bench.fitting, bench.validation]))
    rounds = [bench.lessons(dropped) for dropped in range(ROUNDS)]
    found: dict[str, list[dict[str, Floats]]] = {name: [] for name in (*METHODS, RERANKER)}
    for index in range(FOLDS):
        learned = [one for lessons in rounds for fold in range(FOLDS) if fold != index for one in lessons[fold]]
        reranker = fit_reranker(learned)
        outside, inside = bench.fold(index)
        known = bench.known(outside, 0)
        for evaluation, scores, lesson in bench.batches(inside, 0, known):
            _judge_all(found, evaluation, scores, known, reranker, lesson)
    return _table(found)


def _judge_all(
    found: dict[str, list[dict[str, Floats]]],
    evaluation: Past,
    scores: Mapping[str, Floats],
    known: Others,
    reranker: Reranker,
    lesson: Candidates,
) -> None:
    """Adds every method's measures of some households."""
    truth, seen = evaluation.truth.toarray() > 0, evaluation.counts().toarray() > 0
    for name, score in METHODS.items():
        found[name].append(judge(first_items(scores[score], known.popularity), truth, seen))
    found[RERANKER].append(judge(reranked(reranker.scores(lesson), lesson), truth, seen))


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
        if rows["TIFU-KNN"][measure] >= _MIN_BASELINE
    }
    return {"households": len(values[RERANKER]["recall@10"]), "rows": rows, f"{RERANKER} over TIFU-KNN": gains}


def relative_interval(better: Floats, baseline: Floats) -> tuple[float, float]:
    """The middle 95 % of the relative difference of two means over bootstrapped households."""
    there = np.isfinite(better)
    drawn = np.random.default_rng(7).integers(0, there.sum(), (BOOTSTRAP_SAMPLES, there.sum()))
    return interval_of(list(better[there][drawn].mean(axis=1) / baseline[there][drawn].mean(axis=1) - 1))


def bench_of(lines: ReceiptLines, level: Level, given: Given = Given.PROMOTIONS) -> Bench:
    """Households with three baskets or more, at a level."""
    baskets = read_baskets(lines.frame, *_COLUMNS[level])
    frame = lines.frame[lines.frame.household_id.isin(baskets.household_ids)].reset_index(drop=True)
    products = frame.assign(code=pd.factorize(frame[_COLUMNS[level][0]].astype(str), sort=True)[0])
    products = products.drop_duplicates("product_id")
    validates = np.array([split_of(int(id_)) is Split.VALIDATION for id_ in baskets.household_ids])
    return Bench(
        baskets=baskets,
        histories={each: ReceiptLines(frame).histories(each) for each in Level},
        level=level,
        promotions=load_promotions(products.product_id.to_numpy(), products.code.to_numpy(), baskets.item_count),
        fitting=np.flatnonzero(~validates),
        validation=np.flatnonzero(validates),
        tifu=TIFU[level],
        up_cf=UP_CF[level],
        given=given,
    )


def without_rare_items(lines: ReceiptLines, level: Level, min_buyers: int) -> ReceiptLines:
    """The lines of items that enough households buy; what hardly anybody buys again cannot be found in a basket."""
    buyers = lines.frame.groupby(_COLUMNS[level][0]).household_id.nunique()
    kept = lines.frame[_COLUMNS[level][0]].map(buyers) >= min_buyers
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


# Groups, r_b and r_g; the authors found 3 to 23 groups, 0.9 to 1 and 0.6 to 0.8 for their data sets (their table 3).
_TIFU_GRID = tuple(product((4, 5, 7, 15), (0.9, 1.0), (0.4, 0.5, 0.6, 0.8)))


def _examined(bench: Bench) -> Iterator[tuple[Past, Past, Floats]]:
    """Households outside of a fold, households in it, popularity of items: every fold, the latest `TUNED_ROUNDS`."""
    for dropped, index in product(range(TUNED_ROUNDS), range(FOLDS)):
        outside, inside = (bench.enough(part, dropped) for part in bench.fold(index))
        past = bench.baskets.past(outside, dropped)
        popularity = np.asarray(past.counts().sum(axis=0)).ravel()
        for start in range(0, len(inside), BATCH):
            yield past, bench.baskets.past(inside[start : start + BATCH], dropped), popularity


def tune_tifu(bench: Bench) -> None:
    """Prints recall@10 and NDCG@10 of TIFU-KNN's parameters over folds of the fitting households."""
    found: dict[str, list[dict[str, Floats]]] = {}
    for past, evaluation, popularity in _examined(bench):
        truth, seen = evaluation.truth.toarray() > 0, evaluation.counts().toarray() > 0
        for groups, basket_decay, group_decay in _TIFU_GRID:
            base = TifuKnn(groups, basket_decay, group_decay, 300, 0.5)
            vectors, known = base.vectors(evaluation), base.vectors(past)
            for neighbors in (50, 100, 300):
                own, around = replace(base, neighbors=neighbors).scores(vectors, known)
                for ratio in (0.3, 0.4, 0.5, 0.7, 0.9):
                    listed = first_items(ratio * own + (1 - ratio) * around, popularity)
                    name = str(replace(base, neighbors=neighbors, own_ratio=ratio))
                    found.setdefault(name, []).append(judge(listed, truth, seen))
    _print_best(found)


def tune_up_cf(bench: Bench) -> None:
    """The same of UP-CF@r."""
    found: dict[str, list[dict[str, Floats]]] = {}
    for past, evaluation, popularity in _examined(bench):
        truth, seen = evaluation.truth.toarray() > 0, evaluation.counts().toarray() > 0
        for recent, asymmetry, locality in product((10, 25, 1000), (0.5, 0.75), (4, 8)):
            way = UpCf(recent, asymmetry, locality)
            listed = first_items(way.scores(evaluation, past, way.popularity(past)), popularity)
            found.setdefault(str(way), []).append(judge(listed, truth, seen))
    _print_best(found)


def tune_trees(bench: Bench) -> None:
    """The same of the trees, for each objective and for both: fitted on four folds, judged on the fifth."""
    rounds = [bench.lessons(dropped) for dropped in range(ROUNDS)]
    found: dict[str, list[dict[str, Floats]]] = {}
    for index in range(FOLDS):
        learned = [one for lessons in rounds for fold in range(FOLDS) if fold != index for one in lessons[fold]]
        both = fit_reranker(learned, 2 * TREE_COUNT)
        sets = {name: Reranker((booster,)) for name, booster in zip(OBJECTIVES, both.boosters, strict=True)}
        outside, inside = bench.fold(index)
        for dropped in range(TUNED_ROUNDS):
            known = bench.known(outside, dropped)
            for evaluation, scores, lesson in bench.batches(inside, dropped, known):
                truth, seen = evaluation.truth.toarray() > 0, evaluation.counts().toarray() > 0
                listed = first_items(scores["tifu"], known.popularity)
                found.setdefault("TIFU-KNN", []).append(judge(listed, truth, seen))
                for name, reranker in {**sets, "both": both}.items():
                    for count in (TREE_COUNT // 2, TREE_COUNT, 2 * TREE_COUNT):
                        listed = reranked(reranker.scores(lesson, count), lesson)
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
    parser = argparse.ArgumentParser(prog="python -m pantree_research.quality.next_basket", description=__doc__)
    parser.add_argument("--level", choices=["sku", "type"], help="only this level")
    parser.add_argument("--tune", choices=["tifu", "up_cf", "trees"], help="cross-validate on fitting households only")
    parser.add_argument("--min-buyers", type=int, help="leave out items that fewer households buy")
    parser.add_argument(
        "--given",
        choices=[given.value for given in Given],
        default=Given.PROMOTIONS.value,
        help="what the re-ranker is given about the as-of date",
    )
    parser.add_argument("--everyone", action="store_true", help="five-way over all households that are not reserved")
    arguments = parser.parse_args()
    all_lines = load_receipt_lines()
    for level in [Level(arguments.level)] if arguments.level else [Level.SKU, Level.TYPE]:
        lines = without_rare_items(all_lines, level, arguments.min_buyers or MIN_BUYERS[level])
        given = Given(arguments.given)
        if arguments.tune:
            bench = bench_of(lines.of(Split.FITTING), level, given)
            {"tifu": tune_tifu, "up_cf": tune_up_cf, "trees": tune_trees}[arguments.tune](bench)
        elif arguments.everyone:
            print_table(level, everyone_table(lines, level, given), "households, five-way")
        else:
            print_table(level, next_basket_table(lines, level, given))


if __name__ == "__main__":
    main()
