"""`pantree subscriptions`: offers and subscriptions of customers."""

import inspect
import json
import re
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from google.protobuf import json_format
from google.protobuf.message import Message
from rich import box
from rich.table import Table

from pantree.pipeline.v1 import pipeline_service_pb2 as pipeline
from pantree.pipeline.v1 import pipeline_service_pb2_grpc as pipeline_rpc
from pantree.subscription.v1 import subscription_service_pb2 as messages
from pantree.subscription.v1 import subscription_service_pb2_grpc as rpc
from pantree_cli.customer import CustomerId, HistoryAddress, PipelineAddress, Tenant
from pantree_cli.help import examples
from pantree_cli.mesh import client_identity, default_address
from pantree_cli.options import AsJson, Certificates
from pantree_cli.output import console
from pantree_cli.view import shown_name
from pantree_client.reviews import SubscriptionReview, SupplyForecast, to_reviews
from pantree_client.subscriptions import (
    Cancel,
    ChangeInterval,
    ChangeItem,
    ChangeQuantity,
    CustomerSubscription,
    DeliveryInterval,
    IntervalUnit,
    Lever,
    Move,
    Offer,
    OfferRequest,
    Pause,
    Reactivate,
    Restore,
    Resume,
    SendNow,
    Skip,
    SubscribedItem,
    SubscriptionChange,
    SubscriptionDelivery,
    SubscriptionEvent,
    SubscriptionRequest,
    to_change,
    to_change_request,
    to_changes,
    to_clock_advance,
    to_delivery,
    to_offer,
    to_pause_request,
    to_subscription,
    to_subscription_event,
)
from pantree_runtime.channel import open_channel
from pantree_runtime.server import run as run_event_loop
from pantree_runtime.status import translate_rpc_errors
from pantree_runtime.tenants import check_tenant, tenant_metadata

_MAX_SECONDS = 60.0
_PAGE_SIZE = 100
_EVERY = re.compile(r"(\d{1,3})?\s*(day|week|month|d|w|m)s?")
# Of ids that the service chooses.
_ID_WIDTH = 24
_UNITS: dict[str, IntervalUnit] = {"d": "day", "w": "week", "m": "month"}
_ADVERBS = {"daily": "1d", "weekly": "1w", "biweekly": "2w", "monthly": "1m"}
_DAY = "%Y-%m-%d"
# Of a subscription that an engine keeps.
_ADVICE_WITHOUT_LEVER = {
    "keep": "keep it as it is.",
    "lengthen": "deliver less often.",
    "shorten": "deliver more often.",
    "change_quantity": "deliver another quantity.",
    "pause": "pause it for four weeks.",
    "swap": "deliver another item instead.",
    "stop": "stop it.",
}


def _option(metavar: str, text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, metavar=metavar, help=text, **more)


SubscriptionId = Annotated[str, typer.Argument(metavar="SUBSCRIPTION", help="Id of the subscription.")]
ItemName = Annotated[str, typer.Argument(metavar="ITEM", help="The shop's name of the item.")]
Every = Annotated[str, _option("INTERVAL", "Interval, such as 2w, '10 days', '1 month' or weekly.")]
Quantity = Annotated[int, _option("N", "Units of a delivery.")]
ItemId = Annotated[str, _option("ID", "The shop's own id of the item, such as a SKU.")]
Category = Annotated[str, _option("TEXT", "The shop's category of the item.")]
Variant = Annotated[str, _option("TEXT", "Variant or pack size of the item.")]
First = Annotated[datetime, _option("DATE", "Day of the first delivery, such as 2026-12-05.", formats=[_DAY])]
CutOffDays = Annotated[int, _option("N", "Days before a delivery on which changes end; 0 for its own day.")]
TimeZone = Annotated[str, _option("NAME", "Time zone of the shop, such as Europe/Berlin; by default UTC.")]
Consent = Annotated[str, _option("TEXT", "Text that the customer agreed to.")]
NewId = Annotated[str, _option("ID", "Id of the new subscription; by default, one is chosen.", "--id")]
NextDelivery = Annotated[int, _option("N", "Number of the delivery; by default the next one that can be changed.")]
OptionalQuantity = Annotated[int | None, _option("N", "Units of a delivery; by default those of the offer.")]
Actor = Annotated[str, _option("NAME", "Who causes the change; it is kept with each event.")]
Etag = Annotated[str, _option("ETAG", "Change nothing unless the subscription still has this etag.")]
OptionalSubscriptionId = Annotated[
    str, typer.Argument(metavar="[SUBSCRIPTION]", help="Id of the subscription; not with --all.")
]
OfAll = Annotated[bool, typer.Option("--all", help="All subscriptions of the customer at once.")]
RequestId = Annotated[str, _option("ID", "Makes it safe to repeat the command; by default a random one.")]

