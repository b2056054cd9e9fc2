"""Fits next-basket models on many households' purchases: statistics of others, and trees on both."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pantree_domain.evidence import ModelName
from pantree_domain.item_key import item_key
from pantree_domain.purchases import PurchaseHistory
from pantree_fitting.next_basket.statistics import MIN_BUYERS, fit_statistics
from pantree_frequency.core.histories import Histories
from pantree_recommendation.backends.basket_files import BasketArtifact, rounded
from pantree_recommendation.core.basket_features import COLUMN, FEATURES, basket_candidates
from pantree_recommendation.core.basket_statistics import BasketStatistics

Promotions = Callable[[int], frozenset[str]]
"""Keys of the items on promotion on a day, days since 1970-01-01."""


@dataclass(frozen=True)
class BasketPlan:
    """How much to fit."""

    rounds: int = 6
    """How many baskets of each household, from the last one back, the trees learn from."""
    first_rounds: int = 2
    """And how many of its first baskets, so that new customers are predicted as well."""
    fold_count: int = 4
    """Parts of the households: each one's lessons use statistics of the others."""
    min_buyers: int = MIN_BUYERS
    hidden_ratio: float = 0.15
    """Share of the households for which all items are treated as unknown, as those of a new catalog are."""
    trees: int = 300
    learning_rate: float = 0.07
    leaves: int = 15
    min_leaf_rows: int = 200
    max_rows: int = 1_500_000
    """Households are left out, in a random order, when there are more candidates."""
    thread_count: int = 1
    seed: int = 5


@dataclass(frozen=True, eq=False)
class Lessons:
    """Candidates of many baskets, and which of them were bought."""

    values: NDArray[np.float32]
    """[n, len(FEATURES)]."""
    bought: NDArray[np.bool_]
    """[n]."""

    @staticmethod
    def concatenate(parts: Sequence["Lessons"]) -> "Lessons":
        """All lessons of some parts, at least one."""
        return Lessons(np.concatenate([p.values for p in parts]), np.concatenate([p.bought for p in parts]))


def household_history(histories: Histories, household: int, before: int | None = None) -> PurchaseHistory:
    """One household's purchases before a day, or all; items are named by the histories' dictionary.

    Args:
        histories: of many households; an item's category is its type, else its category.
        household: its position.
        before: days since 1970-01-01.
    """
    lines = histories.lines[histories.household_starts[household] : histories.household_starts[household + 1]]
    if before is not None:
        lines = lines[lines["day"] < before]
    items, indices = np.unique(lines["item"], return_inverse=True)
    return PurchaseHistory(
        item_names=tuple(histories.item_names[item] for item in items.tolist()),
        item_categories=tuple(histories.item_types[item] or histories.item_categories[item] for item in items.tolist()),
        item_indices=indices.astype(np.int32),
        days=lines["day"].astype(np.int32),
        quantities=lines["quantity"].astype(np.int32),
        prices=lines["price"].astype(np.float64),
        savings=lines["saving"].astype(np.float64),
    )


def basket_of(histories: Histories, household: int, day: int) -> set[str]:
    """Keys of the items that a household bought on a day."""
    lines = histories.lines[histories.household_starts[household] : histories.household_starts[household + 1]]
    return {item_key(histories.item_names[item]) for item in np.unique(lines["item"][lines["day"] == day]).tolist()}


def lesson_days(trip_days: NDArray[np.integer[Any]], plan: BasketPlan) -> list[int]:
    """Days of the baskets that the trees learn from: the last ones, and the first ones."""
    days = trip_days.tolist()
    # A household with few baskets has its first ones among the last.
    return sorted({*days[-plan.rounds :], *days[: plan.first_rounds]})


def lessons_of(
    histories: Histories,
    households: Sequence[int],
    statistics: BasketStatistics,
    plan: BasketPlan,
    promotions: Promotions | None = None,
) -> Iterator[Lessons]:
    """Each household's lessons. Some households see all items as unknown, with or without their groups.

    Args:
        histories: of many households.
        households: positions.
        statistics: of other households.
        plan: how much.
        promotions: of each day; None if unknown.
    """
    views = (statistics, statistics.without_items(groups=True), statistics.without_items(groups=False))
    for household in households:
        share = _share("hidden", int(histories.household_ids[household]))
        hidden = share < plan.hidden_ratio
        view = views[(1 + (share < plan.hidden_ratio / 2)) if hidden else 0]
        whole = household_history(histories, household)
        parts = []
        for number, day in enumerate(lesson_days(whole.trip_days, plan)):
            history = household_history(histories, household, day)
            # Every second time promotions are not given: callers may not have them.
            given = promotions(day) if promotions is not None and number % 2 else None
            found = basket_candidates(history, day, view, promoted=given)
            if not found.names:
                continue
            truth = basket_of(histories, household, day)
            bought = np.array([item_key(name) in truth for name in found.names])
            parts.append(Lessons(found.values, bought))
        if parts:
            yield Lessons.concatenate(parts)


