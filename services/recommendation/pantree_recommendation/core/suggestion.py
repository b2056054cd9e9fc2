"""Items that similar customers buy regularly and the household does not, or not yet.

Nothing here is the household's own habit: a suggestion has no cadence, no confidence and no price, and says whose
purchases it rests on.
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

SOURCE = "similar_customers"

# How sure it is that the share of regular buyers is no lower than the score.
_SURENESS = 0.9
_QUANTILE = NormalDist().inv_cdf(_SURENESS)


@dataclass(frozen=True)
class Companion:
    """The household's own item that a suggestion goes with."""

    name: str
    buyer_count: int
    """Neighbors that bought it."""
    regular_count: int
    """Those of them that buy the suggested item regularly."""


@dataclass(frozen=True)
class NeighborItem:
    """How similar customers buy an item."""

    name: str
    category: str
    """An empty string when unknown."""
    buyer_count: int
    """Neighbors that ever bought it, at least 1."""
    regular_buyer_count: int
    """Those of them that buy it regularly."""
    low_interval_days: float
    """Lower quartile of the mean intervals of those."""
    high_interval_days: float
    """Upper quartile."""
    own_day_count: int
    """Days on which the household bought it."""
    companion: Companion | None = None


@dataclass(frozen=True)
class Neighborhood:
    """What similar customers buy."""

    neighbor_count: int
    items: tuple[NeighborItem, ...]
    """With distinct names."""


@dataclass(frozen=True)
class Suggestion:
    """An item to try, or to try again."""

    item: NeighborItem
    score: float
    """0 to 1: what the share of similar customers who buy it regularly is at least."""
    reasons: tuple[Reason, ...]
    """Most important first."""


def suggestions_of(
    neighborhood: Neighborhood, candidates: Sequence[Candidate], policy: Policy, limit: int
) -> tuple[Suggestion, ...]:
    """The best suggestions, best first; items of equal score are ordered by name.

    An item that the household has bought itself is judged by those neighbors who have bought it, too: how many of them
    came to buy it regularly. One that it has never bought is judged by all of them.

    Args:
        neighborhood: what similar customers buy.
        candidates: the household's own items; those with purchases enough to be judged by them are not suggested.
        policy: what is asked of an item.
        limit: largest number of suggestions.
    """
    own = {item_key(candidate.name) for candidate in candidates if candidate.purchase_count >= policy.min_purchases}
    found = [
        _suggestion(item, neighborhood.neighbor_count)
        for item in neighborhood.items
        if item_key(item.name) not in own and item.category.casefold() not in policy.excluded_categories
    ]
    found = [suggestion for suggestion in found if suggestion.score >= policy.min_suggestion_score]
    found.sort(key=lambda suggestion: (-suggestion.score, suggestion.item.name))
    return tuple(_spread(found, policy.most_of_category(limit)))[:limit]


def _spread(ranked: Sequence[Suggestion], most: int) -> list[Suggestion]:
    """Not too many of one category."""
    of_category: Counter[str] = Counter()
    kept = []
    for suggestion in ranked:
        category = suggestion.item.category
        if not category or of_category[category] < most:
            of_category[category] += 1
            kept.append(suggestion)
    return kept


def _suggestion(item: NeighborItem, neighbor_count: int) -> Suggestion:
    counts = {
        "neighbor_count": neighbor_count,
        "buyer_count": item.buyer_count,
        "regular_buyer_count": item.regular_buyer_count,
    }
    if item.own_day_count:
        asked = item.buyer_count
        reason = Reason(ReasonCode.KEPT_BY_SIMILAR_CUSTOMERS, {**counts, "purchase_count": item.own_day_count})
    else:
        asked = neighbor_count
        reason = Reason(ReasonCode.BOUGHT_BY_SIMILAR_CUSTOMERS, counts)
    reasons = [reason]
    if item.companion is not None:
        values = {"buyer_count": item.companion.buyer_count, "regular_count": item.companion.regular_count}
        reasons.append(Reason(ReasonCode.BOUGHT_TOGETHER, values, item.companion.name))
    return Suggestion(item, share_at_least(item.regular_buyer_count, asked), tuple(reasons))


def share_at_least(count: int, of: int) -> float:
    """Lower bound of a share with the sureness of 90 %, 0 to 1.

    Args:
        count: how many did.
        of: of how many, at least 1.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 1927.
    """
    if count == 0:
        return 0.0  # which the formula only comes close to
    share, squared = count / of, _QUANTILE**2
    middle = share + squared / (2 * of)
    spread = _QUANTILE * math.sqrt(share * (1 - share) / of + squared / (4 * of**2))
    return (middle - spread) / (1 + squared / of)
