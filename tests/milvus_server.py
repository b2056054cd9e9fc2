"""A real Milvus server on free ports, for tests and benchmarks."""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pymilvus import MilvusClient, MilvusException

# Twenty seconds are usual; a machine that does much else takes minutes.
MAX_START_SECONDS = 600
MAX_STOP_SECONDS = 20
_QUOTA_EXCEEDED = 9  # code of errors
_SMALL_QUOTA_MEGABYTES = 0.0001
_MAX_QUOTA_SECONDS = 60
_TRIES = 3
_SESSION_SECONDS = 10
SECONDS_UNTIL_A_KILLED_SERVER_IS_FORGOTTEN = 3 * _SESSION_SECONDS
_PORTS = (
    "etcd",
    "root_coord",
    "proxy",
    "proxy_internal",
    "query_coord",
    "query_node",
    "index_coord",
    "index_node",
    "data_coord",
    "data_node",
)
# When its ports are busy, the package's own command uses other ones; and it keeps running when its server ends.
# Ports may be busy for a minute after a server was killed. The server ends with the tests.
_PROGRAM = """
import json, os, sys, time
from milvus import MilvusServer, MilvusServerConfig
parent = os.getppid()
server = MilvusServer(MilvusServerConfig(**json.loads(sys.argv[1])), wait_for_started=False)
for attempt in range(120):
    try:
        server.start()
        break
    except RuntimeError as error:
        print(error, file=sys.stderr)
        time.sleep(1)
else:
    sys.exit("its ports stay busy")
while server.server_proc.poll() is None and os.getppid() == parent:
    time.sleep(0.1)
server.stop()
"""


class ServerEnded(Exception):
    """The server ended before it answered."""


class MilvusServerProcess:
    """The server of PyPI's milvus 2.3.5, on free ports, with its data in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with contextlib.ExitStack() as held:
            sockets = [held.enter_context(socket.socket()) for _ in (*_PORTS, "etcd-peer")]
            for one in sockets:
                one.bind(("127.0.0.1", 0))
            *ports, peer_port = (one.getsockname()[1] for one in sockets)
        self._ports = dict(zip(_PORTS, ports, strict=True))
        self._etcd_configuration = folder.with_name(f"{folder.name}-etcd.yaml")
        # etcd's own second port is no option of the server, and two servers would meet there.
        client_url, peer_url = (f"http://127.0.0.1:{port}" for port in (self._ports["etcd"], peer_port))
        self._etcd_configuration.write_text(
            f"listen-client-urls: {client_url}\nadvertise-client-urls: {client_url}\n"
            f"listen-peer-urls: {peer_url}\ninitial-advertise-peer-urls: {peer_url}\n"
            f"initial-cluster: default={peer_url}\n"
        )
        self.uri = f"http://127.0.0.1:{self._ports['proxy']}"
        self._process: subprocess.Popen[bytes] | None = None

    def _launch(self) -> None:
        options = {"data_dir": str(self._folder), **{f"{name}_port": port for name, port in self._ports.items()}}
        environment = {
            **os.environ,
            "ETCD_CONFIG_PATH": str(self._etcd_configuration),
            "COMMON_SESSION_TTL": str(_SESSION_SECONDS),
        }
        with (self._folder.with_name(f"{self._folder.name}.log")).open("ab") as log:
            # A group of its own, so that the program and the server below it can be killed at the same time.
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, json.dumps(options)],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=environment,
            )

    def start(self) -> None:
        """Starts the server, and waits until it answers.

        Raises:
            ServerEnded: when it ends instead.
        """
        self._launch()
        assert self._process is not None
        ends_at = time.monotonic() + MAX_START_SECONDS
        while not self._answers():
            if self._process.poll() is not None:
                raise ServerEnded(self._last_words())
            assert time.monotonic() < ends_at, f"the Milvus server does not answer: {self._last_words()}"
            time.sleep(0.5)

    def start_after_a_crash(self) -> None:
        """Starts the server twice: the first one waits for the killed one in vain, but clears up what it left."""
        self._launch()
        time.sleep(SECONDS_UNTIL_A_KILLED_SERVER_IS_FORGOTTEN)
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(MAX_STOP_SECONDS)
        self.kill()
        self.start()

    def set_full(self, is_full: bool) -> None:
        """Lets the server reach its disk quota, or lifts that, and returns once it refuses or takes writes.

        The server reads its configuration every few seconds, and counts the data that collections have flushed.
        """
        client = MilvusClient(self.uri, timeout=10, dedicated=True)
        try:
            collections = client.list_collections()
            if is_full:
                for collection in collections:
                    client.flush(collection, timeout=60)
            file = self._folder / "configs" / "milvus.yaml"
            changed = file.with_suffix(".new")
            quota = _SMALL_QUOTA_MEGABYTES if is_full else -1
            changed.write_text(re.sub(r"diskQuota: \S+", f"diskQuota: {quota}", file.read_text()))
            changed.replace(file)
            ends_at = time.monotonic() + _MAX_QUOTA_SECONDS
            while any(_takes_writes(client, collection) is is_full for collection in collections):
                assert time.monotonic() < ends_at, "the server does not follow its quota"
                time.sleep(0.5)
        finally:
            client.close()

    def kill(self) -> None:
        """Ends the server at once, as a crash would."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        """Ends the server, and removes its programs and its data, some hundred megabytes."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            client = MilvusClient(self.uri, timeout=2, dedicated=True)
        except MilvusException:
            return False
        try:
            client.list_collections(timeout=2)
        except MilvusException:
            return False
        finally:
            client.close()
        return True

    def _last_words(self) -> str:
        logs = [
            self._folder.with_name(f"{self._folder.name}.log"),
            *sorted((self._folder / "logs").glob("milvus-*.log")),
        ]
        return "\n".join(log.read_text(errors="replace")[-2_000:] for log in logs if log.exists())


def _takes_writes(client: MilvusClient, collection: str) -> bool:
    try:
        client.delete(collection, ids=["-"], timeout=5)
    except MilvusException as error:
        if error.code != _QUOTA_EXCEEDED:
            raise
        return False
    return True


def is_installed() -> bool:
    """Whether there is a server to start."""
    return importlib.util.find_spec("milvus") is not None


@contextlib.contextmanager
def milvus_server(make_folder: Callable[[], Path]) -> Iterator[MilvusServerProcess]:
    """A server as long as the context lasts.

    Args:
        make_folder: makes a new folder each time.

    Raises:
        ServerEnded: when it ends each time it is started.
    """
    for attempt in range(_TRIES):
        server = MilvusServerProcess(make_folder())
        try:
            server.start()
        except ServerEnded:  # such as when another program took one of its ports
            server.remove()
            if attempt == _TRIES - 1:
                raise
            continue
        except BaseException:
            server.remove()
            raise
        try:
            yield server
        finally:
            server.remove()
        return
