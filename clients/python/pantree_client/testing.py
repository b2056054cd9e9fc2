"""A fake of Pantree for tests of programs that use the client. It runs in process and returns configured answers.

Example::

    fake = FakePantree([("Bananas", "weekly"), ("Milk", "biweekly")])
    async with fake.client() as client:
        result = await client.process(FirstPurchase("cust_001", [Item("Bananas", 1.99)]))
    assert [recommendation.name for recommendation in result.recommendations] == ["Bananas", "Milk"]
    assert fake.requests[0].customer_id == "cust_001"

Its answers have the fields and the order of real ones, but constant values: it ignores the purchases and rejects
nothing. Use `fail_next` for errors.
"""

import calendar
from collections.abc import AsyncGenerator, Sequence
from datetime import date, timedelta

from pantree.history.v1 import history_service_pb2 as history
from pantree.model.v1.model_pb2 import Model
from pantree.pipeline.v1 import pipeline_service_pb2 as pipeline
from pantree.recommendation.v1.recommendation_service_pb2 import (
    REVIEW_ACTION_KEEP,
    GetModelResponse,
    ModelDetails,
    PlannedDelivery,
    PlannedItem,
    PredictedItem,
    PriceTier,
    Reason,
    Recommendation,
    SavingsVsPaid,
    Subscription,
    SubscriptionPlan,
    SubscriptionReview,
)
from pantree.simulation.v1 import simulation_service_pb2 as simulation
from pantree.subscription.v1 import subscription_service_pb2 as subscription
from pantree.subscription.v1 import webhook_service_pb2 as webhook
from pantree_client.client import PantreeClient
from pantree_client.fake_subscriptions import FakeSubscriptions
from pantree_client.fake_webhooks import FakeWebhooks
from pantree_client.sync import SyncPantreeClient
from pantree_domain.cadence import LADDER
from pantree_runtime.errors import NotFound, PantreeError

_TOO_EARLY = "It is too early to say; we look again after the next delivery."
_MODEL = Model(name="fake", version="1")
_MONTHS = 6
_DEFAULT_AS_OF = date(2026, 6, 1)
"""Constant, so that tests are repeatable."""
_ARCHETYPES = ("busy_family", "single_professional")
_INTERVAL_DAYS = {cadence.frequency: cadence.interval_days for cadence in LADDER}


