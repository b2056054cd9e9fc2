"""The model that answers a request: the requested one, the one assigned to the customer, or the fallback."""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pantree_domain.evidence import ModelName
from pantree_recommendation.core.ranking import Ranker
from pantree_runtime.errors import FieldViolation, InvalidInput

# Allows thirds with four decimals.
_SHARE_TOLERANCE = 0.001


def model_id(model: ModelName) -> str:
    """Id of an embedded model in requests and selections: `name/version`."""
    return f"{model.name}/{model.version}"


@dataclass(frozen=True)
class Share:
    """A model and the share of customers that are assigned to it."""

    model: str
    """Its id."""
    ratio: float
    """0 to 1."""


@dataclass(frozen=True)
class Selection:
    """The shares of the models, and the fallback.

    Raises:
        ValueError: when the shares are not from 0 to 1 or do not sum to 1.
    """

    shares: tuple[Share, ...]
    """At least one. The first one answers requests without a customer."""
    fallback: str
    """Id of the embedded model that answers when another one fails."""
    experiment: str = ""
    """Part of the hash that assigns customers; a new name assigns them again."""

    def __post_init__(self) -> None:
        if not self.shares:
            raise ValueError('"shares" is empty; name at least one model')
        if any(not 0 <= share.ratio <= 1 for share in self.shares):
            raise ValueError('every ratio in "shares" must be a number from 0 to 1')
        total = math.fsum(share.ratio for share in self.shares)
        if abs(total - 1) > _SHARE_TOLERANCE:
            raise ValueError(f'the ratios in "shares" must sum to 1; they sum to {total:g}')

    def model_for(self, customer_id: str) -> str:
        """Id of the model for a customer; the first one if the id is empty.

        A customer keeps the same model while the shares stay the same. A model whose share grows keeps its customers,
        provided that the order of the models stays the same.
        """
        if not customer_id:
            return self.shares[0].model
        digest = hashlib.sha256(f"pantree-share-v1:{self.experiment}:{customer_id}".encode()).digest()
        position = int.from_bytes(digest[:8]) / 2**64
        end = 0.0
        for share in self.shares:
            end += share.ratio
            if position < end:
                return share.model
        return max(self.shares, key=lambda share: share.ratio).model  # rounded shares leave a gap at the end


@dataclass(frozen=True)
class ModelCard:
    """Description of a model."""

    features: tuple[str, ...] = ()
    """Names of its inputs."""
    training_data: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Measured when it was fitted."""
    checksum: str = ""
    """SHA-256 of its manifest, in hexadecimal."""
    target_variant: str = ""
    inference_component: str = ""


@dataclass(frozen=True)
class Models:
    """All models that can answer, and the selection in force.

    Raises:
        ValueError: when the selection names a model that does not exist, or its fallback is not embedded.
    """

    rankers: Mapping[str, Ranker]
    """By id."""
    selection: Selection
    cards: Mapping[str, ModelCard] = field(default_factory=dict)
    """By id."""
    selection_error: str = ""
    """Why the selection file or a model directory was rejected; empty if none was."""

    def __post_init__(self) -> None:
        selected = {*(share.model for share in self.selection.shares), self.selection.fallback}
        if missing := selected - set(self.rankers):
            raise ValueError(f"there is no model {_listed(missing)}; use one of {_listed(self.rankers)}")
        if self.fallback.source != "embedded":
            raise ValueError(f"{self.selection.fallback} cannot be the fallback; use an embedded model")

    @property
    def fallback(self) -> Ranker:
        """The embedded model that answers when another one fails."""
        return self.rankers[self.selection.fallback]

    def ranker_for(self, model: str, customer_id: str) -> Ranker:
        """The requested model, or the one selected for the customer if `model` is empty.

        Raises:
            InvalidInput: when there is no such model.
        """
        ranker = self.rankers.get(model or self.selection.model_for(customer_id))
        if ranker is None:
            description = f"must be one of {_listed(self.rankers)}, or empty; is {model[:100]!r}"
            raise InvalidInput([FieldViolation("model", description)])
        return ranker


def _listed(ids: Iterable[str]) -> str:
    return ", ".join(sorted(ids))


class ModelSource(Protocol):
    """Provides the models, which may change between requests."""

    async def current(self) -> Models:
        """The current models."""
