"""The client against a real mesh: direct and through the gateway, async and sync, with the same results."""

import gc
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from pantree_client import (
    BasketRequest,
    ComponentUnavailable,
    DeadlineExceeded,
    FirstPurchase,
    History,
    InvalidInput,
    Item,
    MonthlyUpdate,
    PantreeClient,
    Purchase,
    Result,
    Started,
    SyncPantreeClient,
)
from pantree_client.testing import FakePantree
from tests.e2e.mesh import RunningMesh

BASKET = FirstPurchase(
    "cust 001 ä",
    [Item("Bananas", 1.99), Item("Milk", 5.49)],
    as_of=date(2026, 11, 23),
    seed=7,
    simulation_months=3,
    include_omitted=True,
)
MILK = [Purchase("Milk", date(2026, 6, 1) + timedelta(weeks=week), price=1.49) for week in range(12)]
TRANSPORTS = ["mesh", "gateway"]
# Nothing listens on this port.
UNREACHABLE = {"mesh": "127.0.0.1:2", "gateway": "http://127.0.0.1:2"}

Connect = Callable[[str], PantreeClient]


def arguments(mesh: RunningMesh, transport: str) -> dict[str, Any]:
    if transport == "gateway":
        return {"address": mesh.http}
    return {"address": mesh.address("pipeline"), "simulation_address": mesh.address("simulation")}


@pytest.fixture
def connect(mesh: RunningMesh) -> Connect:
    return lambda transport: PantreeClient(**arguments(mesh, transport))


async def test_both_transports_return_the_same_result(connect: Connect) -> None:
    async with connect("mesh") as direct, connect("gateway") as through_gateway:
        assert (await direct.process(BASKET)).message == (await through_gateway.process(BASKET)).message
        history = History("cust_001", MILK)
        result = await direct.process(history)
        assert result == await through_gateway.process(history)
        assert result.recommendations[0].frequency == "weekly"


async def test_both_transports_return_the_same_next_basket(connect: Connect) -> None:
    candles = Purchase("Birthday Candles", date(2026, 6, 8), price=2.49)
    request = BasketRequest("cust_001", [*MILK, candles], mode="repeat", promoted=["Milk"])
    async with connect("mesh") as direct, connect("gateway") as through_gateway:
        basket = await direct.next_basket(request)
        assert basket == await through_gateway.next_basket(request)
        assert basket.message == (await through_gateway.next_basket(request)).message
    assert basket.as_of == date(2026, 6, 1) + timedelta(weeks=12)
    assert [(item.name, item.purchase_count) for item in basket.items] == [("Milk", 12), ("Birthday Candles", 1)]
    assert basket.items[0].probability > 0.5 > basket.items[1].probability


async def test_both_transports_return_the_same_events(connect: Connect) -> None:
    async with connect("mesh") as direct, connect("gateway") as through_gateway:
        events = [event async for event in direct.stream(BASKET)]
        assert [event async for event in through_gateway.stream(BASKET)] == events
        assert [type(event) for event in events] == [Started, MonthlyUpdate, MonthlyUpdate, MonthlyUpdate, Result]
        assert events[-1] == await direct.process(BASKET)


