"""A short cluster simulation: one pod per part, a rollout, a crash and a network failure.

`make cluster-simulation` runs all of it.
"""

import subprocess
import sys

import pytest

from scripts.build_images import ROOT
from tests.cluster_simulation.__main__ import skip_reason

MAX_SECONDS = 600
pytestmark = pytest.mark.timeout(MAX_SECONDS + 60)


def test_prod_serves_blocks_undocumented_connections_and_recovers() -> None:
    if reason := skip_reason():
        pytest.skip(reason)
    options = "--max-replicas 1 --measure 0 --scale --restart gateway --kill pipeline --cut frequency"
    result = subprocess.run(
        [sys.executable, "-m", "tests.cluster_simulation", *options.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=MAX_SECONDS,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 problems" in result.stdout
