"""Benchmarks: what is measured, against what. `python -m tests.benchmarks` runs them."""

import os

# Work and yardsticks run on the same number of threads; Polars reads this once, when it is imported.
os.environ.setdefault("POLARS_MAX_THREADS", "1")
