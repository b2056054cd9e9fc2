"""Two tenants with equal customer, order, line and subscription ids, in any order of calls of any RPC.

Each tenant gets the answers that it would get alone, so nothing of the other one is read, changed or erased. A new RPC
must be added to `CALLS`.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf.message import Message
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pantree.history.v1 import history_service_pb2 as history
from pantree.history.v1 import history_service_pb2_grpc as history_rpc
from pantree.subscription.v1 import subscription_service_pb2 as subscriptions
from pantree.subscription.v1 import subscription_service_pb2_grpc as subscription_rpc
from pantree.subscription.v1 import webhook_service_pb2 as webhooks
from pantree.subscription.v1 import webhook_service_pb2_grpc as webhook_rpc
from pantree_history.backends.sqlite import MEMORY, SqliteStore
from pantree_history.core.advance import ClockAdvance
from pantree_history.core.clocks import TenantClocks
from pantree_history.core.history import History, bucket_of
from pantree_history.core.subscriptions.keeper import Subscriptions
from pantree_history.core.subscriptions.store import CombinedStore
from pantree_history.core.webhooks.keeper import Webhooks
from pantree_history.core.webhooks.sending import Answer
from pantree_history.rules import RULES
from pantree_history.servicer import HistoryServicer
from pantree_history.subscriptions.servicer import SubscriptionServicer
from pantree_history.webhooks.servicer import WebhookServicer
from pantree_runtime.server import ServiceSpec
from pantree_runtime.tenants import tenant_metadata
from tests.history.engine_payloads import recharge, text
from tests.history.receipts import FIRST_DAY, KEY, Clock
from tests.loopback import loopback

TENANTS = ("north", "south")
CUSTOMERS = ("4711", "4712")
WEEKLY = subscriptions.DeliveryInterval(unit=subscriptions.INTERVAL_UNIT_WEEK, count=1)
# Counted over all tenants, random, or of the time.
NOT_COMPARED = {
    "history_version",
    "next_since",
    "next_page_token",
    "ledger_entry_id",
    "etag",
    "offer_id",
    "id",
    "secret",
}


class Everyone:
    """All tenants."""

    def __contains__(self, _tenant_id: object) -> bool:
        return True


class Step(NamedTuple):
    """A call."""

    tenant: str
    rpc: str
    customer: str
    number: int


def lines(step: Step) -> list[history.PurchaseLine]:
    name = f"milk of {step.tenant}"
    return [
        history.PurchaseLine(
            order_id=f"order {step.customer} {step.number}", line_id=line, name=name, date="2026-05-27"
        )
        for line in ("1", "2")
    ]


def item(step: Step) -> subscriptions.SubscribedItem:
    return subscriptions.SubscribedItem(name=f"milk of {step.tenant}", item_id="m-1")


def import_request(step: Step) -> history.ImportPurchasesRequest:
    return history.ImportPurchasesRequest(
        import_id="night", customer_ids=[step.customer], customer_indices=[0], item_names=[f"milk of {step.tenant}"],
        item_indices=[0], order_ids=[f"import {step.customer} {step.number}"], line_ids=["1"], days=[FIRST_DAY],
        quantities=[1], first_row=step.number,
    )  # fmt: skip


def plain(make: Callable[..., Message]) -> Callable[[Step], Message]:
    return lambda _: make()


def of_customer(make: Callable[..., Message], **fields: object) -> Callable[[Step], Message]:
    return lambda step: make(customer_id=step.customer, **fields)


def of_subscription(make: Callable[..., Message], **fields: object) -> Callable[[Step], Message]:
    return lambda step: make(customer_id=step.customer, subscription_id=f"s-{step.number}", **fields)


def of_webhook(make: Callable[..., Message]) -> Callable[[Step], Message]:
    return lambda _: make(webhook_id="w")


CALLS: dict[str, Callable[[Step], Message]] = {
    "CreateWebhook": lambda step: webhooks.CreateWebhookRequest(
        webhook_id="w", url=f"https://{step.tenant}.example/hook"
    ),
    "AppendPurchases": lambda step: history.AppendPurchasesRequest(customer_id=step.customer, purchases=lines(step)),
    "ImportPurchases": import_request,
    "CreateOffer": lambda step: subscriptions.CreateOfferRequest(
        customer_id=step.customer, item=item(step), quantity=1, interval=WEEKLY, request_id=f"o-{step.number}"
    ),
    "CreateSubscription": lambda step: subscriptions.CreateSubscriptionRequest(
        customer_id=step.customer, subscription_id=f"s-{step.number}", item=item(step), quantity=1, interval=WEEKLY,
        anchor_date="2026-06-10", time_zone="UTC", consent="yes", request_id=f"c-{step.number}",
    ),
    "ChangeSubscription": of_subscription(
        subscriptions.ChangeSubscriptionRequest, change_quantity=subscriptions.ChangeQuantity(quantity=3)
    ),
    "ResumeSubscriptions": of_customer(subscriptions.ResumeSubscriptionsRequest, request_id="r"),
    "PauseSubscriptions": of_customer(subscriptions.PauseSubscriptionsRequest, until="2026-08-01"),
    "GetTestClock": plain(subscriptions.GetTestClockRequest),
    "AdvanceTestClock": lambda step: subscriptions.AdvanceTestClockRequest(now=f"2026-06-{10 + step.number:02}"),
    "RecordDelivery": of_subscription(
        subscriptions.RecordDeliveryRequest, sequence=1, report=subscriptions.DELIVERY_REPORT_SENT
    ),
    "RecordEngineEvent": lambda step: subscriptions.RecordEngineEventRequest(
        engine=subscriptions.SUBSCRIPTION_ENGINE_RECHARGE,
        payload=text(
            {
                "subscription": recharge(
                    id=step.number, customer_id=step.customer, product_title=f"milk of {step.tenant}"
                )
            }
        ),
    ),
    "CorrectPurchases": lambda step: history.CorrectPurchasesRequest(
        customer_id=step.customer,
        purchases=[history.PurchaseLine(**{**_fields(lines(step)[0]), "name": f"tea of {step.tenant}"})],
        removed=[history.LineKey(order_id=lines(step)[1].order_id, line_id="2")],
    ),
    "GetHistory": of_customer(history.GetHistoryRequest),
    "ListPurchases": of_customer(history.ListPurchasesRequest),
    "ListCustomers": plain(history.ListCustomersRequest),
    "ListChanged": plain(history.ListChangedRequest),
    "StreamHistories": lambda step: history.StreamHistoriesRequest(bucket=bucket_of(step.customer)),
    "ExportCustomer": of_customer(history.ExportCustomerRequest),
    "ListOffers": of_customer(subscriptions.ListOffersRequest),
    "ListSubscriptions": of_customer(subscriptions.ListSubscriptionsRequest),
    "GetSubscription": of_subscription(subscriptions.GetSubscriptionRequest),
    "ListDeliveries": of_subscription(subscriptions.ListDeliveriesRequest),
    "ListEvents": of_subscription(subscriptions.ListEventsRequest),
    "ListWebhooks": plain(webhooks.ListWebhooksRequest),
    "TestWebhook": of_webhook(webhooks.TestWebhookRequest),
    "RotateWebhookSecret": of_webhook(webhooks.RotateWebhookSecretRequest),
    "ReplayWebhook": of_webhook(webhooks.ReplayWebhookRequest),
    "ListDeadLetters": of_webhook(webhooks.ListDeadLettersRequest),
    "DeleteWebhook": of_webhook(webhooks.DeleteWebhookRequest),
    "ApplyRetention": plain(history.ApplyRetentionRequest),
    "MergeCustomers": lambda step: history.MergeCustomersRequest(
        customer_id=step.customer, merged_customer_id=next(one for one in CUSTOMERS if one != step.customer)
    ),
    "EraseCustomer": of_customer(history.EraseCustomerRequest),
}  # fmt: skip
SERVICES = (
    (history.DESCRIPTOR.services_by_name["HistoryService"], history_rpc.HistoryServiceStub),
    (subscriptions.DESCRIPTOR.services_by_name["SubscriptionService"], subscription_rpc.SubscriptionServiceStub),
    (webhooks.DESCRIPTOR.services_by_name["WebhookService"], webhook_rpc.WebhookServiceStub),
)
METHODS = {method.name: method for service, _ in SERVICES for method in service.methods}


def _fields(message: Message) -> dict[str, Any]:
    return {field.name: value for field, value in message.ListFields()}


class Receiver:
    """Accepts what is sent."""

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        return Answer(204, "")


def part(store: CombinedStore) -> ServiceSpec:
    """The service, in which every tenant has a test clock."""
    clock = Clock()
    clocks = TenantClocks(store, Everyone(), clock)
    kept, subscribed = History(store, KEY, clocks), Subscriptions(store.subscriptions, KEY, clocks)
    hooked = Webhooks(store.webhooks, Receiver(), KEY, clock.instant)

    async def open_store() -> None:
        await kept.open()

    return ServiceSpec(
        name="history",
        services={
            SERVICES[0][0].full_name: lambda server: history_rpc.add_HistoryServiceServicer_to_server(
                HistoryServicer(kept, subscribed), server
            ),
            SERVICES[1][0].full_name: lambda server: subscription_rpc.add_SubscriptionServiceServicer_to_server(
                SubscriptionServicer(subscribed, ClockAdvance(clocks, kept, subscribed)), server
            ),
            SERVICES[2][0].full_name: lambda server: webhook_rpc.add_WebhookServiceServicer_to_server(
                WebhookServicer(hooked), server
            ),
        },
        warm_up=open_store,
        close=kept.close,
        rules=RULES,
    )


async def answer(channel: grpc.aio.Channel, step: Step, tenant_id: str) -> list[Any]:
    """Messages, or code and text of an error, without what tenants cannot have in common."""
    method, request = METHODS[step.rpc], CALLS[step.rpc](step)
    stub = next(make(channel) for service, make in SERVICES if service is method.containing_service)

    async def requests() -> AsyncIterator[Message]:
        yield request

    call = getattr(stub, step.rpc)(
        requests() if method.client_streaming else request, metadata=tenant_metadata(tenant_id), timeout=30
    )
    try:
        found = [message async for message in call] if method.server_streaming else [await call]
    except grpc.aio.AioRpcError as error:
        found = []
        text = (error.code(), error.details())
    else:
        text = (grpc.StatusCode.OK, "")
    other = next(one for one in TENANTS if one != step.tenant)
    assert other not in f"{found}{text}"
    for message in found:
        clear(message)
    return [text, *found]


def clear(message: Message) -> None:
    for field, value in message.ListFields():
        if field.name in NOT_COMPARED:
            message.ClearField(field.name)
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for one in value if field.is_repeated else [value]:
                clear(one)


async def answers(channel: grpc.aio.Channel, steps: Sequence[Step], tenant_ids: dict[str, str]) -> list[Any]:
    return [(step, await answer(channel, step, tenant_ids[step.tenant])) for step in steps]


def test_every_rpc_is_listed() -> None:
    assert set(METHODS) == set(CALLS)


@pytest.mark.parametrize("system", ["sqlite", "postgresql"])
def test_nothing_gets_from_one_tenant_to_another(system: str, request: pytest.FixtureRequest) -> None:
    numbers = itertools.count()
    step = st.builds(
        Step, st.sampled_from(TENANTS), st.sampled_from(sorted(CALLS)), st.sampled_from(CUSTOMERS), st.integers(0, 1)
    )
    every_rpc = [Step(tenant, name, CUSTOMERS[0], 0) for name in CALLS for tenant in TENANTS]
    filled = [
        Step(tenant, name, customer, number)
        for number, customer in enumerate(CUSTOMERS)
        for tenant in TENANTS
        for name in ("AppendPurchases", "CreateOffer", "CreateSubscription")
    ]
    merged = [Step(tenant, "MergeCustomers", CUSTOMERS[0], 0) for tenant in TENANTS]
    erased_in_one = [*filled, *merged, Step("south", "EraseCustomer", CUSTOMERS[0], 0), *every_rpc]

    @settings(max_examples=4, deadline=None, derandomize=True, database=None)
    @given(st.lists(step, min_size=20, max_size=30))
    @example([*every_rpc, *every_rpc])
    @example(erased_in_one)
    def check(steps: list[Step]) -> None:
        number = next(numbers)
        shared = {one: f"{one}-{number}" for one in TENANTS}
        together = runner.run(answers(channel, steps, shared))
        for tenant in TENANTS:
            own = [one for one in steps if one.tenant == tenant]
            alone = runner.run(answers(reference, own, {tenant: f"{tenant}-{number}-alone"}))
            assert [one for one in together if one[0].tenant == tenant] == alone

    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            store = store_of(system, request)
            channel = runner.run(stack.enter_async_context(loopback(part(store))))
            reference = runner.run(stack.enter_async_context(loopback(part(SqliteStore(MEMORY)))))
            check()
        finally:
            runner.run(stack.aclose())


def store_of(system: str, request: pytest.FixtureRequest) -> CombinedStore:
    if system == "sqlite":
        return SqliteStore(MEMORY)
    from pantree_history.backends.postgresql import PostgresqlStore

    return PostgresqlStore(request.getfixturevalue("database_url"))


async def test_own_connection_of_the_role_sees_one_tenant_in_every_table(database_url: str) -> None:
    psycopg = pytest.importorskip("psycopg", reason="PostgreSQL is asked with it")
    store = store_of_url(database_url)
    async with loopback(part(store)) as channel:
        for name in CALLS:
            if name not in ("MergeCustomers", "EraseCustomer", "DeleteWebhook"):
                for tenant in TENANTS:
                    await answer(channel, Step(tenant, name, CUSTOMERS[0], 0), tenant)
        for tenant in TENANTS:
            await answer(channel, Step(tenant, "AppendPurchases", CUSTOMERS[1], 1), tenant)
            await answer(channel, Step(tenant, "MergeCustomers", CUSTOMERS[0], 0), tenant)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:

        async def rows(sql: str) -> list[Any]:
            return list(await (await connection.execute(sql.encode())).fetchall())

        tables = [
            name
            for (name,) in await rows(
                "SELECT table_name FROM information_schema.columns "
                "WHERE table_schema = 'public' AND column_name = 'tenant_id' ORDER BY table_name"
            )
        ]
        # `tenant` is the list of tenants, which maintenance reads.
        tables.remove("tenant")
        forced = await rows("SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity ORDER BY 1")
        assert [name for (name,) in forced] == tables
        await connection.execute("SET ROLE pantree_history")
        for table in tables:
            for setting, expected in (("", []), ("=north", [("north",)]), ("=south", [("south",)]), ("=nobody", [])):
                await connection.execute("SELECT set_config('pantree.tenant', %s, false)", (setting,))
                found = await rows(f"SELECT DISTINCT tenant_id FROM {table}")
                # Only tenants with quotas have a row there.
                assert found == ([] if table == "tenant_usage" else expected), (table, setting)
            await connection.execute("SELECT set_config('pantree.tenant', '=south', false)")
            await connection.execute(f"UPDATE {table} SET tenant_id = tenant_id WHERE tenant_id = 'north'".encode())
            if table != "tenant_usage":
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    await connection.execute(f"UPDATE {table} SET tenant_id = 'north'".encode())


def store_of_url(url: str) -> CombinedStore:
    from pantree_history.backends.postgresql import PostgresqlStore

    return PostgresqlStore(url)