def fold_of(household_id: int, fold_count: int) -> int:
    """The part that a household is in, by a hash of its id."""
    return int(_share("fold", household_id) * fold_count)


def _share(purpose: str, household_id: int) -> float:
    digest = hashlib.sha256(f"pantree-next-basket-{purpose}-v1:{household_id}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def fold_lessons(histories: Histories, fold: int, plan: BasketPlan, promotions: Promotions | None = None) -> Lessons:
    """The lessons of the households of one part, with statistics of the others."""
    inside = np.array([fold_of(int(id_), plan.fold_count) == fold for id_ in histories.household_ids], bool)
    statistics = fit_statistics(histories.only(~inside), min_buyers=plan.min_buyers, seed=plan.seed)
    households = np.flatnonzero(inside)
    households = np.random.default_rng(plan.seed).permutation(households)
    parts, rows = [], 0
    for lessons in lessons_of(histories, households.tolist(), statistics, plan, promotions):
        parts.append(lessons)
        rows += len(lessons.bought)
        if rows >= plan.max_rows // plan.fold_count:
            break
    if not parts:
        return Lessons(np.zeros((0, len(FEATURES)), np.float32), np.zeros(0, bool))
    return Lessons.concatenate(parts)


def fit_trees(lessons: Lessons, plan: BasketPlan) -> str:
    """Trees that predict whether a candidate is bought, as LightGBM's text."""
    import lightgbm

    # The evaluation of trees expects one more column: `StepTrees`.
    values = np.column_stack([lessons.values, np.zeros(len(lessons.bought), np.float32)])
    sizes = lessons.values[:, COLUMN["mean_size"]]
    typical = float(np.nanmedian(sizes)) if np.isfinite(sizes).any() else 1.0
    # Recall counts an item of a small basket more than one of a large basket.
    weights = typical / np.maximum(np.where(np.isnan(sizes), typical, sizes), 1.0)
    data = lightgbm.Dataset(values, lessons.bought.astype(np.float64), weight=weights, params={"max_bin": 63})
    parameters = {
        "objective": "binary", "learning_rate": plan.learning_rate, "num_leaves": plan.leaves,
        "min_data_in_leaf": plan.min_leaf_rows, "feature_fraction": 0.3, "bagging_fraction": 0.7, "bagging_freq": 1,
        "lambda_l2": 10.0, "max_bin": 63, "num_threads": plan.thread_count, "seed": plan.seed, "deterministic": True,
        "force_row_wise": True, "verbose": -1,
    }  # fmt: skip
    return str(lightgbm.train(parameters, data, plan.trees).model_to_string(importance_type="gain"))


def fit(
    histories: Histories,
    plan: BasketPlan,
    *,
    name: str,
    promotions: Promotions | None = None,
    log_line: Callable[[str], None] = print,
) -> BasketArtifact:
    """Fits statistics and trees.

    Args:
        histories: of the fitting households.
        plan: how much to fit.
        name: of the model; its version is a digest of what was fitted.
        promotions: of each day; None if unknown.
        log_line: receives lines on the progress.
    """
    parts = []
    for fold in range(plan.fold_count):
        parts.append(fold_lessons(histories, fold, plan, promotions))
        log_line(f"next basket: part {fold + 1} of {plan.fold_count}, {len(parts[-1].bought):,} candidates")
    return fit_lessons(histories, Lessons.concatenate(parts), plan, name=name, uses_promotions=promotions is not None)


def fit_lessons(
    histories: Histories, lessons: Lessons, plan: BasketPlan, *, name: str, uses_promotions: bool = False
) -> BasketArtifact:
    """Fits statistics on the households and trees on the lessons.

    Raises:
        ValueError: when the lessons have only one outcome.
    """
    if lessons.bought.all() or not lessons.bought.any():
        raise ValueError("no household buys a known item again, or all are bought; add more purchases")
    trees = fit_trees(lessons, plan)
    statistics = fit_statistics(histories, min_buyers=plan.min_buyers, seed=plan.seed)
    return fitted_baskets(statistics, trees, plan, name=name, uses_promotions=uses_promotions)


def fitted_baskets(
    statistics: BasketStatistics, trees: str, plan: BasketPlan, *, name: str, uses_promotions: bool
) -> BasketArtifact:
    """What was fitted, with a version that is a digest of it."""
    statistics = rounded(statistics)
    settings = dataclasses.asdict(plan)
    del settings["thread_count"]
    digest = hashlib.sha256((json.dumps(settings, sort_keys=True) + trees).encode())
    for array in (statistics.item_statistics, statistics.factors, statistics.together_weights):
        digest.update(np.ascontiguousarray(array).tobytes())
    return BasketArtifact(ModelName(name, digest.hexdigest()[:8]), statistics, trees, settings, uses_promotions)
