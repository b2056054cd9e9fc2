"""Breaks a mesh over and over while clients use it, and says what they saw."""

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
from tests.faults.load import Load, Reference, Tally, Verdict, answer_to, requests_of
from tests.faults.mesh import FAKETIME, Fault, FaultyMesh, faulty_mesh

MOST_RECOVERY_SECONDS = 5.0
# How long a probe may go on failing before the run gives up on the part.
_GIVE_UP_SECONDS = 60.0
_REQUESTS = 6
_USUAL_PROBES = 7
_BETWEEN_PROBES_SECONDS = 0.02


@dataclass
class Report:
    """What a run showed."""

    tally: Tally
    usual_seconds: list[float]
    """Median time for an answer under the same load before anything is broken, of each slice of the run."""
    recoveries: dict[str, list[float]] = field(default_factory=dict)
    """Seconds from a part being back to the first correct answer, by what was done to it."""
    delays: list[float] = field(default_factory=list)
    """Slowest recovery less the usual time for an answer, of each slice."""

    @property
    def fault_count(self) -> int:
        """How many faults there were."""
        return sum(len(seconds) for seconds in self.recoveries.values())

    @property
    def slowest_recovery(self) -> float:
        """Longest time to recover, in seconds."""
        return max((max(seconds) for seconds in self.recoveries.values()), default=0.0)

    @property
    def recovers_in_time(self) -> bool:
        """Whether each time to recover is within the limit, not counting what an answer takes anyway."""
        return max(self.delays, default=0.0) <= MOST_RECOVERY_SECONDS

    def close(self) -> None:
        """Notes the slowest recovery of a slice that is done, beyond what an answer takes anyway."""
        self.delays.append(self.slowest_recovery - self.usual_seconds[0])

    def add(self, other: Self) -> None:
        """Takes in another slice of the same run."""
        for label, counts in other.tally.counts.items():
            self.tally.counts.setdefault(label, Counter()).update(counts)
        self.tally.troubles += other.tally.troubles
        self.usual_seconds += other.usual_seconds
        self.delays += other.delays
        for label, seconds in other.recoveries.items():
            self.recoveries.setdefault(label, []).extend(seconds)

    def to_json(self) -> str:
        """All of it, for `from_json`."""
        return json.dumps(
            {
                "counts": self.tally.counts,
                "troubles": self.tally.troubles,
                "usual_seconds": self.usual_seconds,
                "delays": self.delays,
                "recoveries": self.recoveries,
            },
            indent=1,
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote."""
        kept = json.loads(text)
        counts = {
            label: Counter({Verdict(verdict): count for verdict, count in one.items()})
            for label, one in kept["counts"].items()
        }
        return cls(Tally(counts, kept["troubles"]), kept["usual_seconds"], kept["recoveries"], kept["delays"])

    def table(self) -> str:
        """The run as a Markdown table, one row for each part and fault."""
        verdicts = list(Verdict)
        rows = [f"| part | fault | faults | requests | {' | '.join(verdicts)} | slowest recovery, s |"]
        rows.append("|---|---|" + "--:|" * (len(verdicts) + 3))
        for label in sorted({*self.tally.counts, *self.recoveries} - {""}):
            part, _, fault = label.partition(": ")
            counts, recoveries = self.tally.counts.get(label, Counter()), self.recoveries.get(label, [])
            cells = [part, fault, len(recoveries), sum(counts.values()), *(counts[one] for one in verdicts)]
            rows.append(f"| {' | '.join(map(str, cells))} | {max(recoveries, default=0):.2f} |")
        totals = ["all", "", self.fault_count, sum(sum(one.values()) for one in self.tally.counts.values())]
        totals += [self.tally.total(one) for one in verdicts]
        rows.append(f"| {' | '.join(map(str, totals))} | {self.slowest_recovery:.2f} |")
        usual = " to ".join(f"{seconds:.2f}" for seconds in sorted({min(self.usual_seconds), max(self.usual_seconds)}))
        every = sorted(seconds for all_of_one in self.recoveries.values() for seconds in all_of_one)
        rows.append(
            f"\nA request takes {usual} s when nothing is broken; recoveries: median {every[len(every) // 2]:.2f} s, "
            f"beyond what a request takes at most {max(self.delays, default=0.0):.2f} s."
        )
        return "\n".join(rows)


def plan_of(count: int, generator: random.Random) -> list[tuple[ServiceKind, Fault]]:
    """Which faults to do in which order: each possible one about equally often."""
    # Starting a part again takes longest, so that is done half as often as the rest.
    often = [Fault.STOP, Fault.SLOW, Fault.DROP, Fault.CUT, *([Fault.CLOCK] if FAKETIME else [])]
    possible: list[tuple[ServiceKind, Fault]] = [(part, Fault.KILL) for part in PARTS]
    possible += [(part, fault) for fault in often for part in PARTS] * 2
    possible += [(part, Fault.DISK) for part in PARTS if part.name == "vector"] * 4
    plan: list[tuple[ServiceKind, Fault]] = []
    while len(plan) < count:
        generator.shuffle(possible)
        plan += possible
    return plan[:count]


async def references_of(requests: Sequence[dict[str, object]], **variables: str) -> list[Reference]:
    """The right answers, from a mesh that nobody breaks: with all parts, and without enrichment.

    Args:
        requests: what is asked.
        variables: further environment variables for the parts.
    """
    async with mesh_of_processes(PANTREE_GATEWAY_CACHE_SECONDS="0", **variables) as mesh:
        wholes = [await answer_to(mesh.http, request) for request in requests]
        mesh.kill("enrichment")
        await until_healthy(mesh, "degraded")
        bares = [await answer_to(mesh.http, request) for request in requests]
    return [Reference(whole, bare) for whole, bare in zip(wholes, bares, strict=True)]


async def break_repeatedly(
    plan: Sequence[tuple[ServiceKind, Fault]], seed: int, clients: int, told: Callable[[Report], None] = lambda _: None
) -> Report:
    """Does all faults of a plan, one after another, at random moments, under load.

    Args:
        plan: the faults.
        seed: of everything random: requests, moments, durations.
        clients: how many clients send requests all the time.
        told: is called after each fault, with the report so far.
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
                report = Report(load.tally, [statistics.median([await _recovery(load) for _ in range(_USUAL_PROBES)])])
                for part, fault in plan:
                    await asyncio.sleep(generator.uniform(0, 0.3))
                    label = f"{part.name}: {fault}"
                    await mesh.break_it(part, fault, generator.uniform(0.2, 1.2))
                    report.recoveries.setdefault(label, []).append(await _recovery(load))
                    label = ""
                    told(report)
                report.close()
            finally:
                load.stop()
                await loading
    return report


async def _recovery(load: Load) -> float:
    """Seconds until a request is answered correctly."""
    began_at = time.monotonic()
    while True:
        verdict, why = Verdict.HANG, "no outcome"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GIVE_UP_SECONDS):
                verdict, why = await load.process(0)
        if verdict in (Verdict.WRONG, Verdict.HANG):
            load.tally.note("probe", verdict, why)
        seconds = time.monotonic() - began_at
        if verdict is Verdict.CORRECT or seconds > _GIVE_UP_SECONDS:
            return seconds
        await asyncio.sleep(_BETWEEN_PROBES_SECONDS)


__all__ = ["FaultyMesh", "Report", "break_repeatedly", "plan_of", "references_of"]
