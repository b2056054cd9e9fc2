"""Items that similar customers buy regularly and the household does not, or not yet.

A suggestion is based on the purchases of others, so it has no cadence, confidence or price.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from pantree_domain.item_key import item_key
from pantree_recommendation.core.candidate import Candidate
from pantree_recommendation.core.policy import Policy
from pantree_recommendation.core.reason import Reason, ReasonCode

SUGGESTION_SOURCE = "similar_customers"

# One-sided confidence level of 90 %.
_Z = NormalDist().inv_cdf(0.9)


@dataclass(frozen=True)
class CoPurchasedItem:
    """An item of the household that is bought together with a suggested item."""

    name: str
    buyer_count: int
    """Neighbors that bought it."""
    regular_count: int
    """Those who also buy the suggested item regularly."""


@dataclass(frozen=True)
class NeighborItem:
    """How similar customers buy an item."""

    name: str
    category: str
    """Empty when unknown."""
    buyer_count: int
    """Neighbors that ever bought it, at least 1."""
    regular_buyer_count: int
    """Those who buy it regularly."""
    low_interval_days: float
    """Lower quartile of their mean intervals."""
    high_interval_days: float
    """Upper quartile."""
    own_day_count: int
    """Days on which the household bought it."""
    associated_item: CoPurchasedItem | None = None


@dataclass(frozen=True)
class Neighborhood:
    """The purchases of similar customers."""

    neighbor_count: int
    items: tuple[NeighborItem, ...]
    """With distinct names."""


@dataclass(frozen=True)
class Suggestion:
    """An item that the household might like."""

    item: NeighborItem
    score: float
    """Lower bound of the share of similar customers who buy it regularly, 0 to 1."""
    reasons: tuple[Reason, ...]
    """Most important first."""


def suggestions_of(
    neighborhood: Neighborhood, candidates: Sequence[Candidate], policy: Policy, limit: int
) -> tuple[Suggestion, ...]:
    """The best `limit` suggestions, best first; items of equal score are ordered by name.

    The score is the share of regular buyers: among all neighbors for a new item, among the neighbors who ever bought it
    for an item that the household has tried. Items with enough purchases for a recommendation are not suggested, nor
    are goods that the policy excludes.
    """
    own_keys = {
        item_key(name)
        for candidate in candidates
        if candidate.purchase_count >= policy.min_purchases
        for name in (candidate.name, *candidate.other_names)
    }
    suggestions = [
        _suggestion(item, neighborhood.neighbor_count)
        for item in neighborhood.items
        if item_key(item.name) not in own_keys and policy.may_suggest(item.name, item.category)
    ]
    ranked = sorted(
        (suggestion for suggestion in suggestions if suggestion.score >= policy.min_suggestion_score),
        key=lambda suggestion: (-suggestion.score, suggestion.item.name),
    )
    max_per_category = policy.max_per_category(limit)
    category_counts: Counter[str] = Counter()
    selected = []
    for suggestion in ranked:
        category = suggestion.item.category
        if not category or category_counts[category] < max_per_category:
            category_counts[category] += 1
            selected.append(suggestion)
    return tuple(selected[:limit])


def _suggestion(item: NeighborItem, neighbor_count: int) -> Suggestion:
    counts = {
        "neighbor_count": neighbor_count,
        "buyer_count": item.buyer_count,
        "regular_buyer_count": item.regular_buyer_count,
    }
    if item.own_day_count:
        trials = item.buyer_count
        reason = Reason(ReasonCode.KEPT_BY_SIMILAR_CUSTOMERS, {**counts, "purchase_count": item.own_day_count})
    else:
        trials = neighbor_count
        reason = Reason(ReasonCode.BOUGHT_BY_SIMILAR_CUSTOMERS, counts)
    reasons = [reason]
    if (associated := item.associated_item) is not None:
        values = {"buyer_count": associated.buyer_count, "regular_count": associated.regular_count}
        reasons.append(Reason(ReasonCode.BOUGHT_TOGETHER, values, associated.name))
    return Suggestion(item, wilson_lower_bound(item.regular_buyer_count, trials), tuple(reasons))


def wilson_lower_bound(successes: int, trials: int) -> float:
    """Lower bound of a share at a confidence of 90 %, 0 to 1.

    Args:
        successes: 0 to `trials`.
        trials: at least 1.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 1927.
    """
    if successes == 0:
        return 0.0  # without the formula's rounding error
    share, z_squared = successes / trials, _Z**2
    center = share + z_squared / (2 * trials)
    margin = _Z * math.sqrt(share * (1 - share) / trials + z_squared / (4 * trials**2))
    return (center - margin) / (1 + z_squared / trials)
