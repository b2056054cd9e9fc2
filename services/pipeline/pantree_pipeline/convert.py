"""Messages of the pipeline service ↔ core types."""

import itertools
import math
import operator
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import TypeVar, cast

import numpy as np
from google.protobuf.message import Message

from pantree.enrichment.v1.enrichment_service_pb2 import EnrichedItem
from pantree.frequency.v1.frequency_service_pb2 import CadenceChange, ItemFrequency
from pantree.model.v1.model_pb2 import Model
from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree.purchase.v1.purchase_pb2 import Purchase, PurchaseColumns
from pantree.recommendation.v1.recommendation_service_pb2 import (
    OmittedItem,
    PlanDeliveriesResponse,
    PlannedItem,
    PredictNextBasketResponse,
    Recommendation,
    RecommendResponse,
)
from pantree.vector.v1.vector_service_pb2 import CustomerProfile
from pantree_domain.cadence import LADDER
from pantree_domain.catalog import load_catalog
from pantree_domain.days import calendar_day, day_number
from pantree_domain.evidence import ModelName
from pantree_domain.limits import (
    DEFAULT_SIMULATION_MONTHS,
    MAX_BASKET_ITEMS,
    MAX_HISTORY_ROWS,
    MAX_SIMULATION_MONTHS,
)
from pantree_domain.money import minor_unit_digits, round_to_cent
from pantree_domain.months import add_months, month_display
from pantree_domain.purchases import PurchaseHistory
from pantree_pipeline.core.events import Completed, Erased, Event, ForecastEvidence, Started
from pantree_pipeline.core.health import Component, ComponentHealth, State, mesh_state
from pantree_pipeline.core.history import Month
from pantree_pipeline.core.identity import ItemIdentity, identified_items
from pantree_pipeline.core.job import FirstPurchase, Job, NextBasketJob
from pantree_pipeline.core.ports import Archetypes, StoredHistory
from pantree_pipeline.core.replay import DAYS_PER_WEEK, Totals
from pantree_pipeline.core.warnings import RecentWarning
from pantree_pipeline.core.what_if import PlanMade, WhatIf, WhatIfJob, Window, until, window_of
from pantree_runtime.errors import FieldViolation, InvalidInput, NotFound
from pantree_runtime.purchase_columns import history_of
from pantree_runtime.validation import shown

# Receipt lines in a monthly update; its sums cover all lines of the month.
MAX_UPDATE_PURCHASES = 1_000
# Namespace of recommendation ids: an arbitrary UUID.
# Source of facts from a language model.
LANGUAGE_MODEL = "nim"

InputT = TypeVar("InputT", messages.ProcessInput, messages.NextBasketInput, messages.WhatIfInput)

_RECOMMENDATION_NAMESPACE = uuid.UUID("6f1d4e0c-5b0e-5d0b-9a53-1c3f6f0a7c11")


def job_of(
    message: messages.ProcessInput, archetypes: Archetypes | None, today: date, seed: int, tenant_id: str = ""
) -> Job:
    """Converts a request to its job.

    Args:
        message: the request's input.
        archetypes: needed when the input has items.
        today: as-of date of a simulation when the input has none.
        seed: of the simulation.
        tenant_id: the retailer.

    Raises:
        InvalidInput: when the archetype is unknown.
    """
    as_of = date.fromisoformat(message.as_of) if message.as_of else None
    source: FirstPurchase | PurchaseHistory
    if message.history or message.HasField("history_columns"):
        history, named = identified(message)
        source = with_categories(history)
        as_of = as_of or calendar_day(int(source.days.max()))
    else:
        as_of = as_of or today
        source = _first_purchase(message, archetypes, as_of, seed)
        named = {
            item.name: ItemIdentity(item.name, item.item_id, item.variant)
            for item in message.items
            if item.item_id or item.variant
        }
    return Job(
        customer_id=message.customer_id,
        customer_name=message.customer_name,
        source=source,
        as_of=as_of,
        max_recommendations=message.max_recommendations if message.HasField("max_recommendations") else None,
        include_omitted=message.include_omitted,
        include_cadence_changes=message.include_cadence_changes,
        include_suggestions=message.include_suggestions,
        include_forecasts=message.include_forecasts,
        tenant_id=tenant_id,
        currency_code=message.currency_code,
        identities=named,
        stockout_tolerance=message.stockout_tolerance_ratio if message.HasField("stockout_tolerance_ratio") else None,
        include_analysis=message.include_analysis,
        constraints=message.constraints if message.HasField("constraints") else None,
    )


