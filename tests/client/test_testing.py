"""The fake for tests of programs that use the client."""

import pytest

from pantree_client import ComponentUnavailable, FirstPurchase, InternalError, Item, PantreeClient, Started
from pantree_client.testing import FakePantree

BASKET = FirstPurchase("cust_001", [Item("Bananas", 1.99)], simulation_months=2)


async def test_configured_recommendations_and_warnings_are_returned() -> None:
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


async def test_failures_are_raised_once_and_in_order() -> None:
    fake = FakePantree()
    fake.fail_next(ComponentUnavailable("frequency", "down"))
    fake.fail_next(InternalError("internal error"))
    async with fake.client() as client:
        with pytest.raises(ComponentUnavailable):
            await client.process(BASKET)
        with pytest.raises(InternalError):
            await client.status()
        assert (await client.config()).default_simulation_months == 6


async def test_stream_fails_after_a_number_of_events() -> None:
    fake = FakePantree()
    fake.fail_next(ComponentUnavailable("frequency", "down"), after_events=2)
    events = []
    async with fake.client() as client:
        with pytest.raises(ComponentUnavailable):
            async for event in client.stream(BASKET):
                events.append(event)
    assert len(events) == 2


async def test_streams_in_flight_are_counted() -> None:
    fake = FakePantree()
    async with fake.client() as client:
        stream = client.stream(BASKET)
        assert isinstance(await anext(stream), Started)
        assert fake.streams_in_flight == 1
        await stream.aclose()
    assert fake.streams_in_flight == 0


def test_closed_sync_stream_is_cancelled() -> None:
    fake = FakePantree()
    with fake.sync_client() as client:
        stream = client.stream(BASKET)
        next(stream)
        stream.close()
        assert fake.streams_in_flight == 0


def test_sync_stream_may_be_closed_after_its_client() -> None:
    fake = FakePantree()
    with fake.sync_client() as client:
        stream = client.stream(BASKET)
        next(stream)
    stream.close()


def test_archetypes_are_paged() -> None:
    with FakePantree().sync_client() as client:
        assert list(client.archetypes(page_size=1)) == list(client.archetypes())


async def test_configured_state_is_returned() -> None:
    async with FakePantree(state="degraded").client() as client:
        assert (await client.status()).state == "degraded"


def test_unknown_frequency_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"daily; use one of weekly"):
        FakePantree([("Milk", "daily")])


async def test_client_that_is_not_open_raises_an_error() -> None:
    client = PantreeClient()
    with pytest.raises(RuntimeError, match="async with"):
        await client.process(BASKET)
    with pytest.raises(RuntimeError, match="with SyncPantreeClient"):
        FakePantree().sync_client().process(BASKET)
