"""Injects faults into a mesh under load and reports the outcomes."""

import asyncio
import contextlib
import json
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pantree_cli.mesh import PARTS, ServiceKind
from tests.e2e.mesh import mesh_of_processes, until_healthy
from tests.faults.load import Load, Outcome, Reference, Tally, answer_to, requests_of
from tests.faults.mesh import FAKETIME, Fault, FaultyMesh, faulty_mesh

MAX_RECOVERY_SECONDS = 5.0
# Time after which the run gives up on a part that does not recover.
_GIVE_UP_SECONDS = 60.0
_REQUESTS = 6
_BASELINE_PROBES = 7
_PAUSE_BETWEEN_PROBES_SECONDS = 0.02


@dataclass
class Report:
    """Results of a run."""

    tally: Tally
    baseline_seconds: list[float]
    """Median response time under the same load without faults, one per slice."""
    recoveries: dict[str, list[float]] = field(default_factory=dict)
    """Seconds from the end of a fault to the first correct answer, by part and fault."""
    delays: list[float] = field(default_factory=list)
    """Slowest recovery minus the baseline, one per slice."""

    @property
    def fault_count(self) -> int:
        """Number of injected faults."""
        return sum(len(seconds) for seconds in self.recoveries.values())

    @property
    def slowest_recovery(self) -> float:
        """Longest recovery in seconds."""
        return max((max(seconds) for seconds in self.recoveries.values()), default=0.0)

    @property
    def recovers_in_time(self) -> bool:
        """Whether each recovery, minus the baseline, is within the limit."""
        return max(self.delays, default=0.0) <= MAX_RECOVERY_SECONDS

    def close(self) -> None:
        """Records the slowest recovery of a finished slice, minus the baseline."""
        self.delays.append(self.slowest_recovery - self.baseline_seconds[0])

    def add(self, other: Self) -> None:
        """Adds another slice of the same run."""
        for label, counts in other.tally.counts.items():
            self.tally.counts.setdefault(label, Counter()).update(counts)
        self.tally.problems += other.tally.problems
        self.baseline_seconds += other.baseline_seconds
        self.delays += other.delays
        for label, seconds in other.recoveries.items():
            self.recoveries.setdefault(label, []).extend(seconds)

    def to_json(self) -> str:
        """The report as JSON, for `from_json`."""
        return json.dumps(
            {
                "counts": self.tally.counts,
                "problems": self.tally.problems,
                "baseline_seconds": self.baseline_seconds,
                "delays": self.delays,
                "recoveries": self.recoveries,
            },
            indent=1,
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Report from the output of `to_json`."""
        kept = json.loads(text)
        counts = {
            label: Counter({Outcome(outcome): count for outcome, count in one.items()})
            for label, one in kept["counts"].items()
        }
        return cls(Tally(counts, kept["problems"]), kept["baseline_seconds"], kept["recoveries"], kept["delays"])

    def table(self) -> str:
        """The report as a Markdown table with one row per part and fault."""
        outcomes = list(Outcome)
        rows = [f"| part | fault | faults | requests | {' | '.join(outcomes)} | slowest recovery, s |"]
        rows.append("|---|---|" + "--:|" * (len(outcomes) + 3))
        for label in sorted({*self.tally.counts, *self.recoveries} - {""}):
            part, _, fault = label.partition(": ")
            counts, recoveries = self.tally.counts.get(label, Counter()), self.recoveries.get(label, [])
            cells = [part, fault, len(recoveries), sum(counts.values()), *(counts[one] for one in outcomes)]
            rows.append(f"| {' | '.join(map(str, cells))} | {max(recoveries, default=0):.2f} |")
        totals = ["all", "", self.fault_count, sum(sum(one.values()) for one in self.tally.counts.values())]
        totals += [self.tally.total(one) for one in outcomes]
        rows.append(f"| {' | '.join(map(str, totals))} | {self.slowest_recovery:.2f} |")
        usual = " to ".join(
            f"{seconds:.2f}" for seconds in sorted({min(self.baseline_seconds), max(self.baseline_seconds)})
        )
        every = sorted(seconds for all_of_one in self.recoveries.values() for seconds in all_of_one)
        rows.append(
            f"\nWithout faults a request takes {usual} s. Recoveries: median {every[len(every) // 2]:.2f} s, "
            f"slowest minus that time {max(self.delays, default=0.0):.2f} s."
        )
        return "\n".join(rows)


def plan_of(count: int, generator: random.Random) -> list[tuple[ServiceKind, Fault]]:
    """Parts and faults in random order: each possible pair about equally often."""
    # Restarts take longest, so there are half as many.
    frequent = [Fault.STOP, Fault.SLOW, Fault.DROP, Fault.CUT, *([Fault.CLOCK] if FAKETIME else [])]
    possible: list[tuple[ServiceKind, Fault]] = [(part, Fault.KILL) for part in PARTS]
    possible += [(part, fault) for fault in frequent for part in PARTS] * 2
    possible += [(part, Fault.DISK) for part in PARTS if part.name == "vector"] * 4
    plan: list[tuple[ServiceKind, Fault]] = []
    while len(plan) < count:
        generator.shuffle(possible)
        plan += possible
    return plan[:count]


async def references_of(requests: Sequence[dict[str, object]], **variables: str) -> list[Reference]:
    """Reference answers from a mesh without faults.

    Args:
        requests: the requests.
        variables: additional environment variables for the parts.
    """
    async with mesh_of_processes(PANTREE_GATEWAY_CACHE_SECONDS="0", **variables) as mesh:
        full_answers = [await answer_to(mesh.http, request) for request in requests]
        mesh.kill("enrichment")
        await until_healthy(mesh, "degraded")
        bare_answers = [await answer_to(mesh.http, request) for request in requests]
    return [
        Reference(full, without_enrichment) for full, without_enrichment in zip(full_answers, bare_answers, strict=True)
    ]


async def break_repeatedly(
    plan: Sequence[tuple[ServiceKind, Fault]],
    seed: int,
    clients: int,
    on_fault: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Injects all faults of a plan, one after another, at random times, under load.

    Args:
        plan: the faults.
        seed: random seed of requests, times and durations.
        clients: number of concurrent clients.
        on_fault: called with the report after each fault.
    """
    generator = random.Random(seed)
    requests = requests_of(_REQUESTS, generator)
    references = await references_of(requests)
    label = ""
    with tempfile.TemporaryDirectory() as folder:
        async with faulty_mesh(Path(folder), own_clocks=any(fault is Fault.CLOCK for _, fault in plan)) as mesh:
            load = Load([mesh.gateway], requests, references, lambda: label)
            loading = asyncio.create_task(load.run(clients, generator))
            try:
                report = Report(
                    load.tally, [statistics.median([await _recovery(load) for _ in range(_BASELINE_PROBES)])]
                )
                for part, fault in plan:
                    await asyncio.sleep(generator.uniform(0, 0.3))
                    label = f"{part.name}: {fault}"
                    await mesh.inject(part, fault, generator.uniform(0.2, 1.2))
                    report.recoveries.setdefault(label, []).append(await _recovery(load))
                    label = ""
                    on_fault(report)
                report.close()
            finally:
                load.stop()
                await loading
    return report


async def _recovery(load: Load) -> float:
    """Seconds until a request is answered correctly."""
    began_at = time.monotonic()
    while True:
        outcome, why = Outcome.HANG, "no outcome"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GIVE_UP_SECONDS):
                outcome, why = await load.process(0)
        if outcome in (Outcome.WRONG, Outcome.HANG):
            load.tally.note("probe", outcome, why)
        seconds = time.monotonic() - began_at
        if outcome is Outcome.CORRECT or seconds > _GIVE_UP_SECONDS:
            return seconds
        await asyncio.sleep(_PAUSE_BETWEEN_PROBES_SECONDS)


__all__ = ["FaultyMesh", "Report", "break_repeatedly", "plan_of", "references_of"]