def _first_purchase(
    message: messages.ProcessInput, archetypes: Archetypes | None, as_of: date, seed: int
) -> FirstPurchase:
    months = message.simulation_months if message.HasField("simulation_months") else DEFAULT_SIMULATION_MONTHS
    archetype = message.archetype
    if archetypes is not None:
        archetype = archetype or archetypes.default
        if archetype not in archetypes.ids:
            description = f"must be one of {', '.join(archetypes.ids)}; is {shown(archetype)}"
            raise InvalidInput([FieldViolation("input.archetype", description)])
    return FirstPurchase(
        items=tuple(message.items),
        archetype=archetype,
        simulation_months=months,
        start=add_months(as_of, -months),
        seed=seed,
    )


def recommendations_input(request: messages.GetRecommendationsRequest) -> messages.ProcessInput:
    return messages.ProcessInput(
        customer_id=request.customer_id,
        stored_history=True,
        as_of=request.as_of,
        as_known_on=request.as_known_on,
        max_recommendations=request.max_recommendations if request.HasField("max_recommendations") else None,
        include_omitted=request.include_omitted,
        include_suggestions=request.include_suggestions,
        include_cadence_changes=request.include_cadence_changes,
    )


def basket_input(request: messages.GetNextBasketRequest) -> messages.NextBasketInput:
    return messages.NextBasketInput(
        customer_id=request.customer_id,
        stored_history=True,
        as_of=request.as_of,
        as_known_on=request.as_known_on,
        mode=request.mode,
        max_items=request.max_items if request.HasField("max_items") else None,
    )


def with_stored_history(message: InputT, stored: StoredHistory | None, today: date) -> InputT:
    """The input with the stored history, if any, as if the request had brought it.

    Raises:
        NotFound: when there are no purchases until the as-of date.
    """
    if stored is None:
        return message
    columns = cast(PurchaseColumns, stored.payload)
    if not columns.days:
        raise NotFound("no purchases of this customer are stored until as_of, or all were returned")
    filled = type(message)()
    filled.CopyFrom(message)
    filled.history_columns.CopyFrom(columns)
    if isinstance(filled, messages.ProcessInput | messages.WhatIfInput):
        filled.currency_code = filled.currency_code or stored.currency_code
    if isinstance(filled, messages.ProcessInput):
        filled.as_of = filled.as_of or max(today, calendar_day(columns.days[-1])).isoformat()
    return filled


def erase_response(erased: Erased) -> messages.EraseCustomerResponse:
    response = messages.EraseCustomerResponse()
    if erased.history is not None:
        response.erased_at = erased.history.erased_at
        response.ledger_entry_id = erased.history.ledger_entry_id
        response.merged_customer_ids.extend(erased.history.merged_ids)
        response.removed.add(component="history", kind="purchase_lines", removed_count=erased.history.removed_count)
    if erased.vector_count is not None:
        response.removed.add(component="vector", kind="vectors", removed_count=erased.vector_count)
    return response


def what_if_job(message: messages.WhatIfInput, tenant_id: str = "", window: Window | None = None) -> WhatIfJob:
    """Converts a request to its job.

    Args:
        message: the request's input.
        tenant_id: the retailer.
        window: the weeks to replay when purchases until their end are known to be complete; None for those that the
            message names, of which none may end after the latest purchase.

    Raises:
        InvalidInput: when the history has too little before or after the as-of date.
    """
    history, named = identified(message)
    history = with_categories(history)
    given = date.fromisoformat(message.as_of) if message.as_of else None
    week_count = message.week_count if message.HasField("week_count") else None
    window = window or window_of(history, given, week_count)
    plan = Job(
        customer_id=message.customer_id,
        customer_name="",
        source=until(history, day_number(window.as_of)),
        as_of=window.as_of,
        max_recommendations=message.max_recommendations if message.HasField("max_recommendations") else None,
        include_omitted=False,
        tenant_id=tenant_id,
        currency_code=message.currency_code,
        identities=named,
        stockout_tolerance=message.stockout_tolerance_ratio if message.HasField("stockout_tolerance_ratio") else None,
        constraints=message.constraints if message.HasField("constraints") else None,
    )
    end = day_number(window.as_of) + DAYS_PER_WEEK * window.week_count
    return WhatIfJob(plan, until(history, end), window.week_count)


def next_basket_job(message: messages.NextBasketInput) -> NextBasketJob:
    history, named = identified(message)
    return NextBasketJob(
        customer_id=message.customer_id,
        history=history,
        as_of=date.fromisoformat(message.as_of) if message.as_of else None,
        options=message,
        identities=named,
    )