class FakePantree:
    """Answers the calls of a client and records them.

    Args:
        recommendations: name and frequency (such as `weekly`) of the recommended items, best first.
        warnings: component, code and message of the warnings of answers.
        state: state that `status` returns: `serving`, `degraded` or `unavailable`.

    Raises:
        ValueError: when Pantree does not offer a frequency.
    """

    def __init__(
        self,
        recommendations: Sequence[tuple[str, str]] = (("Bananas", "weekly"),),
        *,
        warnings: Sequence[tuple[str, str, str]] = (),
        state: str = "serving",
    ) -> None:
        unknown = [frequency for _, frequency in recommendations if frequency not in _INTERVAL_DAYS]
        if unknown:
            raise ValueError(f"unknown frequency {', '.join(unknown)}; use one of {', '.join(_INTERVAL_DAYS)}")
        self._recommendations = tuple(recommendations)
        self._warnings = tuple(warnings)
        self._state = pipeline.ComponentState.Value(f"COMPONENT_STATE_{state.upper()}")
        self._failures: list[tuple[PantreeError, int]] = []
        self.requests: list[pipeline.ProcessInput] = []
        """Every request for recommendations, oldest first."""
        self.basket_requests: list[pipeline.NextBasketInput] = []
        """Every request for a next basket, oldest first."""
        self.purchases: dict[str, dict[tuple[str, str], history.PurchaseLine]] = {}
        """Stored lines by customer, then by order_id and line_id."""
        self.plan_requests: list[pipeline.PlanInput] = []
        """Every request for a plan, oldest first."""
        self.what_if_requests: list[pipeline.WhatIfInput] = []
        """Every request for a replay, oldest first."""
        self.subscriptions = FakeSubscriptions()
        """Stored offers and subscriptions."""
        self.webhooks = FakeWebhooks()
        """Webhooks, which send nothing."""
        self.subscription_requests: list[
            subscription.CreateOfferRequest
            | subscription.CreateSubscriptionRequest
            | subscription.ChangeSubscriptionRequest
            | subscription.PauseSubscriptionsRequest
            | subscription.ResumeSubscriptionsRequest
            | subscription.RecordDeliveryRequest
        ] = []
        """Every request that changes offers or subscriptions, oldest first."""
        self.streams_in_flight = 0
        """Number of open streams; 0 once a program has closed all of them."""

    def client(self) -> PantreeClient:
        """Async client of this fake."""
        return PantreeClient("fake", transport=self)

    def sync_client(self) -> SyncPantreeClient:
        """Blocking client of this fake."""
        return SyncPantreeClient("fake", transport=self)

    def fail_next(self, error: PantreeError, *, after_events: int = 0) -> None:
        """Makes the next call fail. Call it several times to make several calls fail.

        Args:
            error: the error, such as `ComponentUnavailable("frequency", "frequency is not available")`.
            after_events: number of events before the error, for a stream.
        """
        self._failures.append((error, after_events))

    async def open(self) -> None:
        """See `Transport`."""

    async def close(self) -> None:
        """See `Transport`."""

    async def process(self, request: pipeline.ProcessInput, timeout_seconds: float) -> pipeline.ProcessResult:
        """See `Transport`."""
        self.requests.append(request)
        self._raise_next_failure()
        return self._result(request)

    async def stream_process(
        self, request: pipeline.ProcessInput, timeout_seconds: float
    ) -> AsyncGenerator[pipeline.StreamProcessResponse]:
        """See `Transport`."""
        self.requests.append(request)
        error, position_of_error = self._failures.pop(0) if self._failures else (None, 0)
        self.streams_in_flight += 1
        try:
            for position, event in enumerate(self._events(request)):
                if error is not None and position == position_of_error:
                    raise error
                yield event
        finally:
            self.streams_in_flight -= 1

    async def plan(self, request: pipeline.PlanInput, timeout_seconds: float) -> pipeline.PlanResult:
        """See `Transport`. All items of the analysis are delivered alone, one unit each, on their best days."""
        self.plan_requests.append(request)
        self._raise_next_failure()
        items = sorted(request.analysis.items, key=lambda item: (item.best_first_date, item.name))
        return pipeline.PlanResult(
            customer_id=request.customer_id,
            as_of=request.analysis.as_of,
            currency_code=request.analysis.currency_code,
            recommendation_id=f"fake-{request.customer_id}",
            plan=SubscriptionPlan(
                item_count=len(items),
                end_date=request.analysis.as_of,
                deliveries=[
                    PlannedDelivery(
                        date=item.best_first_date,
                        items=[PlannedItem(name=item.name, quantity=1, price=item.unit_price)],
                        price=item.unit_price,
                    )
                    for item in items
                ],
            ),
        )

    async def what_if(
        self, request: pipeline.WhatIfInput, timeout_seconds: float
    ) -> AsyncGenerator[pipeline.WhatIfResponse]:
        """See `Transport`. One item is delivered and needed on the first day of every week."""
        self.what_if_requests.append(request)
        error, position_of_error = self._failures.pop(0) if self._failures else (None, 0)
        self.streams_in_flight += 1
        try:
            for position, event in enumerate(self._what_if_events(request)):
                if error is not None and position == position_of_error:
                    raise error
                yield event
        finally:
            self.streams_in_flight -= 1

    async def get_what_if(self, request: pipeline.WhatIfInput, timeout_seconds: float) -> pipeline.WhatIfResult:
        """See `Transport`."""
        self.what_if_requests.append(request)
        self._raise_next_failure()
        started, *weeks, completed = self._what_if_events(request)
        return pipeline.WhatIfResult(
            started=started.started, weeks=[event.week for event in weeks], summary=completed.completed
        )

    def _what_if_events(self, request: pipeline.WhatIfInput) -> list[pipeline.WhatIfResponse]:
        weeks = request.week_count or 12
        as_of = date.fromisoformat(request.as_of) if request.as_of else _DEFAULT_AS_OF - timedelta(weeks=weeks)
        name = self._recommendations[0][0] if self._recommendations else "Bananas"

        def totals(count: int) -> pipeline.WhatIfTotals:
            return pipeline.WhatIfTotals(
                box_count=count,
                delivery_count=count,
                need_count=count,
                delivered_units=count,
                needed_units=count,
                paid=2.0 * count,
                delivery_cost=1.9 * count,
                savings=round(0.1 * count, 2),
            )

        def item(count: int) -> pipeline.WhatIfItem:
            return pipeline.WhatIfItem(name=name, totals=totals(count), units_on_hand=[0.0] * 7 * count)

        events = [
            pipeline.WhatIfResponse(
                started=pipeline.WhatIfStarted(
                    customer_id=request.customer_id,
                    as_of=as_of.isoformat(),
                    end_date=(as_of + timedelta(weeks=weeks)).isoformat(),
                    week_count=weeks,
                    currency_code=request.currency_code,
                    plan=SubscriptionPlan(item_count=1, annual_cost=98.8),
                )
            )
        ]
        for number in range(1, weeks + 1):
            start = (as_of + timedelta(days=7 * number - 6)).isoformat()
            delivery = pipeline.WhatIfDelivery(date=start, name=name, quantity=1, price=1.9, needed_date=start)
            need = pipeline.WhatIfNeed(date=start, name=name, units=1, units_from_stock=1, paid=2.0)
            week = pipeline.WhatIfWeek(
                week_number=number,
                start_date=start,
                end_date=(as_of + timedelta(weeks=number)).isoformat(),
                totals=totals(1),
                cumulative_totals=totals(number),
                items=[item(1)],
                deliveries=[delivery],
                needs=[need],
            )
            events.append(pipeline.WhatIfResponse(week=week))
        summary = pipeline.WhatIfSummary(
            totals=totals(weeks),
            items=[item(weeks)],
            promised_savings=round(0.1 * weeks, 2),
            savings_without_stock=round(0.1 * weeks, 2),
            total_spend=100.0 * weeks,
            has_prices=True,
            replay_id=f"fake-{request.customer_id}",
        )
        return [*events, pipeline.WhatIfResponse(completed=summary)]

    async def next_basket(self, request: pipeline.NextBasketInput, timeout_seconds: float) -> pipeline.NextBasketResult:
        """See `Transport`. The basket has the configured items, whatever the mode."""
        self.basket_requests.append(request)
        self._raise_next_failure()
        limit = request.max_items if request.HasField("max_items") else len(self._recommendations)
        return pipeline.NextBasketResult(
            customer_id=request.customer_id,
            recommendation_id=f"fake-{request.customer_id}",
            items=[
                PredictedItem(
                    name=name,
                    category="produce",
                    probability=0.9 - 0.001 * position,
                    purchase_count=12,
                    last_date=(_DEFAULT_AS_OF - timedelta(days=1)).isoformat(),
                )
                for position, (name, _) in enumerate(self._recommendations[:limit])
            ],
            as_of=request.as_of or _DEFAULT_AS_OF.isoformat(),
            model=_MODEL,
        )

    async def get_recommendations(
        self, request: pipeline.GetRecommendationsRequest, timeout_seconds: float
    ) -> pipeline.ProcessResult:
        """See `Transport`."""
        self._raise_next_failure()
        self._lines_of(request.customer_id)
        count = request.max_recommendations if request.HasField("max_recommendations") else None
        return self._result(
            pipeline.ProcessInput(
                customer_id=request.customer_id, stored_history=True, as_of=request.as_of, max_recommendations=count
            )
        )

    async def get_next_basket(
        self, request: pipeline.GetNextBasketRequest, timeout_seconds: float
    ) -> pipeline.NextBasketResult:
        """See `Transport`."""
        self._lines_of(request.customer_id)
        limit = request.max_items if request.HasField("max_items") else None
        return await self.next_basket(
            pipeline.NextBasketInput(
                customer_id=request.customer_id, stored_history=True, as_of=request.as_of, max_items=limit
            ),
            timeout_seconds,
        )

    async def review_subscriptions(
        self, request: pipeline.ReviewSubscriptionsRequest, timeout_seconds: float
    ) -> pipeline.SubscriptionReviews:
        """See `Transport`. Every subscription is to be kept."""
        self._raise_next_failure()
        listed = subscription.ListSubscriptionsRequest(customer_id=request.customer_id)
        ended = (subscription.SUBSCRIPTION_STATUS_CANCELLED, subscription.SUBSCRIPTION_STATUS_EXPIRED)
        reviews = [
            SubscriptionReview(
                subscription_id=one.subscription_id,
                item=one.item,
                action=REVIEW_ACTION_KEEP,
                reasons=[Reason(code="REVIEW_TOO_EARLY", text=_TOO_EARLY)],
            )
            for one in self.subscriptions.list_subscriptions(listed).subscriptions
            if one.status not in ended
        ]
        as_of = request.as_of or _DEFAULT_AS_OF.isoformat()
        return pipeline.SubscriptionReviews(customer_id=request.customer_id, as_of=as_of, reviews=reviews)

    async def append_purchases(
        self, request: history.AppendPurchasesRequest, timeout_seconds: float
    ) -> history.AppendPurchasesResponse:
        """See `Transport`. Stores the lines in this fake; the same ids replace a line."""
        self._raise_next_failure()
        lines = self.purchases.setdefault(request.customer_id, {})
        new = {(line.order_id, line.line_id): line for line in request.purchases}
        added = len(new.keys() - lines.keys())
        lines.update(new)
        return history.AppendPurchasesResponse(
            customer_id=request.customer_id,
            added_count=added,
            duplicate_count=len(request.purchases) - added,
            history_version=f"fake-{len(lines)}",
        )

    async def correct_purchases(
        self, request: history.CorrectPurchasesRequest, timeout_seconds: float
    ) -> history.CorrectPurchasesResponse:
        """See `Transport`."""
        self._raise_next_failure()
        lines = self._lines_of(request.customer_id)
        lines.update({(line.order_id, line.line_id): line for line in request.purchases})
        removed = [lines.pop((key.order_id, key.line_id), None) for key in request.removed]
        return history.CorrectPurchasesResponse(
            corrected_count=len(request.purchases),
            removed_count=sum(one is not None for one in removed),
            history_version=f"fake-{len(lines)}",
        )

    async def merge_customers(
        self, request: history.MergeCustomersRequest, timeout_seconds: float
    ) -> history.MergeCustomersResponse:
        """See `Transport`. Moves the lines and subscriptions; the merged id is not another name afterward."""
        self._raise_next_failure()
        moved = self._lines_of(request.merged_customer_id)
        del self.purchases[request.merged_customer_id]
        lines = self.purchases.setdefault(request.customer_id, {})
        lines.update(moved)
        return history.MergeCustomersResponse(
            customer_id=request.customer_id,
            merged_at=f"{_DEFAULT_AS_OF.isoformat()}T00:00:00.000000Z",
            moved_line_count=len(moved),
            moved_subscription_count=self.subscriptions.move(request.merged_customer_id, request.customer_id),
            history_version=f"fake-{len(lines)}",
        )

    async def list_purchases(
        self, request: history.ListPurchasesRequest, timeout_seconds: float
    ) -> history.ListPurchasesResponse:
        """See `Transport`. All lines are on one page."""
        self._raise_next_failure()
        lines = self._lines_of(request.customer_id).values()
        ordered = sorted(lines, key=lambda line: (line.date, line.order_id, line.line_id))
        return history.ListPurchasesResponse(purchases=ordered, history_version=f"fake-{len(ordered)}")

    async def export_customer(
        self, request: history.ExportCustomerRequest, timeout_seconds: float
    ) -> AsyncGenerator[history.ExportCustomerResponse]:
        """See `Transport`."""
        self._raise_next_failure()
        lines = self._lines_of(request.customer_id)
        customer = history.StoredCustomer(customer_id=request.customer_id, line_count=len(lines))
        yield history.ExportCustomerResponse(customer=customer)
        stored = [history.StoredLine(purchase=line, revision=1) for line in lines.values()]
        yield history.ExportCustomerResponse(stored_lines=history.StoredLines(lines=stored))

    async def erase_customer(
        self, request: pipeline.EraseCustomerRequest, timeout_seconds: float
    ) -> pipeline.EraseCustomerResponse:
        """See `Transport`."""
        self._raise_next_failure()
        count = len(self.purchases.pop(request.customer_id, {}))
        self.subscriptions.erase(request.customer_id)
        removed = pipeline.RemovedData(component="history", kind="purchase_lines", removed_count=count)
        return pipeline.EraseCustomerResponse(
            erased_at=f"{_DEFAULT_AS_OF.isoformat()}T00:00:00.000000Z", ledger_entry_id="fake", removed=[removed]
        )

    async def create_offer(
        self, request: subscription.CreateOfferRequest, timeout_seconds: float
    ) -> subscription.CreateOfferResponse:
        """See `Transport`."""
        self.subscription_requests.append(request)
        self._raise_next_failure()
        return self.subscriptions.create_offer(request)

    async def list_offers(
        self, request: subscription.ListOffersRequest, timeout_seconds: float
    ) -> subscription.ListOffersResponse:
        """See `Transport`."""
        self._raise_next_failure()
        return self.subscriptions.list_offers(request)

    async def create_subscription(
        self, request: subscription.CreateSubscriptionRequest, timeout_seconds: float
    ) -> subscription.CreateSubscriptionResponse:
        """See `Transport`."""
        self.subscription_requests.append(request)
        self._raise_next_failure()
        return self.subscriptions.create_subscription(request)

    async def get_subscription(
        self, request: subscription.GetSubscriptionRequest, timeout_seconds: float
    ) -> subscription.GetSubscriptionResponse:
        """See `Transport`."""
        self._raise_next_failure()
        return self.subscriptions.get_subscription(request)

    async def list_subscriptions(
        self, request: subscription.ListSubscriptionsRequest, timeout_seconds: float
    ) -> subscription.ListSubscriptionsResponse:
        """See `Transport`."""
        self._raise_next_failure()
        return self.subscriptions.list_subscriptions(request)

    async def change_subscription(
        self, request: subscription.ChangeSubscriptionRequest, timeout_seconds: float
    ) -> subscription.ChangeSubscriptionResponse:
        """See `Transport`."""
        self.subscription_requests.append(request)
        self._raise_next_failure()
        return self.subscriptions.change_subscription(request)

    async def pause_subscriptions(
        self, request: subscription.PauseSubscriptionsRequest, timeout_seconds: float
    ) -> subscription.PauseSubscriptionsResponse:
        """See `Transport`."""
        self.subscription_requests.append(request)
        self._raise_next_failure()
        return self.subscriptions.pause_subscriptions(request)

    async def resume_subscriptions(
        self, request: subscription.ResumeSubscriptionsRequest, timeout_seconds: float
    ) -> subscription.ResumeSubscriptionsResponse:
        """See `Transport`."""
        self.subscription_requests.append(request)
        self._raise_next_failure()
        return self.subscriptions.resume_subscriptions(request)

    async def get_test_clock(
        self, request: subscription.GetTestClockRequest, timeout_seconds: float
    ) -> subscription.GetTestClockResponse:
        """See `Transport`."""
        self._raise_next_failure()
        return self.subscriptions.get_test_clock(request)

    async def advance_test_clock(
        self, request: subscription.AdvanceTestClockRequest, timeout_seconds: float
    ) -> subscription.AdvanceTestClockResponse:
        """See `Transport`."""
        self._raise_next_failure()
        return self.subscriptions.advance_test_clock(request)

    async def record_delivery(
        self, request: subscription.RecordDeliveryRequest, timeout_seconds: float
    ) -> subscription.RecordDeliveryResponse:
        """See `Transport`."""
        self.subscription_requests.append(request)
        self._raise_next_failure()
        return self.subscriptions.record_delivery(request)

    async def list_deliveries(
        self, request: subscription.ListDeliveriesRequest, timeout_seconds: float
    ) -> subscription.ListDeliveriesResponse:
        """See `Transport`."""
        self._raise_next_failure()
        return self.subscriptions.list_deliveries(request)

    async def list_events(
        self, request: subscription.ListEventsRequest, timeout_seconds: float
    ) -> subscription.ListEventsResponse:
        """See `Transport`."""
        self._raise_next_failure()
        return self.subscriptions.list_events(request)

    async def create_webhook(
        self, request: webhook.CreateWebhookRequest, timeout_seconds: float
    ) -> webhook.CreateWebhookResponse:
        """See `Transport`."""
        self._raise_next_failure()
        return self.webhooks.create_webhook(request)

    async def list_webhooks(
        self, request: webhook.ListWebhooksRequest, timeout_seconds: float
    ) -> webhook.ListWebhooksResponse:
        """See `Transport`."""
        self._raise_next_failure()
        return self.webhooks.list_webhooks(request)

    async def delete_webhook(
        self, request: webhook.DeleteWebhookRequest, timeout_seconds: float
    ) -> webhook.DeleteWebhookResponse:
        """See `Transport`."""
        self._raise_next_failure()
        return self.webhooks.delete_webhook(request)

    async def test_webhook(
        self, request: webhook.TestWebhookRequest, timeout_seconds: float
    ) -> webhook.TestWebhookResponse:
        """See `Transport`."""
        self._raise_next_failure()
        return self.webhooks.test_webhook(request)

    async def rotate_webhook_secret(
        self, request: webhook.RotateWebhookSecretRequest, timeout_seconds: float
    ) -> webhook.RotateWebhookSecretResponse:
        """See `Transport`."""
        self._raise_next_failure()
        return self.webhooks.rotate_webhook_secret(request)

    async def replay_webhook(
        self, request: webhook.ReplayWebhookRequest, timeout_seconds: float
    ) -> webhook.ReplayWebhookResponse:
        """See `Transport`."""
        self._raise_next_failure()
        return self.webhooks.replay_webhook(request)

    async def list_dead_letters(
        self, request: webhook.ListDeadLettersRequest, timeout_seconds: float
    ) -> webhook.ListDeadLettersResponse:
        """See `Transport`."""
        self._raise_next_failure()
        return self.webhooks.list_dead_letters(request)

    def _lines_of(self, customer_id: str) -> dict[tuple[str, str], history.PurchaseLine]:
        if customer_id not in self.purchases:
            raise NotFound("nothing is stored of this customer")
        return self.purchases[customer_id]

    async def get_config(self, timeout_seconds: float) -> pipeline.GetConfigResponse:
        """See `Transport`."""
        self._raise_next_failure()
        return pipeline.GetConfigResponse(
            version="fake",
            default_archetype=_ARCHETYPES[0],
            default_simulation_months=_MONTHS,
            max_simulation_months=60,
            max_items=100,
            max_history_rows=20_000,
            components=[pipeline.ComponentConfig(name="fake", required=True, enabled=True)],
            cadences=[
                pipeline.Cadence(frequency=frequency, interval_days=days) for frequency, days in _INTERVAL_DAYS.items()
            ],
        )

    async def get_status(self, timeout_seconds: float) -> pipeline.GetStatusResponse:
        """See `Transport`."""
        self._raise_next_failure()
        component = pipeline.ComponentStatus(name="fake", state=self._state, required=True)
        return pipeline.GetStatusResponse(state=self._state, version="fake", components=[component])

    async def list_catalog_items(
        self, request: simulation.ListCatalogItemsRequest, timeout_seconds: float
    ) -> simulation.ListCatalogItemsResponse:
        """See `Transport`."""
        self._raise_next_failure()
        item = simulation.CatalogItem(name="Bananas", category="produce", pack="bunch", usual_price=1.89)
        is_wanted = item.name.lower().startswith(request.prefix.strip().lower())
        return simulation.ListCatalogItemsResponse(items=[item] if is_wanted else [])

    async def get_models(self, timeout_seconds: float) -> pipeline.GetModelsResponse:
        """See `Transport`."""
        self._raise_next_failure()
        model = ModelDetails(id="fake/1", model=Model(name="fake", version="1"), source="embedded", share_ratio=1)
        return pipeline.GetModelsResponse(ranking=GetModelResponse(source="embedded", models=[model]))

    async def list_archetypes(
        self, request: simulation.ListArchetypesRequest, timeout_seconds: float
    ) -> simulation.ListArchetypesResponse:
        """See `Transport`. The page token is the number of archetypes before the page."""
        self._raise_next_failure()
        first = int(request.page_token or 0)
        end = first + (request.page_size or len(_ARCHETYPES))
        return simulation.ListArchetypesResponse(
            archetypes=[
                simulation.Archetype(
                    id=name,
                    display_name=name.replace("_", " ").title(),
                    description="A fake archetype.",
                    mean_trip_gap_days=10,
                    mean_basket_items=8,
                    category_weights=[simulation.CategoryWeight(category="produce", weight_ratio=1)],
                )
                for name in _ARCHETYPES[first:end]
            ],
            next_page_token=str(end) if end < len(_ARCHETYPES) else "",
            default_archetype=_ARCHETYPES[0],
        )

    def _raise_next_failure(self) -> None:
        if self._failures:
            raise self._failures.pop(0)[0]

    def _events(self, request: pipeline.ProcessInput) -> list[pipeline.StreamProcessResponse]:
        as_of = _as_of(request)
        months = _months(request)
        started = pipeline.Started(
            customer_id=request.customer_id, month_count=months, seed=_seed(request), as_of=as_of.isoformat()
        )
        updates = []
        for number in range(1, months + 1):
            begin, end = _month_before(as_of, months - number)
            updates.append(
                pipeline.MonthlyUpdate(
                    month_display=f"{calendar.month_name[begin.month]} {begin.year}",
                    progress=round(100 * number / months, 1),
                    month_number=number,
                    month_count=months,
                    period_start=begin.isoformat(),
                    period_end=end.isoformat(),
                )
            )
        return [
            pipeline.StreamProcessResponse(started=started),
            *(pipeline.StreamProcessResponse(monthly_update=update) for update in updates),
            pipeline.StreamProcessResponse(completed=self._result(request)),
        ]

    def _result(self, request: pipeline.ProcessInput) -> pipeline.ProcessResult:
        as_of = _as_of(request)
        months = _months(request)
        selected = self._recommendations[: request.max_recommendations or None]
        return pipeline.ProcessResult(
            customer_id=request.customer_id,
            customer_name=request.customer_name,
            currency_code=request.currency_code,
            archetype=(request.archetype or _ARCHETYPES[0]) if request.items else "",
            recommendation_id=f"fake-{request.customer_id}",
            recommendations=pipeline.RecommendationSet(
                plan=SubscriptionPlan(
                    item_count=len(selected),
                    annual_cost=95.0 * len(selected),
                    estimated_annual_savings=5.0 * len(selected),
                    annual_savings_vs_paid=3.0 * len(selected),
                ),
                recommendations=[
                    _recommendation(name, _INTERVAL_DAYS[frequency], frequency, as_of) for name, frequency in selected
                ],
            ),
            model=_MODEL,
            confidence_model=_MODEL,
            source="embedded",
            as_of=as_of.isoformat(),
            seed=_seed(request),
            history_summary=pipeline.HistorySummary(
                month_count=months,
                trip_count=4 * months,
                purchase_count=4 * months * len(selected),
                item_count=len(selected),
                first_date=_month_before(as_of, months - 1)[0].isoformat(),
                last_date=(as_of - timedelta(days=1)).isoformat(),
                total_spend=100.0 * months,
                has_prices=True,
                simulated=bool(request.items),
            ),
            warnings=[pipeline.Warning(component=part, code=code, message=text) for part, code, text in self._warnings],
        )


