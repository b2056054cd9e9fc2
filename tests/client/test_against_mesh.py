"""The client against a mesh: straight and through the gateway, async and sync, all with the same results."""

import gc
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from pantree_client import (
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
WAYS = ["mesh", "gateway"]
# Nobody listens on ports this low without asking for it.
NOWHERE = {"mesh": "127.0.0.1:2", "gateway": "http://127.0.0.1:2"}

Connect = Callable[[str], PantreeClient]


def arguments(mesh: RunningMesh, way: str) -> dict[str, Any]:
    if way == "gateway":
        return {"address": mesh.http}
    return {"address": mesh.address("pipeline"), "simulation_address": mesh.address("simulation")}


@pytest.fixture
def connect(mesh: RunningMesh) -> Connect:
    return lambda way: PantreeClient(**arguments(mesh, way))


async def test_both_ways_give_the_same_result(connect: Connect) -> None:
    async with connect("mesh") as straight, connect("gateway") as through_gateway:
        assert (await straight.process(BASKET)).message == (await through_gateway.process(BASKET)).message
        history = History("cust_001", MILK)
        result = await straight.process(history)
        assert result == await through_gateway.process(history)
        assert result.recommendations[0].frequency == "weekly"


async def test_both_ways_give_the_same_events(connect: Connect) -> None:
    async with connect("mesh") as straight, connect("gateway") as through_gateway:
        events = [event async for event in straight.stream(BASKET)]
        assert [event async for event in through_gateway.stream(BASKET)] == events
        assert [type(event) for event in events] == [Started, MonthlyUpdate, MonthlyUpdate, MonthlyUpdate, Result]
        assert events[-1] == await straight.process(BASKET)


async def test_both_ways_tell_the_same_about_themselves(connect: Connect) -> None:
    async with connect("mesh") as straight, connect("gateway") as through_gateway:
        assert await straight.config() == await through_gateway.config()
        one, other = await straight.status(), await through_gateway.status()
        assert one.state == other.state == "serving"
        assert [(part.name, part.state, part.required) for part in one.components] == [
            (part.name, part.state, part.required) for part in other.components
        ]


@pytest.mark.parametrize("way", WAYS)
async def test_archetypes_are_read_page_by_page(connect: Connect, way: str) -> None:
    async with connect(way) as client:
        whole = [archetype async for archetype in client.archetypes()]
        assert [archetype async for archetype in client.archetypes(page_size=1)] == whole
        assert (await client.config()).default_archetype in {archetype.id for archetype in whole}
        assert len(whole) > 1


@pytest.mark.parametrize("way", WAYS)
async def test_every_wrong_field_is_named(connect: Connect, way: str) -> None:
    wrong = FirstPurchase("cust_001", [Item("", -1)], simulation_months=99)
    async with connect(way) as client:
        with pytest.raises(InvalidInput) as raised:
            await client.process(wrong)
        with pytest.raises(InvalidInput) as raised_by_stream:
            [event async for event in client.stream(wrong)]
    assert raised.value.reason == "INVALID_INPUT"
    fields = {violation.field for violation in raised.value.violations}
    assert fields == {"items[0].name", "items[0].price", "simulation_months"}
    assert raised_by_stream.value.violations == raised.value.violations


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("customer_id", ["", "x" * 129])
async def test_stream_names_a_wrong_customer(connect: Connect, way: str, customer_id: str) -> None:
    async with connect(way) as client:
        with pytest.raises(InvalidInput) as raised:
            [event async for event in client.stream(FirstPurchase(customer_id, [Item("Milk", 1)], seed=1))]
    assert [violation.field for violation in raised.value.violations] == ["customer_id"]


async def test_stream_through_the_gateway_refuses_a_customer_that_no_path_can_hold(connect: Connect) -> None:
    async with connect("gateway") as client:
        with pytest.raises(InvalidInput, match="slash"):
            [event async for event in client.stream(FirstPurchase("a/b", [Item("Milk", 1)]))]


@pytest.mark.parametrize("way", WAYS)
async def test_time_that_is_too_short_is_told(connect: Connect, way: str) -> None:
    async with connect(way) as client:
        with pytest.raises(DeadlineExceeded):
            # For a customer whom nobody has asked about yet: the gateway keeps answers.
            await client.process(replace(BASKET, customer_id="in a hurry"), timeout_seconds=0.01)
        with pytest.raises(DeadlineExceeded):
            [event async for event in client.stream(BASKET, timeout_seconds=0.01)]


@pytest.mark.parametrize("way", WAYS)
async def test_leaving_a_stream_leaves_the_client_usable(connect: Connect, way: str) -> None:
    async with connect(way) as client:
        stream = client.stream(BASKET)
        assert isinstance(await anext(stream), Started)
        await stream.aclose()
        assert (await client.process(BASKET)).purchase_count


@pytest.mark.parametrize("way", WAYS)
async def test_nobody_there_is_a_component_that_is_not_available(way: str) -> None:
    async with PantreeClient(NOWHERE[way], timeout_seconds=20) as client:
        with pytest.raises(ComponentUnavailable) as raised:
            await client.process(BASKET)
        assert raised.value.component == {"mesh": "pipeline", "gateway": "gateway"}[way]
        with pytest.raises(ComponentUnavailable):
            [event async for event in client.stream(BASKET)]


@pytest.mark.parametrize("way", WAYS)
def test_sync_client_gives_the_same(mesh: RunningMesh, way: str) -> None:
    with SyncPantreeClient(**arguments(mesh, way)) as client:
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


async def test_stand_in_answers_in_the_shape_of_the_mesh(connect: Connect) -> None:
    def filled(message: Any) -> set[str]:
        return {field.name for field, _ in message.ListFields()}

    async with connect("mesh") as client, FakePantree([("Milk", "weekly")]).client() as stand_in:
        real = [event async for event in client.stream(BASKET)]
        made_up = [event async for event in stand_in.stream(BASKET)]
        assert [type(event) for event in made_up] == [type(event) for event in real]
        for one, other in zip(made_up, real, strict=True):
            if isinstance(one, MonthlyUpdate):
                assert isinstance(other, MonthlyUpdate)
                assert one.progress == other.progress
            # Purchases, what they sum up to, and what is optional are not made up.
            not_made_up = {
                "purchases",
                "purchase_count",
                "trip_count",
                "total_spend",
                "total_savings",
                "customer_profile",
            }
            assert filled(other.message) - filled(one.message) <= not_made_up
            assert filled(one.message) <= filled(other.message)
        answers = (await client.process(BASKET)).recommendations[0], (await stand_in.process(BASKET)).recommendations[0]
        assert filled(answers[0].message) == filled(answers[1].message)


@pytest.mark.parametrize("way", WAYS)
def test_cadence_changes_come_when_they_are_asked_for(mesh: RunningMesh, way: str) -> None:
    with SyncPantreeClient(**arguments(mesh, way)) as client:
        (plain,) = client.process(History("cust_001", MILK)).recommendations
        (asked,) = client.process(History("cust_001", MILK, include_cadence_changes=True)).recommendations
    assert plain.cadence_change == ""
    assert "next purchase" in asked.cadence_change
    assert replace(asked, cadence_change="") == replace(plain, message=asked.message)