def next_basket_result(job: NextBasketJob, response: PredictNextBasketResponse) -> messages.NextBasketResult:
    """Converts a predicted basket. Its id is a hash of all other fields, so that equal results have equal ids."""
    message = messages.NextBasketResult(
        customer_id=job.customer_id,
        items=response.items,
        as_of=response.as_of,
        model=response.model,
        history_version=job.history_version,
    )
    for item in message.items:
        if identity := job.identities.get(item.name):
            item.name, item.item_id, item.variant = identity
    message.recommendation_id = _id_of(message)
    return message


def plan_result(message: messages.PlanInput, response: PlanDeliveriesResponse) -> messages.PlanResult:
    """Converts a plan. Its id is a hash of all other fields, so that equal results have equal ids."""
    analysis = message.analysis
    result = messages.PlanResult(
        customer_id=message.customer_id,
        plan=response.plan,
        subscriptions=response.subscriptions,
        left_out=response.left_out,
        binding_constraints=response.binding_constraints,
        as_of=analysis.as_of,
        currency_code=analysis.currency_code,
    )
    items = {item.name: item for item in analysis.items if item.item_id or item.variant}
    for delivery in result.plan.deliveries if items else ():
        for planned in delivery.items:
            if item := items.get(planned.name):
                planned.item_id, planned.variant = item.item_id, item.variant
    result.recommendation_id = _id_of(result)
    return result


def _id_of(message: Message) -> str:
    return str(uuid.uuid5(_RECOMMENDATION_NAMESPACE, message.SerializeToString(deterministic=True).hex()))


def identified(
    message: messages.ProcessInput | messages.NextBasketInput | messages.WhatIfInput,
) -> tuple[PurchaseHistory, Mapping[str, ItemIdentity]]:
    """The history of a request with one entry per item, and what the retailer calls the items."""
    if message.history:
        history, identities = _history_of_rows(message.history)
    else:
        columns = message.history_columns
        history = history_of(columns)
        none = [""] * len(columns.item_names)
        identities = [
            ItemIdentity(name.strip(), item_id, variant.strip())
            for name, item_id, variant in zip(
                columns.item_names, columns.item_ids or none, columns.item_variants or none, strict=True
            )
        ]
    stripped = replace(history, item_names=tuple(name.strip() for name in history.item_names))
    return identified_items(stripped, identities)


def _history_of_rows(rows: Sequence[Purchase]) -> tuple[PurchaseHistory, list[ItemIdentity]]:
    # A name with several categories has several entries, of which `identified_items` makes one.
    positions: dict[tuple[str, str, str, str], int] = {}
    indices = [positions.setdefault((row.name, row.category, row.item_id, row.variant), len(positions)) for row in rows]
    identities = [ItemIdentity(name.strip(), item_id, variant.strip()) for name, _, item_id, variant in positions]
    history = PurchaseHistory(
        item_names=tuple(name for name, *_ in positions),
        item_categories=tuple(category for _, category, *_ in positions),
        item_indices=np.array(indices, dtype=np.int32),
        days=np.array([day_number(date.fromisoformat(row.date)) for row in rows], dtype=np.int32),
        quantities=np.array([row.quantity if row.HasField("quantity") else 1 for row in rows], dtype=np.int32),
        prices=np.array([row.price for row in rows], dtype=np.float64),
        savings=np.array([row.saving for row in rows], dtype=np.float64),
    )
    return history, identities


def with_categories(history: PurchaseHistory) -> PurchaseHistory:
    """The history with categories from the catalog for items without one."""
    catalog = load_catalog()
    categories = tuple(
        category or catalog.categorize(name).category
        for name, category in zip(history.item_names, history.item_categories, strict=True)
    )
    return replace(history, item_categories=categories)


def event_message(event: Event, job: Job) -> messages.StreamProcessResponse:
    """Converts an event of a job to its message."""
    if isinstance(event, Started):
        seed = job.source.seed if isinstance(job.source, FirstPurchase) else 0
        return messages.StreamProcessResponse(
            started=messages.Started(
                customer_id=job.customer_id, month_count=event.month_count, seed=seed, as_of=job.as_of.isoformat()
            )
        )
    if isinstance(event, Month):
        return _monthly_update(event, job)
    return messages.StreamProcessResponse(completed=result_message(event))


