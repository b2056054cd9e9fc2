"""Where answers of a language model are kept."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from pantree_enrichment.core import EnrichedItem, ItemToEnrich, Outcome

# A model that failed at one item is asked about it again when it may have been replaced by a better one.
_SECONDS_TO_KEEP_FAILURES = 600.0


class AnswerCache(Protocol):
    """Keeps answers by question. Never raises: what cannot be kept is asked again."""

    async def get(self, questions: Sequence[ItemToEnrich]) -> Mapping[ItemToEnrich, Outcome]:
        """What is kept about questions, without those of which nothing is."""

    async def put(self, outcomes: Mapping[ItemToEnrich, Outcome]) -> None:
        """Keeps outcomes. Of failures, those that concern one item alone are kept, for a while."""

    async def close(self) -> None:
        """Gives back what it holds."""


class MemoryCache:
    """Keeps answers in this process. When it is full, the one that was not used for longest makes room."""

    def __init__(self, *, size: int, seconds_to_keep: float, clock: Callable[[], float]) -> None:
        """Takes its bounds.

        Args:
            size: how many outcomes it keeps, about 1 KiB each.
            seconds_to_keep: how long an answer is kept.
            clock: seconds, never going backwards.
        """
        self._size = size
        self._seconds_to_keep = seconds_to_keep
        self._clock = clock
        self._kept: OrderedDict[ItemToEnrich, tuple[Outcome, float]] = OrderedDict()

    async def get(self, questions: Sequence[ItemToEnrich]) -> Mapping[ItemToEnrich, Outcome]:
        """What is kept about questions, without those of which nothing is."""
        found: dict[ItemToEnrich, Outcome] = {}
        for question in questions:
            outcome, ends_at = self._kept.get(question, (None, 0.0))
            if outcome is None:
                continue
            if self._clock() < ends_at:
                self._kept.move_to_end(question)
                found[question] = outcome
            else:
                del self._kept[question]
        return found

    async def put(self, outcomes: Mapping[ItemToEnrich, Outcome]) -> None:
        """Keeps outcomes. Of failures, those that concern one item alone are kept, for a while."""
        for question, outcome in outcomes.items():
            if isinstance(outcome, EnrichedItem):
                seconds = self._seconds_to_keep
            elif outcome.concerns_item_alone:
                seconds = min(_SECONDS_TO_KEEP_FAILURES, self._seconds_to_keep)
            else:
                continue
            self._kept[question] = (outcome, self._clock() + seconds)
            self._kept.move_to_end(question)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)

    async def close(self) -> None:
        """Holds nothing that must be given back."""
