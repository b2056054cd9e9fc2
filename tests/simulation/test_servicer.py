import asyncio
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from pantree.purchase.v1.purchase_pb2 import BasketItem
from pantree.simulation.v1 import simulation_service_pb2 as messages
from pantree.simulation.v1 import simulation_service_pb2_grpc as rpc
from pantree_domain.catalog import load_catalog
from pantree_runtime.errors import InvalidInput
from pantree_runtime.server import ServiceSpec
from pantree_runtime.status import translate_rpc_errors
from pantree_simulation.__main__ import build
from pantree_simulation.core.scenario import Scenario
from pantree_simulation.core.simulation import SimulatedMonth
from pantree_simulation.servicer import SimulationServicer
from pantree_simulation.settings import SimulationSettings
from tests.loopback import loopback
from tests.simulation.scenarios import POPULATION_SIMULATOR, SIMULATOR, our_archetypes


def a_request(**changes: Any) -> messages.StreamPurchasesRequest:
    fields = {
        "household_id": "cust_001",
        "items": [BasketItem(name="Bananas", price=1.99), BasketItem(name="Chicken Breast", price=12.99, quantity=2)],
        "start_date": "2026-01-15",
    }
    return messages.StreamPurchasesRequest(**{**fields, **changes})


async def stream(request: messages.StreamPurchasesRequest) -> list[messages.StreamPurchasesResponse]:
    async with loopback(await build(SimulationSettings())) as channel:
        with translate_rpc_errors("simulation"):
            return [month async for month in rpc.SimulationServiceStub(channel).StreamPurchases(request)]


async def list_archetypes(request: messages.ListArchetypesRequest) -> messages.ListArchetypesResponse:
    async with loopback(await build(SimulationSettings())) as channel:
        with translate_rpc_errors("simulation"):
            return await rpc.SimulationServiceStub(channel).ListArchetypes(request)


async def wrong_fields(request: messages.StreamPurchasesRequest) -> dict[str, str]:
    with pytest.raises(InvalidInput) as raised:
        await stream(request)
    return {violation.field: violation.description for violation in raised.value.violations}


async def test_months_are_streamed_in_order() -> None:
    months = await stream(a_request())
    assert [month.month_number for month in months] == [1, 2, 3, 4, 5, 6]
    assert {month.month_count for month in months} == {6}
    assert (months[0].period_start, months[0].period_end) == ("2026-01-15", "2026-02-14")
    assert (months[5].period_start, months[5].period_end) == ("2026-06-15", "2026-07-14")
    purchases = months[0].purchases
    assert list(purchases.item_names)[:2] == ["Bananas", "Chicken Breast"]
    assert list(purchases.item_categories)[:2] == ["produce", "protein"]
    assert list(purchases.quantities)[:2] == [1, 2]


async def test_equal_requests_have_equal_streams() -> None:
    assert await stream(a_request(seed=3)) == await stream(a_request(seed=3))


async def test_name_is_trimmed_and_the_given_category_is_kept() -> None:
    months = await stream(a_request(items=[BasketItem(name=" Bananas ", price=1.99, category="fruit")]))
    assert months[0].purchases.item_names[0] == "Bananas"
    assert months[0].purchases.item_categories[0] == "fruit"


async def test_error_names_every_wrong_field() -> None:
    request = a_request(
        household_id="x" * 129,
        archetype="vampire\n",
        items=[
            BasketItem(name="Bananas", price=-1),
            BasketItem(name=" ", price=1),
            BasketItem(name="Milk", price=float("nan"), quantity=0),
            BasketItem(name="Bread"),
            BasketItem(name="BANANAS ", price=1, category="c" * 201),
        ],
        simulation_months=0,
        start_date="tomorrow",
    )
    fields = await wrong_fields(request)
    assert set(fields) == {
        "household_id",
        "archetype",
        "items[0].price",
        "items[1].name",
        "items[2].price",
        "items[2].quantity",
        "items[3].price",
        "items[4].name",
        "items[4].category",
        "simulation_months",
        "start_date",
    }
    assert "items[0].name" in fields["items[4].name"]


async def test_error_about_an_unknown_archetype_lists_the_known_ones() -> None:
    fields = await wrong_fields(a_request(archetype="vampire"))
    assert set(fields) == {"archetype"}
    assert all(archetype_id in fields["archetype"] for archetype_id in our_archetypes().ids)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"items": []}, "items"),
        ({"items": [BasketItem(name=f"Item {number}", price=1) for number in range(101)]}, "items"),
        ({"items": [BasketItem(name="x" * 201, price=1)]}, "items[0].name"),
        ({"archetype": "x" * 5_000}, "archetype"),
        ({"simulation_months": 61}, "simulation_months"),
        ({"start_date": ""}, "start_date"),
        ({"start_date": "2199-07-01"}, "start_date"),
    ],
)
async def test_error_names_the_wrong_field(changes: dict[str, Any], field: str) -> None:
    fields = await wrong_fields(a_request(**changes))
    assert set(fields) == {field}
    assert len(fields[field]) < 200


