"""The real container as a process, and the local SageMaker runtime in front of it."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvicorn

from pantree_recommendation.backends import model_artifact
from pantree_recommendation.sagemaker.local_runtime import LocalRuntime

KEY, SECRET = "AKIDEXAMPLE", "not-a-real-key"


@dataclass(frozen=True)
class ContainerProcess:
    """A running container."""

    process: subprocess.Popen[str]
    url: str

    def stop(self) -> int:
        """Sends SIGTERM and returns the exit code."""
        self.process.terminate()
        return self.process.wait(20)


@contextlib.contextmanager
def container(model: Path = model_artifact.DEFAULT_MODEL_DIR, **variables: str) -> Iterator[ContainerProcess]:
    """A container that listens; `/ping` returns whether its model is loaded."""
    environment = {
        **os.environ,
        "SAGEMAKER_BIND_TO_PORT": "0",
        "PANTREE_SAGEMAKER_HOST": "127.0.0.1",
        "PANTREE_SAGEMAKER_MODEL_DIR": str(model),
        "PANTREE_LOG_FORMAT": "json",
        **variables,
    }
    command = [sys.executable, "-m", "pantree_recommendation.sagemaker", "serve"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            listening = json.loads(process.stderr.readline())
            yield ContainerProcess(process, f"http://127.0.0.1:{listening['port']}")
        finally:
            process.kill()


async def until_loaded(url: str) -> None:
    """Waits until a container's model is loaded."""
    async with httpx.AsyncClient() as client, asyncio.timeout(60):
        while (await client.get(f"{url}/ping")).status_code != 200:  # noqa: ASYNC110 # another process has no event
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def serving(runtime: LocalRuntime) -> AsyncIterator[str]:
    """URL of a local runtime that runs within the context."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(runtime.app(), log_config=None, access_log=False, lifespan="on"))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


def runtime_of(variants: Mapping[str, str], **options: object) -> LocalRuntime:
    """A local runtime with the endpoint `subscribe-save`."""
    return LocalRuntime({"subscribe-save": variants}, {KEY: SECRET}, **options)  # type: ignore[arg-type]
