"""The stand-in for the mesh that the client ships."""

import pytest

from pantree_client import ComponentUnavailable, FirstPurchase, InternalError, Item, PantreeClient, Started
from pantree_client.testing import FakePantree

BASKET = FirstPurchase("cust_001", [Item("Bananas", 1.99)], simulation_months=2)


async def test_recommendations_are_those_told() -> None:
    fake = FakePantree(
        [("Milk", "biweekly"), ("Bread", "weekly")], warnings=[("vector", "COMPONENT_UNAVAILABLE", "no")]
    )
    async with fake.client() as client:
        result = await client.process(BASKET)
    assert [(one.name, one.frequency, one.interval_days) for one in result.recommendations] == [
        ("Milk", "biweekly", 14),
        ("Bread", "weekly", 7),
    ]
    assert result.warnings[0].component == "vector"
    assert [request.customer_id for request in fake.requests] == ["cust_001"]


async def test_failures_come_in_the_order_told_and_once() -> None:
    fake = FakePantree()
    fake.fail_next(ComponentUnavailable("frequency", "down"))
    fake.fail_next(InternalError("internal error"))
    async with fake.client() as client:
        with pytest.raises(ComponentUnavailable):
            await client.process(BASKET)
        with pytest.raises(InternalError):
            await client.status()
        assert (await client.config()).default_simulation_months == 6


async def test_stream_fails_after_the_events_told() -> None:
    fake = FakePantree()
    fake.fail_next(ComponentUnavailable("frequency", "down"), after_events=2)
    events = []
    async with fake.client() as client:
        with pytest.raises(ComponentUnavailable):
            async for event in client.stream(BASKET):
                events.append(event)
    assert len(events) == 2


async def test_streams_under_way_are_counted() -> None:
    fake = FakePantree()
    async with fake.client() as client:
        stream = client.stream(BASKET)
        assert isinstance(await anext(stream), Started)
        assert fake.streams_under_way == 1
        await stream.aclose()
    assert fake.streams_under_way == 0


def test_sync_stream_left_early_ends_in_the_mesh_too() -> None:
    fake = FakePantree()
    with fake.sync_client() as client:
        stream = client.stream(BASKET)
        next(stream)
        stream.close()
        assert fake.streams_under_way == 0


def test_sync_stream_that_outlives_its_client_does_no_harm() -> None:
    fake = FakePantree()
    with fake.sync_client() as client:
        stream = client.stream(BASKET)
        next(stream)
    stream.close()


def test_archetypes_have_pages() -> None:
    with FakePantree().sync_client() as client:
        assert list(client.archetypes(page_size=1)) == list(client.archetypes())


async def test_state_is_that_told() -> None:
    async with FakePantree(state="degraded").client() as client:
        assert (await client.status()).state == "degraded"


def test_unknown_frequency_is_refused() -> None:
    with pytest.raises(ValueError, match=r"daily; give one of weekly"):
        FakePantree([("Milk", "daily")])


async def test_client_that_is_not_open_says_how_to_open_it() -> None:
    client = PantreeClient()
    with pytest.raises(RuntimeError, match="async with"):
        await client.process(BASKET)
    with pytest.raises(RuntimeError, match="with SyncPantreeClient"):
        FakePantree().sync_client().process(BASKET)
