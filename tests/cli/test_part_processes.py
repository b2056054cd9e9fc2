"""Processes of parts behave alike whether they are forked or started as programs."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from pantree_cli.part_processes import ForkingStarter, PartStarter, ProgramStarter

PROGRAM = """
import os, random, signal, sys
with open(os.environ["EXAMPLE_OUTPUT"], "a") as output:
    words = [os.getpid(), os.getsid(0), __name__, *sys.argv[1:], os.environ["EXAMPLE_VARIABLE"], random.random()]
    print(*words, file=output)
code = os.read(0, 1)
sys.exit(ord(code) if code else 0)
"""
Start = Callable[[Mapping[str, str], int], PartStarter]
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="parts are forked on Linux only")
both = pytest.mark.parametrize("kind", [pytest.param(ForkingStarter, marks=on_linux), ProgramStarter])


class Example:
    """Starts `pantree_example`, which writes what it sees and exits with the code that is written to its input."""

    def __init__(self, starter: PartStarter, lifeline: int, output: Path) -> None:
        self.starter = starter
        self.lifeline = lifeline
        self._output = output

    async def lines(self, count: int) -> list[list[str]]:
        while len(lines := self._output.read_text().splitlines()) < count:  # noqa: ASYNC110 # nothing reports it
            await asyncio.sleep(0.01)
        return [line.split() for line in lines]


@asynccontextmanager
async def example(kind: Start, directory: Path) -> AsyncIterator[Example]:
    package = directory / "pantree_example"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(PROGRAM)
    output = directory / "output"
    output.touch()
    path = os.pathsep.join([str(directory), *filter(None, [os.environ.get("PYTHONPATH")])])
    variables = {"PYTHONPATH": path, "EXAMPLE_OUTPUT": str(output), "EXAMPLE_VARIABLE": "of-the-mesh"}
    reading, writing = os.pipe()
    starter = kind({**os.environ, **variables}, reading)
    try:
        yield Example(starter, writing, output)
    finally:
        await starter.close()
        for end in (reading, writing):
            os.close(end)


@both
async def test_part_is_a_program_of_its_own(kind: Start, tmp_path: Path) -> None:
    async with asyncio.timeout(30), example(kind, tmp_path) as mesh:
        processes = [await mesh.starter.start("pantree_example") for _ in range(2)]
        lines = await mesh.lines(2)
        assert {int(pid) for pid, *_ in lines} == {process.pid for process in processes}
        for pid, session, *rest in lines:
            assert session == pid
            assert rest[:-1] == ["__main__", "--until-stdin-closes", "of-the-mesh"]
            assert "-m pantree_example --until-stdin-closes" in " ".join(psutil.Process(int(pid)).cmdline())
        assert lines[0][-1] != lines[1][-1], "both have the same random numbers"
        assert [process.returncode for process in processes] == [None, None]
        os.write(mesh.lifeline, bytes([3]))
        await asyncio.wait([asyncio.ensure_future(one.wait()) for one in processes], return_when="FIRST_COMPLETED")
        first, other = sorted(processes, key=lambda one: one.returncode is None)
        assert first.returncode == 3
        with pytest.raises(ProcessLookupError):
            first.kill()
        other.send_signal(signal.SIGTERM)
        assert await other.wait() == -signal.SIGTERM


@both
async def test_parts_outlive_their_starter_until_the_lifeline_closes(kind: Start, tmp_path: Path) -> None:
    async with asyncio.timeout(30), example(kind, tmp_path) as mesh:
        process = await mesh.starter.start("pantree_example")
        await mesh.lines(1)
        await mesh.starter.close()
        part = psutil.Process(process.pid)
        assert part.is_running()
    assert await asyncio.to_thread(psutil.wait_procs, [part], 30) == ([part], [])


@on_linux
async def test_killed_launcher_takes_its_parts_along_and_is_replaced(tmp_path: Path) -> None:
    async with asyncio.timeout(30), example(ForkingStarter, tmp_path) as mesh:
        process = await mesh.starter.start("pantree_example")
        await mesh.lines(1)
        part = psutil.Process(process.pid)
        launcher = part.parent()
        assert launcher is not None
        launcher.kill()
        assert await process.wait() == -signal.SIGKILL
        assert (await asyncio.to_thread(psutil.wait_procs, [part], 30))[1] == []
        again = await mesh.starter.start("pantree_example")
        await mesh.lines(2)
        again.kill()
        assert await again.wait() == -signal.SIGKILL


@on_linux
async def test_part_whose_start_is_cancelled_is_killed(tmp_path: Path) -> None:
    async with asyncio.timeout(30), example(ForkingStarter, tmp_path) as mesh:
        first = await mesh.starter.start("pantree_example")
        starting = asyncio.create_task(mesh.starter.start("pantree_example"))
        await asyncio.sleep(0)  # the launcher has been asked
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        last = await mesh.starter.start("pantree_example")
        launcher = psutil.Process(last.pid).parent()
        assert launcher is not None
        while len(launcher.children()) > 2:  # noqa: ASYNC110 # nothing reports it
            await asyncio.sleep(0.01)
        assert {child.pid for child in launcher.children()} == {first.pid, last.pid}
        for process in (first, last):
            process.kill()
            await process.wait()


@on_linux
async def test_launcher_that_cannot_start_is_an_error(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    starter = ForkingStarter({**os.environ, "PYTHONPATH": "", "PYTHONHOME": str(tmp_path)}, reading)
    with pytest.raises(OSError, match="launcher of the parts ended"):
        await starter.start("pantree_example")
    await starter.close()
    for end in (reading, writing):
        os.close(end)