async def test_largest_request_is_accepted() -> None:
    items = [BasketItem(name=f"{number} {'x' * 190}", price=1_000_000, quantity=10_000) for number in range(100)]
    request = a_request(items=items, simulation_months=60, archetype="single_professional", start_date="2194-12-31")
    assert len(await stream(request)) == 60


async def test_canceled_stream_stops_the_work() -> None:
    made: list[int] = []
    calls: list[Any] = []

    def simulate_and_cancel(scenario: Scenario) -> Iterator[SimulatedMonth]:
        for month in SIMULATOR.months(scenario):
            made.append(month.number)
            if month.number == 2:
                calls[0].cancel()
            yield month

    servicer = SimulationServicer(our_archetypes(), simulate_and_cancel, POPULATION_SIMULATOR.batches, load_catalog())
    part = ServiceSpec(
        name="simulation",
        services={
            "pantree.simulation.v1.SimulationService": lambda server: rpc.add_SimulationServiceServicer_to_server(
                servicer, server
            )
        },
    )
    async with loopback(part) as channel:
        stub = rpc.SimulationServiceStub(channel)
        calls.append(stub.StreamPurchases(a_request(simulation_months=60)))
        with pytest.raises(asyncio.CancelledError):
            async for _ in calls[0]:
                pass
        # Calls on the same connection follow the cancellation and give the server time to continue.
        for _ in range(20):
            await stub.ListArchetypes(messages.ListArchetypesRequest())
        stopped_at = len(made)
        for _ in range(20):
            await stub.ListArchetypes(messages.ListArchetypesRequest())
    # Some months are sent before the cancellation arrives.
    assert len(made) == stopped_at < 60


async def test_archetypes_are_listed_with_all_their_fields() -> None:
    response = await list_archetypes(messages.ListArchetypesRequest())
    assert [archetype.id for archetype in response.archetypes] == list(our_archetypes().ids)
    assert response.default_archetype == "health_conscious"
    assert response.next_page_token == ""
    for archetype in response.archetypes:
        weights = [weight.weight_ratio for weight in archetype.category_weights]
        assert archetype.display_name
        assert archetype.description
        assert archetype.mean_trip_gap_days >= 1
        assert archetype.mean_basket_items >= 1
        assert weights == sorted(weights, reverse=True)
        assert sum(weights) == pytest.approx(1)


async def test_archetypes_are_listed_in_pages() -> None:
    first = await list_archetypes(messages.ListArchetypesRequest(page_size=3))
    second = await list_archetypes(messages.ListArchetypesRequest(page_size=3, page_token=first.next_page_token))
    assert [archetype.id for page in (first, second) for archetype in page.archetypes] == list(our_archetypes().ids)
    assert (len(second.archetypes), second.next_page_token) == (1, "")


async def test_page_size_is_capped() -> None:
    response = await list_archetypes(messages.ListArchetypesRequest(page_size=2**31 - 1))
    assert len(response.archetypes) == 4


@pytest.mark.parametrize(("field", "value"), [("page_size", -1), ("page_token", "nonsense")])
async def test_error_names_the_wrong_page_field(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as raised:
        await list_archetypes(messages.ListArchetypesRequest(**{field: value}))
    assert [violation.field for violation in raised.value.violations] == [field]


async def test_invalid_request_has_status_invalid_argument() -> None:
    async with loopback(await build(SimulationSettings())) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await rpc.SimulationServiceStub(channel).StreamPurchases(a_request(items=[])).read()
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def list_catalog_items(**fields: Any) -> messages.ListCatalogItemsResponse:
    async with loopback(await build(SimulationSettings())) as channel:
        with translate_rpc_errors("simulation"):
            return await rpc.SimulationServiceStub(channel).ListCatalogItems(messages.ListCatalogItemsRequest(**fields))


async def test_catalog_items_are_found_by_the_beginnings_of_their_words() -> None:
    response = await list_catalog_items(prefix="baN")
    names = [item.name for item in response.items]
    assert names[0] == "Bananas"
    assert "Organic Bananas" in names
    assert all(" ban" in f" {name.lower()}" for name in names)
    assert response.items[0] == messages.CatalogItem(name="Bananas", category="produce", pack="bunch", usual_price=1.89)


async def test_pages_of_catalog_items_have_every_item_once() -> None:
    names: list[str] = []
    token = ""
    for _ in range(4):
        page = await list_catalog_items(page_size=100, page_token=token)
        names += [item.name for item in page.items]
        token = page.next_page_token
    assert token == ""
    assert names == [item.name for item in load_catalog().items]


async def test_unknown_page_of_catalog_items_is_refused() -> None:
    with pytest.raises(InvalidInput) as raised:
        await list_catalog_items(prefix="ban", page_token="Milk")
    assert [violation.field for violation in raised.value.violations] == ["page_token"]
