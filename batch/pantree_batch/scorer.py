"""Scores many households at once with the stages of the pipeline.

Every household runs through the code that answers REST and WebSocket, with two differences: its services are in this
process, and the histories of a chunk of households are analyzed together, which takes a fraction of the time.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import date
from typing import Any, TypeVar, cast

import grpc

from pantree.frequency.v1 import frequency_service_pb2 as frequency
from pantree.pipeline.v1 import pipeline_service_pb2 as pipeline
from pantree_batch.in_process import InProcessChannel
from pantree_batch.method import Replayed
from pantree_domain.days import calendar_day
from pantree_enrichment.__main__ import build as build_enrichment
from pantree_enrichment.settings import EnrichmentSettings
from pantree_frequency.__main__ import build as build_frequency
from pantree_frequency.settings import FrequencySettings
from pantree_pipeline import convert
from pantree_pipeline.backends.enrichment import GrpcEnricher
from pantree_pipeline.backends.frequency import GrpcFrequencyAnalyzer
from pantree_pipeline.backends.recommendation import GrpcRecommender
from pantree_pipeline.backends.simulation import GrpcSimulator
from pantree_pipeline.core.events import Completed
from pantree_pipeline.core.pipeline import Pipeline
from pantree_pipeline.core.what_if import PlanMade, WhatIf, Window
from pantree_pipeline.rules import check_input, check_what_if
from pantree_recommendation.__main__ import build as build_recommendation
from pantree_recommendation.settings import RecommendationSettings
from pantree_runtime.errors import InternalError
from pantree_runtime.settings import load_settings
from pantree_runtime.validation import validate

_FREQUENCY = "/pantree.frequency.v1.FrequencyService"
_ENRICHMENT_SECONDS = 600.0

RequestT = TypeVar("RequestT")
OutcomeT = TypeVar("OutcomeT")


class Scorer:
    """Scores households with models that are loaded once. Use it from one thread."""

    def __init__(self) -> None:
        """Reads the settings of the parts from the environment and loads the models.

        Raises:
            OSError: if a model or a file of the settings is invalid.
        """
        self._runner = asyncio.Runner()
        self._batch = _AnalysisBatch()
        self._pipeline = self._runner.run(self._open())

    def score(self, households: Sequence[pipeline.ProcessInput]) -> list[pipeline.ProcessResult | Exception]:
        """The result of each household, in order, or why it has none.

        A `PantreeError` concerns its household only. Any other error may come from another one of the households.
        """
        return self._runner.run(self._together(self._score, households))

    def replay(self, households: Sequence[pipeline.WhatIfInput]) -> list[Replayed | Exception]:
        """The replay of each household, in order, or why it has none; errors as in `score`.

        Purchases until the end of the replay are taken to be complete: a household that buys nothing more is replayed,
        too.
        """
        return self._runner.run(self._together(self._replay, households))

    def close(self) -> None:
        """Ends the event loop."""
        self._runner.close()

    async def _open(self) -> Pipeline:
        frequency_settings, recommendation_settings, enrichment_settings = part_settings()
        services = [
            await build_frequency(frequency_settings),
            await build_recommendation(recommendation_settings),
            await build_enrichment(enrichment_settings),
        ]
        for service in services:
            await service.warm_up()
        in_process = InProcessChannel(services)
        self._batch.channel = in_process
        in_process.replace(f"{_FREQUENCY}/AnalyzeHistory", self._batch.analyze)
        channel = cast(grpc.aio.Channel, in_process)
        return Pipeline(
            simulator=GrpcSimulator(channel),
            frequency=GrpcFrequencyAnalyzer(channel),
            recommender=GrpcRecommender(channel),
            vector=None,
            enricher=GrpcEnricher(channel, timeout_seconds=_ENRICHMENT_SECONDS),
        )

    async def _together(
        self, run: Callable[[RequestT], Awaitable[OutcomeT]], requests: Sequence[RequestT]
    ) -> list[OutcomeT | Exception]:
        async def outcome_of(request: RequestT) -> OutcomeT | Exception:
            try:
                return await run(request)
            except Exception as error:
                return error
            finally:
                await self._batch.finish_one()

        self._batch.running = len(requests)
        return await asyncio.gather(*map(outcome_of, requests))

    async def _score(self, household: pipeline.ProcessInput) -> pipeline.ProcessResult:
        validate(pipeline.ProcessRequest(input=household), check_input)
        job = convert.job_of(household, None, calendar_day(0), 0)
        async with aclosing(self._pipeline.run(job)) as events:
            result = [event async for event in events if isinstance(event, Completed)][-1]
        return convert.result_message(result)

    async def _replay(self, household: pipeline.WhatIfInput) -> Replayed:
        validate(pipeline.GetWhatIfRequest(input=household), check_what_if)
        job = convert.what_if_job(household, window=Window(date.fromisoformat(household.as_of), household.week_count))
        async with aclosing(self._pipeline.what_if(job)) as events:
            plan, replay = [event async for event in events]
        return Replayed(cast(PlanMade, plan), cast(WhatIf, replay))


class _AnalysisBatch:
    """Analyzes the histories of concurrent households together, once all of them wait for it."""

    channel: InProcessChannel

    def __init__(self) -> None:
        self.running = 0
        """Households that have not finished."""
        self._waiting: list[tuple[frequency.AnalyzeHistoryRequest, asyncio.Future[Any]]] = []

    async def analyze(self, request: frequency.AnalyzeHistoryRequest) -> frequency.AnalyzeHistoryResponse:
        """The analysis of one history."""
        future: asyncio.Future[frequency.AnalyzeHistoryResponse] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        await self._analyze_if_all_wait()
        return await future

    async def finish_one(self) -> None:
        """Notes that a household has finished, so that the others don't wait for it."""
        self.running -= 1
        await self._analyze_if_all_wait()

    async def _analyze_if_all_wait(self) -> None:
        if not self._waiting or len(self._waiting) < self.running:
            return
        waiting, self._waiting = self._waiting, []
        try:
            households = await self._analyses([request for request, _ in waiting])
        except Exception as error:
            for _, future in waiting:
                future.set_exception(error)
            return
        for (_, future), household in zip(waiting, households, strict=True):
            if household.HasField("error"):
                future.set_exception(InternalError(household.error.message))
            else:
                future.set_result(household.result)

    async def _analyses(self, requests: Sequence[frequency.AnalyzeHistoryRequest]) -> list[frequency.HouseholdAnalysis]:
        first = requests[0]
        message = frequency.AnalyzeHistoriesRequest(
            model_name=first.model_name,
            view=first.view,
            stockout_tolerance_ratio=first.stockout_tolerance_ratio
            if first.HasField("stockout_tolerance_ratio")
            else None,
        )
        for request in requests:
            message.households.add(purchases=request.purchases, as_of=request.as_of, item_types=request.item_types)

        async def stream() -> AsyncIterator[frequency.AnalyzeHistoriesRequest]:
            yield message

        responses = self.channel.stream(f"{_FREQUENCY}/AnalyzeHistories", stream())
        return [household async for response in responses for household in response.households]


def part_settings() -> tuple[FrequencySettings, RecommendationSettings, EnrichmentSettings]:
    """The settings of the parts, without external systems: a batch of millions of households calls none."""
    return (
        load_settings(FrequencySettings),
        load_settings(RecommendationSettings).model_copy(update={"sagemaker_endpoint": ""}),
        load_settings(EnrichmentSettings).model_copy(update={"nim_endpoint": ""}),
    )
