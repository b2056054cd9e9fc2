"""The RPCs of the frequency service."""

import asyncio

from pantree.frequency.v1 import frequency_service_pb2 as messages
from pantree.frequency.v1 import frequency_service_pb2_grpc as rpc
from pantree_frequency import convert
from pantree_frequency.core import analyze_history
from pantree_runtime.grpc_types import Context


class FrequencyServicer(rpc.FrequencyServiceServicer):
    """Answers from the history in the request; keeps no state."""

    async def AnalyzeHistory(
        self, request: messages.AnalyzeHistoryRequest, context: Context
    ) -> messages.AnalyzeHistoryResponse:
        """Statistics of every item in a household's history."""
        history, as_of_day = convert.history_and_day(request)
        analysis = await asyncio.to_thread(analyze_history, history, as_of_day)
        return convert.analysis_response(analysis, as_of_day)
