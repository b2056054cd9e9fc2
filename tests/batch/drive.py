"""A driver in a process of its own, which tests kill: `python -m tests.batch.drive TABLE OUT [local|spark]`."""

import sys
from pathlib import Path

from pantree_batch import run
from pantree_batch.engine import Engine
from pantree_batch.engines.local import LocalEngine
from pantree_batch.engines.spark import SparkEngine
from pantree_batch.run import Progress
from tests.batch.populations import AS_OF

SPARK = "local-cluster[2,1,1024]"
# Starts in less time, and serves no pages.
_QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
SPARK_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.driver.extraJavaOptions": _QUICK,
    "spark.executor.extraJavaOptions": _QUICK,
    "spark.sql.codegen.wholeStage": "false",
}


class Printed(Progress):
    """Prints that households are scored."""

    def advance(self, households: int) -> None:
        print(households, flush=True)


if __name__ == "__main__":
    options = run.ScoreOptions(AS_OF, wave_buckets=2)
    engine: Engine = SparkEngine(SPARK, SPARK_SETTINGS) if sys.argv[3:] == ["spark"] else LocalEngine(2)
    run.score(Path(sys.argv[1]), Path(sys.argv[2]), options, engine=engine, progress=Printed())
