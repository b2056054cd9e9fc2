"""Runs the history part with a clock that jumps: `python -m tests.history.jumping_clock FILE`.

The file has the seconds by which the clock is wrong; it may change at any time.
"""

import contextlib
import runpy
import sys
import time
from pathlib import Path


def main() -> None:
    """Replaces the clock of the system, then runs the part."""
    path = Path(sys.argv[1])
    true_time = time.time_ns
    latest = 0

    def jumped() -> int:
        nonlocal latest
        with contextlib.suppress(ValueError, OSError):  # while it is written
            latest = int(path.read_text())
        return true_time() + latest * 1_000_000_000

    time.time_ns = jumped
    sys.argv = ["pantree_history"]
    runpy.run_module("pantree_history", run_name="__main__")


if __name__ == "__main__":
    main()
