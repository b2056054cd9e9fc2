"""The RPCs of the frequency service."""

import asyncio
from collections.abc import AsyncIterator

from pantree.frequency.v1 import frequency_service_pb2 as messages
from pantree.frequency.v1 import frequency_service_pb2_grpc as rpc
from pantree_frequency import convert
from pantree_frequency.core import (
    CadenceChange,
    HistoryAnalysis,
    Models,
    Options,
    Question,
    analyze_histories,
    cadence_changes,
)
from pantree_runtime.cpu import run_cpu
from pantree_runtime.errors import InternalError
from pantree_runtime.grpc_types import Context

# Measured: 100 items take about 5 ms.
_MS_PER_ITEM = 0.05


class Analyst:
    """Analyses histories with models that are loaded once, before the first question."""

    def __init__(self) -> None:
        self._models: Models | None = None

    def load(self, models: Models) -> None:
        """Takes the models to answer with."""
        self._models = models

    def analyze(self, questions: list[Question], options: Options) -> list[HistoryAnalysis]:
        """The analysis of each history, in order.

        Raises:
            InvalidInput: when there is no such model.
            InternalError: before the models are loaded.
        """
        return analyze_histories(questions, self._loaded(), options)

    def cadence_changes(self, question: Question, item_names: list[str], options: Options) -> list[CadenceChange]:
        """When the next purchase of some items would make their cadence longer.

        Raises:
            InvalidInput: when an item was never bought, or there is no such model.
            InternalError: before the models are loaded.
        """
        return cadence_changes(question, item_names, self._loaded(), options)

    def _loaded(self) -> Models:
        if self._models is None:
            raise InternalError("the models are not loaded yet; wait until the service is SERVING")
        return self._models


class FrequencyServicer(rpc.FrequencyServiceServicer):
    """Answers from the history in the request; keeps no state."""

    def __init__(self, analyst: Analyst) -> None:
        self._analyst = analyst

    async def AnalyzeHistory(
        self, request: messages.AnalyzeHistoryRequest, context: Context
    ) -> messages.AnalyzeHistoryResponse:
        """Statistics of every item in a household's history."""
        question, options = convert.question(request), convert.options(request)
        cost_ms = len(question.history.item_names) * _MS_PER_ITEM
        (analysis,) = await run_cpu(cost_ms, self._analyst.analyze, [question], options)
        return convert.analysis_response(analysis, question.as_of_day, request.view)

    async def AnalyzeHistories(
        self, request_iterator: AsyncIterator[messages.AnalyzeHistoriesRequest], context: Context
    ) -> AsyncIterator[messages.AnalyzeHistoriesResponse]:
        """The same for many households; a batch is read when the answers to the last one have been taken."""
        async for request in request_iterator:
            for response in await asyncio.to_thread(self._answers, request):
                yield response

    def _answers(self, request: messages.AnalyzeHistoriesRequest) -> list[messages.AnalyzeHistoriesResponse]:
        asked, options = convert.batch(request), convert.options(request)
        analyses = self._analyst.analyze([entry for entry in asked if isinstance(entry, Question)], options)
        return list(convert.batch_responses(asked, analyses, request.view))

    async def FindCadenceChanges(
        self, request: messages.FindCadenceChangesRequest, context: Context
    ) -> messages.FindCadenceChangesResponse:
        """When the next purchase of some items would make their cadence longer."""
        question, item_names, options = convert.cadence_question(request)
        changes = await asyncio.to_thread(self._analyst.cadence_changes, question, item_names, options)
        return convert.cadence_changes_response(changes)
