"""The RPCs of the pipeline service."""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import date
from importlib.metadata import version

from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree.pipeline.v1 import pipeline_service_pb2_grpc as rpc
from pantree_pipeline import convert
from pantree_pipeline.backends.health import HealthProbe
from pantree_pipeline.core import Completed, Order, Pipeline
from pantree_runtime.cpu import run_cpu
from pantree_runtime.grpc_types import Context

# Estimated time to check and categorize the purchases of a request.
_MS_PER_BYTE = 5.0 / (16 * 1024)


def _draw_seed() -> int:
    return secrets.randbits(32)


class PipelineServicer(rpc.PipelineServiceServicer):
    """Runs pipelines; keeps no state between them.

    Args:
        pipeline: the stages.
        probe: asks the parts for their health.
        today: the calendar day on which a question is asked that names none.
        draw_seed: seed of a simulation that names none, 0 to 2³² − 1.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        probe: HealthProbe,
        today: Callable[[], date] = date.today,
        draw_seed: Callable[[], int] = _draw_seed,
    ) -> None:
        self._pipeline = pipeline
        self._probe = probe
        self._today = today
        self._draw_seed = draw_seed
        self._version = version("pantree")

    async def Process(self, request: messages.ProcessRequest, context: Context) -> messages.ProcessResponse:
        """Recommendations for one household."""
        order = await self._order(request.input, context)
        async with aclosing(self._pipeline.run(order)) as events:
            result = [event async for event in events if isinstance(event, Completed)][-1]
        return messages.ProcessResponse(result=convert.result_message(result))

    async def StreamProcess(
        self, request: messages.StreamProcessRequest, context: Context
    ) -> AsyncIterator[messages.StreamProcessResponse]:
        """Recommendations for one household, with the months on the way."""
        order = await self._order(request.input, context)
        async with aclosing(self._pipeline.run(order)) as events:
            async for event in events:
                yield convert.event_message(event)

    async def GetConfig(self, request: messages.GetConfigRequest, context: Context) -> messages.GetConfigResponse:
        """How the pipeline is set up."""
        archetypes = await self._pipeline.archetypes()
        return convert.config_response(self._probe.components, archetypes.default, self._version)

    async def GetStatus(self, request: messages.GetStatusRequest, context: Context) -> messages.GetStatusResponse:
        """The state of the whole."""
        return convert.status_response(await self._probe.check(), self._version)

    async def _order(self, message: messages.ProcessInput, context: Context) -> Order:
        """The order that a request stands for; archetypes are asked for only when a simulation needs them."""
        archetypes = await self._pipeline.archetypes() if message.items else None
        tenant_id = dict(context.invocation_metadata() or ()).get(convert.TENANT_METADATA, "")
        # Drawing takes the operating system, which most requests can do without.
        seed = message.seed if message.HasField("seed") else self._draw_seed()
        given = (message, archetypes, self._today(), seed, str(tenant_id))
        return await run_cpu(message.ByteSize() * _MS_PER_BYTE, convert.order_of, *given)
