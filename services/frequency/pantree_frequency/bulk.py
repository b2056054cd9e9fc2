"""Statistics of a whole retailer's purchases, file to file: `python -m pantree_frequency.bulk IN.parquet OUT.parquet`.

For histories that are too large to send through a service. Columns are read and written whole; each million lines take
about 60 MB of memory in addition to the columns that are read.
"""

import argparse
import itertools
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import numpy as np

from pantree_domain.days import day_number
from pantree_frequency.core.bulk_statistics import BulkStatistics, bulk_statistics, joined
from pantree_frequency.core.histories import Histories
from pantree_runtime.errors import PantreeError

_ANY_DAY = int(np.iinfo(np.int32).max)


def main() -> None:
    """Reads purchases, writes one row of statistics per household and item.

    Exit codes: 0 if the file was written, 1 if not, 2 for invalid arguments.
    """
    parser = argparse.ArgumentParser(prog="python -m pantree_frequency.bulk", description=__doc__)
    parser.add_argument("purchases", type=Path, help="Parquet file such as `pantree simulate` writes")
    parser.add_argument("statistics", type=Path, help="Parquet file to write")
    parser.add_argument("--as-of", type=date.fromisoformat, help="last day that counts; all days by default")
    parser.add_argument("--threads", type=int, default=1, help="divides the households among threads; 1 by default")
    arguments = parser.parse_args()
    if arguments.threads < 1:
        parser.error(f"--threads must be at least 1; is {arguments.threads}")
    try:
        _analyze(
            arguments.purchases,
            arguments.statistics,
            day_number(arguments.as_of) if arguments.as_of else _ANY_DAY,
            arguments.threads,
        )
    except ModuleNotFoundError:
        sys.exit("error: reading Parquet needs pyarrow: pip install 'pantree[frequency,parquet]'")
    except (OSError, PantreeError) as error:
        sys.exit(f"error: {error}")


def _analyze(source: Path, target: Path, as_of_day: int, thread_count: int) -> None:
    from pyarrow import parquet

    from pantree_frequency.backends import arrow

    started = time.perf_counter()
    purchases = arrow.read_purchases(source)
    statistics = _statistics(purchases.histories, as_of_day, thread_count)
    # A half-written file never has the final name.
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        parquet.write_table(arrow.table_of(purchases, statistics), unfinished, compression="zstd")
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    seconds = time.perf_counter() - started
    print(f"{len(purchases.histories.lines):,} lines, {len(statistics):,} pairs in {seconds:.1f} s: {target}")


def _statistics(histories: Histories, as_of_day: int, thread_count: int) -> BulkStatistics:
    shards = histories.split(thread_count)
    with ThreadPoolExecutor(thread_count) as threads:
        return joined(list(threads.map(bulk_statistics, shards, itertools.repeat(as_of_day))))


if __name__ == "__main__":
    main()
