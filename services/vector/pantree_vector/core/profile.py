"""A customer's profile and profile vector: spend, trips, category shares, and the mean of the item vectors."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pantree_domain.money import round_to_cent
from pantree_vector.core.embedder import Vector, Vectors
from pantree_vector.core.household import Household

# Two monthly shopping trips. A judgment, not fitted.
RECENCY_HALF_LIFE_DAYS = 60.0
# The category of items without a category, and of all but the largest categories together.
OTHER_CATEGORY = "other"
# Keeps a profile with the longest names below 65,535 bytes, the maximum length of a text in Milvus.
MAX_CATEGORY_SHARES = 64


@dataclass(frozen=True)
class CategoryShare:
    """Share of a household's spend in one category, 0 to 1."""

    category: str
    share_ratio: float


@dataclass(frozen=True)
class CustomerProfile:
    """Summary of a household's purchases."""

    customer_id: str
    purchase_count: int
    """Receipt lines."""
    trip_count: int
    """Distinct days with a purchase."""
    total_spend: float
    """Amount paid, after savings, rounded to cents."""
    mean_trip_gap_days: float | None
    """None if there is only one trip."""
    category_shares: tuple[CategoryShare, ...]
    """Largest first; they sum to 1. Empty if nothing was paid."""
    as_of_day: int
    """Days since 1970-01-01."""
    counts_from_day: int = 0
    """First day on which others may learn from the customer, days since 1970-01-01 (`neighborhood.py`)."""

    def to_json(self) -> str:
        """The JSON object to store."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "CustomerProfile":
        """The profile in a text from `to_json`."""
        fields: dict[str, Any] = json.loads(text)
        shares = tuple(CategoryShare(**share) for share in fields.pop("category_shares"))
        return cls(**fields, category_shares=shares)


def profile_of(customer_id: str, household: Household, as_of_day: int) -> CustomerProfile:
    """The profile of a household as of a day, in days since 1970-01-01."""
    days = household.days
    gap_count = int(np.count_nonzero(days[1:] != days[:-1]))
    return CustomerProfile(
        customer_id=customer_id,
        purchase_count=len(household.days),
        trip_count=gap_count + 1,
        total_spend=round_to_cent(float(household.paid.sum())),
        mean_trip_gap_days=float(days[-1] - days[0]) / gap_count if gap_count else None,
        category_shares=_category_shares(household),
        as_of_day=as_of_day,
    )


def _category_shares(household: Household) -> tuple[CategoryShare, ...]:
    total = float(household.paid.sum())
    if total <= 0:
        return ()
    spend_of_items = np.bincount(household.item_indices, weights=household.paid, minlength=len(household.items))
    spend: dict[str, float] = {}
    for item, item_spend in zip(household.items, spend_of_items.tolist(), strict=True):
        category = item.category or OTHER_CATEGORY
        spend[category] = spend.get(category, 0.0) + item_spend
    ranked = _by_spend(spend)
    if len(ranked) > MAX_CATEGORY_SHARES:
        for category in ranked[MAX_CATEGORY_SHARES - 1 :]:
            if category != OTHER_CATEGORY:
                spend[OTHER_CATEGORY] = spend.get(OTHER_CATEGORY, 0.0) + spend.pop(category)
    return tuple(CategoryShare(category, spend[category] / total) for category in _by_spend(spend))


def _by_spend(spend: Mapping[str, float]) -> list[str]:
    return sorted(spend, key=lambda category: (-spend[category], category))


def profile_vector(household: Household, item_vectors: Vectors) -> Vector:
    """The mean of a household's item vectors (float32[k, d]), weighted by spend and recency, scaled to length 1.

    Recency counts from the household's latest purchase. Any later day would scale all weights by the same factor and
    leave the direction unchanged.
    """
    recency = 0.5 ** ((household.days[-1] - household.days) / RECENCY_HALF_LIFE_DAYS)
    weights = np.bincount(household.item_indices, weights=household.paid * recency, minlength=len(household.items))
    if not weights.any():  # everything was free: weighted by recency alone
        weights = np.bincount(household.item_indices, weights=recency, minlength=len(household.items))
    mean: NDArray[np.float64] = (weights / weights.max()) @ item_vectors.astype(np.float64)
    length = float(np.linalg.norm(mean))
    if length < 1e-6:  # opposite vectors cancel out: use the item with the largest weight
        heaviest: Vector = item_vectors[int(weights.argmax())]
        return heaviest
    return (mean / length).astype(np.float32)
