"""The client covers the public methods of the contract."""

import importlib
import inspect
import re
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import Any

import grpc
from google.api import annotations_pb2
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor

import pantree
from pantree.recommendation.v1.recommendation_service_pb2 import PlanAnalysis
from pantree_client import (
    BasketRequest,
    DeliveryInterval,
    DeliveryReport,
    FirstPurchase,
    Item,
    OfferRequest,
    PantreeClient,
    PantreeError,
    PlanRequest,
    ReceiptLine,
    Skip,
    SubscribedItem,
    SubscriptionRequest,
    SyncPantreeClient,
    WhatIfRequest,
)
from pantree_client.testing import FakePantree
from pantree_client.transports import Transport
from pantree_client.transports.gateway import GatewayTransport
from pantree_client.transports.mesh import MeshTransport

LINE = ReceiptLine("order-1", "1", "Bananas", date(2026, 5, 2), 1.99)
MILK, WEEKLY = SubscribedItem("Milk"), DeliveryInterval("week")
GEN = Path(pantree.__path__[0])


def generated_methods() -> list[MethodDescriptor]:
    """Every RPC of every generated stub."""
    methods: list[MethodDescriptor] = []
    for stub in sorted(GEN.rglob("*_pb2_grpc.py")):
        name = ".".join(stub.relative_to(GEN.parent).with_suffix("").parts).removesuffix("_grpc")
        descriptor: FileDescriptor = importlib.import_module(name).DESCRIPTOR
        rpc = importlib.import_module(f"{name}_grpc")
        for service in descriptor.services_by_name.values():
            assert hasattr(rpc, f"{service.name}Stub")
            methods += service.methods
    return methods


def is_public(method: MethodDescriptor) -> bool:
    """Whether it has a REST or WebSocket route."""
    return bool(method.GetOptions().HasExtension(annotations_pb2.http))


PUBLIC = [method for method in generated_methods() if is_public(method)]


def snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def path_of(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def test_there_are_public_methods() -> None:
    assert {method.name for method in PUBLIC} >= {"Process", "StreamProcess", "ListArchetypes", "GetConfig"}


def test_every_transport_has_every_public_method() -> None:
    for method in PUBLIC:
        for transport in (Transport, MeshTransport, GatewayTransport, FakePantree):
            assert callable(getattr(transport, snake_case(method.name), None)), f"{transport} lacks {method.full_name}"


async def exhausted(values: Any) -> None:
    async for _ in values:
        pass


async def test_client_calls_every_public_method() -> None:
    """Uses a server that only records the called methods."""
    called: list[str] = []

    class Recorder(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> None:
            called.append(details.method)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers([Recorder()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    basket = FirstPurchase("cust_001", [Item("Bananas", 1.99)])
    address = f"127.0.0.1:{port}"
    try:
        async with PantreeClient(address, simulation_address=address, history_address=address) as client:
            calls: dict[str, Callable[[], Awaitable[object]]] = {
                "process": lambda: client.process(basket),
                "stream": lambda: exhausted(client.stream(basket)),
                "stream_message": lambda: exhausted(client.stream_message(basket.message())),
                "next_basket": lambda: client.next_basket(BasketRequest("cust_001", as_of=date(2026, 11, 23))),
                "recommendations": lambda: client.recommendations("cust_001"),
                "customer_basket": lambda: client.customer_basket("cust_001"),
                "append_purchases": lambda: client.append_purchases("cust_001", [LINE]),
                "correct_purchases": lambda: client.correct_purchases("cust_001", [LINE]),
                "merge_customers": lambda: client.merge_customers("cust_001", "cust_002"),
                "purchases": lambda: exhausted(client.purchases("cust_001")),
                "export_customer": lambda: exhausted(client.export_customer("cust_001")),
                "erase_customer": lambda: client.erase_customer("cust_001"),
                "plan": lambda: client.plan(PlanRequest("cust_001", PlanAnalysis(as_of="2026-11-23"))),
                "what_if": lambda: client.what_if(WhatIfRequest("cust_001", stored_history=True)),
                "stream_what_if": lambda: exhausted(
                    client.stream_what_if(WhatIfRequest("cust_001", stored_history=True))
                ),
                "create_offer": lambda: client.create_offer(OfferRequest("cust_001", MILK, WEEKLY)),
                "offers": lambda: exhausted(client.offers("cust_001")),
                "create_subscription": lambda: client.create_subscription(
                    SubscriptionRequest("cust_001", date(2026, 12, 5), MILK, WEEKLY)
                ),
                "subscription": lambda: client.subscription("cust_001", "s-1"),
                "subscriptions": lambda: exhausted(client.subscriptions("cust_001")),
                "review_subscriptions": lambda: client.review_subscriptions("cust_001"),
                "change_subscription": lambda: client.change_subscription("cust_001", "s-1", Skip()),
                "pause_subscriptions": lambda: client.pause_subscriptions("cust_001"),
                "resume_subscriptions": lambda: client.resume_subscriptions("cust_001"),
                "test_clock": client.test_clock,
                "advance_test_clock": lambda: client.advance_test_clock(date(2027, 1, 31)),
                "record_delivery": lambda: client.record_delivery("cust_001", "s-1", DeliveryReport(1, "sent")),
                "deliveries": lambda: exhausted(client.deliveries("cust_001", "s-1")),
                "subscription_events": lambda: exhausted(client.subscription_events("cust_001", "s-1")),
                "create_webhook": lambda: client.create_webhook("https://shop.example/hook"),
                "webhooks": lambda: exhausted(client.webhooks()),
                "delete_webhook": lambda: client.delete_webhook("w-1"),
                "test_webhook": lambda: client.test_webhook("w-1"),
                "rotate_webhook_secret": lambda: client.rotate_webhook_secret("w-1"),
                "replay_webhook": lambda: client.replay_webhook("w-1"),
                "dead_letters": lambda: exhausted(client.dead_letters("w-1")),
                "archetypes": lambda: exhausted(client.archetypes()),
                "status": client.status,
                "config": client.config,
                "catalog_items": lambda: exhausted(client.catalog_items("ban")),
                "models": client.models,
            }
            for call in calls.values():
                try:
                    await call()
                except PantreeError:
                    continue  # the server does not answer
                raise AssertionError("the server must not answer")
    finally:
        await server.stop(None)
    assert set(calls) == {name for name in vars(PantreeClient) if not name.startswith("_")}
    assert {path_of(method) for method in PUBLIC} <= set(called)


def test_sync_client_has_the_methods_and_arguments_of_the_async_one() -> None:
    # Messages of the contract are only supported by the async client.
    names = {name for name in vars(PantreeClient) if not name.startswith("_")} - {"stream_message"}
    assert names == {name for name in vars(SyncPantreeClient) if not name.startswith("_")}
    for name in [*names, "__init__"]:
        one, other = (inspect.signature(getattr(kind, name)) for kind in (PantreeClient, SyncPantreeClient))
        assert one.parameters == other.parameters, name
