import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantree_domain.catalog import Perishability, load_catalog
from pantree_enrichment.core.enrichment import Enrichment
from pantree_enrichment.core.facts import CheckResult
from pantree_enrichment.core.item import (
    EnrichedItem,
    Failure,
    IntervalReason,
    ItemToEnrich,
    ModelAnswer,
    Outcome,
    RelatedItem,
    Relation,
)
from pantree_enrichment.core.rules import RulesEnricher

RULES = RulesEnricher(load_catalog())


class SnackModel:
    """A language model that calls everything a snack and fails for names that start with `!`."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def stream(self, items: Sequence[ItemToEnrich]) -> AsyncGenerator[Sequence[tuple[int, Outcome]]]:
        self.names += [item.name for item in items]
        for position in reversed(range(len(items))):
            yield [(position, self._outcome(items[position]))]

    def _outcome(self, item: ItemToEnrich) -> Outcome:
        if item.name.startswith("!"):
            return Failure("the model does not know it")
        return ModelAnswer(
            category="snacks",
            certainty_ratio=0.8,
            perishability=Perishability.MONTHS,
            related_items=(
                RelatedItem("bananas", Relation.COMPLEMENT),
                RelatedItem("evil.example", Relation.SUBSTITUTE),
            ),
            suggested_interval_days=21,
            interval_reason=IntervalReason("used_daily", "it is used every day"),
        )


class HangingModel:
    """A language model that answers about the item `fast` and hangs for all others."""

    def __init__(self) -> None:
        self.was_closed = False

    async def stream(self, items: Sequence[ItemToEnrich]) -> AsyncGenerator[Sequence[tuple[int, Outcome]]]:
        try:
            yield [(position, Failure("")) for position, item in enumerate(items) if item.name == "fast"]
            await asyncio.Event().wait()
        finally:
            self.was_closed = True


async def answers(enrichment: Enrichment, *names: str) -> dict[int, EnrichedItem]:
    return {position: item async for position, item in enrichment.stream([ItemToEnrich(name) for name in names])}


async def test_rules_without_a_model_have_no_fallback_reason() -> None:
    (milk,) = (await answers(Enrichment(RULES), "Milk")).values()
    assert milk == RULES.enrich_item(ItemToEnrich("Milk"))
    assert (milk.source, milk.fallback_reason) == ("rules", "")


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from(["Milk", "Zorblax", "!Zorblax", "Bananas", "..."]), min_size=1, max_size=130),
    st.booleans(),
)
async def test_every_item_gets_exactly_one_answer(names: list[str], with_model: bool) -> None:
    enrichment = Enrichment(RULES, SnackModel() if with_model else None)
    seen = [(position, item.name) async for position, item in enrichment.stream([ItemToEnrich(name) for name in names])]
    assert sorted(seen) == list(enumerate(names))


async def test_only_items_that_gain_something_are_sent_to_the_model() -> None:
    model = SnackModel()
    items = await answers(Enrichment(RULES, model), "Zorblax", "!!!", "Milk", "Chicken thighs", "Pineapple", "Wibble")
    assert model.names == ["Zorblax", "Pineapple", "Wibble"]
    assert [items[index].source for index in range(6)] == ["nim", "rules", "rules", "rules", "rules", "nim"]
    # The model calls pineapples a snack, which is counted and otherwise ignored.
    assert {item.fallback_reason for item in items.values()} == {""}


async def test_model_is_not_called_if_it_can_add_nothing() -> None:
    model = SnackModel()
    assert (await answers(Enrichment(RULES, model), "...", "Milk"))[0].source == "rules"
    assert model.names == []


async def test_answer_of_the_model_has_only_related_items_of_the_catalog() -> None:
    (item,) = (await answers(Enrichment(RULES, SnackModel()), "Zorblax")).values()
    assert (item.category, item.source, item.fallback_reason) == ("snacks", "nim", "")
    assert item.related_items == (RelatedItem("Bananas", Relation.COMPLEMENT),)


async def test_rules_answer_for_an_item_for_which_the_model_fails() -> None:
    items = await answers(Enrichment(RULES, SnackModel()), "!Zorblax", "Zorblax")
    assert items[0] == replace(
        RULES.enrich_item(ItemToEnrich("!Zorblax")), fallback_reason="the model does not know it"
    )
    assert items[1].source == "nim"


async def test_verdicts_are_counted_and_disagreement_is_no_fallback() -> None:
    counts = Counter[CheckResult]()

    def count(results: Mapping[CheckResult, int]) -> None:
        counts.update(results)

    names = ["Zorblax", "Pineapple", "Wibble", "!Fnord"]
    items = await answers(Enrichment(RULES, SnackModel(), on_results=count), *names)
    assert counts == {CheckResult.USED: 2, CheckResult.DISAGREED: 1}
    assert items[1] == RULES.enrich_item(ItemToEnrich("Pineapple"))


async def test_item_without_a_usable_answer_is_no_fallback() -> None:
    class Silent(SnackModel):
        def _outcome(self, item: ItemToEnrich) -> Outcome:
            return Failure("the language model left this item out", is_item_specific=True)

    (item,) = (await answers(Enrichment(RULES, Silent()), "Zorblax")).values()
    assert item == RULES.enrich_item(ItemToEnrich("Zorblax"))


@pytest.mark.parametrize("names", [["slow", "fast", "slow"], ["fast", "slow", "slow"]])
async def test_answers_are_sent_as_soon_as_known_and_closing_the_stream_stops_the_model(names: list[str]) -> None:
    model = HangingModel()
    items = [ItemToEnrich(name) for name in names]
    async with contextlib.aclosing(Enrichment(RULES, model).stream(items)) as stream:
        _, item = await anext(stream)
        assert item.name == "fast"
        assert not model.was_closed
    assert model.was_closed
