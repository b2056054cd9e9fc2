"""The stages of an answer: history, then vector, frequency and enrichment side by side, then recommendation.

History, frequency and recommendation are required: when one fails, so does the answer. Vector and enrichment are
optional: when one fails, the answer comes without what it would have added, and says so.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import TypeVar

import numpy as np

from pantree_domain.purchases import PurchaseHistory, PurchaseLines
from pantree_pipeline.core.events import Completed, Event, Started, Warning
from pantree_pipeline.core.history import join, month_count, months_of, purchase_counts
from pantree_pipeline.core.order import FirstPurchase, Order
from pantree_pipeline.core.ports import (
    Archetypes,
    Candidate,
    Enricher,
    Enrichment,
    EnrichmentResult,
    FrequencyAnalyzer,
    HistoryAnalysis,
    ItemToEnrich,
    Neighborhood,
    Recommendations,
    Recommender,
    Simulator,
    VectorIndex,
)
from pantree_runtime.errors import ComponentUnavailable, PantreeError

# An item bought fewer times has no spread of intervals, so nothing that is said about it could support a subscription.
LEAST_PURCHASES_TO_ENRICH = 3
# Enrichment may ask a language model, which is slow; the items bought most often are the ones that may be recommended.
MOST_ITEMS_TO_ENRICH = 200
# As many as the frequency service takes at once.
MOST_CADENCE_CHANGES = 20

ResultT = TypeVar("ResultT")


class Pipeline:
    """Runs the stages of one answer after another, or side by side where they don't need each other."""

    def __init__(
        self,
        simulator: Simulator,
        frequency: FrequencyAnalyzer,
        recommender: Recommender,
        vector: VectorIndex | None,
        enricher: Enricher | None,
    ) -> None:
        self._simulator = simulator
        self._frequency = frequency
        self._recommender = recommender
        self._vector = vector
        self._enricher = enricher

    async def archetypes(self) -> Archetypes:
        """The kinds of shopper that can be simulated."""
        return await self._simulator.archetypes()

    async def run(self, order: Order) -> AsyncGenerator[Event]:
        """One `Started`, a `Month` for each month as soon as it is there, and one `Completed`.

        Raises:
            PantreeError: when a required stage fails.
        """
        months: list[PurchaseLines] = []
        if isinstance(order.source, FirstPurchase):
            count = order.source.simulation_months
            async with aclosing(self._simulator.months(order.customer_id, order.source)) as simulated:
                first = asyncio.create_task(_coroutine(anext(simulated, None)))
                try:
                    # The call for the months leaves before the caller is told of the start, which takes as long as
                    # some of them: one turn of the event loop to make it, and one to send it.
                    for _ in range(2):
                        await asyncio.sleep(0)
                    yield Started(order, count)
                    month = await first
                except BaseException:
                    # A generator that is still at work cannot be closed. When the caller has left, nobody else takes
                    # note of how it ended.
                    first.cancel()
                    await asyncio.gather(first, return_exceptions=True)
                    raise
                while month is not None:
                    months.append(month.purchases)
                    yield month
                    month = await anext(simulated, None)
            # A stream that ends too early is a failure of simulation, not a short answer.
            if len(months) != count:
                raise ComponentUnavailable(
                    "simulation", f"simulation ended after {len(months)} of {count} months; try again"
                )
        else:
            count = month_count(order.source)
            yield Started(order, count)
            for month in months_of(order.source):
                months.append(month.purchases)
                yield month
        yield await self._complete(order, count, join(months))

    async def _complete(self, order: Order, count: int, history: PurchaseHistory) -> Completed:
        warnings: list[Warning] = []
        if order.include_suggestions:
            (profile, neighborhood), (analysis, enrichments) = await _side_by_side(
                self._profile_and_neighborhood(order, history, warnings), self._evidence(order, history, warnings)
            )
            recommendations = await self._recommend(order, analysis, enrichments, neighborhood, warnings)
        else:
            # Nothing waits for the profile.
            profile, (analysis, enrichments, recommendations) = await _side_by_side(
                self._profile(order, history, warnings), self._evidence_and_recommendations(order, history, warnings)
            )
        changes = await self._cadence_changes(order, history, recommendations, warnings)
        return Completed(
            order=order,
            month_count=count,
            history=history,
            confidence_model=analysis.model,
            recommendations=recommendations,
            enrichments=enrichments,
            profile=profile,
            cadence_changes=changes,
            # Stages that run side by side warn in any order; equal answers must be equal to the byte.
            warnings=tuple(sorted(warnings, key=lambda warning: (warning.component, warning.code))),
        )

    async def _cadence_changes(
        self, order: Order, history: PurchaseHistory, recommendations: Recommendations, warnings: list[Warning]
    ) -> tuple[object, ...]:
        names = recommendations.names[:MOST_CADENCE_CHANGES]
        if not order.include_cadence_changes or not names:
            return ()
        work = self._frequency.cadence_changes(history, order.as_of, names)
        return tuple(await _optional("frequency", "what would change the cadences", work, warnings) or ())

    async def _profile(self, order: Order, history: PurchaseHistory, warnings: list[Warning]) -> object | None:
        if self._vector is None:
            return None
        return await _optional(
            "vector",
            "the customer's profile",
            self._vector.index(order.tenant_id, order.customer_id, history, order.as_of),
            warnings,
        )

    async def _profile_and_neighborhood(
        self, order: Order, history: PurchaseHistory, warnings: list[Warning]
    ) -> tuple[object | None, Neighborhood | None]:
        """Neighbors are looked for once the customer is stored."""
        what = "what similar customers buy"
        if self._vector is None:
            warnings.append(Warning("vector", "DISABLED", f"the answer comes without {what}: vector is switched off"))
            return None, None
        profile = await self._profile(order, history, warnings)
        if profile is None:
            return None, None
        neighborhood = await _optional(
            "vector", what, self._vector.neighborhood(order.tenant_id, order.customer_id), warnings
        )
        if neighborhood is not None and not neighborhood.item_count:
            message = f"fewer than five of the {neighborhood.neighbor_count} customers most like this one share a habit"
            warnings.append(Warning("vector", "FEW_NEIGHBORS", message))
        return profile, neighborhood

    async def _evidence(
        self, order: Order, history: PurchaseHistory, warnings: list[Warning]
    ) -> tuple[HistoryAnalysis, dict[str, Enrichment]]:
        return await _side_by_side(self._frequency.analyze(history, order.as_of), self._enrich(history, warnings))

    async def _evidence_and_recommendations(
        self, order: Order, history: PurchaseHistory, warnings: list[Warning]
    ) -> tuple[HistoryAnalysis, dict[str, Enrichment], Recommendations]:
        analysis, enrichments = await self._evidence(order, history, warnings)
        return analysis, enrichments, await self._recommend(order, analysis, enrichments, None, warnings)

    async def _recommend(
        self,
        order: Order,
        analysis: HistoryAnalysis,
        enrichments: dict[str, Enrichment],
        neighborhood: Neighborhood | None,
        warnings: list[Warning],
    ) -> Recommendations:
        recommendations = await self._recommender.recommend(
            order.customer_id,
            [Candidate(item, enrichments.get(item.name)) for item in analysis.items],
            order.as_of,
            order.max_recommendations,
            order.include_omitted,
            neighborhood,
        )
        if recommendations.fallback_reason:
            warnings.append(Warning("sagemaker", "FALLBACK", recommendations.fallback_reason))
        return recommendations

    async def _enrich(self, history: PurchaseHistory, warnings: list[Warning]) -> dict[str, Enrichment]:
        items = _worth_enriching(history)
        if self._enricher is None or not items:
            return {}
        result: EnrichmentResult | None = await _optional(
            "enrichment", "what goes with the items", self._enricher.enrich(items), warnings
        )
        if result is None:
            return {}
        if result.missing_count:
            message = f"{result.missing_count} of {len(items)} items could not be enriched in time"
            warnings.append(Warning("enrichment", "INCOMPLETE", message))
        if result.fallback_reason:
            warnings.append(Warning("nim", "FALLBACK", result.fallback_reason))
        return {enrichment.name: enrichment for enrichment in result.items}


