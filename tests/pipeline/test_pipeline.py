"""The order of the stages and how their failures are handled, with fake ports."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime

import numpy as np
import pytest

from pantree_domain.days import day_number
from pantree_domain.evidence import ModelName
from pantree_domain.months import add_months
from pantree_domain.purchases import PurchaseHistory, PurchaseLines
from pantree_pipeline.core.events import Completed, Degradation, Started
from pantree_pipeline.core.history import Month
from pantree_pipeline.core.job import FirstPurchase, Job, NextBasketJob
from pantree_pipeline.core.pipeline import Pipeline
from pantree_pipeline.core.ports import (
    Archetypes,
    Candidate,
    Enrichment,
    EnrichmentResult,
    HistoryAnalysis,
    ItemEvidence,
    ItemToEnrich,
    Neighborhood,
    PlannedDelivery,
    Recommendations,
)
from pantree_pipeline.core.warnings import RecentWarnings
from pantree_runtime.errors import ComponentUnavailable, PantreeError

START = date(2026, 1, 15)
MODEL = ModelName("test", "1")


def purchases(day: date) -> PurchaseLines:
    return PurchaseLines(
        item_names=["Bananas"],
        item_categories=["produce"],
        item_indices=[0],
        days=[day_number(day)],
        quantities=[1],
        prices=[1.99],
        savings=[0.0],
    )


class Simulator:
    def __init__(self, month_count: int | None = None) -> None:
        self._month_count = month_count
        self.simulated = 0
        self.is_open = False

    async def archetypes(self) -> Archetypes:
        return Archetypes(("health_conscious",), "health_conscious")

    @asynccontextmanager
    async def months(self, customer_id: str, first_purchase: FirstPurchase) -> AsyncIterator[AsyncIterator[Month]]:
        self.is_open = True
        try:
            yield self._months(first_purchase)
        finally:
            self.is_open = False

    async def _months(self, first_purchase: FirstPurchase) -> AsyncIterator[Month]:
        count = first_purchase.simulation_months
        for number in range(count if self._month_count is None else self._month_count):
            self.simulated += 1
            start = add_months(first_purchase.start, number)
            yield Month(number + 1, count, start, start, purchases(start))


class Frequency:
    def __init__(self, error: PantreeError | None = None, after: asyncio.Event | None = None) -> None:
        self._error = error
        self._after = after
        self.with_forecasts = False
        self.requested: tuple[str, ...] = ()
        self.tolerances: list[float | None] = []

    async def cadence_changes(
        self, history: PurchaseHistory, as_of: date, names: Sequence[str], stockout_tolerance: float | None = None
    ) -> Sequence[object]:
        self.requested = tuple(names)
        self.tolerances.append(stockout_tolerance)
        return [f"change of {name}" for name in names]

    async def analyze(
        self,
        history: PurchaseHistory,
        as_of: date,
        last_days: Mapping[str, date] | None = None,
        stockout_tolerance: float | None = None,
        with_forecasts: bool = False,
    ) -> HistoryAnalysis:
        self.tolerances.append(stockout_tolerance)
        self.with_forecasts = with_forecasts
        if self._after:
            await self._after.wait()
        if self._error:
            raise self._error
        return HistoryAnalysis((ItemEvidence("Bananas", payload=None),), MODEL)


class Vector:
    def __init__(
        self,
        error: PantreeError | None = None,
        started: asyncio.Event | None = None,
        neighbors_error: PantreeError | None = None,
        item_count: int = 3,
    ) -> None:
        self._error = error
        self._started = started
        self._neighbors_error = neighbors_error
        self._item_count = item_count
        self.stored = "", ""

    async def index(self, tenant_id: str, customer_id: str, history: PurchaseHistory, as_of: date) -> object:
        if self._started:
            self._started.set()
        if self._error:
            raise self._error
        self.stored = tenant_id, customer_id
        return f"profile of {customer_id}"

    async def neighborhood(self, tenant_id: str, customer_id: str) -> Neighborhood:
        assert self.stored == (tenant_id, customer_id)  # a customer has no neighbors before being stored
        if self._neighbors_error:
            raise self._neighbors_error
        return Neighborhood(50, self._item_count, f"neighbors of {customer_id}")

    async def delete(self, tenant_id: str, customer_id: str) -> int:
        return 3


class Enricher:
    def __init__(
        self,
        error: PantreeError | None = None,
        result: EnrichmentResult | None = None,
        started: asyncio.Event | None = None,
    ) -> None:
        self._error = error
        self._result = result
        self._started = started
        self.requested: Sequence[ItemToEnrich] = ()

    async def enrich(self, items: Sequence[ItemToEnrich]) -> EnrichmentResult:
        self.requested = items
        if self._started:
            self._started.set()
        if self._error:
            raise self._error
        return self._result or EnrichmentResult(tuple(Enrichment(item.name, "rules", None) for item in items), 0, "")


class Recommender:
    def __init__(self, fallback_reason: str = "") -> None:
        self.customer_id = ""
        self.candidates: Sequence[Candidate] = ()
        self.neighborhood: Neighborhood | None = None
        self._fallback_reason = fallback_reason

    async def recommend(
        self,
        customer_id: str,
        candidates: Sequence[Candidate],
        as_of: date,
        max_recommendations: int | None,
        include_omitted: bool,
        neighborhood: Neighborhood | None,
        replaced: Mapping[str, str],
        currency_code: str = "",
        include_analysis: bool = False,
        constraints: object | None = None,
    ) -> Recommendations:
        self.neighborhood = neighborhood
        self.customer_id = customer_id
        self.candidates = candidates
        return Recommendations(None, ("Bananas",), MODEL, "embedded", self._fallback_reason)

    def planned_deliveries(self, recommendations: Recommendations) -> Sequence[PlannedDelivery]:
        raise NotImplementedError

    async def plan(self, analysis: object, constraints: object | None) -> object:
        raise NotImplementedError

    async def next_basket(self, request: NextBasketJob) -> object:
        raise NotImplementedError

    async def models(self) -> object:
        raise NotImplementedError

    async def review(self, request: object) -> object:
        raise NotImplementedError


def job(months: int = 6) -> Job:
    source = FirstPurchase((), "health_conscious", months, START, seed=1)
    return Job("cust_001", "", source, add_months(START, months), None, False)


async def completed(pipeline: Pipeline) -> Completed:
    *_, last = [event async for event in pipeline.run(job())]
    assert isinstance(last, Completed)
    return last


def codes(result: Completed) -> list[tuple[str, str]]:
    return [(degradation.component, degradation.code) for degradation in result.degradations]


async def test_events_are_started_then_every_month_then_completed() -> None:
    events = [event async for event in Pipeline(Simulator(), Frequency(), Recommender(), None, None).run(job(3))]
    assert [type(event) for event in events] == [Started, Month, Month, Month, Completed]


async def test_month_is_forwarded_before_the_next_one_is_simulated() -> None:
    simulator = Simulator()
    events = Pipeline(simulator, Frequency(), Recommender(), None, None).run(job(3))
    await anext(events)
    await anext(events)
    assert simulator.simulated == 1
    await events.aclose()
    assert not simulator.is_open


async def test_frequency_and_vector_run_concurrently() -> None:
    vector_started = asyncio.Event()  # frequency waits for it, so sequential stages would never finish
    pipeline = Pipeline(
        Simulator(), Frequency(after=vector_started), Recommender(), Vector(started=vector_started), None
    )
    result = await asyncio.wait_for(completed(pipeline), timeout=10)
    assert result.profile == "profile of cust_001"


async def test_frequency_and_enrichment_run_concurrently() -> None:
    enrichment_started = asyncio.Event()  # frequency waits for it, so sequential stages would never finish
    pipeline = Pipeline(
        Simulator(), Frequency(after=enrichment_started), Recommender(), None, Enricher(started=enrichment_started)
    )
    result = await asyncio.wait_for(completed(pipeline), timeout=10)
    assert list(result.enrichments) == ["Bananas"]


async def test_items_to_enrich_are_sorted_by_purchase_count() -> None:
    days_of = {"Twice on one day, twice in all": (1, 1, 9), "Thrice": (1, 2, 3), "Weekly": (1, 8, 15, 22), "Once": (5,)}
    lines = [(item, day) for item, days in enumerate(days_of.values()) for day in days]
    history = PurchaseHistory(
        item_names=tuple(days_of),
        item_categories=("a", "b", "c", "d"),
        item_indices=np.array([item for item, _ in lines], dtype=np.int32),
        days=np.array([day_number(START) + day for _, day in lines], dtype=np.int32),
        quantities=np.ones(len(lines), dtype=np.int32),
        prices=np.ones(len(lines)),
        savings=np.zeros(len(lines)),
    )
    enricher = Enricher()
    pipeline = Pipeline(Simulator(), Frequency(), Recommender(), None, enricher)
    await anext(event async for event in pipeline.run(job()._replace(source=history)) if isinstance(event, Completed))
    assert list(enricher.requested) == [ItemToEnrich("Weekly", "c"), ItemToEnrich("Thrice", "b")]


async def test_failing_optional_stages_are_degradations() -> None:
    down = ComponentUnavailable("vector", "vector is down")
    pipeline = Pipeline(
        Simulator(), Frequency(), Recommender(), Vector(down), Enricher(ComponentUnavailable("enrichment", "gone"))
    )
    result = await completed(pipeline)
    assert result.profile is None
    assert not result.enrichments
    assert codes(result) == [
        ("enrichment", "COMPONENT_UNAVAILABLE"),
        ("vector", "COMPONENT_UNAVAILABLE"),
    ]


async def test_failing_required_stage_is_an_error_with_its_name() -> None:
    pipeline = Pipeline(
        Simulator(), Frequency(ComponentUnavailable("frequency", "down")), Recommender(), Vector(), Enricher()
    )
    with pytest.raises(ComponentUnavailable) as raised:
        await completed(pipeline)
    assert raised.value.component == "frequency"


async def test_simulation_that_ends_too_early_is_an_error() -> None:
    with pytest.raises(ComponentUnavailable, match="4 of 6"):
        await completed(Pipeline(Simulator(month_count=4), Frequency(), Recommender(), None, None))


async def test_simulation_is_opened_before_started_and_closed_when_the_caller_leaves() -> None:
    simulator = Simulator()
    events = Pipeline(simulator, Frequency(), Recommender(), None, None).run(job())
    assert isinstance(await anext(events), Started)
    assert (simulator.is_open, simulator.simulated) == (True, 0)
    await events.aclose()
    assert not simulator.is_open


async def test_fallbacks_and_missing_items_are_degradations() -> None:
    enricher = Enricher(result=EnrichmentResult((), missing_count=1, fallback_reason="nim is slow"))
    pipeline = Pipeline(Simulator(), Frequency(), Recommender("the endpoint is gone"), None, enricher)
    result = await completed(pipeline)
    assert codes(result) == [
        ("enrichment", "INCOMPLETE"),
        ("nim", "FALLBACK"),
        ("sagemaker", "FALLBACK"),
    ]


async def test_customer_id_is_passed_to_the_recommendation() -> None:
    recommender = Recommender()
    await completed(Pipeline(Simulator(), Frequency(), recommender, None, None))
    assert recommender.customer_id == "cust_001"


async def test_enrichment_is_passed_to_the_recommendation() -> None:
    recommender = Recommender()
    await completed(Pipeline(Simulator(), Frequency(), recommender, None, Enricher()))
    (candidate,) = recommender.candidates
    assert candidate.enrichment is not None


async def test_cadence_changes_are_returned_on_request() -> None:
    frequency = Frequency()
    pipeline = Pipeline(Simulator(), frequency, Recommender(), None, None)
    assert (await completed(pipeline)).cadence_changes == ()
    assert not frequency.requested
    *_, last = [event async for event in pipeline.run(job()._replace(include_cadence_changes=True))]
    assert isinstance(last, Completed)
    assert list(last.cadence_changes) == ["change of Bananas"]
    assert list(frequency.requested) == ["Bananas"]


async def test_missing_cadence_changes_are_a_degradation() -> None:
    class WithoutChanges(Frequency):
        async def cadence_changes(
            self, history: PurchaseHistory, as_of: date, names: Sequence[str], stockout_tolerance: float | None = None
        ) -> Sequence[object]:
            raise ComponentUnavailable("frequency", "frequency is down")

    pipeline = Pipeline(Simulator(), WithoutChanges(), Recommender(), None, None)
    *_, last = [event async for event in pipeline.run(job()._replace(include_cadence_changes=True))]
    assert isinstance(last, Completed)
    assert last.cadence_changes == ()
    assert codes(last) == [("frequency", "COMPONENT_UNAVAILABLE")]


async def test_tolerance_of_stockouts_is_passed_to_each_call_of_the_frequency_service() -> None:
    frequency = Frequency()
    pipeline = Pipeline(Simulator(), frequency, Recommender(), None, None)
    requested = job()._replace(include_cadence_changes=True, stockout_tolerance=0.2)
    assert [event async for event in pipeline.run(requested)]
    assert frequency.tolerances == [0.2, 0.2]


async def test_forecasts_are_returned_on_request() -> None:
    frequency = Frequency()
    pipeline = Pipeline(Simulator(), frequency, Recommender(), None, None)
    assert ((await completed(pipeline)).forecasts, frequency.with_forecasts) == ((), False)
    *_, last = [event async for event in pipeline.run(job()._replace(include_forecasts=True))]
    assert isinstance(last, Completed)
    assert frequency.with_forecasts
    (forecast,) = last.forecasts
    assert forecast.evidence.name == "Bananas"
    history = last.history
    days = history.days[history.item_indices == history.item_names.index("Bananas")]
    assert list(forecast.purchased_days) == sorted(set(days.tolist()))


def test_recent_warnings_are_counted_without_those_of_households() -> None:
    times = iter(datetime(2026, 11, 30, hour, tzinfo=UTC) for hour in range(3))
    warnings = RecentWarnings("history", lambda: next(times))
    vector, nim = Degradation("vector", "DOWN", "is down"), Degradation("nim", "FALLBACK", "too slow")
    warnings.add([vector, Degradation("history", "PAUSE", "away in May")])
    warnings.add([nim])
    warnings.add([vector])
    assert [(one.degradation.component, one.result_count, one.last_time.hour) for one in warnings.latest()] == [
        ("vector", 2, 2),
        ("nim", 1, 1),
    ]


async def with_suggestions(recommender: Recommender, vector: Vector | None) -> Completed:
    pipeline = Pipeline(Simulator(), Frequency(), recommender, vector, None)
    *_, last = [event async for event in pipeline.run(job()._replace(include_suggestions=True))]
    assert isinstance(last, Completed)
    return last


async def test_neighbors_are_passed_to_the_recommendation_on_request() -> None:
    recommender = Recommender()
    result = await with_suggestions(recommender, Vector())
    assert recommender.neighborhood == Neighborhood(50, 3, "neighbors of cust_001")
    assert (result.profile, result.degradations) == ("profile of cust_001", ())
    await completed(Pipeline(Simulator(), Frequency(), recommender, Vector(), None))
    assert recommender.neighborhood is None  # not requested


async def test_customers_are_stored_and_compared_within_their_tenant() -> None:
    vector = Vector()
    pipeline = Pipeline(Simulator(), Frequency(), Recommender(), vector, None)
    *_, last = [event async for event in pipeline.run(job()._replace(include_suggestions=True, tenant_id="north"))]
    assert isinstance(last, Completed)
    assert vector.stored == ("north", "cust_001")


async def test_frequency_does_not_wait_for_neighbors() -> None:
    vector_started = asyncio.Event()
    pipeline = Pipeline(
        Simulator(), Frequency(after=vector_started), Recommender(), Vector(started=vector_started), None
    )
    async with asyncio.timeout(10):
        events = [event async for event in pipeline.run(job()._replace(include_suggestions=True))]
    assert isinstance(events[-1], Completed)


@pytest.mark.parametrize(
    ("vector", "degradation"),
    [
        (None, ("vector", "DISABLED")),
        (Vector(ComponentUnavailable("vector", "down")), ("vector", "COMPONENT_UNAVAILABLE")),
        (Vector(neighbors_error=ComponentUnavailable("vector", "down")), ("vector", "COMPONENT_UNAVAILABLE")),
        (Vector(item_count=0), ("vector", "FEW_NEIGHBORS")),
    ],
    ids=["disabled", "not stored", "not found", "too few"],
)
async def test_missing_suggestions_are_a_degradation(vector: Vector | None, degradation: tuple[str, str]) -> None:
    recommender = Recommender()
    result = await with_suggestions(recommender, vector)
    assert codes(result) == [degradation]
    assert result.recommendations.names == ("Bananas",)
