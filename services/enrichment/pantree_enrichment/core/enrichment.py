"""Answers as they come: a language model's where there is one and it can be believed, the rules' everywhere else."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from pantree_enrichment.core.item import EnrichedItem, ItemEnricher, ItemToEnrich, Outcome, Unanswered
from pantree_enrichment.core.question import why_not_to_ask
from pantree_enrichment.core.rules import RulesEnricher

# Few enough for the first answers to leave at once, enough for the way to a thread and back not to matter.
_RULES_BATCH_SIZE = 50
# So few take less than the way to a thread and back.
_MOST_WITHOUT_A_THREAD = 10

_NO_EXCUSE = Unanswered("")


class Enrichment:
    """Enriches items by rules, and by a language model where there is one."""

    def __init__(self, rules: RulesEnricher, model: ItemEnricher | None = None) -> None:
        """Takes what answers.

        Args:
            rules: answer for whatever the model cannot.
            model: is asked first; None when there is none.
        """
        self._rules = rules
        self._model = model

    async def stream(self, items: Sequence[ItemToEnrich]) -> AsyncGenerator[tuple[int, EnrichedItem]]:
        """Position and answer of each item, as soon as it is known, in any order."""
        async with aclosing(self._outcomes(items)) as outcomes:
            async for group in outcomes:
                if len(group) <= _MOST_WITHOUT_A_THREAD:
                    for answer in self._settle_all(items, group):
                        yield answer
                    continue
                for start in range(0, len(group), _RULES_BATCH_SIZE):
                    batch = group[start : start + _RULES_BATCH_SIZE]
                    for answer in await asyncio.to_thread(self._settle_all, items, batch):
                        yield answer

    async def _outcomes(self, items: Sequence[ItemToEnrich]) -> AsyncGenerator[Sequence[tuple[int, Outcome]]]:
        """What the model says, in groups; for an item that it is not asked about, nothing and why."""
        if self._model is None:
            yield [(position, _NO_EXCUSE) for position in range(len(items))]
            return
        reasons = [why_not_to_ask(item) for item in items]
        asked = [position for position, reason in enumerate(reasons) if not reason]
        yield [(position, Unanswered(reason)) for position, reason in enumerate(reasons) if reason]
        if not asked:
            return
        async with aclosing(self._model.stream([items[position] for position in asked])) as groups:
            async for group in groups:
                yield [(asked[at], outcome) for at, outcome in group]

    def _settle_all(
        self, items: Sequence[ItemToEnrich], group: Sequence[tuple[int, Outcome]]
    ) -> list[tuple[int, EnrichedItem]]:
        return [(position, self._settled(items[position], outcome)) for position, outcome in group]

    def _settled(self, item: ItemToEnrich, outcome: Outcome) -> EnrichedItem:
        """The model's answer as far as the catalog lets it pass, or else the rules'."""
        if isinstance(outcome, Unanswered):
            by_rules = self._rules.enrich_item(item)
            return replace(by_rules, fallback_reason=outcome.reason) if outcome.reason else by_rules
        # The model was asked about the name in plain form.
        answer = replace(outcome, name=item.name)
        if self._rules.contradicts(answer):
            reason = "the language model's category contradicts the catalog, which knows this very item"
            return replace(self._rules.enrich_item(item), fallback_reason=reason)
        return replace(answer, related_items=self._rules.recognized(answer))
