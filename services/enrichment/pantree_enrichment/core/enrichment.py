"""Combines a language model with the rules, which answer where the model cannot be trusted."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from pantree_enrichment.core.item import EnrichedItem, Failure, ItemToEnrich, Outcome
from pantree_enrichment.core.ports import ItemEnricher
from pantree_enrichment.core.rules import RulesEnricher
from pantree_enrichment.core.screening import skip_reason
from pantree_runtime.cpu_runner import CpuRunner, run_inline

# Small enough for the first answers to be sent early, large enough that the overhead of a batch does not matter.
_RULES_BATCH_SIZE = 50
_RULES_MS_PER_ITEM = 0.1

_NO_MODEL = Failure("")


class Enrichment:
    """Enriches items with a language model, if there is one, and with the rules where it has no usable answer."""

    def __init__(
        self, rules: RulesEnricher, model: ItemEnricher | None = None, run_cpu: CpuRunner = run_inline
    ) -> None:
        self._rules = rules
        self._model = model
        self._run_cpu = run_cpu

    async def stream(self, items: Sequence[ItemToEnrich]) -> AsyncGenerator[tuple[int, EnrichedItem]]:
        """Index and answer of each item, in the order in which they become known."""
        async with aclosing(self._outcomes(items)) as outcomes:
            async for group in outcomes:
                for start in range(0, len(group), _RULES_BATCH_SIZE):
                    batch = group[start : start + _RULES_BATCH_SIZE]
                    for answer in await self._run_cpu(_RULES_MS_PER_ITEM * len(batch), self._final_all, items, batch):
                        yield answer

    async def _outcomes(self, items: Sequence[ItemToEnrich]) -> AsyncGenerator[Sequence[tuple[int, Outcome]]]:
        """Outcomes of the model, in groups. Items that are not sent to it are failures."""
        if self._model is None:
            yield [(index, _NO_MODEL) for index in range(len(items))]
            return
        reasons = [skip_reason(item) for item in items]
        yield [(index, Failure(reason)) for index, reason in enumerate(reasons) if reason]
        sent = [index for index, reason in enumerate(reasons) if not reason]
        if not sent:
            return
        async with aclosing(self._model.stream([items[index] for index in sent])) as groups:
            async for group in groups:
                yield [(sent[at], outcome) for at, outcome in group]

    def _final_all(
        self, items: Sequence[ItemToEnrich], group: Sequence[tuple[int, Outcome]]
    ) -> list[tuple[int, EnrichedItem]]:
        return [(index, self._final(items[index], outcome)) for index, outcome in group]

    def _final(self, item: ItemToEnrich, outcome: Outcome) -> EnrichedItem:
        """The model's answer, unless it is missing or contradicts the catalog; otherwise the rules' answer."""
        if isinstance(outcome, Failure):
            by_rules = self._rules.enrich_item(item)
            return replace(by_rules, fallback_reason=outcome.reason) if outcome.reason else by_rules
        answer = replace(outcome, name=item.name)  # the model only got the plain form
        if self._rules.contradicts(answer):
            reason = "the language model's category contradicts the catalog, which has exactly this item"
            return replace(self._rules.enrich_item(item), fallback_reason=reason)
        return replace(answer, related_items=self._rules.known_related_items(answer))
