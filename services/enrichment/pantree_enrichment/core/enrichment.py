"""Answers as they come: a language model's where there is one and it can be believed, the rules' everywhere else."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from pantree_enrichment.core.item import EnrichedItem, ItemEnricher, ItemToEnrich, Unanswered
from pantree_enrichment.core.rules import RulesEnricher

# Few enough for the first answers to leave at once, enough for the way to a thread and back not to matter.
_RULES_BATCH_SIZE = 50


class Enrichment:
    """Enriches items by rules, and by a language model where there is one."""

    def __init__(self, rules: RulesEnricher, model: ItemEnricher | None = None, *, batch_size: int = 8) -> None:
        """Takes what answers.

        Args:
            rules: answer for whatever the model cannot.
            model: is asked first; None when there is none.
            batch_size: how many items the model is asked about at a time.
        """
        self._rules = rules
        self._model = model
        self._batch_size = _RULES_BATCH_SIZE if model is None else batch_size

    async def stream(self, items: Sequence[ItemToEnrich]) -> AsyncGenerator[tuple[int, EnrichedItem]]:
        """Position and answer of each item, as soon as it is known, in any order."""
        batches = [
            range(start, min(start + self._batch_size, len(items))) for start in range(0, len(items), self._batch_size)
        ]
        tasks = [asyncio.create_task(self._enrich([items[at] for at in batch])) for batch in batches]
        positions = dict(zip(tasks, batches, strict=True))
        pending = set(tasks)
        try:
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    for answer in zip(positions[task], task.result(), strict=True):
                        yield answer
        finally:  # the caller may leave before the end
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _enrich(self, items: Sequence[ItemToEnrich]) -> list[EnrichedItem]:
        if self._model is None:
            return await asyncio.to_thread(lambda: [self._rules.enrich_item(item) for item in items])
        outcomes = await self._model.enrich(items)
        return await asyncio.to_thread(
            lambda: [self._settled(item, outcome) for item, outcome in zip(items, outcomes, strict=True)]
        )

    def _settled(self, item: ItemToEnrich, outcome: EnrichedItem | Unanswered) -> EnrichedItem:
        """The model's answer as far as the catalogue lets it pass, or else the rules'."""
        if isinstance(outcome, EnrichedItem) and not self._rules.contradicts(outcome):
            return replace(outcome, related_items=self._rules.recognized(outcome))
        reason = (
            outcome.reason
            if isinstance(outcome, Unanswered)
            else "the language model's category contradicts the catalogue, which knows this very item"
        )
        return replace(self._rules.enrich_item(item), fallback_reason=reason)
