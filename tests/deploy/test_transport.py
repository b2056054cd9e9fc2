"""What the parts tell gRPC of its transport, wherever they run."""

import os
import re
import subprocess
import sys

import pytest

from pantree_cli.mesh import GRPC_VARIABLES
from scripts.build_images import images

_SERVE = """
import asyncio
import grpc

async def main():
    server = grpc.aio.server()
    server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await server.stop(0)

asyncio.run(main())
"""


def complaints_of_grpc(variables: dict[str, str]) -> str:
    environment = {**os.environ, **variables}
    return subprocess.run(
        [sys.executable, "-c", _SERVE], env=environment, check=True, capture_output=True, text=True
    ).stderr


def test_grpc_knows_what_it_is_told() -> None:
    assert "Unknown experiment" not in complaints_of_grpc(GRPC_VARIABLES)
    assert "Unknown experiment" in complaints_of_grpc({"GRPC_EXPERIMENTS": "-no_such_thing"})


@pytest.mark.parametrize("image", images())
def test_images_tell_what_pantree_up_tells(image: str) -> None:
    text = images()[image].read_text()
    assert dict(re.findall(r"^ENV (GRPC_\w+)=(\S+)$", text, re.MULTILINE)) == GRPC_VARIABLES
