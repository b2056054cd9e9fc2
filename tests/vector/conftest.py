"""A real Milvus server for the tests that ask for one."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymilvus import MilvusClient, MilvusException

LONGEST_START_SECONDS = 300
LONGEST_STOP_SECONDS = 20
_SESSION_SECONDS = 10
SECONDS_UNTIL_A_KILLED_SERVER_IS_FORGOTTEN = 3 * _SESSION_SECONDS
_PORTS = (
    "etcd",
    "root-coord",
    "proxy",
    "proxy-internal",
    "query-coord",
    "query-node",
    "index-coord",
    "index-node",
    "data-coord",
    "data-node",
)


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
        # etcd's own second port is no option of the command, and two servers would meet there.
        client_url, peer_url = (f"http://127.0.0.1:{port}" for port in (self._ports["etcd"], peer_port))
        self._etcd_configuration.write_text(
            f"listen-client-urls: {client_url}\nadvertise-client-urls: {client_url}\n"
            f"listen-peer-urls: {peer_url}\ninitial-advertise-peer-urls: {peer_url}\n"
            f"initial-cluster: default={peer_url}\n"
        )
        self.uri = f"http://127.0.0.1:{self._ports['proxy']}"
        self._process: subprocess.Popen[bytes] | None = None

    def _launch(self) -> None:
        ports = [text for name, port in self._ports.items() for text in (f"--{name}-port", str(port))]
        command = [str(Path(sys.executable).parent / "milvus-server"), "--data", str(self._folder), *ports]
        # A group of its own: the command starts the server itself as a process that does not end with it.
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={
                **os.environ,
                "ETCD_CONFIG_PATH": str(self._etcd_configuration),
                "COMMON_SESSION_TTL": str(_SESSION_SECONDS),
            },
        )

    def start(self) -> None:
        """Starts the server, and waits until it answers."""
        self._launch()
        assert self._process is not None
        started = time.monotonic()
        while not self._answers():
            waited = time.monotonic() - started
            assert waited < LONGEST_START_SECONDS, f"milvus-server does not answer; see {self._folder}/logs"
            assert self._process.poll() is None, f"milvus-server ended; see {self._folder}/logs"
            time.sleep(0.5)

    def start_after_a_crash(self) -> None:
        """Starts the server twice: the first one waits for the killed one in vain, but clears up what it left."""
        self._launch()
        time.sleep(SECONDS_UNTIL_A_KILLED_SERVER_IS_FORGOTTEN)
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(LONGEST_STOP_SECONDS)
        self.kill()
        self.start()

    def kill(self) -> None:
        """Ends the server at once, as a crash would."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

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


@pytest.fixture(scope="session")
def milvus_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServerProcess]:
    if shutil.which("milvus-server", path=str(Path(sys.executable).parent)) is None:
        pytest.skip("milvus-server is not installed: pip install milvus==2.3.5")
    server = MilvusServerProcess(tmp_path_factory.mktemp("milvus"))
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def milvus_server(request: pytest.FixtureRequest) -> str:
    """URI of a server: the one that PANTREE_TEST_MILVUS_URI names, else one that is started for the tests."""
    uri = os.environ.get("PANTREE_TEST_MILVUS_URI")
    if uri:
        return uri
    process: MilvusServerProcess = request.getfixturevalue("milvus_process")
    return process.uri
