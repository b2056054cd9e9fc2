"""Ways to reach Pantree: `mesh` over gRPC, `gateway` over REST and WebSocket, and `pantree_client.testing` without any.

All speak the contract's messages and raise the errors of `pantree_runtime.errors`, so that the client need not know
which one it has. A field of a wrong request is named by its path in `ProcessInput`, such as `items[0].price`.
"""

from collections.abc import AsyncGenerator
from typing import Protocol

from pantree.pipeline.v1 import pipeline_service_pb2 as pipeline
from pantree.simulation.v1 import simulation_service_pb2 as simulation


class Transport(Protocol):
    """A way to reach Pantree. Its calls are those of the contract that are meant for everyone."""

    async def open(self) -> None:
        """Gets ready, inside the event loop of the calls."""

    async def close(self) -> None:
        """Lets go of everything; calls under way end."""

    async def process(self, request: pipeline.ProcessInput, timeout_seconds: float) -> pipeline.ProcessResult:
        """As `PipelineService.Process`."""

    def stream_process(
        self, request: pipeline.ProcessInput, timeout_seconds: float
    ) -> AsyncGenerator[pipeline.StreamProcessResponse]:
        """As `PipelineService.StreamProcess`; closing the generator ends the work."""

    async def get_config(self, timeout_seconds: float) -> pipeline.GetConfigResponse:
        """As `PipelineService.GetConfig`."""

    async def get_status(self, timeout_seconds: float) -> pipeline.GetStatusResponse:
        """As `PipelineService.GetStatus`."""

    async def list_archetypes(
        self, request: simulation.ListArchetypesRequest, timeout_seconds: float
    ) -> simulation.ListArchetypesResponse:
        """As `SimulationService.ListArchetypes`."""
