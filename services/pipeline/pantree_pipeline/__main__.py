"""Composition root of the pipeline service: `python -m pantree_pipeline [--demo]`."""

import asyncio

import grpc

from pantree.pipeline.v1 import pipeline_service_pb2_grpc as rpc
from pantree.pipeline.v1.pipeline_service_pb2 import ProcessResult
from pantree_pipeline.backends.enrichment import GrpcEnricher
from pantree_pipeline.backends.frequency import GrpcFrequencyAnalyzer
from pantree_pipeline.backends.health import Component, HealthProbe
from pantree_pipeline.backends.recommendation import GrpcRecommender
from pantree_pipeline.backends.simulation import GrpcSimulator
from pantree_pipeline.backends.vector import GrpcVectorIndex
from pantree_pipeline.core import Pipeline
from pantree_pipeline.demo import demo
from pantree_pipeline.servicer import PipelineServicer
from pantree_pipeline.settings import PipelineSettings
from pantree_runtime import telemetry
from pantree_runtime.channel import open_channel
from pantree_runtime.identity import load_identity
from pantree_runtime.server import Program, ServiceSpec

NAME = "pipeline"
# A health check must answer well within the probes that ask for it.
HEALTH_CHECK_SECONDS = 1.0


async def build(settings: PipelineSettings) -> ServiceSpec:
    """The service, ready to be served.

    Raises:
        OSError: when the certificate of the part cannot be read.
    """
    identity = load_identity(settings.tls_dir, settings.tls_domain)

    def required(part: str, address: str) -> grpc.aio.Channel:
        return open_channel(address, timeout_seconds=settings.call_seconds, part=part, identity=identity)

    def optional(part: str, address: str) -> grpc.aio.Channel | None:
        seconds = settings.optional_call_seconds
        return open_channel(address, timeout_seconds=seconds, part=part, identity=identity) if address else None

    simulation = required("simulation", settings.simulation_address)
    frequency = required("frequency", settings.frequency_address)
    recommendation = required("recommendation", settings.recommendation_address)
    vector = optional("vector", settings.vector_address)
    enrichment = optional("enrichment", settings.enrichment_address)
    pipeline = Pipeline(
        simulator=GrpcSimulator(simulation),
        frequency=GrpcFrequencyAnalyzer(frequency),
        recommender=GrpcRecommender(recommendation),
        vector=None if vector is None else GrpcVectorIndex(vector),
        enricher=None
        if enrichment is None
        else GrpcEnricher(enrichment, longest_seconds=settings.optional_call_seconds),
    )
    components = (
        Component("simulation", True, simulation),
        Component("vector", False, vector),
        Component("frequency", True, frequency),
        Component("enrichment", False, enrichment),
        Component("recommendation", True, recommendation),
    )
    servicer = PipelineServicer(pipeline, HealthProbe(components, HEALTH_CHECK_SECONDS))

    async def close() -> None:
        await asyncio.gather(*(component.channel.close() for component in components if component.channel is not None))

    return ServiceSpec(
        name=NAME,
        services={
            "pantree.pipeline.v1.PipelineService": lambda server: rpc.add_PipelineServiceServicer_to_server(
                servicer, server
            )
        },
        close=close,
        counts={
            "Process": lambda response: _count(response.result),
            "StreamProcess": lambda response: _count(response.completed) if response.HasField("completed") else None,
        },
    )


def _count(result: ProcessResult) -> None:
    for warning in result.warnings:
        telemetry.FALLBACKS.labels(warning.component).inc()


PROGRAM = Program(NAME, PipelineSettings, build, demo)

if __name__ == "__main__":
    PROGRAM.main()
