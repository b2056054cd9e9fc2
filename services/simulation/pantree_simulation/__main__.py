"""Composition root of the simulation service: `python -m pantree_simulation [--demo]`."""

import functools
from importlib import resources

from pantree.simulation.v1 import simulation_service_pb2_grpc as rpc
from pantree_domain.catalog import load_catalog
from pantree_runtime.server import Part, Program
from pantree_simulation.core import parse_archetypes, simulate
from pantree_simulation.demo import demo
from pantree_simulation.servicer import SimulationServicer
from pantree_simulation.settings import SimulationSettings

NAME = "simulation"


async def build(settings: SimulationSettings) -> Part:
    """The service, ready to be served."""
    archetypes = parse_archetypes((resources.files("pantree_simulation") / "archetypes.toml").read_text("utf-8"))
    servicer = SimulationServicer(archetypes, functools.partial(simulate, catalog=load_catalog()))
    return Part(
        name=NAME,
        services={
            "pantree.simulation.v1.SimulationService": lambda server: rpc.add_SimulationServiceServicer_to_server(
                servicer, server
            )
        },
    )


PROGRAM = Program(NAME, SimulationSettings, build, demo)

if __name__ == "__main__":
    PROGRAM.main()
