"""The stages of the pipeline: history; then vector, frequency and enrichment concurrently; then recommendation.

History, frequency and recommendation are required: if one fails, the pipeline fails. Vector and enrichment are
optional: if one fails, the result lacks what it would have added, and a degradation says so.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np

from pantree_domain.household.prices import ReferencePrice
from pantree_domain.limits import max_items
from pantree_domain.purchases import PurchaseHistory, PurchaseLines
from pantree_pipeline.core.events import Completed, Degradation, Erased, Event, ForecastEvidence, Started
from pantree_pipeline.core.history import join, month_count, months_of, purchase_counts
from pantree_pipeline.core.household import COMPONENT, Household, household_prices, prepare
from pantree_pipeline.core.job import FirstPurchase, Job, NextBasketJob
from pantree_pipeline.core.ports import (
    Archetypes,
    Candidate,
    Enricher,
    Enrichment,
    FrequencyAnalyzer,
    HistoryAnalysis,
    HistoryKeeper,
    ItemEvidence,
    ItemToEnrich,
    Neighborhood,
    Recommendations,
    Recommender,
    Simulator,
    StoredHistory,
    StoredSubscription,
    VectorIndex,
)
from pantree_pipeline.core.what_if import PlanMade, WhatIf, WhatIfJob, replay_plan
from pantree_runtime.cpu_runner import CpuRunner, run_inline
from pantree_runtime.errors import ComponentUnavailable, NotFound, PantreeError

# An item with fewer purchases has no spread of intervals and is never recommended.
MIN_PURCHASES_TO_ENRICH = 3
# Enrichment may call a language model, which is slow. Recommended items are among those bought most often.
MAX_ITEMS_TO_ENRICH = 200
MAX_CADENCE_CHANGES = max_items("pantree.frequency.v1.FindCadenceChangesRequest.item_names")
# As many as a chart of years can show.
MAX_PURCHASED_DAYS = 200

_MS_PER_LINE = 0.005


class _Evidence(NamedTuple):
    """What the stages before recommendation found out about the items of a household, by name."""

    analysis: HistoryAnalysis
    enrichments: dict[str, Enrichment]
    prices: Mapping[str, ReferencePrice]
    """Only items that were paid for."""


ResultT = TypeVar("ResultT")
FirstT = TypeVar("FirstT")
SecondT = TypeVar("SecondT")


class Pipeline:
    """Runs the stages, concurrently where they don't depend on each other."""

    def __init__(
        self,
        simulator: Simulator,
        frequency: FrequencyAnalyzer,
        recommender: Recommender,
        vector: VectorIndex | None,
        enricher: Enricher | None,
        run_cpu: CpuRunner = run_inline,
        history: HistoryKeeper | None = None,
    ) -> None:
        self._simulator = simulator
        self._frequency = frequency
        self._recommender = recommender
        self._vector = vector
        self._enricher = enricher
        self._run_cpu = run_cpu
        self._history = history

    async def archetypes(self) -> Archetypes:
        """The kinds of shopper that can be simulated."""
        return await self._simulator.archetypes()

    async def stored_history(self, tenant_id: str, customer_id: str, as_of: str, as_known_on: str) -> StoredHistory:
        """The purchases that are stored of a customer until the as-of date, as known on another.

        Raises:
            NotFound: nothing is stored.
            ComponentUnavailable: the history service is disabled or unavailable.
        """
        if self._history is None:
            raise ComponentUnavailable(
                "history",
                "no purchases are stored, because the history part is disabled; send the purchases with the request",
                "set PANTREE_HISTORY_ADDRESS",
            )
        return await self._history.history(tenant_id, customer_id, as_of, as_known_on)

    async def stored_subscriptions(
        self, tenant_id: str, customer_id: str, as_of: str
    ) -> tuple[Sequence[StoredSubscription], StoredHistory | None]:
        """The subscriptions of a customer, and the purchases until the as-of date; None if none are stored.

        Raises:
            ComponentUnavailable: the history service is disabled or unavailable.
        """
        if self._history is None:
            raise ComponentUnavailable(
                "history",
                "no subscriptions are stored, because the history part is disabled",
                "set PANTREE_HISTORY_ADDRESS",
            )
        subscriptions = await self._history.subscriptions(tenant_id, customer_id)
        try:
            history = await self._history.history(tenant_id, customer_id, as_of, "") if subscriptions else None
        except NotFound:
            history = None
        return subscriptions, history

    async def review(self, request: object) -> object:
        """The advice for subscriptions.

        Raises:
            PantreeError: when the recommendation service fails.
        """
        return await self._recommender.review(request)

    async def erase(self, tenant_id: str, customer_id: str) -> Erased:
        """Erases a customer: first in the history service, which then refuses purchases, then elsewhere.

        Raises:
            PantreeError: a service fails; repeat the call.
        """
        history = None if self._history is None else await self._history.erase(tenant_id, customer_id)
        vectors = None
        if self._vector is not None:
            others = history.merged_ids if history is not None else ()
            counts = [await self._vector.delete(tenant_id, one) for one in (*others, customer_id)]
            vectors = sum(counts)
        return Erased(history, vectors)

    async def next_basket(self, job: NextBasketJob) -> object:
        """The most probable items of a household's next basket.

        Raises:
            PantreeError: when the recommendation service fails.
        """
        return await self._recommender.next_basket(job)

    async def models(self) -> object:
        """The models that rank items.

        Raises:
            PantreeError: when the recommendation service fails.
        """
        return await self._recommender.models()

    async def plan(self, analysis: object, constraints: object | None) -> object:
        """The plan of an analysis, with constraints.

        Raises:
            PantreeError: when the recommendation service fails.
        """
        return await self._recommender.plan(analysis, constraints)

    async def what_if(self, job: WhatIfJob) -> AsyncGenerator[PlanMade | WhatIf]:
        """The plan of the purchases until the as-of date, as soon as it is made; then its replay. Nothing is stored.

        Raises:
            PantreeError: when a required stage fails.
        """
        history = cast(PurchaseHistory, job.plan.source)
        household = await self._run_cpu(_MS_PER_LINE * len(history), prepare, history, job.plan.as_of)
        degradations = list(household.warnings)
        _, recommendations = await self._evidence_and_recommendations(job.plan, history, household, degradations)
        yield PlanMade(job, recommendations.payload, tuple(degradations))
        deliveries = self._recommender.planned_deliveries(recommendations)
        yield await self._run_cpu(_MS_PER_LINE * len(job.history), replay_plan, job, household, deliveries)

    async def run(self, job: Job) -> AsyncGenerator[Event]:
        """The events: `Started`, each `Month` as soon as it is available, and `Completed`.

        Raises:
            PantreeError: when a required stage fails.
        """
        months: list[PurchaseLines] = []
        if isinstance(job.source, FirstPurchase):
            count = job.source.simulation_months
            # The simulation is started first, so that it runs while the caller receives `Started`.
            async with self._simulator.months(job.customer_id, job.source) as simulated:
                yield Started(job, count)
                async for month in simulated:
                    months.append(month.purchases)
                    yield month
            # A stream that ends too early is a failure of the simulation, not a short history.
            if len(months) != count:
                raise ComponentUnavailable(
                    "simulation", f"simulation ended after {len(months)} of {count} months; try again"
                )
        else:
            count = month_count(job.source)
            yield Started(job, count)
            for month in months_of(job.source):
                months.append(month.purchases)
                yield month
        yield await self._complete(job, count, join(months))

    async def _complete(self, job: Job, count: int, history: PurchaseHistory) -> Completed:
        household = await self._run_cpu(_MS_PER_LINE * len(history), prepare, history, job.as_of)
        # A simulated history has no one who could correct it.
        degradations = [] if isinstance(job.source, FirstPurchase) else list(household.warnings)
        if job.omitted_count:
            text = f"the oldest {job.omitted_count:,} stored purchases are left out, because the customer has too many"
            degradations.append(Degradation(COMPONENT, "OLD_PURCHASES_OMITTED", text))
        if job.include_suggestions:
            (profile, neighborhood), evidence = await gather_both(
                self._profile_and_neighborhood(job, history, degradations),
                self._evidence(job, history, household, degradations),
            )
            recommendations = await self._recommend(job, household, evidence, neighborhood, degradations)
        else:
            # No other stage depends on the profile.
            profile, (evidence, recommendations) = await gather_both(
                self._profile(job, history, degradations),
                self._evidence_and_recommendations(job, history, household, degradations),
            )
        changes = await self._cadence_changes(job, household.clock, recommendations, degradations)
        return Completed(
            job=job,
            month_count=count,
            history=history,
            confidence_model=evidence.analysis.model,
            recommendations=recommendations,
            enrichments=evidence.enrichments,
            profile=profile,
            # Concurrent stages finish in any order, but the same input must return the same bytes.
            degradations=tuple(sorted(degradations, key=lambda degradation: (degradation.component, degradation.code))),
            cadence_changes=changes,
            forecasts=_forecasts(household.history, evidence.analysis, recommendations)
            if job.include_forecasts
            else (),
        )

    async def _cadence_changes(
        self, job: Job, history: PurchaseHistory, recommendations: Recommendations, degradations: list[Degradation]
    ) -> tuple[object, ...]:
        names = recommendations.names[:MAX_CADENCE_CHANGES]
        if not job.include_cadence_changes or not names:
            return ()
        call = self._frequency.cadence_changes(history, job.as_of, names, job.stockout_tolerance)
        return tuple(await _optional("frequency", "cadence changes", call, degradations) or ())

    async def _profile(self, job: Job, history: PurchaseHistory, degradations: list[Degradation]) -> object | None:
        if self._vector is None:
            return None
        call = self._vector.index(job.tenant_id, job.customer_id, history, job.as_of)
        return await _optional("vector", "the customer's profile", call, degradations)

    async def _profile_and_neighborhood(
        self, job: Job, history: PurchaseHistory, degradations: list[Degradation]
    ) -> tuple[object | None, Neighborhood | None]:
        missing = "suggestions from similar customers"
        if self._vector is None:
            degradations.append(Degradation("vector", "DISABLED", f"the answer lacks {missing}: vector is disabled"))
            return None, None
        # A customer has no neighbors before being stored.
        profile = await self._profile(job, history, degradations)
        if profile is None:
            return None, None
        call = self._vector.neighborhood(job.tenant_id, job.customer_id)
        neighborhood = await _optional("vector", missing, call, degradations)
        if neighborhood is not None and not neighborhood.item_count:
            message = f"fewer than five of the {neighborhood.neighbor_count} most similar customers share a habit"
            degradations.append(Degradation("vector", "FEW_NEIGHBORS", message))
        return profile, neighborhood

    async def _evidence(
        self, job: Job, history: PurchaseHistory, household: Household, degradations: list[Degradation]
    ) -> _Evidence:
        analysis, (enrichments, prices) = await gather_both(
            self._frequency.analyze(
                household.clock, job.as_of, household.last_days, job.stockout_tolerance, job.include_forecasts
            ),
            gather_both(self._enrich(household.history, degradations), self._prices(history, household)),
        )
        return _Evidence(analysis, enrichments, prices)

    async def _prices(self, history: PurchaseHistory, household: Household) -> Mapping[str, ReferencePrice]:
        # The other stages send their requests first, and their services work at the same time.
        await asyncio.sleep(0)
        return await self._run_cpu(_MS_PER_LINE * len(history), household_prices, history, household)

    async def _evidence_and_recommendations(
        self, job: Job, history: PurchaseHistory, household: Household, degradations: list[Degradation]
    ) -> tuple[_Evidence, Recommendations]:
        evidence = await self._evidence(job, history, household, degradations)
        return evidence, await self._recommend(job, household, evidence, None, degradations)

    async def _recommend(
        self,
        job: Job,
        household: Household,
        evidence: _Evidence,
        neighborhood: Neighborhood | None,
        degradations: list[Degradation],
    ) -> Recommendations:
        recommendations = await self._recommender.recommend(
            job.customer_id,
            [_candidate(item, evidence, household) for item in evidence.analysis.items],
            job.as_of,
            job.max_recommendations,
            job.include_omitted,
            neighborhood,
            household.replaced,
            job.currency_code,
            job.include_analysis,
            job.constraints,
        )
        if recommendations.fallback_reason:
            degradations.append(Degradation("sagemaker", "FALLBACK", recommendations.fallback_reason))
        return recommendations

    async def _enrich(self, history: PurchaseHistory, degradations: list[Degradation]) -> dict[str, Enrichment]:
        items = _items_to_enrich(history)
        if self._enricher is None or not items:
            return {}
        call = self._enricher.enrich(items)
        result = await _optional("enrichment", "what goes with the items", call, degradations)
        if result is None:
            return {}
        if result.missing_count:
            message = f"{result.missing_count} of {len(items)} items could not be enriched in time"
            degradations.append(Degradation("enrichment", "INCOMPLETE", message))
        if result.fallback_reason:
            degradations.append(Degradation("nim", "FALLBACK", result.fallback_reason))
        return {enrichment.name: enrichment for enrichment in result.items}


