"""Estimates priors of types, categories and products from the purchases of fitting households."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pantree_frequency.core.features import feature_table
from pantree_frequency.core.histories import Histories
from pantree_frequency.core.priors import PRIOR_NAMES, Priors, normalized
from pantree_frequency.core.purchases import purchases_by_pair

# A group with this many buyers weighs as much as its fallback.
_STRENGTH = 20.0


@dataclass(frozen=True, eq=False)
class PairEvidence:
    """One household's purchases of one item, for `p` pairs; priors are computed from their sums."""

    gaps: NDArray[np.float64]
    """[p], number of intervals."""
    log_mean: NDArray[np.float64]
    """[p], mean log interval; NaN without intervals."""
    age: NDArray[np.float64]
    """[p], days since the first purchase."""
    promotion_ratio: NDArray[np.float64]
    """[p]."""
    follow_ups: NDArray[np.float64]
    """[p, 4]: purchases at least 28 days ago, those followed within 28 days, and the same for 84."""


def summarize(
    evidence: PairEvidence, groups: NDArray[np.int64], group_count: int, fallback: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Priors of groups of pairs, float32[group_count, len(PRIOR_NAMES)], shrunk toward their fallback.

    Args:
        evidence: p pairs.
        groups: int64[p], group of each pair, 0 to group_count − 1; -1 excludes the pair.
        group_count: number of groups.
        fallback: float32[group_count, len(PRIOR_NAMES)], or [len(PRIOR_NAMES)] for all of them.
    """
    kept = groups >= 0
    groups = groups[kept]
    fallback = np.broadcast_to(fallback.astype(np.float64), (group_count, len(PRIOR_NAMES)))

    def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(groups, weights=values[kept], minlength=group_count).astype(np.float64)

    buyers = total(np.ones(len(kept)))
    repeated = evidence.gaps > 0
    # A household that buys daily must not dominate; its weight grows little after a few intervals.
    weight = evidence.gaps / (evidence.gaps + 1.0)
    log_mean = np.where(repeated, np.nan_to_num(evidence.log_mean), 0.0)
    prior = {name: fallback[:, column] for column, name in enumerate(PRIOR_NAMES)}
    weight_sum = total(weight)
    summary: dict[str, NDArray[np.float64]] = {}
    summary["log_interval"] = (total(weight * log_mean) + _STRENGTH * prior["log_interval"]) / (weight_sum + _STRENGTH)
    center = np.zeros(len(kept))
    center[kept] = summary["log_interval"][groups]
    squares = total(weight * (log_mean - center) ** 2)
    summary["log_deviation"] = np.sqrt((squares + _STRENGTH * prior["log_deviation"] ** 2) / (weight_sum + _STRENGTH))
    for name, first in (("within_28", 0), ("within_84", 2)):
        trials, successes = total(evidence.follow_ups[:, first]), total(evidence.follow_ups[:, first + 1])
        summary[name] = (successes + _STRENGTH * prior[name]) / (trials + _STRENGTH)
    strength_days = _STRENGTH * 100.0
    rate = (total(evidence.gaps) + strength_days * np.exp(prior["log_rate"])) / (total(evidence.age) + strength_days)
    summary["log_rate"] = np.log(rate)
    for name, values in (("repeat_ratio", repeated.astype(float)), ("promotion_ratio", evidence.promotion_ratio)):
        summary[name] = (total(values) + _STRENGTH * prior[name]) / (buyers + _STRENGTH)
    summary["log_evidence"] = np.log1p(buyers)
    return np.stack([summary[name] for name in PRIOR_NAMES], axis=1).astype(np.float32)


# Fallback of the prior over all items: a purchase a month, widely spread. Data outweigh it.
_START = np.array([3.0, 1.0, 0.3, 0.5, -4.5, 0.4, 0.4, 0.0], np.float32)


def fit_priors(
    parts: Sequence[tuple[PairEvidence, Sequence[str], Sequence[str], Sequence[str]]], min_buyers: int = 5
) -> Priors:
    """Priors from the purchases of fitting households.

    Args:
        parts: for each level (products, types, categories): evidence of its pairs, and for each pair the item's name,
            type and category. Levels without types result in `own` priors of their names; all result in `member` ones.
        min_buyers: groups with fewer buyers are excluded.
    """
    finest = parts[0][0]
    everything = summarize(finest, np.zeros(len(finest.gaps), np.int64), 1, _START)[0]
    own: dict[str, NDArray[np.float32]] = {}
    member: dict[str, NDArray[np.float32]] = {}

    def add(target: dict[str, NDArray[np.float32]], evidence: PairEvidence, texts: Sequence[str]) -> None:
        names = sorted({name for text in set(texts) if (name := normalized(text))} - target.keys())
        position = {name: index for index, name in enumerate(names)}
        by_text = {text: position.get(normalized(text), -1) for text in set(texts)}
        groups = np.array([by_text[text] for text in texts], np.int64)
        buyers = np.bincount(groups[groups >= 0], minlength=len(names))
        for name, prior, count in zip(names, summarize(evidence, groups, len(names), everything), buyers, strict=True):
            if count >= min_buyers:
                target[name] = prior

    product: dict[str, NDArray[np.float32]] = {}
    for evidence, names, types, categories in parts:
        if not any(types):
            add(own, evidence, names)
        else:
            add(member, evidence, types)
            product |= _product_priors(evidence, names, types, member, everything)
        add(member, evidence, categories)
    without_evidence = everything.copy()
    without_evidence[PRIOR_NAMES.index("log_evidence")] = 0.0
    return Priors(without_evidence, own, member, product)


# Products with fewer buyers have no prior of their own; with more, no household's purchases can be inferred.
_MIN_PRODUCT_BUYERS = 10


def _product_priors(
    evidence: PairEvidence,
    names: Sequence[str],
    types: Sequence[str],
    member: Mapping[str, NDArray[np.float32]],
    everything: NDArray[np.float32],
) -> dict[str, NDArray[np.float32]]:
    """Priors of single products, shrunk toward those of a single product of their type."""
    type_of = {normalized(name): normalized(type_) for name, type_ in dict(zip(names, types, strict=True)).items()}
    known = {text: normalized(text) for text in set(names)}
    counts = Counter(known[name] for name in names)
    kept = sorted(name for name, count in counts.items() if name and count >= _MIN_PRODUCT_BUYERS)
    position = {name: index for index, name in enumerate(kept)}
    groups = np.array([position.get(known[name], -1) for name in names], np.int64)
    fallback = np.array([member.get(type_of[name], everything) for name in kept], np.float32)
    summary = summarize(evidence, groups, len(kept), fallback.reshape(-1, len(PRIOR_NAMES)))
    return dict(zip(kept, summary, strict=True))


def pair_evidence(histories: Histories, as_of: NDArray[np.int32]) -> tuple[PairEvidence, NDArray[np.int32]]:
    """Evidence for priors, and int32[p] the item of each pair.

    Args:
        histories: h fitting households.
        as_of: int32[h], days since 1970-01-01; later lines are ignored.
    """
    no_priors = Priors(np.zeros(len(PRIOR_NAMES), np.float32))
    bought = purchases_by_pair(histories, as_of)
    table = feature_table(bought, no_priors)
    pairs, count = bought.pairs, int(bought.pairs["end"][-1]) if len(bought.pairs) else 0
    days, pair = bought.purchases.days[:count], np.repeat(np.arange(len(pairs)), pairs["end"] - pairs["first"])
    gaps = np.append(np.diff(days), 0).astype(np.float64)
    gaps[pairs["end"] - 1] = np.inf
    ages = as_of[pairs["household"]][pair] - days
    follow_ups = np.stack(
        [
            np.bincount(pair, (ages >= window) & (gaps <= max_gap), len(pairs))
            for window in (28, 84)
            for max_gap in (np.inf, window)
        ],
        axis=1,
    ).astype(np.float64)
    evidence = PairEvidence(
        table["pair_count"] - 1, table["pair_log_mean"], table["pair_age"], table["promotion_ratio"], follow_ups
    )
    return evidence, table.items
