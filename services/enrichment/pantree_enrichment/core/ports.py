"""Ports to language models and to the cache of their answers."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Protocol

from pantree_enrichment.core.item import ItemToEnrich, ModelItem, Outcome


class ItemEnricher(Protocol):
    """A source of answers that may be slow and may fail."""

    def stream(self, items: Sequence[ItemToEnrich]) -> AsyncGenerator[Sequence[tuple[int, Outcome]]]:
        """Index and outcome of each item, once, in the order in which they become known.

        Never raises, and ends before the request's deadline.
        """


class LanguageModel(Protocol):
    """A model that answers about a batch of items in one call."""

    def batches(self, items: Sequence[ModelItem]) -> list[Sequence[ModelItem]]:
        """The items in their order, split into one batch per call."""

    def no_wait_reason(self, seconds: float | None) -> str:
        """Why a request that has `seconds` left (None: no limit) should not wait for answers; empty if it should."""

    async def ask(self, items: Sequence[ModelItem], on_outcome: Callable[[int, Outcome], None]) -> None:
        """Asks about one batch. Never raises.

        Args:
            items: one of `batches`.
            on_outcome: called with the index and outcome of each item, once, as soon as the outcome is known.
        """

    async def close(self) -> None:
        """Closes connections."""


class AnswerCache(Protocol):
    """Outcomes by item. Never raises: the model is asked again about what could not be cached."""

    async def get(self, items: Sequence[ModelItem]) -> Mapping[ModelItem, Outcome]:
        """The cached outcomes of items."""

    async def put(self, outcomes: Mapping[ModelItem, Outcome]) -> None:
        """Stores answers, and item-specific failures for a short time."""

    async def close(self) -> None:
        """Closes connections."""
