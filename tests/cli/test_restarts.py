"""Parts that end are back soon, and a second mesh says which port is in use before anything else."""

import asyncio
import os
import signal
import socket
from typing import Any

import pytest

from pantree_cli.mesh import HOST, PARTS, Backoff, port_settings, start_in_process, start_processes
from pantree_client import ComponentUnavailable

_KILLED = -signal.SIGKILL
_ENRICHMENT = tuple(part for part in PARTS if part.name == "enrichment")
MAX_WAIT_SECONDS = 1.0


def test_backoff_of_a_part_that_fails_at_its_start_doubles() -> None:
    backoff = Backoff()
    assert [backoff.next_seconds(1, None) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_backoff_starts_over_when_the_part_has_served() -> None:
    backoff = Backoff()
    for _ in range(8):
        backoff.next_seconds(1, None)
    assert backoff.next_seconds(1, 4.0) == 0.5


@pytest.mark.parametrize("served_seconds", [None, 0.0, 2.9, 60.0])
def test_killed_part_never_waits_long(served_seconds: float | None) -> None:
    backoff = Backoff()
    for code, served in ((1, None), (_KILLED, None), (_KILLED, 0.1), (0, 1.0), (1, None)) * 3:
        backoff.next_seconds(code, served)
    assert backoff.next_seconds(_KILLED, served_seconds) <= MAX_WAIT_SECONDS


@pytest.mark.timeout(300)
async def test_killed_part_is_started_within_a_second_however_often_and_when() -> None:
    (part,) = _ENRICHMENT
    states = asyncio.Queue[str]()

    async def next_state(start: str) -> str:
        while not (state := await states.get()).startswith(start):
            pass
        return state

    mesh = await start_processes(port_settings(own_ports=True, parts=_ENRICHMENT), lambda *_: None, parts=_ENRICHMENT)
    keeping = asyncio.create_task(mesh.keep_running(lambda _, state: states.put_nowait(state)))
    try:
        # As soon as it serves, or while it starts.
        for while_it_starts in (False, True, True):
            killed = mesh.process_ids[part.name]
            os.kill(killed, signal.SIGKILL)
            exited = await next_state("exited by signal SIGKILL")
            assert float(exited.split()[-2]) <= MAX_WAIT_SECONDS
            if while_it_starts:
                while mesh.process_ids[part.name] == killed:  # noqa: ASYNC110 # nothing reports it
                    await asyncio.sleep(0.01)
            else:
                await next_state("serving")
    finally:
        keeping.cancel()
        await mesh.stop()


@pytest.mark.parametrize("start", [start_processes, start_in_process])
async def test_second_mesh_names_the_port_before_it_starts_anything(start: Any) -> None:
    states: list[str] = []
    settings = port_settings(own_ports=True)
    with (
        socket.create_server((HOST, int(settings["PANTREE_FREQUENCY_PORT"]))),
        pytest.raises(ComponentUnavailable, match=r"port \d+ of frequency is not available: .*; stop its owner"),
    ):
        await start(settings, lambda *change: states.append(str(change)))
    assert states == []
