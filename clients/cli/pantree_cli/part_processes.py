"""Processes of the parts: on Linux forked by the launcher, elsewhere programs of their own."""

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import Mapping
from typing import Protocol

COMPILED_PACKAGES = frozenset({"pantree_simulation", "pantree_frequency", "pantree_recommendation"})
"""Packages of the parts that use numba."""


class PartProcess(Protocol):
    """Process of a part."""

    @property
    def pid(self) -> int:
        """Process ID."""

    @property
    def returncode(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""

    async def wait(self) -> int:
        """Waits until it exits and returns its exit code."""

    def send_signal(self, signal: int) -> None:
        """Sends it a signal.

        Raises:
            ProcessLookupError: when it has exited.
        """

    def kill(self) -> None:
        """Kills it.

        Raises:
            ProcessLookupError: when it has exited.
        """


class PartStarter(Protocol):
    """Starts processes of parts."""

    async def start(self, package: str) -> PartProcess:
        """Starts `python -m PACKAGE --until-stdin-closes`, with the lifeline as its standard input."""

    async def close(self) -> None:
        """Releases what it needs to start processes. The processes it has started go on."""


def part_starter(environment: Mapping[str, str], lifeline: int) -> PartStarter:
    """The fastest starter on this system: forking is safe with Linux's libraries only.

    Args:
        environment: environment variables of the parts.
        lifeline: file descriptor that the parts read; they stop when it closes.
    """
    return ForkingStarter(environment, lifeline) if sys.platform == "linux" else ProgramStarter(environment, lifeline)


class ProgramStarter:
    """Starts each part as a program that imports all it needs."""

    def __init__(self, environment: Mapping[str, str], lifeline: int) -> None:
        self._environment = environment
        self._lifeline = lifeline

    async def start(self, package: str) -> PartProcess:
        """See `PartStarter.start`."""
        # In its own session, so that Ctrl-C reaches only this process, which stops the parts in order.
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            package,
            "--until-stdin-closes",
            env=self._environment,
            stdin=self._lifeline,
            start_new_session=True,
        )

    async def close(self) -> None:
        """See `PartStarter.close`."""


class _ForkedProcess:
    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def returncode(self) -> int | None:
        return self.exited.result() if self.exited.done() else None

    async def wait(self) -> int:
        return await asyncio.shield(self.exited)

    def send_signal(self, signal: int) -> None:
        if self.exited.done():
            raise ProcessLookupError
        os.kill(self.pid, signal)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkingStarter:
    """Forks each part from a launcher, which has imported what the parts share (`pantree_cli.launcher`).

    If the launcher itself is killed, its parts are killed too, since nobody would learn of their ends, and the next
    part gets a new launcher.
    """

    def __init__(self, environment: Mapping[str, str], lifeline: int) -> None:
        self._environment = environment
        self._lifeline = lifeline
        self._launcher: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()
        self._running: dict[int, _ForkedProcess] = {}
        self._starting: deque[asyncio.Future[_ForkedProcess]] = deque()
        self._reading: asyncio.Task[None] | None = None

    async def start(self, package: str) -> PartProcess:
        """See `PartStarter.start`.

        Raises:
            OSError: when a launcher ends before it has started the part.
        """
        async with self._lock:
            launcher = self._launcher
            if launcher is None or launcher.returncode is not None or self._reading is None or self._reading.done():
                launcher = await self._start_launcher()
            assert launcher.stdin is not None
            started: asyncio.Future[_ForkedProcess] = asyncio.get_running_loop().create_future()
            self._starting.append(started)
            # A line is never too long for the pipe. If the launcher has ended, the future has its error.
            launcher.stdin.write(f"{package}\n".encode())
            return await started

    async def close(self) -> None:
        """See `PartStarter.close`."""
        if self._launcher is not None and self._reading is not None:
            assert self._launcher.stdin is not None
            self._launcher.stdin.close()
            await self._launcher.wait()
            await self._reading

    async def _start_launcher(self) -> asyncio.subprocess.Process:
        replies, for_launcher = os.pipe()
        try:
            self._launcher = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "pantree_cli.launcher",
                str(self._lifeline),
                str(for_launcher),
                env=self._environment,
                stdin=asyncio.subprocess.PIPE,
                pass_fds=(self._lifeline, for_launcher),
                start_new_session=True,
            )
        except BaseException:
            os.close(replies)
            raise
        finally:
            os.close(for_launcher)
        self._reading = asyncio.create_task(self._read(replies))
        return self._launcher

    async def _read(self, replies: int) -> None:
        """Reads the launcher's replies until it ends."""
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(replies, "rb", buffering=0)
        )
        try:
            async for line in reader:
                match line.decode().split():
                    case ["started", _, pid]:
                        process = self._running[int(pid)] = _ForkedProcess(int(pid))
                        started = self._starting.popleft()
                        if started.cancelled():
                            process.kill()
                        else:
                            started.set_result(process)
                    case ["exited", pid, code]:
                        self._running.pop(int(pid)).exited.set_result(int(code))
        finally:
            transport.close()
        ended_with = await self._launcher.wait() if self._launcher is not None else 0
        while self._starting:
            started = self._starting.popleft()
            if not started.cancelled():
                started.set_exception(OSError(f"the launcher of the parts ended with code {ended_with}"))
        if ended_with != 0:
            for process in self._running.values():
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                process.exited.set_result(-signal.SIGKILL)
            self._running.clear()