def _forecasts(
    history: PurchaseHistory, analysis: HistoryAnalysis, recommendations: Recommendations
) -> tuple[ForecastEvidence, ...]:
    evidence = {item.name: item for item in analysis.items}
    positions = {name: position for position, name in enumerate(history.item_names)}
    return tuple(
        ForecastEvidence(
            evidence[name],
            tuple(np.unique(history.days[history.item_indices == positions[name]])[-MAX_PURCHASED_DAYS:].tolist()),
        )
        for name in recommendations.names
        if name in evidence
    )


def _candidate(item: ItemEvidence, evidence: _Evidence, household: Household) -> Candidate:
    pack = household.packs.get(item.name)
    return Candidate(
        evidence=item,
        enrichment=evidence.enrichments.get(item.name),
        reference_price=evidence.prices.get(item.name),
        units_per_pack=1 if pack is None else pack.units,
        other_names=() if pack is None else tuple(name for name in pack.names if name != item.name),
        all_year=item.name in household.all_year,
    )


def _items_to_enrich(history: PurchaseHistory) -> list[ItemToEnrich]:
    """The items that may be recommended, most often bought first."""
    counts = purchase_counts(history)
    positions = np.argsort(-counts, kind="stable")[:MAX_ITEMS_TO_ENRICH]
    return [
        ItemToEnrich(history.item_names[position], history.item_categories[position])
        for position in positions[counts[positions] >= MIN_PURCHASES_TO_ENRICH].tolist()
    ]


async def _optional(
    component: str, missing: str, call: Coroutine[Any, Any, ResultT], degradations: list[Degradation]
) -> ResultT | None:
    """Result of an optional stage; None, with a degradation, when it fails."""
    try:
        return await call
    except PantreeError as error:
        degradations.append(Degradation(component, error.reason, f"the answer lacks {missing}: {error.message}"))
        return None


async def gather_both(
    first: Coroutine[Any, Any, FirstT], second: Coroutine[Any, Any, SecondT]
) -> tuple[FirstT, SecondT]:
    """Results of two concurrent stages; when one fails, the other one is canceled and the error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            first_task = group.create_task(first)
            second_task = group.create_task(second)
    except* PantreeError as errors:
        error = errors.exceptions[0]
        raise error from error.__cause__
    return first_task.result(), second_task.result()
