"""An item, what is known about it, and the port behind which something knows it."""

import enum
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pantree_domain.catalog import Perishability

# Longer than a year is no rhythm.
MAX_SUGGESTED_INTERVAL_DAYS = 365


class Relation(enum.Enum):
    """How two items are related in a kitchen."""

    COMPLEMENT = "complement"
    """Used together."""
    SUBSTITUTE = "substitute"
    """Bought in place of each other."""


@dataclass(frozen=True)
class ItemToEnrich:
    """An item as the shop knows it. Both texts are data, never instructions."""

    name: str
    category: str = ""
    """The shop's own category; an empty string when unknown."""


@dataclass(frozen=True)
class RelatedItem:
    """An item that goes with another one or replaces it."""

    name: str
    relation: Relation


@dataclass(frozen=True)
class IntervalReason:
    """Why an interval is suggested."""

    code: str
    """Stable, for programs."""
    text: str
    """For people; never words of a language model."""


@dataclass(frozen=True)
class EnrichedItem:
    """What is known about an item."""

    name: str
    """As asked."""
    normalized_name: str
    category: str
    """A category of the catalog; `other` when unknown."""
    certainty_ratio: float
    """How sure the category is, 0 to 1."""
    perishability: Perishability | None
    """None when nobody knows."""
    related_items: tuple[RelatedItem, ...]
    """Best first."""
    suggested_interval_days: int | None
    """How often such an item is typically bought, 1 to `MAX_SUGGESTED_INTERVAL_DAYS`; None when unknown."""
    interval_reason: IntervalReason | None
    """Why that often; None when no interval is known."""
    source: str
    """Who said it: `rules` or `nim`."""
    fallback_reason: str = ""
    """Why the rules answered in place of a language model; empty otherwise."""


@dataclass(frozen=True)
class Unanswered:
    """An item that an enricher could say nothing usable about."""

    reason: str
    """Goes to callers: what failed and what to do, never a secret."""
    concerns_item_alone: bool = False
    """Whether it failed at this item while it answered about others; it would most likely do so again."""


Outcome = EnrichedItem | Unanswered


class ItemEnricher(Protocol):
    """Something that knows about items, may be slow, and may fail."""

    def stream(self, items: Sequence[ItemToEnrich]) -> AsyncGenerator[Sequence[tuple[int, Outcome]]]:
        """Position and outcome of each item once, as soon as they are known, in any order.

        Never raises: each item fails by itself. Ends before the request's time is over.
        """
