"""The RPCs of the frequency service."""

from collections.abc import AsyncIterator, Iterator, Sequence

from pantree.frequency.v1 import frequency_service_pb2 as messages
from pantree.frequency.v1 import frequency_service_pb2_grpc as rpc
from pantree_frequency import convert
from pantree_frequency.core import (
    AnalysisRequest,
    CadenceChange,
    HistoryAnalysis,
    Models,
    Options,
    analyze_histories,
    cadence_changes,
)
from pantree_runtime.batches import answer_each
from pantree_runtime.cpu import run_cpu
from pantree_runtime.errors import InternalError
from pantree_runtime.grpc_types import Context

# Measured: 100 items take about 5 ms.
_MS_PER_ITEM = 0.05
# `FindCadenceChanges` repeats the analysis up to this many times for each of its items.
_ANALYSES_PER_CHANGE = 9
# A batch is analyzed in parts of about so many items. Six threads with parts of 2,048 items take 135 MiB, with 512
# items 45 MiB (measured); a part has 512 MiB in all, and parts of 512 take 3 % more time.
_MAX_ITEMS_AT_ONCE = 512


class Analyzer:
    """Analyzes histories with models that are loaded once, before the first request."""

    def __init__(self) -> None:
        self._models: Models | None = None

    def load(self, models: Models) -> None:
        """Sets the models."""
        self._models = models

    def analyze(self, requests: Sequence[AnalysisRequest], options: Options) -> list[HistoryAnalysis]:
        """The analysis of each history, in order.

        Raises:
            InvalidInput: if there is no such model.
            InternalError: before the models are loaded.
        """
        return analyze_histories(requests, self._loaded(), options)

    def cadence_changes(self, request: AnalysisRequest, item_names: list[str], options: Options) -> list[CadenceChange]:
        """When the next purchase of some items would make their cadence longer.

        Raises:
            InvalidInput: if an item was never bought, or there is no such model.
            InternalError: before the models are loaded.
        """
        return cadence_changes(request, item_names, self._loaded(), options)

    def _loaded(self) -> Models:
        if self._models is None:
            raise InternalError("the models are not loaded yet; wait until the service is SERVING")
        return self._models


class FrequencyServicer(rpc.FrequencyServiceServicer):
    """Serves the RPCs; each response depends on its request only."""

    def __init__(self, analyzer: Analyzer) -> None:
        self._analyzer = analyzer

    async def AnalyzeHistory(
        self, request: messages.AnalyzeHistoryRequest, context: Context
    ) -> messages.AnalyzeHistoryResponse:
        """Statistics and forecasts of every item in a household's history."""
        household, options = convert.analysis_request(request), convert.options(request)
        cost_ms = len(household.history.item_names) * _MS_PER_ITEM
        (analysis,) = await run_cpu(cost_ms, self._analyzer.analyze, [household], options)
        return convert.analysis_response(analysis, household.as_of_day, request.view)

    async def AnalyzeHistories(
        self, request_iterator: AsyncIterator[messages.AnalyzeHistoriesRequest], context: Context
    ) -> AsyncIterator[messages.AnalyzeHistoriesResponse]:
        """The same for many households; a batch is read after the responses to the last one have been read."""
        async for request in request_iterator:
            for households in _parts(request.households):
                cost_ms = _MS_PER_ITEM * sum(len(household.purchases.item_names) for household in households)
                for response in await run_cpu(cost_ms, self._analyze_batch, households, request):
                    yield response

    def _analyze_batch(
        self, batch: Sequence[messages.HouseholdHistory], request: messages.AnalyzeHistoriesRequest
    ) -> list[messages.AnalyzeHistoriesResponse]:
        households, options = convert.batch_requests(batch), convert.options(request)

        def responses(requests: Sequence[AnalysisRequest]) -> list[messages.AnalyzeHistoryResponse]:
            analyses = self._analyzer.analyze(requests, options)
            return [
                convert.analysis_response(analysis, one.as_of_day, request.view)
                for one, analysis in zip(requests, analyses, strict=True)
            ]

        valid = [household for household in households if isinstance(household, AnalysisRequest)]
        return list(convert.batch_responses(households, answer_each(valid, responses)))

    async def FindCadenceChanges(
        self, request: messages.FindCadenceChangesRequest, context: Context
    ) -> messages.FindCadenceChangesResponse:
        """When the next purchase of some items would make their cadence longer."""
        household, item_names, options = convert.cadence_changes_request(request)
        cost_ms = len(household.history.item_names) * _MS_PER_ITEM * len(item_names) * _ANALYSES_PER_CHANGE
        changes = await run_cpu(cost_ms, self._analyzer.cadence_changes, household, item_names, options)
        return convert.cadence_changes_response(changes)


def _parts(households: Sequence[messages.HouseholdHistory]) -> Iterator[Sequence[messages.HouseholdHistory]]:
    """Households in order, in parts of few items each, at least one part; a household is never divided."""
    start = size = 0
    for position, household in enumerate(households):
        own_size = len(household.purchases.item_names)
        if position > start and size + own_size > _MAX_ITEMS_AT_ONCE:
            yield households[start:position]
            start, size = position, 0
        size += own_size
    yield households[start:]
