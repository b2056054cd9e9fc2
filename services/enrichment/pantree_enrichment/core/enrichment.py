"""Combines a language model with the rules, whose facts stand."""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from pantree_enrichment.core.facts import CheckResult, FactChecker
from pantree_enrichment.core.item import EnrichedItem, Failure, ItemToEnrich, Outcome
from pantree_enrichment.core.model_item import has_words
from pantree_enrichment.core.ports import ItemEnricher
from pantree_enrichment.core.rules import RulesEnricher
from pantree_runtime.cpu_runner import CpuRunner, run_inline

# Small enough for the first answers to be sent early, large enough that the overhead of a batch does not matter.
_RULES_BATCH_SIZE = 50
_RULES_MS_PER_ITEM = 0.1

_NO_ANSWER_NEEDED = Failure("", is_item_specific=True)


def _ignore(_: Mapping[CheckResult, int]) -> None:
    """Does nothing."""


class Enrichment:
    """Enriches items with the rules, and adds what only a language model knows, if there is one.

    Args:
        rules: answer about every item.
        model: asked about items to which it can add something.
        run_cpu: runs the rules.
        on_results: called with what became of the model's answers, for each batch of them.
    """

    def __init__(
        self,
        rules: RulesEnricher,
        model: ItemEnricher | None = None,
        run_cpu: CpuRunner = run_inline,
        on_results: Callable[[Mapping[CheckResult, int]], None] = _ignore,
    ) -> None:
        self._rules = rules
        self._checker = FactChecker(rules.catalog)
        self._model = model
        self._run_cpu = run_cpu
        self._on_results = on_results

    async def stream(self, items: Sequence[ItemToEnrich]) -> AsyncGenerator[tuple[int, EnrichedItem]]:
        """Index and answer of each item, in the order in which they become known."""
        async with aclosing(self._outcomes(items)) as outcomes:
            async for group in outcomes:
                for start in range(0, len(group), _RULES_BATCH_SIZE):
                    batch = group[start : start + _RULES_BATCH_SIZE]
                    answers, results = await self._run_cpu(
                        _RULES_MS_PER_ITEM * len(batch), self._final_all, items, batch
                    )
                    if results:
                        self._on_results(results)
                    for answer in answers:
                        yield answer

    async def _outcomes(self, items: Sequence[ItemToEnrich]) -> AsyncGenerator[Sequence[tuple[int, Outcome]]]:
        """Outcomes of the model, in groups, first those of the items about which it is not asked."""
        if self._model is None:
            yield [(index, _NO_ANSWER_NEEDED) for index in range(len(items))]
            return
        to_request = await self._run_cpu(_RULES_MS_PER_ITEM * len(items), self._items_to_ask, items)
        yield [(index, _NO_ANSWER_NEEDED) for index in range(len(items)) if index not in to_request]
        if not to_request:
            return
        sent = list(to_request)
        async with aclosing(self._model.stream([items[index] for index in sent])) as groups:
            async for group in groups:
                yield [(sent[at], outcome) for at, outcome in group]

    def _items_to_ask(self, items: Sequence[ItemToEnrich]) -> dict[int, None]:
        """Indices of the items to which a model can add something."""
        return dict.fromkeys(
            index for index, item in enumerate(items) if has_words(item) and self._rules.lacks_facts(item)
        )

    def _final_all(
        self, items: Sequence[ItemToEnrich], group: Sequence[tuple[int, Outcome]]
    ) -> tuple[list[tuple[int, EnrichedItem]], Counter[CheckResult]]:
        answers, results = [], Counter[CheckResult]()
        for index, outcome in group:
            item = items[index]
            answer = self._rules.enrich_item(item)
            if not isinstance(outcome, Failure):
                answer, result = self._checker.merge(answer, outcome, is_known=self._rules.knows(item))
                results[result] += 1
            elif not outcome.is_item_specific:
                answer = replace(answer, fallback_reason=outcome.reason)
            answers.append((index, answer))
        return answers, results
