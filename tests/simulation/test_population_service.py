"""SimulatePopulation through a real server: its responses, prefetching and cancellation."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from pantree.simulation.v1 import simulation_service_pb2 as messages
from pantree.simulation.v1 import simulation_service_pb2_grpc as rpc
from pantree_domain.catalog import load_catalog
from pantree_runtime.errors import InvalidInput
from pantree_runtime.server import ServiceSpec
from pantree_runtime.status import translate_rpc_errors
from pantree_simulation import convert
from pantree_simulation.__main__ import build
from pantree_simulation.core.population import BATCH_LINES, Population, PopulationBatch
from pantree_simulation.servicer import SimulationServicer
from pantree_simulation.settings import SimulationSettings
from tests.loopback import loopback
from tests.simulation.populations import a_population, batches_of, by_household
from tests.simulation.scenarios import POPULATION_SIMULATOR, SIMULATOR, our_archetypes
from tests.simulation.test_archetypes import text_of_archetype

MESSAGE_LIMIT_BYTES = 4 * 1024 * 1024
# Messages that may be computed before they are read: in the buffers of both ends, and the prefetched one.
MAX_AHEAD = 6
MANY_HOUSEHOLDS = 6_000

Lines = tuple[tuple[float, ...], ...]


def a_request(**changes: Any) -> messages.SimulatePopulationRequest:
    fields = {"household_count": 40, "start_date": "2026-01-15"}
    return messages.SimulatePopulationRequest(**{**fields, **changes})


def columns_of(message: messages.SimulatePopulationResponse) -> list[Any]:
    return [message.days, message.item_indices, message.quantities, message.prices, message.savings]


def lines_by_household(responses: list[messages.SimulatePopulationResponse]) -> dict[int, Lines]:
    """Lines of each household, as rows, joined across messages."""
    found: dict[int, Lines] = {}
    for message in responses:
        rows = list(zip(*columns_of(message), strict=True))
        end = 0
        for at, count in enumerate(message.line_counts):
            household = message.first_household + at
            found[household] = (*found.get(household, ()), *rows[end : end + count])
            end += count
        assert end == len(rows)
    return found


async def simulated(
    *requests: messages.SimulatePopulationRequest, settings: SimulationSettings | None = None
) -> list[list[messages.SimulatePopulationResponse]]:
    """Responses to concurrent requests."""
    async with loopback(await build(settings or SimulationSettings())) as channel:
        stub = rpc.SimulationServiceStub(channel)

        async def answer(request: messages.SimulatePopulationRequest) -> list[messages.SimulatePopulationResponse]:
            with translate_rpc_errors("simulation"):
                return [message async for message in stub.SimulatePopulation(request)]

        return await asyncio.gather(*map(answer, requests))


async def test_batches_hold_the_purchases_of_the_simulation() -> None:
    (responses,) = await simulated(a_request(seed=3))
    expected = by_household(batches_of(a_population(seed=3)))
    assert lines_by_household(responses) == expected
    for message in responses:
        assert list(message.archetype_ids) == list(our_archetypes().ids)
        assert len(message.item_names) == len(message.item_categories) == len(set(message.item_names))
        assert len(message.archetype_indices) == len(message.line_counts)


async def test_slices_of_a_population_requested_concurrently_are_those_of_the_whole() -> None:
    # With the whole, as many streams as one caller may have.
    bounds = [(150, 200), (0, 60), (60, 150)]
    parts = [a_request(first_household=first, household_count=end - first) for first, end in bounds]
    (whole, *answers) = await simulated(a_request(household_count=200), *parts)
    of_parts = {number: lines for answer in answers for number, lines in lines_by_household(answer).items()}
    assert of_parts == lines_by_household(whole)
    assert len(of_parts) == 200


async def test_error_names_every_wrong_field_of_a_population() -> None:
    request = a_request(
        first_household=-1,
        household_count=0,
        archetypes=[
            messages.ArchetypeShare(archetype="", share_ratio=1),
            messages.ArchetypeShare(archetype="busy_family", share_ratio=-1),
            messages.ArchetypeShare(archetype="busy_family", share_ratio=float("nan")),
        ],
        simulation_months=61,
        start_date="soon",
    )
    with pytest.raises(InvalidInput) as raised:
        await simulated(request)
    assert {violation.field for violation in raised.value.violations} == {
        "first_household",
        "household_count",
        "archetypes[0].archetype",
        "archetypes[1].share_ratio",
        "archetypes[2].archetype",
        "archetypes[2].share_ratio",
        "simulation_months",
        "start_date",
    }


async def test_error_about_an_unknown_archetype_lists_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match=r"archetypes\[0\].archetype: must be one of .*busy_family"):
        await simulated(a_request(archetypes=[messages.ArchetypeShare(archetype="vampire", share_ratio=1)]))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"household_count": 0}, "household_count"),
        ({"household_count": 1_000_000_001}, "household_count"),
        ({"first_household": 2**31 - 1, "household_count": 2}, "household_count"),
        ({"archetypes": [messages.ArchetypeShare(share_ratio=1)]}, "archetypes[0].archetype"),
        ({"archetypes": [messages.ArchetypeShare(archetype="busy_family")]}, "archetypes[0].share_ratio"),
        (
            {"archetypes": [messages.ArchetypeShare(archetype="busy_family", share_ratio=1) for _ in range(2)]},
            "archetypes[1].archetype",
        ),
        ({"start_date": ""}, "start_date"),
        ({"start_date": "2199-12-01"}, "start_date"),
    ],
)
async def test_error_names_the_wrong_field_of_a_population(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        await simulated(a_request(**changes))
    assert [violation.field for violation in raised.value.violations] == [field]


async def test_household_with_more_lines_than_fit_is_sent_in_several_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "MAX_MESSAGE_LINES", BATCH_LINES // 2)
    weights = "\n".join(f"{category} = 0.1" for category in our_archetypes().all[2].category_weights)
    text = text_of_archetype(default="budget_conscious", gap=1, weights=weights)
    file = tmp_path / "shoppers.toml"
    file.write_text(
        text.replace("mean_basket_items = 5", "mean_basket_items = 1000\nhousehold_size = 20"), encoding="utf-8"
    )
    students = [messages.ArchetypeShare(archetype="student", share_ratio=1)]
    request = a_request(household_count=2, archetypes=students, simulation_months=60)
    (responses,) = await simulated(request, settings=SimulationSettings(archetypes_file=file))
    assert all(message.ByteSize() < MESSAGE_LIMIT_BYTES for message in responses)
    first = [message for message in responses if message.first_household == 0]
    assert len(first) > 2
    days = np.concatenate([np.array(message.days) for message in first])
    assert len(days) > BATCH_LINES
    assert np.all(np.diff(days) >= 0)
    assert set(lines_by_household(responses)) == {0, 1}


def a_part(simulate_population: Callable[[Population], Iterator[PopulationBatch]]) -> ServiceSpec:
    servicer = SimulationServicer(our_archetypes(), SIMULATOR.months, simulate_population, load_catalog())
    return ServiceSpec(
        name="simulation",
        services={
            "pantree.simulation.v1.SimulationService": lambda server: rpc.add_SimulationServiceServicer_to_server(
                servicer, server
            )
        },
    )


async def final_count(stub: "rpc.SimulationServiceAsyncStub", made: list[int]) -> int:
    """Number of computed batches once it no longer grows, although the server has had time for other calls."""
    count = -1
    while count != len(made):
        count = len(made)
        for _ in range(200):
            await stub.ListArchetypes(messages.ListArchetypesRequest())
    return count


async def test_server_does_not_run_ahead_of_a_slow_reader() -> None:
    made: list[int] = []

    def counted(population: Population) -> Iterator[PopulationBatch]:
        for batch in POPULATION_SIMULATOR.batches(population):
            made.append(batch.first_household)
            yield batch

    async with loopback(a_part(counted)) as channel:
        stub = rpc.SimulationServiceStub(channel)
        call = stub.SimulatePopulation(a_request(household_count=MANY_HOUSEHOLDS))
        for read in range(1, 4):
            await call.read()
            assert await final_count(stub, made) <= read + MAX_AHEAD
        rest = [message async for message in _rest_of(call)]
    assert 3 + len(rest) == len(made) > 3 + 2 * MAX_AHEAD
    assert rest[-1].first_household + len(rest[-1].line_counts) == MANY_HOUSEHOLDS


async def _rest_of(call: Any) -> AsyncIterator[messages.SimulatePopulationResponse]:
    while (message := await call.read()) is not grpc.aio.EOF:
        yield message


async def test_canceled_population_stops_the_work() -> None:
    made: list[int] = []
    second_started, resume = threading.Event(), threading.Event()

    def paused(population: Population) -> Iterator[PopulationBatch]:
        for batch in POPULATION_SIMULATOR.batches(population):
            if made:
                second_started.set()
                resume.wait(timeout=30)
            made.append(batch.first_household)
            yield batch

    async with loopback(a_part(paused)) as channel:
        stub = rpc.SimulationServiceStub(channel)
        call = stub.SimulatePopulation(a_request(household_count=1_000_000_000))
        await call.read()
        await asyncio.to_thread(second_started.wait, timeout=30)
        call.cancel()
        # Calls on the same connection follow the cancellation and give the server time to continue.
        for is_paused in (True, False):
            for _ in range(20):
                await stub.ListArchetypes(messages.ListArchetypesRequest())
            if is_paused:
                resume.set()
    assert len(made) == 2


# Streams about 150 MB and prints how much the memory of server and client together has grown since the first 30 MB.
_STREAMING = """
import asyncio, resource
from tests.simulation.test_population_service import *

def max_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

async def main():
    async with loopback(await build(SimulationSettings())) as channel:
        call = rpc.SimulationServiceStub(channel).SimulatePopulation(a_request(household_count=24_000))
        streamed, early = 0, 0.0
        async for message in call:
            streamed += message.ByteSize() / 2**20
            if streamed < 30:
                early = max_megabytes()
        print(streamed, max_megabytes() - early)

asyncio.run(main())
"""


def test_memory_does_not_grow_with_the_population() -> None:
    printed = subprocess.run([sys.executable, "-c", _STREAMING], check=True, capture_output=True, text=True).stdout
    streamed, grown = map(float, printed.splitlines()[-1].split())  # lines before it are logs
    assert streamed > 120
    assert grown < streamed / 3
