"""Caches outcomes of a language model in this process."""

from collections.abc import Callable, Mapping, Sequence

from pantree_enrichment.core import EnrichedItem, ItemToEnrich, Outcome
from pantree_runtime.cache import ExpiringCache

# After this time the model may have been replaced by one that can answer.
_MAX_FAILURE_SECONDS = 600.0


class MemoryCache:
    """Caches outcomes in this process; the least recently used is dropped first.

    Args:
        size: maximum number of outcomes, about 1 KiB each.
        seconds: how long an answer is cached.
        clock: monotonic time in seconds.
    """

    def __init__(self, *, size: int, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._cache: ExpiringCache[ItemToEnrich, Outcome] = ExpiringCache(size, clock=clock)

    async def get(self, items: Sequence[ItemToEnrich]) -> Mapping[ItemToEnrich, Outcome]:
        return {item: outcome for item in items if (outcome := self._cache.get(item)) is not None}

    async def put(self, outcomes: Mapping[ItemToEnrich, Outcome]) -> None:
        for item, outcome in outcomes.items():
            if isinstance(outcome, EnrichedItem):
                self._cache.put(item, outcome, self._seconds)
            elif outcome.is_item_specific:
                self._cache.put(item, outcome, min(_MAX_FAILURE_SECONDS, self._seconds))

    async def close(self) -> None:
        pass