async def test_both_transports_return_the_same_config_and_status(connect: Connect) -> None:
    async with connect("mesh") as direct, connect("gateway") as through_gateway:
        assert await direct.config() == await through_gateway.config()
        one, other = await direct.status(), await through_gateway.status()
        assert one.state == other.state == "serving"
        assert [(part.name, part.state, part.required) for part in one.components] == [
            (part.name, part.state, part.required) for part in other.components
        ]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_archetypes_are_paged(connect: Connect, transport: str) -> None:
    async with connect(transport) as client:
        everything = [archetype async for archetype in client.archetypes()]
        assert [archetype async for archetype in client.archetypes(page_size=1)] == everything
        assert (await client.config()).default_archetype in {archetype.id for archetype in everything}
        assert len(everything) > 1


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_every_invalid_field_is_named(connect: Connect, transport: str) -> None:
    invalid = FirstPurchase("cust_001", [Item("", -1)], simulation_months=99)
    async with connect(transport) as client:
        with pytest.raises(InvalidInput) as raised:
            await client.process(invalid)
        with pytest.raises(InvalidInput) as raised_by_stream:
            [event async for event in client.stream(invalid)]
    assert raised.value.reason == "INVALID_INPUT"
    fields = {violation.field for violation in raised.value.violations}
    assert fields == {"items[0].name", "items[0].price", "simulation_months"}
    assert raised_by_stream.value.violations == raised.value.violations


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("customer_id", ["", "x" * 129])
async def test_stream_names_an_invalid_customer_id(connect: Connect, transport: str, customer_id: str) -> None:
    async with connect(transport) as client:
        with pytest.raises(InvalidInput) as raised:
            [event async for event in client.stream(FirstPurchase(customer_id, [Item("Milk", 1)], seed=1))]
    assert [violation.field for violation in raised.value.violations] == ["customer_id"]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_short_timeout_raises_deadline_exceeded(connect: Connect, transport: str) -> None:
    async with connect(transport) as client:
        with pytest.raises(DeadlineExceeded):
            # A new customer: the gateway caches answers.
            await client.process(replace(BASKET, customer_id="not cached"), timeout_seconds=0.01)
        with pytest.raises(DeadlineExceeded):
            [event async for event in client.stream(BASKET, timeout_seconds=0.01)]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_client_is_usable_after_a_closed_stream(connect: Connect, transport: str) -> None:
    async with connect(transport) as client:
        stream = client.stream(BASKET)
        assert isinstance(await anext(stream), Started)
        await stream.aclose()
        assert (await client.process(BASKET)).purchase_count


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_unreachable_address_raises_component_unavailable(transport: str) -> None:
    async with PantreeClient(UNREACHABLE[transport], timeout_seconds=20) as client:
        with pytest.raises(ComponentUnavailable) as raised:
            await client.process(BASKET)
        assert raised.value.component == {"mesh": "pipeline", "gateway": "gateway"}[transport]
        with pytest.raises(ComponentUnavailable):
            [event async for event in client.stream(BASKET)]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_sync_client_returns_the_same(mesh: RunningMesh, transport: str) -> None:
    with SyncPantreeClient(**arguments(mesh, transport)) as client:
        *_, last = client.stream(BASKET)
        assert last == client.process(BASKET)
        assert client.status().state == "serving"
        assert [archetype.id for archetype in client.archetypes(page_size=2)]
        for event in client.stream(BASKET):
            if isinstance(event, MonthlyUpdate):
                break
        gc.collect()
        with pytest.raises(InvalidInput):
            list(client.stream(FirstPurchase("cust_001", [])))


async def test_fake_answers_have_the_fields_of_real_ones(connect: Connect) -> None:
    def filled(message: Any) -> set[str]:
        return {field.name for field, _ in message.ListFields()}

    async with connect("mesh") as client, FakePantree([("Milk", "weekly")]).client() as fake:
        real = [event async for event in client.stream(BASKET)]
        faked = [event async for event in fake.stream(BASKET)]
        assert [type(event) for event in faked] == [type(event) for event in real]
        for one, other in zip(faked, real, strict=True):
            if isinstance(one, MonthlyUpdate):
                assert isinstance(other, MonthlyUpdate)
                assert one.progress == other.progress
            # The fake has no purchases, no sums of them, and no optional values.
            not_faked = {
                "purchases",
                "purchase_count",
                "trip_count",
                "total_spend",
                "total_savings",
                "customer_profile",
            }
            assert filled(other.message) - filled(one.message) <= not_faked
            assert filled(one.message) <= filled(other.message)
        answers = (await client.process(BASKET)).recommendations[0], (await fake.process(BASKET)).recommendations[0]
        assert filled(answers[0].message) == filled(answers[1].message)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_cadence_changes_are_returned_on_request(mesh: RunningMesh, transport: str) -> None:
    with SyncPantreeClient(**arguments(mesh, transport)) as client:
        (plain,) = client.process(History("cust_001", MILK)).recommendations
        (requested,) = client.process(History("cust_001", MILK, include_cadence_changes=True)).recommendations
    assert plain.cadence_change == ""
    assert "next purchase" in requested.cadence_change
    assert replace(requested, cadence_change="") == replace(plain, message=requested.message)
