"""A small rehearsal: one pod of each part, a rollout, a crash and a cut; `make rehearsal` does all of it."""

import subprocess
import sys

import pytest

from scripts.build_images import ROOT
from tests.rehearsal.__main__ import why_not

LONGEST_SECONDS = 600
pytestmark = pytest.mark.timeout(LONGEST_SECONDS + 60)


def test_prod_serves_is_shut_and_recovers_without_a_cluster() -> None:
    if reason := why_not():
        pytest.skip(reason)
    options = "--most-replicas 1 --measure 0 --scale --restart gateway --kill pipeline --cut frequency"
    result = subprocess.run(
        [sys.executable, "-m", "tests.rehearsal", *options.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 troubles" in result.stdout
