"""Composition root of the enrichment service: `python -m pantree_enrichment [--demo]`."""

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import structlog

from pantree.enrichment.v1 import enrichment_service_pb2_grpc as rpc
from pantree_domain.catalog import load_catalog
from pantree_enrichment.backends.answer_cache import TieredCache
from pantree_enrichment.backends.nim import NimEnricher, open_client
from pantree_enrichment.backends.prompt import Prompt, load_prompt
from pantree_enrichment.backends.request_coalescer import RequestCoalescer
from pantree_enrichment.core.enrichment import Enrichment
from pantree_enrichment.core.facts import CheckResult
from pantree_enrichment.core.rules import RulesEnricher
from pantree_enrichment.demo import demo
from pantree_enrichment.servicer import EnrichmentServicer
from pantree_enrichment.settings import EnrichmentSettings
from pantree_runtime import telemetry
from pantree_runtime.cpu import run_cpu
from pantree_runtime.deadline import remaining_seconds
from pantree_runtime.dependencies import Dependency
from pantree_runtime.server import Program, ServiceSpec

if TYPE_CHECKING:
    from pantree_runtime.shared_redis import SharedRedis

_log = structlog.get_logger(__name__)

NAME = "enrichment"
# Part of a request's time that is reserved for the rules, in case the language model does not answer. They take about
# 0.1 ms per item on an idle machine.
RULES_SECONDS = 0.25
RULES_SECONDS_PER_ITEM = 0.001
# Redis usually answers within a millisecond; a cached answer is not worth a long wait.
REDIS_TIMEOUT_SECONDS = 0.25
REDIS_COOL_DOWN_SECONDS = 30.0


async def build(settings: EnrichmentSettings) -> ServiceSpec:
    """The service, ready to be served.

    Raises:
        OSError: when the CA file cannot be read.
    """
    rules = RulesEnricher(await asyncio.to_thread(load_catalog))
    model: RequestCoalescer | None = None
    dependencies: list[Dependency] = []
    if settings.nim_endpoint:
        prompt, redis = load_prompt(), _redis(settings)
        nim = _nim(settings, prompt)
        dependencies.append(Dependency("language-model", nim.check))
        if redis is not None:
            dependencies.append(Dependency("redis", redis.check))
        model = RequestCoalescer(
            nim, _cache(settings, prompt, redis), max_calls=settings.nim_max_calls, seconds_left=model_seconds_left
        )
    servicer = EnrichmentServicer(Enrichment(rules, model, run_cpu, _count_results))

    async def close() -> None:
        if model is not None:
            await model.close()

    return ServiceSpec(
        name=NAME,
        services={
            "pantree.enrichment.v1.EnrichmentService": lambda server: rpc.add_EnrichmentServiceServicer_to_server(
                servicer, server
            )
        },
        close=close,
        dependencies=dependencies,
        counts={"EnrichItems": lambda response: telemetry.ITEMS_ENRICHED.labels(response.item.source).inc()},
    )


def model_seconds_left(item_count: int) -> float | None:
    """How long the current request, which has `item_count` items, may wait for a language model; None for no limit."""
    remaining = remaining_seconds()
    if remaining is None:
        return None
    return max(remaining - RULES_SECONDS - RULES_SECONDS_PER_ITEM * item_count, 0.0)


def _count_results(results: Mapping[CheckResult, int]) -> None:
    """Counts what became of a model's answers. Disagreement is normal and never degrades an answer."""
    for result, count in results.items():
        telemetry.MODEL_ANSWERS.labels(result.value).inc(count)
    if results.get(CheckResult.DISAGREED) or results.get(CheckResult.OUT_OF_BOUNDS):
        _log.info("language model disagreed", **{result.value: count for result, count in results.items()})


def _nim(settings: EnrichmentSettings, prompt: Prompt) -> NimEnricher:
    client = open_client(
        settings.nim_endpoint,
        settings.nim_api_key.get_secret_value(),
        max_calls=settings.nim_max_calls,
        ca_file=settings.nim_ca_file,
    )
    return NimEnricher(
        client,
        prompt,
        model=settings.nim_model,
        timeout_seconds=settings.nim_timeout_seconds,
        cool_down_seconds=settings.nim_cool_down_seconds,
        batch_size=settings.nim_batch_size,
        token_budget=settings.nim_token_budget,
        clock=time.monotonic,
    )


def _redis(settings: EnrichmentSettings) -> "SharedRedis | None":
    url = settings.redis_url.get_secret_value()
    if not url:
        return None
    # Imported here, because it is only needed with Redis.
    from pantree_runtime.shared_redis import SharedRedis

    return SharedRedis(
        url,
        password=settings.redis_password.get_secret_value(),
        timeout_seconds=REDIS_TIMEOUT_SECONDS,
        cool_down_seconds=REDIS_COOL_DOWN_SECONDS,
        shared="answers of the language model",
    )


def _cache(settings: EnrichmentSettings, prompt: Prompt, redis: "SharedRedis | None") -> TieredCache:
    return TieredCache(
        size=settings.cache_size,
        seconds=settings.cache_seconds,
        clock=time.monotonic,
        redis=redis,
        prompt_version=prompt.version,
        model=settings.nim_model,
    )


PROGRAM = Program(NAME, EnrichmentSettings, build, demo)

if __name__ == "__main__":
    PROGRAM.main()
