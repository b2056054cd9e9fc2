"""Ports to language models and to the cache of their answers."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Protocol

from pantree_enrichment.core.item import ItemToEnrich, Outcome


class ItemEnricher(Protocol):
    """A source of answers that may be slow and may fail."""

    def stream(self, items: Sequence[ItemToEnrich]) -> AsyncGenerator[Sequence[tuple[int, Outcome]]]:
        """Index and outcome of each item once, as soon as they are known, in any order.

        Never raises: every item has an outcome. Ends before the request's deadline.
        """


class LanguageModel(Protocol):
    """A model that answers about a batch of items in one call. Items are in plain form (`plain_item`)."""

    def batches(self, items: Sequence[ItemToEnrich]) -> list[Sequence[ItemToEnrich]]:
        """Items split into batches for one call each, in their order."""

    def no_wait_reason(self, seconds: float | None) -> str:
        """Why a request with so many seconds left (None: no limit) should not wait for answers; empty if it should."""

    async def ask(self, items: Sequence[ItemToEnrich], on_outcome: Callable[[int, Outcome], None]) -> None:
        """Asks about one batch. Never raises.

        Args:
            items: one of `batches`.
            on_outcome: called once for each item, as soon as its outcome is known, with its index in the batch.
        """

    async def close(self) -> None:
        """Closes connections."""


class AnswerCache(Protocol):
    """Outcomes by item in plain form. Never raises: what cannot be cached is asked again."""

    async def get(self, items: Sequence[ItemToEnrich]) -> Mapping[ItemToEnrich, Outcome]:
        """The cached outcomes of items."""

    async def put(self, outcomes: Mapping[ItemToEnrich, Outcome]) -> None:
        """Stores answers, and for a short time the failures that are specific to an item."""

    async def close(self) -> None:
        """Closes connections."""
