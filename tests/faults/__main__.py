"""Injects over two hundred faults, then does a rolling restart: `python -m tests.faults`. Exits with 1 on a failure."""

import argparse
import asyncio
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

from pantree_cli.mesh import PARTS
from tests.faults.load import Outcome
from tests.faults.mesh import Fault
from tests.faults.rolling import rolling_restart
from tests.faults.run import Report, break_repeatedly, plan_of


@dataclass(frozen=True)
class _Slice:
    """One of several slices of a run, for machines that are not idle long enough for all of it."""

    number: int
    count: int

    @classmethod
    def from_text(cls, text: str) -> "_Slice":
        number, _, count = text.partition("/")
        one = cls(int(number), int(count or 1))
        if not 1 <= one.number <= one.count:
            raise ValueError(text)
        return one


async def _break(arguments: argparse.Namespace) -> bool:
    began_at = time.monotonic()
    count, seed, clients, which = arguments.count, arguments.seed, arguments.clients, arguments.slice
    plan = [one for one in plan_of(count, random.Random(seed)) if not arguments.only or one[1] in arguments.only]
    # The plan does not depend on the slices; times and requests differ between slices.
    plan = [one for one in plan for _ in range(arguments.in_a_row)]
    plan = plan[which.number - 1 :: which.count]

    def print_progress(report: Report) -> None:
        print(f"\r{report.fault_count} of {len(plan)} faults, slowest recovery {report.slowest_recovery:.1f} s", end="")

    report = await break_repeatedly(plan, seed + which.number - 1, clients, print_progress)
    if arguments.keep:
        if arguments.keep.exists():
            report.add(Report.from_json(arguments.keep.read_text()))
        arguments.keep.parent.mkdir(parents=True, exist_ok=True)
        arguments.keep.write_text(report.to_json())
    print(f"\n{report.fault_count} faults, seed {seed}, {clients} clients, {time.monotonic() - began_at:.0f} s\n")
    print(report.table())
    for problem in report.tally.problems:
        print("  " + problem)
    return report.tally.total(Outcome.WRONG) == report.tally.total(Outcome.HANG) == 0 and report.recovers_in_time


async def _roll(arguments: argparse.Namespace) -> bool:
    parts = [part for part in PARTS if not arguments.parts or part.name in arguments.parts]
    rolled = await rolling_restart(arguments.seed, arguments.clients, arguments.rolls, parts)
    print(f"\n{arguments.rolls} rolling restarts of two replicas of each part:\n\n{rolled.table()}")
    failures = rolled.tally.total(Outcome.WRONG) + rolled.tally.total(Outcome.HANG)
    return not rolled.failed_unary_calls and not rolled.stream_ends and not failures


async def _main(arguments: argparse.Namespace) -> bool:
    passed = arguments.do == "rolling" or await _break(arguments)
    return (arguments.do == "faults" or await _roll(arguments)) and passed


def main() -> None:
    """Runs the faults and the rolling restart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=210, help="number of faults")
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument(
        "--clients", type=int, default=os.cpu_count() or 1, help="concurrent clients; default: one per core"
    )
    parser.add_argument(
        "--only", type=Fault, choices=list(Fault), action="append", default=[], help="only this kind of fault"
    )
    parser.add_argument("--in-a-row", type=int, default=1, metavar="N", help="repeat each fault N times")
    parser.add_argument("--rolls", type=int, default=1, metavar="N", help="rolling restarts, one after another")
    parser.add_argument(
        "--parts", choices=[part.name for part in PARTS], action="append", default=[], help="restart only this part"
    )
    parser.add_argument("--do", choices=["all", "faults", "rolling"], default="all", help="what to run")
    parser.add_argument("--slice", type=_Slice.from_text, default=_Slice(1, 1), metavar="K/N", help="run slice K of N")
    parser.add_argument("--keep", type=Path, help="file that accumulates slices; the table covers all of them")
    raise SystemExit(0 if asyncio.run(_main(parser.parse_args())) else 1)


if __name__ == "__main__":
    main()
