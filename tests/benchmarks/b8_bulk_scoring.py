"""B8: scoring pairs in bulk, features included, against the model library's bare predict."""

from tests.benchmarks.comparison import measurements_of
from tests.benchmarks.frequency import bulk_scoring
from tests.benchmarks.measurement import Measurement


def measure() -> list[Measurement]:
    """One measurement for each baseline."""
    return measurements_of("B8", bulk_scoring())
