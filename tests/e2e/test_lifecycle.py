"""`pantree up` when it or some of its parts end unexpectedly."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

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


def parts_of(process: subprocess.Popen[str]) -> dict[str, psutil.Process]:
    """The processes of a `pantree up` that run parts, by the name of the part."""
    parts = {}
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # also if it is a zombie
            words = " ".join(child.cmdline()).split()
            if "--until-stdin-closes" in words:
                parts[words[words.index("-m") + 1].removeprefix("pantree_")] = child
    return parts


def test_crashed_parts_are_restarted() -> None:
    with up() as (process, gateway):
        answer = httpx.post(f"{gateway}/api/v1/process", json=REQUEST, timeout=30).json()
        first = parts_of(process)
        assert len(first) == 7
        for part in ("frequency", "vector"):
            first[part].kill()

        def are_back() -> bool:
            now = {part for part, child in parts_of(process).items() if child not in first.values()}
            return now == {"frequency", "vector"} and httpx.get(f"{gateway}/health").json()["status"] == "healthy"

        until(are_back)
        assert httpx.post(f"{gateway}/api/v1/process", json=REQUEST, timeout=30).json() == answer


@pytest.mark.skipif(sys.platform != "linux", reason="parts are forked on Linux only")
def test_parts_of_a_killed_launcher_are_restarted() -> None:
    with up() as (process, gateway):
        answer = httpx.post(f"{gateway}/api/v1/process", json=REQUEST, timeout=30).json()
        first = parts_of(process)
        (launcher,) = psutil.Process(process.pid).children()
        launcher.kill()

        def are_back() -> bool:
            now = parts_of(process)
            with suppress(httpx.TransportError):
                is_healthy = httpx.get(f"{gateway}/health").json()["status"] == "healthy"
                return is_healthy and len(now) == 7 and not {*now.values()} & {*first.values()}
            return False

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
        parts = psutil.Process(process.pid).children(recursive=True)
        assert len(parts_of(process)) == 7
        process.send_signal(number)
        process.wait(TIMEOUT_SECONDS)
        _, alive = psutil.wait_procs(parts, timeout=TIMEOUT_SECONDS)
        assert alive == []


def test_part_that_hangs_is_killed_after_the_drain_time() -> None:
    os.environ["PANTREE_DRAIN_SECONDS"] = "0"
    try:
        with up() as (process, _):
            parts = psutil.Process(process.pid).children(recursive=True)
            parts_of(process)["vector"].suspend()
            process.send_signal(signal.SIGTERM)
            assert process.wait(TIMEOUT_SECONDS) == 0
            _, alive = psutil.wait_procs(parts, timeout=TIMEOUT_SECONDS)
            assert alive == []
    finally:
        del os.environ["PANTREE_DRAIN_SECONDS"]
