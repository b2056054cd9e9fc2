"""Measures next-basket models: each household's last basket is held out and predicted for its day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pantree_domain.item_key import item_key
from pantree_fitting.next_basket.models import basket_of, household_history
from pantree_frequency.core.histories import Histories
from pantree_recommendation.core.basket_features import basket_candidates
from pantree_recommendation.core.basket_statistics import BasketStatistics
from pantree_recommendation.core.next_basket import NextBasketModel, new_item_count

MIN_BASKETS = 3
_LISTED = 20
MEASURES = ("recall@10", "NDCG@10", "recall@20", "repeat recall@10", "explore recall@10")
_GAINS = 1 / np.log2(np.arange(10) + 2.0)
_BEST_GAINS = np.concatenate([[0.0], np.cumsum(_GAINS)])


@dataclass(frozen=True, eq=False)
class BasketEvaluation:
    """What was measured of some households."""

    measures: Mapping[str, Mapping[str, NDArray[np.float64]]]
    """Per method and measure: float64[h]; NaN where there is nothing to find."""
    probabilities: NDArray[np.float64]
    """Of all candidates of all households."""
    bought: NDArray[np.bool_]
    households: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Of each candidate."""

    def means(self) -> dict[str, dict[str, float]]:
        """Means over households, per method and measure."""
        return {
            name: {
                measure: float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
                for measure, values in own.items()
            }
            for name, own in self.measures.items()
        }


def judge(listed: Sequence[str], truth: set[str], seen: set[str]) -> dict[str, float]:
    """Measures of one list of item keys, best first; NaN where there is nothing to find."""
    hits = np.array([name in truth for name in listed[:20]], bool)
    again = np.array([name in truth and name in seen for name in listed[:20]], bool)
    size, repeated = len(truth), len(truth & seen)

    def share(found: int, wanted: int) -> float:
        return found / wanted if wanted else float("nan")

    first = hits[:10]
    return {
        "recall@10": share(int(first.sum()), size),
        "NDCG@10": float((first * _GAINS[: len(first)]).sum() / _BEST_GAINS[min(size, 10)]) if size else float("nan"),
        "recall@20": share(int(hits.sum()), size),
        "repeat recall@10": share(int(again[:10].sum()), repeated),
        "explore recall@10": share(int((hits & ~again)[:10].sum()), size - repeated),
    }


def evaluate(
    models: Mapping[str, NextBasketModel],
    histories: Histories,
    popularity: BasketStatistics,
    promotions: Any = None,
) -> BasketEvaluation:
    """Measures of models and of two baselines; probabilities are those of the first model.

    Args:
        models: by name, at least one.
        histories: of households that no model was fitted on; those with fewer than `MIN_BASKETS` baskets are skipped.
        popularity: statistics of the fitting households, for the baselines.
        promotions: of each day, or None.
    """
    popular = [item_key(popularity.names[item]) for item in popularity.popular[:20].tolist()]
    names = ["most popular overall", "personal top-frequency", *models]
    found: dict[str, dict[str, list[float]]] = {name: {measure: [] for measure in MEASURES} for name in names}
    probabilities, outcomes, households = [], [], []
    for household in range(histories.household_count):
        days = household_history(histories, household).trip_days
        if len(days) < MIN_BASKETS:
            continue
        day = int(days[-1])
        history = household_history(histories, household, day)
        truth = basket_of(histories, household, day)
        keys = [item_key(name) for name in history.item_names]
        seen = set(keys)
        lists = {"most popular overall": popular, "personal top-frequency": _top_frequency(history, keys)}
        promoted = None if promotions is None else promotions(day)
        for position, (name, model) in enumerate(models.items()):
            given = promoted if model.uses_promotions else None
            candidates = basket_candidates(
                history, day, model.statistics, promoted=given, new_count=new_item_count(_LISTED)
            )
            predicted = model.probabilities(candidates)
            order = sorted(range(len(predicted)), key=lambda row: (-predicted[row], candidates.names[row]))
            lists[name] = [item_key(candidates.names[row]) for row in order[:_LISTED]]
            if position == 0:
                probabilities.append(predicted)
                outcomes.append(np.array([item_key(candidate) in truth for candidate in candidates.names], bool))
                households.append(np.full(len(predicted), household))
        for name, listed in lists.items():
            for measure, value in judge(listed, truth, seen).items():
                found[name][measure].append(value)
    return BasketEvaluation(
        {name: {measure: np.array(values) for measure, values in own.items()} for name, own in found.items()},
        np.concatenate([np.zeros(0), *probabilities]),
        np.concatenate([np.zeros(0, bool), *outcomes]),
        np.concatenate([np.zeros(0, np.int64), *households]),
    )


def _top_frequency(history: Any, keys: Sequence[str]) -> list[str]:
    """Items by the number of days on which the household bought them; ties go to the latest, then by name."""
    pairs = np.unique(np.stack([history.item_indices, history.days], axis=1), axis=0)
    counts = np.bincount(pairs[:, 0], minlength=len(keys))
    latest = np.zeros(len(keys), np.int64)
    np.maximum.at(latest, pairs[:, 0], pairs[:, 1])
    order = sorted(range(len(keys)), key=lambda item: (-counts[item], -latest[item], keys[item]))
    return [keys[item] for item in order[:20]]