subscriptions_app = typer.Typer(
    help="Show and change the subscriptions of a customer.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=examples(
        "pantree subscriptions list 4711",
        "pantree subscriptions skip 4711 SUBSCRIPTION",
    ),
)
clock_app = typer.Typer(
    help="Show and advance the clock of a test tenant.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=examples(
        "pantree subscriptions clock show --tenant sandbox",
        "pantree subscriptions clock advance 2027-01-31 --tenant sandbox",
    ),
)
subscriptions_app.add_typer(clock_app, name="clock")


def _command(name: str, *lines: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return subscriptions_app.command(name, epilog=examples(*(f"pantree subscriptions {line}" for line in lines)))


def _lever(name: str, *lines: str) -> Callable[[Callable[..., Lever]], Callable[..., Lever]]:
    """Makes a command of a function that returns a lever of its options; the command has those of all levers, too."""

    def add(lever_of: Callable[..., Lever]) -> Callable[..., Lever]:
        def change(
            customer_id: CustomerId,
            subscription_id: SubscriptionId,
            *,
            actor: Actor = "operator",
            etag: Etag = "",
            request_id: RequestId = "",
            tenant: Tenant = "",
            address: HistoryAddress = "",
            certificates: Certificates = None,
            **options: Any,
        ) -> None:
            service = Service(tenant, address, certificates)
            service.change(customer_id, subscription_id, lever_of(**options), actor, etag, request_id)

        # typer reads the options of a command from its signature.
        *own, _ = inspect.signature(change).parameters.values()
        ids, shared = own[:2], own[2:]
        options = [
            one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in inspect.signature(lever_of).parameters.values()
        ]
        change.__signature__ = inspect.Signature([*ids, *options, *shared])  # type: ignore[attr-defined]
        change.__annotations__ = {one.name: one.annotation for one in (*ids, *options, *shared)}
        change.__doc__ = lever_of.__doc__
        _command(name, *lines)(change)
        return lever_of

    return add


@_command("list", "list 4711")
def list_subscriptions(
    customer_id: CustomerId,
    as_json: AsJson = False,
    tenant: Tenant = "",
    address: HistoryAddress = "",
    certificates: Certificates = None,
) -> None:
    """List the subscriptions of a customer, ended ones included."""
    request = messages.ListSubscriptionsRequest(customer_id=customer_id, page_size=_PAGE_SIZE)
    found = Service(tenant, address, certificates).pages("ListSubscriptions", request, "subscriptions")
    if as_json:
        print_json(found)
    elif found:
        console.print(_subscriptions_table(map(to_subscription, found)))
    else:
        print_text(f"{customer_id} has no subscriptions.")


@_command("show", "show 4711 SUBSCRIPTION", "show 4711 SUBSCRIPTION --until 2027-06-30")
def show(
    customer_id: CustomerId,
    subscription_id: SubscriptionId,
    until: Annotated[
        datetime | None,
        _option("DATE", "Last day of the deliveries to show; by default 12 weeks from now.", formats=[_DAY]),
    ] = None,
    as_json: AsJson = False,
    tenant: Tenant = "",
    address: HistoryAddress = "",
    certificates: Certificates = None,
) -> None:
    """Show a subscription with its past and coming deliveries."""
    service = Service(tenant, address, certificates)
    wanted = messages.GetSubscriptionRequest(customer_id=customer_id, subscription_id=subscription_id)
    subscription = service.call("GetSubscription", wanted).subscription
    request = messages.ListDeliveriesRequest(
        customer_id=customer_id, subscription_id=subscription_id, until=_day(until), page_size=_PAGE_SIZE
    )
    deliveries = service.pages("ListDeliveries", request, "deliveries")
    if as_json:
        print_json([subscription, *deliveries])
        return
    one = to_subscription(subscription)
    _print_subscription(one)
    if deliveries:
        console.print(_deliveries_table(one.item, map(to_delivery, deliveries)))
    else:
        print_text("No deliveries.")


@_command("review", "review 4711", "review 4711 --as-of 2026-12-05 --json")
def review(
    customer_id: CustomerId,
    as_of: Annotated[
        datetime | None, _option("DATE", "As-of date of purchases and deliveries; by default today.", formats=[_DAY])
    ] = None,
    as_json: AsJson = False,
    tenant: Tenant = "",
    address: PipelineAddress = "",
    certificates: Certificates = None,
) -> None:
    """Say what to keep and what to change, and why. Changes nothing."""
    check_tenant(tenant)
    request = pipeline.ReviewSubscriptionsRequest(customer_id=customer_id, as_of=_day(as_of))
    found: list[pipeline.SubscriptionReviews] = []

    async def call() -> None:
        place, identity = address or default_address("pipeline"), client_identity(certificates)
        async with open_channel(place, timeout_seconds=_MAX_SECONDS, part="pipeline", identity=identity) as channel:
            stub = pipeline_rpc.PipelineServiceStub(channel)
            with translate_rpc_errors("pipeline"):
                answer = await stub.ReviewSubscriptions(request, metadata=tenant_metadata(tenant))
            found.append(answer.result)

    run_event_loop(call)
    if as_json:
        print_json(found[0].reviews)
        return
    result = to_reviews(found[0])
    if not result.reviews:
        print_text(f"{customer_id} has no subscriptions to review.")
    for one in result.reviews:
        _print_review(one, result.currency_code)


@_command("events", "events 4711 SUBSCRIPTION")
def events(
    customer_id: CustomerId,
    subscription_id: SubscriptionId,
    as_json: AsJson = False,
    tenant: Tenant = "",
    address: HistoryAddress = "",
    certificates: Certificates = None,
) -> None:
    """List what happened to a subscription."""
    request = messages.ListEventsRequest(customer_id=customer_id, subscription_id=subscription_id, page_size=_PAGE_SIZE)
    found = Service(tenant, address, certificates).pages("ListEvents", request, "events")
    if as_json:
        print_json(found)
        return
    table = table_of("no.", "when (UTC)", "event", "actor")
    for event in map(to_subscription_event, found):
        when = event.occurred_at[:16].replace("T", " ")
        table.add_row(str(event.number), when, shown_name(_event_text(event)), shown_name(event.actor))
    console.print(table)


@_command("offer", "offer 4711 Milk --every 2w --channel email")
def offer(
    customer_id: CustomerId,
    item: ItemName,
    every: Every,
    quantity: Quantity = 1,
    item_id: ItemId = "",
    category: Category = "",
    variant: Variant = "",
    channel: Annotated[str, _option("NAME", "Where it is shown, such as app or email.")] = "",
    recommendation_id: Annotated[str, _option("ID", "Answer that it comes from.")] = "",
    actor: Actor = "operator",
    request_id: RequestId = "",
    tenant: Tenant = "",
    address: HistoryAddress = "",
    certificates: Certificates = None,
) -> None:
    """Store an offer that is shown to a customer, and print its id."""
    offered = SubscribedItem(item, category, item_id, variant)
    request = OfferRequest(customer_id, offered, _interval(every), quantity, channel, recommendation_id).message()
    request.actor, request.request_id = actor, request_id or uuid.uuid4().hex
    stored = to_offer(Service(tenant, address, certificates).call("CreateOffer", request).offer)
    print_text(f"Offer {stored.offer_id}: {_content(stored)}.")


@_command("offers", "offers 4711")
def offers(
    customer_id: CustomerId,
    as_json: AsJson = False,
    tenant: Tenant = "",
    address: HistoryAddress = "",
    certificates: Certificates = None,
) -> None:
    """List the offers to a customer."""
    request = messages.ListOffersRequest(customer_id=customer_id, page_size=_PAGE_SIZE)
    found = Service(tenant, address, certificates).pages("ListOffers", request, "offers")
    if as_json:
        print_json(found)
        return
    table = table_of("offer", "shown", "content", "accepted by")
    for one in map(to_offer, found):
        table.add_row(one.offer_id, one.shown_at[:10], shown_name(_content(one)), shown_name(one.subscription_id))
    console.print(keep_ids_whole(table, 0, 3))


@_command("accept", "accept 4711 OFFER --first 2026-12-05 --consent Yes")
def accept(
    customer_id: CustomerId,
    offer_id: Annotated[str, typer.Argument(metavar="OFFER", help="Id of the offer.")],
    first: First,
    quantity: OptionalQuantity = None,
    subscription_id: NewId = "",
    cut_off_days: CutOffDays = 0,
    time_zone: TimeZone = "",
    consent: Consent = "",
    actor: Actor = "operator",
    request_id: RequestId = "",
    tenant: Tenant = "",
    address: HistoryAddress = "",
    certificates: Certificates = None,
) -> None:
    """Begin the subscription of an offer."""
    request = SubscriptionRequest(
        customer_id,
        first.date(),
        quantity=quantity,
        offer_id=offer_id,
        subscription_id=subscription_id,
        cut_off_days=cut_off_days,
        time_zone=time_zone,
        consent=consent,
    )
    _create(Service(tenant, address, certificates), request, actor, request_id)


@_command("create", "create 4711 Milk --every 2w --first 2026-12-05")
def create(
    customer_id: CustomerId,
    item: ItemName,
    every: Every,
    first: First,
    quantity: Quantity = 1,
    item_id: ItemId = "",
    category: Category = "",
    variant: Variant = "",
    subscription_id: NewId = "",
    cut_off_days: CutOffDays = 0,
    time_zone: TimeZone = "",
    consent: Consent = "",
    actor: Actor = "operator",
    request_id: RequestId = "",
    tenant: Tenant = "",
    address: HistoryAddress = "",
    certificates: Certificates = None,
) -> None:
    """Begin a subscription without an offer."""
    request = SubscriptionRequest(
        customer_id,
        first.date(),
        SubscribedItem(item, category, item_id, variant),
        _interval(every),
        quantity,
        subscription_id=subscription_id,
        cut_off_days=cut_off_days,
        time_zone=time_zone,
        consent=consent,
    )
    _create(Service(tenant, address, certificates), request, actor, request_id)


@_lever("skip", "skip 4711 SUBSCRIPTION", "skip 4711 SUBSCRIPTION --delivery 3 --reason too_much")
def skip(
    delivery: NextDelivery = 0,
    reason: Annotated[str, _option("WORD", "Why, one word for statistics, such as too_much.")] = "",
) -> Lever:
    """Leave out a delivery; the others keep their days."""
    return Skip(delivery, reason)


@_lever("restore", "restore 4711 SUBSCRIPTION 3")
def restore(
    delivery: Annotated[int, typer.Argument(metavar="N", help="Number of the delivery.")],
) -> Lever:
    """Take back the skip or the move of a delivery."""
    return Restore(delivery)


@_lever("move", "move 4711 SUBSCRIPTION 2026-12-07", "move 4711 SUBSCRIPTION 2027-01-04 --delivery 3")
def move(
    day: Annotated[datetime, typer.Argument(metavar="DATE", help="New day of the delivery.", formats=[_DAY])],
    delivery: NextDelivery = 0,
) -> Lever:
    """Deliver on another day; the other deliveries keep theirs."""
    return Move(day.date(), delivery)


@_lever("send-now", "send-now 4711 SUBSCRIPTION")
def send_now() -> Lever:
    """Lock the next delivery for today."""
    return SendNow()


@_command("pause", "pause 4711 SUBSCRIPTION --until 2027-01-10", "pause 4711 --all --until 2027-01-10")
def pause(
    customer_id: CustomerId,
    subscription_id: OptionalSubscriptionId = "",
    of_all: OfAll = False,
    until: Annotated[
        datetime | None, _option("DATE", "Day on which deliveries go on; by default not at all.", formats=[_DAY])
    ] = None,
    actor: Actor = "operator",
    etag: Etag = "",
    request_id: RequestId = "",
    tenant: Tenant = "",
    address: HistoryAddress = "",
    certificates: Certificates = None,
) -> None:
    """Deliver nothing for a while. What is past its cut-off still arrives.

    With --all, also what begins during the pause is paused; what was paused alone for as long stays as it is.
    """
    _check_one_or_all(subscription_id, etag, of_all=of_all)
    service, day = Service(tenant, address, certificates), until and until.date()
    if of_all:
        request = to_pause_request(customer_id, day, request_id=request_id or uuid.uuid4().hex, actor=actor)
        _print_changes(to_changes(service.call("PauseSubscriptions", request)))
    else:
        service.change(customer_id, subscription_id, Pause(day), actor, etag, request_id)


@_command("resume", "resume 4711 SUBSCRIPTION", "resume 4711 --all")
def resume(
    customer_id: CustomerId,
    subscription_id: OptionalSubscriptionId = "",
    of_all: OfAll = False,
    actor: Actor = "operator",
    etag: Etag = "",
    request_id: RequestId = "",
    tenant: Tenant = "",
    address: HistoryAddress = "",
    certificates: Certificates = None,
) -> None:
    """End a pause. With --all, that of pause --all and none of a single subscription."""
    _check_one_or_all(subscription_id, etag, of_all=of_all)
    service = Service(tenant, address, certificates)
    if of_all:
        request = messages.ResumeSubscriptionsRequest(
            customer_id=customer_id, request_id=request_id or uuid.uuid4().hex, actor=actor
        )
        _print_changes(to_changes(service.call("ResumeSubscriptions", request)))
    else:
        service.change(customer_id, subscription_id, Resume(), actor, etag, request_id)


@_lever("interval", "interval 4711 SUBSCRIPTION 3w", "interval 4711 SUBSCRIPTION '1 month' --next 2027-01-31")
def interval(
    every: Annotated[
        str, typer.Argument(metavar="INTERVAL", help="Interval, such as 2w, '10 days', '1 month' or weekly.")
    ],
    next_date: Annotated[
        datetime | None, _option("DATE", "Day of the next delivery; by default it is kept.", "--next", formats=[_DAY])
    ] = None,
) -> Lever:
    """Deliver more or less often. Skipped and moved deliveries stay so."""
    return ChangeInterval(_interval(every), next_date and next_date.date())


@_lever("quantity", "quantity 4711 SUBSCRIPTION 2")
def change_quantity(
    quantity: Annotated[int, typer.Argument(metavar="N", help="Units of a delivery.")],
) -> Lever:
    """Deliver another quantity."""
    return ChangeQuantity(quantity)


@_lever("item", "item 4711 SUBSCRIPTION 'Oat milk' --item-id om-1")
def change_item(
    item: ItemName,
    item_id: ItemId = "",
    category: Category = "",
    variant: Variant = "",
) -> Lever:
    """Deliver another item."""
    return ChangeItem(SubscribedItem(item, category, item_id, variant))


@_lever("cancel", "cancel 4711 SUBSCRIPTION --reason too_much", "cancel 4711 SUBSCRIPTION --on 2027-01-31")
def cancel(
    cancel_on: Annotated[
        datetime | None, _option("DATE", "First day without deliveries; by default today.", "--on", formats=[_DAY])
    ] = None,
    reason: Annotated[
        str, _option("WORD", "too_much, too_expensive, not_needed, quality, delivery, moved, other or your own word.")
    ] = "",
    feedback: Annotated[str, _option("WORD", "What would have kept the customer, such as longer_interval.")] = "",
    comment: Annotated[str, _option("TEXT", "What the customer wrote; it is erased with the customer.")] = "",
) -> Lever:
    """End a subscription, now or on a day."""
    return Cancel(cancel_on and cancel_on.date(), reason, feedback, comment)


@_lever("reactivate", "reactivate 4711 SUBSCRIPTION", "reactivate 4711 SUBSCRIPTION --next 2027-01-10")
def reactivate(
    next_date: Annotated[
        datetime | None,
        _option("DATE", "Day of the next delivery; by default the next of the interval.", "--next", formats=[_DAY]),
    ] = None,
) -> Lever:
    """Take back an announced cancellation, or begin again."""
    return Reactivate(next_date and next_date.date())


@clock_app.command("show", epilog=examples("pantree subscriptions clock show --tenant sandbox"))
def show_clock(tenant: Tenant = "", address: HistoryAddress = "", certificates: Certificates = None) -> None:
    """Show the time of a test tenant."""
    answer = Service(tenant, address, certificates).call("GetTestClock", messages.GetTestClockRequest())
    print_text(_clock_text(answer.now))


@clock_app.command(
    "advance",
    epilog=examples(
        "pantree subscriptions clock advance 2027-01-31 --tenant sandbox",
        "pantree subscriptions clock advance 2027-03-28T01:00:00Z --tenant sandbox",
        "pantree subscriptions clock advance --days 30 --tenant sandbox",
    ),
)
def advance_clock(
    now: Annotated[str, typer.Argument(metavar="[TIME]", help="The new time, or a day, which begins in UTC.")] = "",
    days: Annotated[int | None, _option("N", "Days from the time of the clock, instead of TIME.", min=1)] = None,
    tenant: Tenant = "",
    address: HistoryAddress = "",
    certificates: Certificates = None,
) -> None:
    """Set the clock to a later time. What would have happened until then happens."""
    if bool(now) == (days is not None):
        raise typer.BadParameter("send either TIME or --days")
    service = Service(tenant, address, certificates)
    if days is not None:
        known = service.call("GetTestClock", messages.GetTestClockRequest()).now
        now = (datetime.fromisoformat(known) + timedelta(days=days)).isoformat()
    advanced = to_clock_advance(service.call("AdvanceTestClock", messages.AdvanceTestClockRequest(now=now)))
    print_text(_clock_text(advanced.now.astimezone(UTC).isoformat()))
    print_text(
        f"Events of subscriptions: {advanced.event_count}; removed lines of purchases: {advanced.removed_line_count}."
    )


class Service:
    """Calls a service of the history part: that of subscriptions."""

    stub: Callable[[grpc.aio.Channel], Any] = rpc.SubscriptionServiceStub

    def __init__(self, tenant: str, address: str, certificates: Path | None) -> None:
        check_tenant(tenant)
        self._metadata = tenant_metadata(tenant)
        self._address = address or default_address("history")
        self._identity = client_identity(certificates)

    def call(self, method: str, request: Message) -> Any:
        """The answer of one call."""
        return self._answers(method, request, lambda _: "")[0]

    def pages(self, method: str, request: Any, field: str) -> list[Any]:
        """The messages of a list, from all its pages."""
        pages = self._answers(method, request, lambda page: page.next_page_token)
        return [one for page in pages for one in getattr(page, field)]

    def change(
        self, customer_id: str, subscription_id: str, lever: Lever, actor: str, etag: str, request_id: str
    ) -> None:
        """Uses a lever, and prints what changed."""
        request = to_change_request(
            customer_id, subscription_id, lever, etag=etag, request_id=request_id or uuid.uuid4().hex, actor=actor
        )
        _print_change(to_change(self.call("ChangeSubscription", request)))

    def _answers(self, method: str, request: Any, token_of: Callable[[Any], str]) -> list[Any]:
        answers: list[Any] = []

        async def run() -> None:
            async with open_channel(
                self._address, timeout_seconds=_MAX_SECONDS, part="history", identity=self._identity
            ) as channel:
                call = getattr(type(self).stub(channel), method)
                while True:
                    with translate_rpc_errors("history"):
                        answers.append(await call(request, metadata=self._metadata))
                    token = token_of(answers[-1])
                    if not token:
                        return
                    request.page_token = token

        run_event_loop(run)
        return answers


def _create(service: Service, request: SubscriptionRequest, actor: str, request_id: str) -> None:
    message = request.message()
    message.actor, message.request_id = actor, request_id or uuid.uuid4().hex
    _print_subscription(created := to_subscription(service.call("CreateSubscription", message).subscription))
    console.print(_deliveries_table(created.item, created.next_deliveries))


def _interval(text: str) -> DeliveryInterval:
    normal = text.strip().lower()
    found = _EVERY.fullmatch(_ADVERBS.get(normal, normal))
    if found is None:
        raise typer.BadParameter(f"{text!r} is no interval; use one such as 2w, '10 days', '1 month' or weekly")
    return DeliveryInterval(_UNITS[found[2][0]], int(found[1] or 1))


def _every(interval: DeliveryInterval) -> str:
    return f"every {interval.count} {interval.unit}s" if interval.count > 1 else f"every {interval.unit}"


def _content(one: Offer | CustomerSubscription) -> str:
    variant = f", {one.item.variant}" if one.item.variant else ""
    return f"{one.quantity} × {one.item.name}{variant}, {_every(one.interval)}"


def _state(one: CustomerSubscription) -> str:
    """Status with its days."""
    if one.status == "paused":
        paused = "paused with all" if one.household_pause else "paused"
        return f"{paused} until {one.pause_until}" if one.pause_until else paused
    if one.cancel_on:
        return f"cancelled on {one.cancel_on}" if one.status == "cancelled" else f"{one.status}, ends {one.cancel_on}"
    return one.status


def _subscriptions_table(found: Iterable[CustomerSubscription]) -> Table:
    table = table_of("subscription", "content", "state", "next")
    for one in found:
        coming = [delivery for delivery in one.next_deliveries if delivery.status in ("planned", "locked")]
        next_day = coming[0].date.isoformat() if coming else "–"
        table.add_row(shown_name(one.subscription_id), shown_name(_content(one)), _state(one), next_day)
    return keep_ids_whole(table, 0)


def _deliveries_table(item: SubscribedItem, deliveries: Iterable[SubscriptionDelivery]) -> Table:
    """Table of deliveries, which names items other than the subscribed one."""
    table = table_of("no.", "day", "state", "units", "change until (UTC)")
    for one in deliveries:
        day = one.date.isoformat()
        if one.date != one.scheduled_date:
            day += f", moved from {one.scheduled_date}"
        state = f"{one.status}: {one.reason}" if one.reason else one.status
        content = str(one.quantity) if one.item == item else f"{one.quantity} × {one.item.name}"
        if one.delivered_quantity is not None and one.delivered_quantity != one.quantity:
            content += f", {one.delivered_quantity} arrived"
        if one.returned_quantity:
            content += f", {one.returned_quantity} returned"
        can_change = one.status in ("planned", "skipped")
        cut_off = one.cut_off_at[:16].replace("T", " ") if can_change else "–"
        table.add_row(str(one.sequence), day, shown_name(state), shown_name(content), cut_off)
    return table


def table_of(*headings: str) -> Table:
    """A table without rows."""
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def keep_ids_whole(table: Table, *columns: int) -> Table:
    """The table, with columns of ids wide enough to copy those that the service chose."""
    for column in columns:
        width = max((len(str(cell)) for cell in table.columns[column].cells), default=0)
        table.columns[column].min_width = min(width, _ID_WIDTH)
    return table


def _print_subscription(one: CustomerSubscription) -> None:
    print_text(f"Subscription {one.subscription_id} of {one.customer_id}: {_content(one)}; {_state(one)}.")
    why = one.cancellation
    if why is not None and (words := [text for text in (why.reason, why.feedback, why.comment) if text]):
        print_text(f"Reason: {'; '.join(words)}")
    if one.mirror is not None:
        print_text(f"Kept by {one.mirror.engine}, as {one.mirror.external_id}; change it there.")
    print_text(f"Version {one.version}, etag {one.etag}.")


def _print_change(changed: SubscriptionChange) -> None:
    for event in changed.events:
        print_text(f"{_event_text(event).capitalize()}.")
    if not changed.events:
        print_text("Nothing changed.")
    _print_subscription(changed.subscription)
    if changed.subscription.next_deliveries:
        console.print(_deliveries_table(changed.subscription.item, changed.subscription.next_deliveries))


def _check_one_or_all(subscription_id: str, etag: str, *, of_all: bool) -> None:
    if bool(subscription_id) == of_all:
        raise typer.BadParameter("send either SUBSCRIPTION or --all")
    if of_all and etag:
        raise typer.BadParameter("--etag is of one subscription; it cannot be used with --all")


def _print_changes(changes: Sequence[SubscriptionChange]) -> None:
    if not changes:
        print_text("Nothing changed.")
        return
    console.print(_subscriptions_table(one.subscription for one in changes))


def _clock_text(now: str) -> str:
    return f"The clock is at {now[:19].replace('T', ' ')} UTC."


def _print_review(one: SubscriptionReview, currency_code: str) -> None:
    print_text(f"{one.item.name} ({one.subscription_id}): {_advice(one)}")
    for reason in one.reasons:
        print_text(f"  {reason}")
    if one.action == "keep":
        print_text(f"  Next 12 weeks: {_supply(one.now, currency_code)}.")
        return
    print_text(f"  Next 12 weeks as it is: {_supply(one.now, currency_code)}.")
    print_text(f"  If changed: {_supply(one.after, currency_code)}.")
    if one.cut_off_at:
        place = f" in {one.engine.capitalize()}, which keeps it," if one.engine else ""
        print_text(f"  Change it{place} before {one.cut_off_at[:16].replace('T', ' ')} UTC.")
    elif one.engine:
        print_text(f"  Change it in {one.engine.capitalize()}, which keeps it.")


def _advice(one: SubscriptionReview) -> str:
    """An advice in words."""
    match one.lever:
        case Skip():
            return f"skip the delivery of {one.next_date}."
        case Pause():
            return f"pause it until {one.lever.until}."
        case ChangeInterval():
            often = "less" if one.action == "lengthen" else "more"
            return f"deliver {often} often, {_every(one.lever.interval)}."
        case ChangeQuantity():
            return f"deliver {one.lever.quantity} at a time."
        case ChangeItem():
            return f"deliver {one.lever.item.name} instead."
        case Cancel():
            return "stop it."
        case _:
            if one.action == "skip_next":
                return f"skip the delivery of {one.next_date}."
            return _ADVICE_WITHOUT_LEVER[one.action]


def _supply(supply: SupplyForecast, currency_code: str) -> str:
    parts = [_count(supply.delivered_units, "unit")]
    if supply.cost is not None:
        parts.append(f"{supply.cost:.2f} {currency_code}".strip())
    if supply.early_delivery_count is not None:
        parts.append(f"{_count(supply.early_delivery_count, 'delivery', 'deliveries')} too early")
    if supply.stockout_count is not None:
        parts.append(f"out of it {_count(supply.stockout_count, 'time')}")
    return ", ".join(parts)


def _count(number: int, one: str, more: str = "") -> str:
    return f"{number} {one if number == 1 else more or one + 's'}"


def _event_text(event: SubscriptionEvent) -> str:
    """Words of the type, with the number of the delivery."""
    subject, words = event.type.removeprefix("com.pantree.").split(".", 1)
    number = f" {event.message.data.sequence}" if subject == "delivery" else ""
    return f"{subject}{number} {words.replace('_', ' ')}"


def print_text(text: str) -> None:
    """Prints a text in which names of customers or items occur."""
    console.print(shown_name(text), highlight=False)


def print_json(found: Iterable[Message]) -> None:
    """Prints messages as JSON lines."""
    for one in found:
        print(json.dumps(json_format.MessageToDict(one, preserving_proto_field_name=True), ensure_ascii=False))


def _day(day: datetime | None) -> str:
    return "" if day is None else day.date().isoformat()
