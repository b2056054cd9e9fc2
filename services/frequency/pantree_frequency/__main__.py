"""Composition root of the frequency service: `python -m pantree_frequency [--demo]`."""

from pantree.frequency.v1 import frequency_service_pb2_grpc as rpc
from pantree_frequency.demo import demo
from pantree_frequency.servicer import FrequencyServicer
from pantree_frequency.settings import FrequencySettings
from pantree_runtime.server import Part, Program

NAME = "frequency"


async def build(settings: FrequencySettings) -> Part:
    """The service, ready to be served."""
    servicer = FrequencyServicer()
    return Part(
        name=NAME,
        services={
            "pantree.frequency.v1.FrequencyService": lambda server: rpc.add_FrequencyServiceServicer_to_server(
                servicer, server
            )
        },
    )


PROGRAM = Program(NAME, FrequencySettings, build, demo)

if __name__ == "__main__":
    PROGRAM.main()
