"""An item and what is known about it."""

import enum
from dataclasses import dataclass, field

from pantree_domain.catalog import Perishability
from pantree_domain.limits import maximum

# An item with longer intervals is not bought regularly.
MAX_SUGGESTED_INTERVAL_DAYS = int(maximum("pantree.recommendation.v1.Candidate.suggested_interval_days"))

RULES_SOURCE = "rules"
MODEL_SOURCE = "nim"


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
class ModelItem:
    """An item as a language model gets it. Two spellings of one item are equal."""

    key: tuple[str, str]
    """Keys of the name and the shop's category."""
    name: str = field(compare=False)
    category: str = field(compare=False)


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
class FactSources:
    """Where each fact about an item comes from: `rules`, `nim`, or empty if the fact is unknown."""

    category: str = ""
    perishability: str = ""
    suggested_interval: str = ""
    related_items: str = ""
    plain_name: str = ""


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
    sources: FactSources
    plain_name: str = ""
    """What a terse name means, in words for shoppers; empty for other names and when unknown."""
    fallback_reason: str = ""
    """Why facts of a language model are missing that a later answer may have; empty if none are."""

    @property
    def source(self) -> str:
        """`nim` if any fact comes from a language model, otherwise `rules`."""
        facts = (
            self.sources.category,
            self.sources.perishability,
            self.sources.suggested_interval,
            self.sources.related_items,
            self.sources.plain_name,
        )
        return MODEL_SOURCE if MODEL_SOURCE in facts else RULES_SOURCE


@dataclass(frozen=True)
class ModelAnswer:
    """What a language model says about an item: well-formed, but not checked against the catalog."""

    category: str
    certainty_ratio: float
    """As the model states it."""
    perishability: Perishability
    suggested_interval_days: int
    interval_reason: IntervalReason
    related_items: tuple[RelatedItem, ...]
    plain_name: str = ""
    """What the name means, in plain words; empty if the model does not say."""


@dataclass(frozen=True)
class Failure:
    """Why there is no usable answer about an item."""

    reason: str
    """For callers outside: no hosts, settings or secrets, which are only logged."""
    is_item_specific: bool = False
    """Whether the model answered without anything usable about this item, so that asking again would not help."""


Outcome = ModelAnswer | Failure
