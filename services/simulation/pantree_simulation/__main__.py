"""Composition root of the simulation service: `python -m pantree_simulation [--demo]`."""

import asyncio
import tomllib
from importlib import resources
from pathlib import Path

from pantree.simulation.v1 import simulation_service_pb2_grpc as rpc
from pantree_domain.catalog import load_catalog
from pantree_runtime import background_compilation, telemetry
from pantree_runtime.errors import FieldViolation, InvalidInput
from pantree_runtime.server import BULK_COST, Program, ServiceSpec
from pantree_runtime.settings import environment_variable
from pantree_simulation.core.archetypes import Archetypes, parse_archetypes
from pantree_simulation.core.behavior import parse_behavior
from pantree_simulation.core.population import PopulationSimulator
from pantree_simulation.core.simulation import Simulator
from pantree_simulation.core.warm_up import warm_up
from pantree_simulation.demo import demo
from pantree_simulation.rules import RULES
from pantree_simulation.servicer import SimulationServicer
from pantree_simulation.settings import SimulationSettings

NAME = "simulation"


async def build(settings: SimulationSettings) -> ServiceSpec:
    """The simulation service.

    Raises:
        InvalidInput: when the archetypes file is invalid or cannot be read.
    """
    catalog, behavior = load_catalog(), parse_behavior(_bundled_file("behavior.toml"))
    archetypes = _archetypes(settings.archetypes_file)
    simulator, population_simulator = Simulator(catalog, behavior), PopulationSimulator(catalog, behavior)
    servicer = SimulationServicer(archetypes, simulator.months, population_simulator.batches, catalog)

    def call_all() -> None:
        warm_up(simulator, population_simulator, archetypes)

    return ServiceSpec(
        name=NAME,
        services={
            "pantree.simulation.v1.SimulationService": lambda server: rpc.add_SimulationServiceServicer_to_server(
                servicer, server
            )
        },
        warm_up=lambda: asyncio.to_thread(background_compilation.finish, call_all),
        compile_in_background=(
            (lambda: background_compilation.compile_in_background(NAME, call_all))
            if background_compilation.is_needed()
            else None
        ),
        costs={"SimulatePopulation": BULK_COST},
        rules=RULES,
        counts={
            "StreamPurchases": lambda month: telemetry.PURCHASES_SIMULATED.inc(len(month.purchases.days)),
            "SimulatePopulation": lambda batch: telemetry.PURCHASES_SIMULATED.inc(len(batch.item_indices)),
        },
    )


def _archetypes(file: Path | None) -> Archetypes:
    bundled = parse_archetypes(_bundled_file("archetypes.toml"))
    if file is None:
        return bundled
    try:
        return parse_archetypes(file.read_text("utf-8"), bundled)
    except (OSError, ValueError) as error:
        variable = environment_variable(SimulationSettings, "archetypes_file")
        if isinstance(error, OSError):
            kind = "cannot be read"
        else:
            kind = "is not TOML" if isinstance(error, tomllib.TOMLDecodeError | UnicodeDecodeError) else "is invalid"
        raise InvalidInput([FieldViolation(variable, f"{file} {kind}: {error}; see archetypes.toml")]) from error


def _bundled_file(name: str) -> str:
    return (resources.files("pantree_simulation") / name).read_text("utf-8")


PROGRAM = Program(NAME, SimulationSettings, build, demo)

if __name__ == "__main__":
    PROGRAM.main()