def _monthly_update(month: Month, job: Job) -> messages.StreamProcessResponse:
    purchases = month.purchases
    # Dates are formatted once, since many lines share a day. Lines are added in place, which avoids a copy.
    dates = {day: calendar_day(day).isoformat() for day in set(purchases.days)}
    response = messages.StreamProcessResponse()
    update = response.monthly_update
    update.month_display = month_display(month.period_start)
    update.progress = round(month.progress, 1)
    update.month_number = month.month_number
    update.month_count = month.month_count
    update.period_start = month.period_start.isoformat()
    update.period_end = month.period_end.isoformat()
    update.trip_count = len(dates)
    full_prices = math.fsum(map(operator.mul, purchases.prices, purchases.quantities))
    savings = math.fsum(purchases.savings)
    digits = minor_unit_digits(job.currency_code)
    update.total_spend = round_to_cent(full_prices - savings, digits)
    update.total_savings = round_to_cent(savings, digits)
    update.purchase_count = len(purchases.days)
    lines = zip(
        purchases.item_indices,
        purchases.days,
        purchases.quantities,
        purchases.prices,
        purchases.savings,
        strict=True,
    )
    identities = [job.identities.get(name) or ItemIdentity(name) for name in purchases.item_names]
    for item, day, quantity, price, saving in itertools.islice(lines, MAX_UPDATE_PURCHASES):
        update.purchases.add(
            name=identities[item].name,
            item_id=identities[item].item_id,
            variant=identities[item].variant,
            category=purchases.item_categories[item],
            date=dates[day],
            quantity=quantity,
            price=price,
            saving=saving,
        )
    return response


def result_message(result: Completed) -> messages.ProcessResult:
    """Converts a result. Its id is a hash of all other fields, so that equal results have equal ids."""
    job = result.job
    response = cast(RecommendResponse, result.recommendations.payload)
    message = messages.ProcessResult(
        customer_id=job.customer_id,
        recommendations=messages.RecommendationSet(
            recommendations=response.recommendations,
            omitted=response.omitted,
            related=_related(result),
            plain_names=_plain_names(result),
            plan=response.plan if response.HasField("plan") else None,
            cadence_changes=[cast(CadenceChange, change) for change in result.cadence_changes],
            suggestions=response.suggestions,
            near_misses=response.near_misses,
            forecasts=[_forecast(forecast) for forecast in result.forecasts],
            binding_constraints=response.binding_constraints,
        ),
        model=_model(result.recommendations.model),
        source=result.recommendations.source,
        confidence_model=_model(result.confidence_model),
        as_of=job.as_of.isoformat(),
        customer_name=job.customer_name,
        history_summary=_summary(result),
        warnings=[
            messages.Warning(component=degradation.component, code=degradation.code, message=degradation.message)
            for degradation in result.degradations
        ],
        customer_profile=cast("CustomerProfile | None", result.profile),
        model_facts=_model_facts(result),
        currency_code=job.currency_code,
        history_version=job.history_version,
        analysis=response.analysis if response.HasField("analysis") else None,
    )
    _name_items(message.recommendations, job.identities)
    for planned in message.analysis.items if response.HasField("analysis") else ():
        # The names stay distinct, so that constraints can name the items.
        if identity := job.identities.get(planned.name):
            _, planned.item_id, planned.variant = identity
    if isinstance(job.source, FirstPurchase):
        message.archetype = job.source.archetype
        message.seed = job.source.seed
    message.recommendation_id = _id_of(message)
    return message


def what_if_messages(event: PlanMade | WhatIf, history_version: str = "") -> Iterator[messages.WhatIfResponse]:
    """Converts a plan to one event, and its replay to one for each week and one with the totals."""
    if isinstance(event, PlanMade):
        yield messages.WhatIfResponse(started=_what_if_started(event, history_version))
        return
    for number in range(event.job.week_count):
        yield messages.WhatIfResponse(week=_what_if_week(event, number))
    yield messages.WhatIfResponse(completed=_what_if_summary(event))


def what_if_result(events: Sequence[PlanMade | WhatIf], history_version: str = "") -> messages.WhatIfResult:
    result = messages.WhatIfResult()
    for response in itertools.chain.from_iterable(what_if_messages(event, history_version) for event in events):
        match response.WhichOneof("event"):
            case "started":
                result.started.CopyFrom(response.started)
            case "week":
                result.weeks.append(response.week)
            case _:
                result.summary.CopyFrom(response.completed)
    return result


