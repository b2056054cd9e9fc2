import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantree_domain.catalog import Perishability, load_catalog
from pantree_enrichment.core import (
    EnrichedItem,
    Enrichment,
    ItemToEnrich,
    RelatedItem,
    Relation,
    RulesEnricher,
    Unanswered,
)

RULES = RulesEnricher(load_catalog())


class KnowsEverything:
    """A language model to which everything is a snack; fails at names that begin with a `!`."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    async def enrich(self, items: Sequence[ItemToEnrich]) -> Sequence[EnrichedItem | Unanswered]:
        self.batches.append([item.name for item in items])
        return [
            Unanswered("the model has no idea")
            if item.name.startswith("!")
            else EnrichedItem(
                name=item.name,
                normalized_name=item.name.lower(),
                category="snacks",
                certainty_ratio=0.8,
                perishability=Perishability.MONTHS,
                related_items=(
                    RelatedItem("bananas", Relation.COMPLEMENT),
                    RelatedItem("evil.example", Relation.SUBSTITUTE),
                ),
                suggested_interval_days=10,
                source="nim",
            )
            for item in items
        ]


class Blocks:
    """A language model that answers about the item `fast` and hangs on all others."""

    def __init__(self) -> None:
        self.cancelled = 0

    async def enrich(self, items: Sequence[ItemToEnrich]) -> Sequence[EnrichedItem | Unanswered]:
        if items[0].name != "fast":
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled += 1
        return [Unanswered("") for _ in items]


async def answers(enrichment: Enrichment, *names: str) -> dict[int, EnrichedItem]:
    return {position: item async for position, item in enrichment.stream([ItemToEnrich(name) for name in names])}


async def test_rules_answer_alone_without_giving_an_excuse() -> None:
    (milk,) = (await answers(Enrichment(RULES), "Milk")).values()
    assert milk == RULES.enrich_item(ItemToEnrich("Milk"))
    assert (milk.source, milk.fallback_reason) == ("rules", "")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["Milk", "Zorblax", "!Zorblax", "Bananas"]), min_size=1, max_size=130), st.booleans())
async def test_every_item_gets_exactly_one_answer(names: list[str], with_model: bool) -> None:
    enrichment = Enrichment(RULES, KnowsEverything() if with_model else None, batch_size=7)
    seen = [(position, item.name) async for position, item in enrichment.stream([ItemToEnrich(name) for name in names])]
    assert sorted(seen) == list(enumerate(names))


async def test_model_is_asked_in_batches() -> None:
    model = KnowsEverything()
    await answers(Enrichment(RULES, model, batch_size=2), "a", "b", "c", "d", "e")
    assert sorted(model.batches) == [["a", "b"], ["c", "d"], ["e"]]


async def test_models_answer_is_told_with_related_items_of_the_catalogue_only() -> None:
    (item,) = (await answers(Enrichment(RULES, KnowsEverything()), "Zorblax")).values()
    assert (item.category, item.source, item.fallback_reason) == ("snacks", "nim", "")
    assert item.related_items == (RelatedItem("Bananas", Relation.COMPLEMENT),)


async def test_rules_stand_in_for_an_item_the_model_fails_at() -> None:
    items = await answers(Enrichment(RULES, KnowsEverything()), "!Milk Chocolate", "Zorblax")
    assert items[0] == replace(
        RULES.enrich_item(ItemToEnrich("!Milk Chocolate")), fallback_reason="the model has no idea"
    )
    assert items[1].source == "nim"


async def test_model_is_not_believed_against_the_catalogue() -> None:
    (milk,) = (await answers(Enrichment(RULES, KnowsEverything()), "Milk")).values()
    assert (milk.category, milk.source) == ("dairy", "rules")
    assert "contradicts the catalogue" in milk.fallback_reason


@pytest.mark.parametrize("slow_first", [True, False])
async def test_answers_come_as_soon_as_they_are_known_and_a_caller_who_leaves_ends_the_rest(slow_first: bool) -> None:
    model = Blocks()
    names = ["slow", "fast", "slow"] if slow_first else ["fast", "slow", "slow"]
    async with contextlib.aclosing(
        Enrichment(RULES, model, batch_size=1).stream([ItemToEnrich(name) for name in names])
    ) as stream:
        _, item = await anext(stream)
        assert item.name == "fast"
        assert model.cancelled == 0
    assert model.cancelled == 2
