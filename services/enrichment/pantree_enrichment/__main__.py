"""Composition root of the enrichment service: `python -m pantree_enrichment [--demo]`."""

import asyncio
import time

from pantree.enrichment.v1 import enrichment_service_pb2_grpc as rpc
from pantree_domain.catalog import load_catalog
from pantree_enrichment.backends.cache import AnswerCache, MemoryCache
from pantree_enrichment.backends.nim import NimEnricher, open_client
from pantree_enrichment.backends.prompt import Prompt, load_prompt
from pantree_enrichment.backends.shared_answers import SharedAnswers
from pantree_enrichment.core import Enrichment, RulesEnricher
from pantree_enrichment.demo import demo
from pantree_enrichment.servicer import EnrichmentServicer
from pantree_enrichment.settings import EnrichmentSettings
from pantree_runtime import telemetry
from pantree_runtime.deadline import remaining_seconds
from pantree_runtime.server import Program, ServiceSpec

NAME = "enrichment"
# What is kept of a request's time, so that the rules can still answer when the language model does not. They take about
# a tenth of a millisecond per item where there is nothing else to do.
SECONDS_KEPT_FOR_RULES = 0.25
SECONDS_KEPT_PER_ITEM = 0.001


async def build(settings: EnrichmentSettings) -> ServiceSpec:
    """The service, ready to be served."""
    rules = RulesEnricher(await asyncio.to_thread(load_catalog))
    answers = _answers(settings) if settings.nim_endpoint else None
    servicer = EnrichmentServicer(Enrichment(rules, answers))

    async def close() -> None:
        if answers is not None:
            await answers.close()

    return ServiceSpec(
        name=NAME,
        services={
            "pantree.enrichment.v1.EnrichmentService": lambda server: rpc.add_EnrichmentServiceServicer_to_server(
                servicer, server
            )
        },
        close=close,
        counts={"EnrichItems": lambda response: telemetry.ITEMS_ENRICHED.labels(response.item.source).inc()},
    )


def seconds_to_wait(item_count: int) -> float | None:
    """How long the request being served, about so many items, may wait for a language model; None for no limit."""
    remaining = remaining_seconds()
    if remaining is None:
        return None
    return max(remaining - SECONDS_KEPT_FOR_RULES - SECONDS_KEPT_PER_ITEM * item_count, 0.0)


def _answers(settings: EnrichmentSettings) -> SharedAnswers:
    prompt = load_prompt()
    client = open_client(
        settings.nim_endpoint, settings.nim_api_key.get_secret_value(), max_calls=settings.nim_max_calls
    )
    nim = NimEnricher(
        client,
        prompt,
        model=settings.nim_model,
        timeout_seconds=settings.nim_timeout_seconds,
        cool_down_seconds=settings.nim_cool_down_seconds,
        batch_size=settings.nim_batch_size,
        token_budget=settings.nim_token_budget,
        clock=time.monotonic,
    )
    return SharedAnswers(nim, _cache(settings, prompt), max_calls=settings.nim_max_calls, seconds_left=seconds_to_wait)


def _cache(settings: EnrichmentSettings, prompt: Prompt) -> AnswerCache:
    local = MemoryCache(size=settings.cache_size, seconds_to_keep=settings.cache_seconds, clock=time.monotonic)
    url = settings.redis_url.get_secret_value()
    if not url:
        return local
    # Who has no Redis need not wait for its client to be imported.
    from pantree_enrichment.backends.redis_cache import RedisCache, open_redis

    return RedisCache(
        open_redis(url),
        local,
        prompt_version=prompt.version,
        model=settings.nim_model,
        seconds_to_keep=settings.cache_seconds,
        clock=time.monotonic,
    )


PROGRAM = Program(NAME, EnrichmentSettings, build, demo)

if __name__ == "__main__":
    PROGRAM.main()
