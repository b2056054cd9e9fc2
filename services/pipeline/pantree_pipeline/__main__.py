"""Composition root of the pipeline service: `python -m pantree_pipeline [--demo]`."""

import asyncio

from pantree.pipeline.v1 import pipeline_service_pb2_grpc as rpc
from pantree.pipeline.v1.pipeline_service_pb2 import ProcessResult
from pantree_pipeline.backends.enrichment import GrpcEnricher
from pantree_pipeline.backends.frequency import GrpcFrequencyAnalyzer
from pantree_pipeline.backends.health import GrpcHealthProbe
from pantree_pipeline.backends.history import GrpcHistory
from pantree_pipeline.backends.recommendation import GrpcRecommender
from pantree_pipeline.backends.simulation import GrpcSimulator
from pantree_pipeline.backends.vector import GrpcVectorIndex
from pantree_pipeline.core import household
from pantree_pipeline.core.health import Component
from pantree_pipeline.core.pipeline import Pipeline
from pantree_pipeline.demo import demo
from pantree_pipeline.rules import RULES
from pantree_pipeline.servicer import PipelineServicer
from pantree_pipeline.settings import PipelineSettings
from pantree_runtime import telemetry
from pantree_runtime.channel import open_channel
from pantree_runtime.cpu import run_cpu
from pantree_runtime.identity import load_identity
from pantree_runtime.server import Program, ServiceSpec

NAME = "pipeline"
OPTIONAL_PARTS = ("vector", "enrichment", "history")
# Well below the timeouts of the probes that call it.
HEALTH_CHECK_SECONDS = 1.0


async def build(settings: PipelineSettings) -> ServiceSpec:
    """The pipeline service.

    Raises:
        OSError: when the certificate of this part cannot be read.
    """
    identity = load_identity(settings.tls_dir, settings.tls_domain)
    addresses = {
        "simulation": settings.simulation_address,
        "vector": settings.vector_address,
        "frequency": settings.frequency_address,
        "enrichment": settings.enrichment_address,
        "recommendation": settings.recommendation_address,
        "history": settings.history_address,
    }
    components = [Component(part, part not in OPTIONAL_PARTS, bool(address)) for part, address in addresses.items()]
    channels = {
        component.name: open_channel(
            addresses[component.name],
            timeout_seconds=settings.call_seconds if component.required else settings.optional_call_seconds,
            part=component.name,
            identity=identity,
            observe=telemetry.observe_calls,
        )
        for component in components
        if component.enabled
    }
    vector, enrichment = channels.get("vector"), channels.get("enrichment")
    pipeline = Pipeline(
        simulator=GrpcSimulator(channels["simulation"]),
        frequency=GrpcFrequencyAnalyzer(channels["frequency"]),
        recommender=GrpcRecommender(channels["recommendation"]),
        vector=GrpcVectorIndex(vector) if vector else None,
        enricher=GrpcEnricher(enrichment, timeout_seconds=settings.optional_call_seconds) if enrichment else None,
        run_cpu=run_cpu,
        history=GrpcHistory(channels["history"]) if "history" in channels else None,
    )
    servicer = PipelineServicer(pipeline, GrpcHealthProbe(components, channels, HEALTH_CHECK_SECONDS))

    async def close() -> None:
        await asyncio.gather(*(channel.close() for channel in channels.values()))

    return ServiceSpec(
        name=NAME,
        services={
            "pantree.pipeline.v1.PipelineService": lambda server: rpc.add_PipelineServiceServicer_to_server(
                servicer, server
            )
        },
        close=close,
        rules=RULES,
        counts={
            "Process": lambda response: _count(response.result),
            "StreamProcess": lambda response: _count(response.completed) if response.HasField("completed") else None,
        },
    )


def _count(result: ProcessResult) -> None:
    for warning in result.warnings:
        if warning.component == household.COMPONENT:  # nothing is missing
            continue
        telemetry.FALLBACKS.labels(warning.component).inc()


PROGRAM = Program(NAME, PipelineSettings, build, demo)

if __name__ == "__main__":
    PROGRAM.main()