def _recommendation(name: str, interval_days: int, frequency: str, as_of: date) -> Recommendation:
    savings = SavingsVsPaid(
        expected_annual_savings=3.0,
        low_annual_savings=1.0,
        high_annual_savings=5.0,
        paid_unit_price=1.96,
        subscription_unit_price=1.9,
    )
    return Recommendation(
        name=name,
        confidence=90,
        count=12,
        avg_interval=interval_days,
        subscription=Subscription(
            frequency=frequency,
            interval_days=interval_days,
            estimated_annual_savings=5.0,
            discount_ratio=0.05,
            quantity=1,
            annual_cost=95.0,
            savings_vs_paid=savings,
            tiers=[
                PriceTier(
                    min_items_per_delivery=1,
                    discount_ratio=0.05,
                    annual_cost=95.0,
                    estimated_annual_savings=5.0,
                    savings_vs_paid=savings,
                )
            ],
            first_delivery_date=(as_of + timedelta(days=interval_days)).isoformat(),
        ),
        category="produce",
        cadence_probability=0.9,
        score=0.9,
        last_date=(as_of - timedelta(days=1)).isoformat(),
        next_due_date=(as_of + timedelta(days=interval_days - 1)).isoformat(),
        reasons=[
            Reason(
                code="BOUGHT_REGULARLY",
                text=f"Bought every {interval_days} days",
                values={"avg_interval": interval_days},
            )
        ],
    )


def _as_of(request: pipeline.ProcessInput) -> date:
    return date.fromisoformat(request.as_of) if request.as_of else _DEFAULT_AS_OF


def _months(request: pipeline.ProcessInput) -> int:
    return request.simulation_months if request.HasField("simulation_months") else _MONTHS


def _seed(request: pipeline.ProcessInput) -> int:
    if not request.items:
        return 0
    return request.seed if request.HasField("seed") else 1


def _month_before(as_of: date, count: int) -> tuple[date, date]:
    """First and last day of the calendar month that ended `count` months before the last complete one."""
    last = as_of.replace(day=1) - timedelta(days=1)
    for _ in range(count):
        last = last.replace(day=1) - timedelta(days=1)
    return last.replace(day=1), last