def _what_if_started(event: PlanMade, history_version: str) -> messages.WhatIfStarted:
    job = event.job.plan
    response = cast(RecommendResponse, event.plan)
    started = messages.WhatIfStarted(
        customer_id=job.customer_id,
        as_of=job.as_of.isoformat(),
        week_count=event.job.week_count,
        end_date=calendar_day(event.job.first_day + event.job.day_count - 1).isoformat(),
        plan=response.plan if response.HasField("plan") else None,
        binding_constraints=response.binding_constraints,
        warnings=[
            messages.Warning(component=degradation.component, code=degradation.code, message=degradation.message)
            for degradation in event.degradations
        ],
        currency_code=job.currency_code,
        history_version=history_version,
    )
    for delivery in started.plan.deliveries if job.identities else ():
        for item in delivery.items:
            item.name, item.item_id, item.variant = job.identities.get(item.name) or ItemIdentity(item.name)
    return started


def _what_if_week(event: WhatIf, number: int) -> messages.WhatIfWeek:
    replayed = event.replay
    start = event.job.first_day + number * DAYS_PER_WEEK
    days = range(start, start + DAYS_PER_WEEK)
    week = messages.WhatIfWeek(
        week_number=number + 1,
        start_date=calendar_day(days[0]).isoformat(),
        end_date=calendar_day(days[-1]).isoformat(),
        totals=_what_if_totals(replayed.totals(range(number, number + 1))),
        cumulative_totals=_what_if_totals(replayed.totals(range(number + 1))),
        items=_what_if_items(event, range(number, number + 1)),
    )
    for arrived in replayed.deliveries:
        if arrived.delivery.day in days:
            name, item_id, variant = _planned_identity(event, arrived.delivery.item)
            week.deliveries.add(
                date=calendar_day(arrived.delivery.day).isoformat(),
                name=name,
                item_id=item_id,
                variant=variant,
                quantity=arrived.delivery.quantity,
                price=arrived.delivery.price,
                units_on_hand=arrived.units_on_hand,
                needed_date="" if arrived.needed_day is None else calendar_day(arrived.needed_day).isoformat(),
            )
    for met in replayed.needs:
        if met.need.day in days:
            name, item_id, variant = _planned_identity(event, met.need.item)
            week.needs.add(
                date=calendar_day(met.need.day).isoformat(),
                name=name,
                item_id=item_id,
                variant=variant,
                units=met.need.units,
                units_from_stock=met.units_from_stock,
                units_bought=met.units_bought,
                paid=met.need.paid,
                purchase_cost=met.purchase_cost,
            )
    return week


def _what_if_items(event: WhatIf, weeks: range) -> Iterator[messages.WhatIfItem]:
    for position in range(len(event.names)):
        name, item_id, variant = _planned_identity(event, position)
        yield messages.WhatIfItem(
            name=name,
            item_id=item_id,
            variant=variant,
            totals=_what_if_totals(event.replay.totals(weeks, position)),
            units_on_hand=event.replay.units_on_hand[
                position, weeks.start * DAYS_PER_WEEK : weeks.stop * DAYS_PER_WEEK
            ].tolist(),
        )


def _planned_identity(event: WhatIf, position: int) -> ItemIdentity:
    return event.job.plan.identities.get(event.names[position]) or ItemIdentity(event.names[position])


def _what_if_totals(totals: Totals) -> messages.WhatIfTotals:
    return messages.WhatIfTotals(**totals._asdict())


def _what_if_summary(event: WhatIf) -> messages.WhatIfSummary:
    totals = event.replay.totals()
    stock_cost = event.replay.stock_cost
    summary = messages.WhatIfSummary(
        totals=_what_if_totals(totals),
        items=_what_if_items(event, range(event.job.week_count)),
        promised_savings=event.promised_savings,
        stock_cost=stock_cost,
        savings_without_stock=round_to_cent(
            totals.savings + stock_cost, minor_unit_digits(event.job.plan.currency_code)
        ),
        total_spend=event.total_spend,
        has_prices=event.has_prices,
    )
    summary.replay_id = _id_of(summary)
    return summary


def _name_items(answer: messages.RecommendationSet, identities: Mapping[str, ItemIdentity]) -> None:
    """Gives the items of an answer the retailer's ids, variants and names."""
    if not identities:
        return
    delivered = (item for delivery in answer.plan.deliveries for item in delivery.items)
    items: Iterator[Recommendation | OmittedItem | PlannedItem] = itertools.chain(
        answer.recommendations, answer.omitted, answer.near_misses, delivered
    )
    for item in items:
        if identity := identities.get(item.name):
            item.name, item.item_id, item.variant = identity
    others: Iterator[messages.RelatedItems | CadenceChange | messages.ItemForecast | messages.PlainName] = (
        itertools.chain(answer.related, answer.cadence_changes, answer.forecasts, answer.plain_names)
    )
    for named in others:
        if identity := identities.get(named.name):
            named.name = identity.name


