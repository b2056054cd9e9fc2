"""`python -m tests.faults`: over two hundred faults, then a rolling restart; prints tables, ends with 1 when bad."""

import argparse
import asyncio
import random
import time

from tests.faults.load import Verdict
from tests.faults.mesh import Fault
from tests.faults.rolling import rolling_restart
from tests.faults.run import Report, break_repeatedly, plan_of


async def _main(count: int, seed: int, clients: int, only: list[Fault]) -> bool:
    began_at = time.monotonic()

    def told(report: Report) -> None:
        print(f"\r{report.fault_count} of {count} faults, slowest recovery {report.slowest_recovery:.1f} s", end="")

    plan = [(part, fault) for part, fault in plan_of(count, random.Random(seed)) if not only or fault in only]
    report = await break_repeatedly(plan, seed, clients, told)
    print(f"\n{report.fault_count} faults, seed {seed}, {clients} clients, {time.monotonic() - began_at:.0f} s\n")
    print(report.table())
    for trouble in report.tally.troubles:
        print("  " + trouble)
    bad = report.tally.total(Verdict.WRONG) + report.tally.total(Verdict.HANG)
    rolled = await rolling_restart(seed, clients)
    print(f"\nRolling restart of two replicas of each part:\n\n{rolled.table()}")
    return not bad and report.recovers_in_time and not rolled.failed_unary_calls


def main() -> None:
    """Runs all faults."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=210, help="number of faults")
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--only", type=Fault, choices=list(Fault), action="append", default=[], help="kind of fault")
    arguments = parser.parse_args()
    raise SystemExit(0 if asyncio.run(_main(arguments.count, arguments.seed, arguments.clients, arguments.only)) else 1)


if __name__ == "__main__":
    main()