def _worth_enriching(history: PurchaseHistory) -> list[ItemToEnrich]:
    """The items that may come to be recommended, most often bought first."""
    counts = purchase_counts(history)
    positions = np.argsort(-counts, kind="stable")[:MOST_ITEMS_TO_ENRICH]
    return [
        ItemToEnrich(history.item_names[position], history.item_categories[position])
        for position in positions[counts[positions] >= LEAST_PURCHASES_TO_ENRICH].tolist()
    ]


async def _optional(component: str, what: str, work: Awaitable[ResultT], warnings: list[Warning]) -> ResultT | None:
    """Result of a stage that the answer can do without; None, with a warning, when it fails."""
    try:
        return await work
    except PantreeError as error:
        warnings.append(Warning(component, error.reason, f"the answer comes without {what}: {error.message}"))
        return None


FirstT = TypeVar("FirstT")
SecondT = TypeVar("SecondT")


async def _side_by_side(first: Awaitable[FirstT], second: Awaitable[SecondT]) -> tuple[FirstT, SecondT]:
    """Both results; when one fails the other is cancelled, and its error is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            first_task = group.create_task(_coroutine(first))
            second_task = group.create_task(_coroutine(second))
    except* PantreeError as errors:
        error = errors.exceptions[0]
        raise error from error.__cause__
    return first_task.result(), second_task.result()


async def _coroutine(work: Awaitable[ResultT]) -> ResultT:
    return await work
