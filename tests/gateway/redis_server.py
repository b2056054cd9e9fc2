"""A Redis server for tests, on a free port and with nothing on disk."""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

INSTALL = "apt-get install --yes redis-server"


@dataclass
class RedisServer:
    """A server that a test may end and start again."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def end(self) -> None:
        """Ends it at once, as a crash would."""
        self.process.kill()
        self.process.wait()

    def start_again(self) -> None:
        self.process = _start(self.port)


@contextlib.contextmanager
def redis_server() -> Iterator[RedisServer]:
    """A running server; skips the test where there is none."""
    if shutil.which("redis-server") is None:
        pytest.skip(f"redis-server is not installed: {INSTALL}")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    server = RedisServer(port, _start(port))
    try:
        yield server
    finally:
        server.end()


def _start(port: int) -> subprocess.Popen[bytes]:
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
    while process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return process
        time.sleep(0.02)
    raise AssertionError(f"redis-server ended with {process.returncode}")
