"""Estimates priors: what the purchases of fitting households say of types, categories and products."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pantree_frequency.core.features import feature_table
from pantree_frequency.core.histories import Histories
from pantree_frequency.core.priors import PRIOR_NAMES, Priors, normalized
from pantree_frequency.core.purchases import purchases_by_pair

# A group with this many buyers weighs as much as what it falls back to.
_STRENGTH = 20.0


@dataclass(frozen=True, eq=False)
class PairEvidence:
    """What one household's purchases of one item say, for `p` pairs; the sums that priors are made of."""

    gaps: NDArray[np.float64]
    """[p], intervals seen."""
    log_mean: NDArray[np.float64]
    """[p], mean log interval; NaN without one."""
    age: NDArray[np.float64]
    """[p], days since the first purchase."""
    promotion_ratio: NDArray[np.float64]
    """[p]."""
    follow_ups: NDArray[np.float64]
    """[p, 4]: purchases at least 28 days ago, those followed within 28 days, and the same for 84."""


def summarize(
    evidence: PairEvidence, groups: NDArray[np.int64], group_count: int, fallback: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Priors of groups of pairs, float32[group_count, len(PRIOR_NAMES)], shrunk towards their fallback.

    Args:
        evidence: p pairs.
        groups: int64[p], group of each pair, 0 to group_count − 1; -1 leaves the pair out.
        group_count: how many groups there are.
        fallback: float32[group_count, len(PRIOR_NAMES)], or [len(PRIOR_NAMES)] for all of them.
    """
    kept = groups >= 0
    groups = groups[kept]
    fallback = np.broadcast_to(fallback.astype(np.float64), (group_count, len(PRIOR_NAMES)))

    def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(groups, weights=values[kept], minlength=group_count).astype(np.float64)

    buyers = total(np.ones(len(kept)))
    repeated = evidence.gaps > 0
    # A household that buys daily must not speak for all; its weight grows little after a few intervals.
    weight = evidence.gaps / (evidence.gaps + 1.0)
    log_mean = np.where(repeated, np.nan_to_num(evidence.log_mean), 0.0)
    summary = np.empty((group_count, len(PRIOR_NAMES)))
    weight_sum = total(weight)
    summary[:, 0] = (total(weight * log_mean) + _STRENGTH * fallback[:, 0]) / (weight_sum + _STRENGTH)
    center = np.zeros(len(kept))
    center[kept] = summary[groups, 0]
    squares = total(weight * (log_mean - center) ** 2)
    summary[:, 1] = np.sqrt((squares + _STRENGTH * fallback[:, 1] ** 2) / (weight_sum + _STRENGTH))
    for column, first in ((2, 0), (3, 2)):
        chances, hits = total(evidence.follow_ups[:, first]), total(evidence.follow_ups[:, first + 1])
        summary[:, column] = (hits + _STRENGTH * fallback[:, column]) / (chances + _STRENGTH)
    strength_days = _STRENGTH * 100.0
    rate = (total(evidence.gaps) + strength_days * np.exp(fallback[:, 4])) / (total(evidence.age) + strength_days)
    summary[:, 4] = np.log(rate)
    summary[:, 5] = (total(repeated.astype(float)) + _STRENGTH * fallback[:, 5]) / (buyers + _STRENGTH)
    summary[:, 6] = (total(evidence.promotion_ratio) + _STRENGTH * fallback[:, 6]) / (buyers + _STRENGTH)
    summary[:, 7] = np.log1p(buyers)
    return summary.astype(np.float32)


# Where a fit starts from: a purchase a month, widely spread. Any fit with data moves far from it.
_START = np.array([3.0, 1.0, 0.3, 0.5, -4.5, 0.4, 0.4, 0.0], np.float32)


def fit_priors(
    parts: Sequence[tuple[PairEvidence, Sequence[str], Sequence[str], Sequence[str]]], least_buyers: int = 5
) -> Priors:
    """Priors from the purchases of fitting households.

    Args:
        parts: for each level (products, types, categories): evidence of its pairs, and for each pair the item's name,
            type and category. Levels without a type give the priors of their own names; all give those of members.
        least_buyers: groups with fewer buyers are left out.
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
            if count >= least_buyers:
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
    without_evidence[7] = 0.0
    return Priors(without_evidence, own, member, product)


# A product with fewer buyers than this says nothing of its own; nobody's purchases can be read from more.
_LEAST_PRODUCT_BUYERS = 10


def _product_priors(
    evidence: PairEvidence,
    names: Sequence[str],
    types: Sequence[str],
    member: Mapping[str, NDArray[np.float32]],
    everything: NDArray[np.float32],
) -> dict[str, NDArray[np.float32]]:
    """Priors of single products, shrunk towards those of a single product of their type."""
    type_of = {normalized(name): normalized(type_) for name, type_ in dict(zip(names, types, strict=True)).items()}
    known = {text: normalized(text) for text in set(names)}
    counts = Counter(known[name] for name in names)
    kept = sorted(name for name, count in counts.items() if name and count >= _LEAST_PRODUCT_BUYERS)
    position = {name: index for index, name in enumerate(kept)}
    groups = np.array([position.get(known[name], -1) for name in names], np.int64)
    fallback = np.array([member.get(type_of[name], everything) for name in kept], np.float32)
    summary = summarize(evidence, groups, len(kept), fallback.reshape(-1, len(PRIOR_NAMES)))
    return dict(zip(kept, summary, strict=True))


def pair_evidence(histories: Histories, as_of: NDArray[np.int32]) -> tuple[PairEvidence, NDArray[np.int32]]:
    """What priors are made of, and int32[p] the item of each pair.

    Args:
        histories: h fitting households.
        as_of: int32[h], days since 1970-01-01; later lines are not looked at.
    """
    nothing = Priors(np.zeros(len(PRIOR_NAMES), np.float32))
    bought = purchases_by_pair(histories, as_of)
    table = feature_table(bought, nothing)
    pairs, count = bought.pairs, int(bought.pairs["end"][-1]) if len(bought.pairs) else 0
    days, pair = bought.purchases.days[:count], np.repeat(np.arange(len(pairs)), pairs["end"] - pairs["first"])
    gaps = np.append(np.diff(days), 0).astype(np.float64)
    gaps[pairs["end"] - 1] = np.inf
    ages = as_of[pairs["household"]][pair] - days
    follow_ups = np.stack(
        [
            np.bincount(pair, (ages >= window) & (gaps <= longest), len(pairs))
            for window in (28, 84)
            for longest in (np.inf, window)
        ],
        axis=1,
    ).astype(np.float64)
    evidence = PairEvidence(
        table["pair_count"] - 1, table["pair_log_mean"], table["pair_age"], table["promotion_ratio"], follow_ups
    )
    return evidence, table.items
