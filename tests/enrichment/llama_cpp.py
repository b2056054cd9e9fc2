"""Asks a real llama.cpp server with Gemma 270M: `python -m tests.enrichment.llama_cpp`, or `make llama-cpp`.

Its answers are mostly wrong, and no answer with it may be worse than without it: this prints both and fails if a fact
that the rules know differs.
"""

import asyncio
import sys
import time

from pantree_domain.catalog import load_catalog
from pantree_enrichment.backends.answer_cache import TieredCache
from pantree_enrichment.backends.nim import NimEnricher, open_client
from pantree_enrichment.backends.prompt import load_prompt
from pantree_enrichment.backends.request_coalescer import RequestCoalescer
from pantree_enrichment.core.enrichment import Enrichment
from pantree_enrichment.core.item import EnrichedItem, ItemToEnrich
from pantree_enrichment.core.rules import RulesEnricher
from pantree_research.llama_cpp import MODEL, llama_cpp_server

# The first lack only related items or a plain name, the others every fact.
NAMES = ("Pineapple", "KRO RDCD FAT MLK", "Zorblax", "バター")
TIMEOUT_SECONDS = 150.0


async def answers(address: str) -> tuple[dict[str, EnrichedItem], NimEnricher]:
    """An answer about each item, by name, and the model's client."""
    prompt, clock = load_prompt(), time.monotonic
    model = NimEnricher(
        open_client(address, "", max_calls=1),
        prompt,
        model=MODEL,
        timeout_seconds=TIMEOUT_SECONDS,
        cool_down_seconds=0.1,
        batch_size=1,
        token_budget=4096,
        clock=clock,
    )
    cache = TieredCache(size=100, seconds=60, clock=clock)
    coalescer = RequestCoalescer(model, cache, max_calls=1, seconds_left=lambda _: None)
    enrichment = Enrichment(RulesEnricher(load_catalog()), coalescer)
    items = [ItemToEnrich(name) for name in NAMES]
    found = {items[index].name: item async for index, item in enrichment.stream(items)}
    await coalescer.close()
    return found, model


def differences(by_rules: EnrichedItem, item: EnrichedItem) -> list[str]:
    """Facts that the rules know and that differ."""
    kept = {
        fact: getattr(by_rules, fact)
        for fact, source in (
            ("perishability", by_rules.sources.perishability),
            ("suggested_interval_days", by_rules.sources.suggested_interval),
            ("related_items", by_rules.sources.related_items),
            ("plain_name", by_rules.sources.plain_name),
            ("category", by_rules.sources.suggested_interval),  # an unknown item's category may become more certain
        )
        if source
    }
    return [fact for fact, value in kept.items() if getattr(item, fact) != value]


def main() -> int:
    """Exit code: 0 if no answer is worse than without the model."""
    rules, worse_count = RulesEnricher(load_catalog()), 0
    with llama_cpp_server() as url:
        began_at = time.monotonic()
        found, model = asyncio.run(answers(url))
    print(
        f"{len(found)} answers after {time.monotonic() - began_at:.0f} s; calls: {model.request_form}; {model.problem}"
    )
    for name in NAMES:
        by_rules = rules.enrich_item(ItemToEnrich(name))
        worse = differences(by_rules, found[name])
        worse_count += bool(worse)
        print(name, f"rules: {by_rules}", f"with the model: {found[name]}", f"worse: {worse or 'nothing'}", sep="\n  ")
    return int(worse_count > 0)


if __name__ == "__main__":
    sys.exit(main())
