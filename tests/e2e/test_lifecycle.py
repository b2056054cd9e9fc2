"""`pantree up` when it or some of its parts end unexpectedly."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import psutil
import pytest

from pantree_cli.mesh import port_settings

TIMEOUT_SECONDS = 60
pytestmark = pytest.mark.timeout(300)
REQUEST = {"customer_id": "cust_001", "items": [{"name": "Bananas", "price": 1.99}], "seed": 5, "as_of": "2026-07-01"}


def until(condition: Callable[[], bool]) -> None:
    """Waits until a condition holds, at most `TIMEOUT_SECONDS`."""
    ends_at = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < ends_at, "timed out"
        time.sleep(0.05)


@contextmanager
def up() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`pantree up` on free ports, serving, and the gateway's URL."""
    variables = {**os.environ, **port_settings(own_ports=True), "COLUMNS": "80"}
    with subprocess.Popen(
        [sys.executable, "-m", "pantree_cli", "up", "--without-history"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=variables,
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if "All parts are serving" in line:
                    break
            yield process, f"http://{variables['PANTREE_GATEWAY_ADDRESS']}"
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=TIMEOUT_SECONDS)


def part_of(process: psutil.Process) -> str:
    """Name of the part that runs in a child process of `pantree up`."""
    return next(word for word in process.cmdline() if word.startswith("pantree_")).removeprefix("pantree_")


def test_crashed_parts_are_restarted() -> None:
    with up() as (process, gateway):
        answer = httpx.post(f"{gateway}/api/v1/process", json=REQUEST, timeout=30).json()
        first = {part_of(child): child for child in psutil.Process(process.pid).children()}
        assert len(first) == 7
        for part in ("frequency", "vector"):
            first[part].kill()

        def are_back() -> bool:
            now = {part_of(child) for child in psutil.Process(process.pid).children() if child not in first.values()}
            return now == {"frequency", "vector"} and httpx.get(f"{gateway}/health").json()["status"] == "healthy"

        until(are_back)
        assert httpx.post(f"{gateway}/api/v1/process", json=REQUEST, timeout=30).json() == answer


@pytest.fixture
def hang_up_ends_programs() -> Iterator[None]:
    """`nohup` makes child processes ignore SIGHUP; this restores the default for tests that run under it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hang_up_ends_programs")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_no_part_outlives_pantree_up(number: signal.Signals) -> None:
    with up() as (process, _):
        parts = psutil.Process(process.pid).children()
        assert len(parts) == 7
        process.send_signal(number)
        process.wait(TIMEOUT_SECONDS)
        _, alive = psutil.wait_procs(parts, timeout=TIMEOUT_SECONDS)
        assert alive == []


def test_part_that_hangs_is_killed_after_the_drain_time() -> None:
    os.environ["PANTREE_DRAIN_SECONDS"] = "0"
    try:
        with up() as (process, _):
            parts = psutil.Process(process.pid).children()
            parts[3].suspend()
            process.send_signal(signal.SIGTERM)
            assert process.wait(TIMEOUT_SECONDS) == 0
            _, alive = psutil.wait_procs(parts, timeout=TIMEOUT_SECONDS)
            assert alive == []
    finally:
        del os.environ["PANTREE_DRAIN_SECONDS"]
