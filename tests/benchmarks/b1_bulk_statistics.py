"""B1: bulk frequency statistics, against Polars, DuckDB and the sort that nobody can do without."""

from tests.benchmarks.comparison import measurements_of
from tests.benchmarks.frequency import bulk_statistics_of_lines
from tests.benchmarks.measurement import Measurement


def measure() -> list[Measurement]:
    """One measurement for each baseline."""
    return measurements_of("B1", bulk_statistics_of_lines())
