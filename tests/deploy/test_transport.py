"""The parts use the same gRPC transport wherever they run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pantree_cli.mesh import GRPC_VARIABLES
from scripts.build_images import DOCKERFILE, SAGEMAKER_DOCKERFILE, SPARK_DOCKERFILE

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


def warnings_of_grpc(variables: dict[str, str]) -> str:
    environment = {**os.environ, **variables}
    return subprocess.run(
        [sys.executable, "-c", _SERVE], env=environment, check=True, capture_output=True, text=True
    ).stderr


def test_grpc_knows_the_experiments() -> None:
    assert "Unknown experiment" not in warnings_of_grpc(GRPC_VARIABLES)
    assert "Unknown experiment" in warnings_of_grpc({"GRPC_EXPERIMENTS": "-no_such_thing"})


@pytest.mark.parametrize("file", [DOCKERFILE, SPARK_DOCKERFILE, SAGEMAKER_DOCKERFILE], ids=lambda file: file.name)
def test_images_set_the_same_variables_as_pantree_up(file: Path) -> None:
    assert dict(re.findall(r"^ENV (GRPC_\w+)=(\S+)$", file.read_text(), re.MULTILINE)) == GRPC_VARIABLES