def _forecast(forecast: ForecastEvidence) -> messages.ItemForecast:
    frequency = cast(ItemFrequency, forecast.evidence.payload)
    return messages.ItemForecast(
        name=forecast.evidence.name,
        purchase_probabilities=frequency.purchase_probabilities,
        expected_days=frequency.expected_days,
        purchased_days=forecast.purchased_days,
    )


def _related(result: Completed) -> Iterator[messages.RelatedItems]:
    for name in result.recommendations.names:
        enrichment = result.enrichments.get(name)
        related_items = cast(EnrichedItem, enrichment.payload).related_items if enrichment else ()
        if enrichment and related_items:
            items = [messages.RelatedItem(name=item.name, relation=item.relation) for item in related_items]
            source = cast(EnrichedItem, enrichment.payload).sources.related_items or enrichment.source
            yield messages.RelatedItems(name=name, items=items, source=source)


def _plain_names(result: Completed) -> Iterator[messages.PlainName]:
    for name in result.recommendations.names:
        enrichment = result.enrichments.get(name)
        item = cast(EnrichedItem, enrichment.payload) if enrichment else EnrichedItem()
        if item.plain_name:
            yield messages.PlainName(name=name, plain_name=item.plain_name, source=item.sources.plain_name)


def _model_facts(result: Completed) -> Iterator[messages.ModelFacts]:
    for name in result.recommendations.names:
        enrichment = result.enrichments.get(name)
        if enrichment is None or enrichment.source != LANGUAGE_MODEL:
            continue
        sources = cast(EnrichedItem, enrichment.payload).sources
        facts = [field.name for field, source in sources.ListFields() if source == LANGUAGE_MODEL]
        yield messages.ModelFacts(name=name, facts=facts)


def _summary(result: Completed) -> messages.HistorySummary:
    history = result.history
    return messages.HistorySummary(
        month_count=result.month_count,
        trip_count=len(history.trip_days),
        purchase_count=len(history),
        item_count=len(history.item_names),
        first_date=calendar_day(int(history.days.min())).isoformat(),
        last_date=calendar_day(int(history.days.max())).isoformat(),
        total_spend=round_to_cent(float(history.paid.sum()), minor_unit_digits(result.job.currency_code)),
        has_prices=bool((history.prices > 0).any()),
        simulated=isinstance(result.job.source, FirstPurchase),
    )


def _model(model: ModelName) -> Model:
    return Model(name=model.name, version=model.version)


def config_response(
    components: Sequence[Component], default_archetype: str, version: str
) -> messages.GetConfigResponse:
    """Response with the configuration of the pipeline."""
    return messages.GetConfigResponse(
        version=version,
        default_archetype=default_archetype,
        default_simulation_months=DEFAULT_SIMULATION_MONTHS,
        max_simulation_months=MAX_SIMULATION_MONTHS,
        max_items=MAX_BASKET_ITEMS,
        max_history_rows=MAX_HISTORY_ROWS,
        components=[
            messages.ComponentConfig(name=component.name, required=component.required, enabled=component.enabled)
            for component in components
        ],
        cadences=[messages.Cadence(frequency=step.frequency, interval_days=step.interval_days) for step in LADDER],
    )


def status_response(
    healths: Sequence[ComponentHealth], version: str, warnings: Sequence[RecentWarning] = ()
) -> messages.GetStatusResponse:
    """Converts the results of health checks to a message."""
    return messages.GetStatusResponse(
        state=_state(mesh_state(healths)),
        components=[
            messages.ComponentStatus(
                name=health.component.name,
                state=_state(health.state),
                required=health.component.required,
                latency_ms=round(health.latency_ms, 1),
                message=health.message,
                version=health.version,
            )
            for health in healths
        ],
        version=version,
        recent_warnings=[
            messages.RecentWarning(
                component=warning.degradation.component,
                code=warning.degradation.code,
                message=warning.degradation.message,
                count=warning.result_count,
                last_time=warning.last_time.isoformat(timespec="seconds"),
            )
            for warning in warnings
        ],
    )


def _state(state: State) -> "messages.ComponentState.ValueType":
    return messages.ComponentState.Value(f"COMPONENT_STATE_{state.name}")
