"""A real Redis server on a free port, for tests."""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

MAX_SECONDS = 20.0


@dataclass
class RedisServer:
    """A `redis-server` that can be stopped and started again on its port, each time empty."""

    program: str
    folder: Path
    port: int
    options: Sequence[str] = ()
    """Further options, such as `--requirepass`; they override the usual ones."""
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Starts it, and waits until it accepts connections."""
        options = [
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(self.folder),
            *self.options,
        ]
        self.process = subprocess.Popen([self.program, *options], stdout=subprocess.DEVNULL)
        ends_at = time.monotonic() + MAX_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert self.process.poll() is None, "redis-server ended at once"
                assert time.monotonic() < ends_at, "redis-server does not accept connections"
                time.sleep(0.01)

    def kill(self) -> None:
        """Ends it at once, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[RedisServer]:
    """A server, as long as the context lasts; the test is skipped where none is installed.

    Args:
        folder: its directory.
        options: further options, such as `--requirepass`, in which `{port}` stands for its port.
    """
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed; apt-get install redis-server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = RedisServer(program, folder, free.getsockname()[1])
    server.options = [option.format(port=server.port) for option in options]
    server.start()
    try:
        yield server
    finally:
        server.kill()
