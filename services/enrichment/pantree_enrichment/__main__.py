"""Composition root of the enrichment service: `python -m pantree_enrichment [--demo]`."""

import asyncio
import time

from pantree.enrichment.v1 import enrichment_service_pb2_grpc as rpc
from pantree_domain.catalog import load_catalog
from pantree_enrichment.backends.nim import NimEnricher, open_client
from pantree_enrichment.core import Enrichment, RulesEnricher
from pantree_enrichment.demo import demo
from pantree_enrichment.servicer import EnrichmentServicer
from pantree_enrichment.settings import EnrichmentSettings
from pantree_runtime.server import Part, Program

NAME = "enrichment"


async def build(settings: EnrichmentSettings) -> Part:
    """The service, ready to be served."""
    rules = RulesEnricher(await asyncio.to_thread(load_catalog))
    nim = _nim(settings) if settings.nim_endpoint else None
    servicer = EnrichmentServicer(Enrichment(rules, nim, batch_size=settings.nim_batch_size))

    async def close() -> None:
        if nim is not None:
            await nim.close()

    return Part(
        name=NAME,
        services={
            "pantree.enrichment.v1.EnrichmentService": lambda server: rpc.add_EnrichmentServiceServicer_to_server(
                servicer, server
            )
        },
        close=close,
    )


def _nim(settings: EnrichmentSettings) -> NimEnricher:
    client = open_client(
        settings.nim_endpoint, settings.nim_api_key.get_secret_value(), max_calls=settings.nim_max_calls
    )
    return NimEnricher(
        client,
        model=settings.nim_model,
        timeout_seconds=settings.nim_timeout_seconds,
        cool_down_seconds=settings.nim_cool_down_seconds,
        max_calls=settings.nim_max_calls,
        clock=time.monotonic,
    )


PROGRAM = Program(NAME, EnrichmentSettings, build, demo)

if __name__ == "__main__":
    PROGRAM.main()
