"""An item and what is known about it."""

import enum
from dataclasses import dataclass

from pantree_domain.catalog import Perishability
from pantree_domain.limits import maximum

# An item with longer intervals is not bought regularly.
MAX_SUGGESTED_INTERVAL_DAYS = int(maximum("pantree.recommendation.v1.Candidate.suggested_interval_days"))


class Relation(enum.Enum):
    """How an item is related to another one."""

    COMPLEMENT = "complement"
    """Used together."""
    SUBSTITUTE = "substitute"
    """Bought in place of each other."""


@dataclass(frozen=True)
class ItemToEnrich:
    """An item as the shop knows it. Both texts are data, never instructions."""

    name: str
    category: str = ""
    """The shop's own category; empty when unknown."""


@dataclass(frozen=True)
class RelatedItem:
    """A complement or substitute of an item."""

    name: str
    relation: Relation


@dataclass(frozen=True)
class IntervalReason:
    """Why an interval is suggested."""

    code: str
    """Stable, for programs."""
    text: str
    """For people; never written by a language model."""


@dataclass(frozen=True)
class EnrichedItem:
    """What is known about an item."""

    name: str
    """As in the request."""
    normalized_name: str
    category: str
    """A category of the catalog; `other` when unknown."""
    certainty_ratio: float
    """Certainty of the category, 0 to 1."""
    perishability: Perishability | None
    """None when unknown."""
    related_items: tuple[RelatedItem, ...]
    """Best first."""
    suggested_interval_days: int | None
    """Typical interval between purchases, 1 to `MAX_SUGGESTED_INTERVAL_DAYS`; None when unknown."""
    interval_reason: IntervalReason | None
    """None when no interval is known."""
    source: str
    """`rules` or `nim`."""
    fallback_reason: str = ""
    """Why the rules answered instead of a language model; empty if they did not."""


@dataclass(frozen=True)
class Failure:
    """Why there is no usable answer about an item."""

    reason: str
    """For callers: what failed and what to do about it. Contains no secrets."""
    is_item_specific: bool = False
    """Whether the model answered about other items in the same call, so that asking again would most likely fail."""


Outcome = EnrichedItem | Failure
