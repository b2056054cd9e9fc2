"""A driver in a process of its own, which tests kill: `python -m tests.batch.drive TABLE OUT`."""

import sys
from pathlib import Path

from pantree_batch import run
from pantree_batch.run import Progress
from tests.batch.populations import AS_OF


class Printed(Progress):
    """Prints that households are scored."""

    def advance(self, households: int) -> None:
        print(households, flush=True)


if __name__ == "__main__":
    options = run.ScoreOptions(AS_OF, wave_buckets=2)
    run.score(Path(sys.argv[1]), Path(sys.argv[2]), options, worker_count=2, progress=Printed())
