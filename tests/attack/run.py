"""Runs attacks, one after another, and reports what they did."""

import asyncio
import time
from dataclasses import dataclass

from tests.attack.attacks import ATTACKS
from tests.attack.mesh import LimitedMesh, legitimate_caller, measured

# What a process may keep of the memory that an attack took, for its allocator.
_KEPT_BYTES = 48 << 20
_MAX_RECOVERY_SECONDS = 30.0


@dataclass(frozen=True)
class Result:
    """What an attack did."""

    name: str
    row: int
    answers: dict[str, int]
    part: str
    """The part whose memory came closest to its limit."""
    peak_mib: float
    limit_mib: float
    recovery_seconds: float
    """Until the memory of all parts was back; infinite when it did not come back in time."""
    requests: int
    """Of the legitimate caller."""
    p99_ms: float
    problems: tuple[str, ...]

    def line(self) -> str:
        """Row of the table."""
        answers = ", ".join(f"{count} × {answer}" for answer, count in sorted(self.answers.items()))
        return (
            f"| {self.row} | {self.name} | {answers} | {self.part} | {self.peak_mib:.0f} of {self.limit_mib:.0f} | "
            f"{self.recovery_seconds:.0f} | {self.requests} | {self.p99_ms:.0f} |"
        )


HEADER = (
    "| row | attack | answers | part closest to its limit | peak, MiB | memory back after, s | legitimate requests | "
    "p99, ms |\n|--:|---|---|---|--:|--:|--:|--:|"
)


async def warm_up(mesh: LimitedMesh) -> None:
    """Calls every RPC a few times, since first calls load code and fill caches.

    Raises:
        AssertionError: when a part answers with an unexpected error.
    """
    for name in ("random messages", "bulk streams that nobody reads", "24 histories of 20,000 lines"):
        answers = await ATTACKS[name][1](mesh, 0.006)
        failed = [answer for answer in answers if answer.startswith(("INTERNAL", "UNKNOWN", "no answer"))]
        assert not failed, f"{name}: {failed}"


async def attack(mesh: LimitedMesh, name: str, scale: float) -> Result:
    """Runs one attack next to a legitimate caller."""
    row, run, permitted = ATTACKS[name]
    before = mesh.memory()
    written = mesh.log.stat().st_size
    async with legitimate_caller(mesh) as legitimate, measured(mesh) as peaks:
        answers = await run(mesh, scale)
    problems = [f"the legitimate caller got {problem}" for problem in legitimate.problems]
    problems += [f"{part} died" for part in mesh.dead]
    problems += [f"the answer {answer} is not permitted" for answer in answers if answer not in permitted]
    problems += [f"logged: {line[-600:]}" for line in mesh.tracebacks(written)]
    recovery = await _recovery_seconds(mesh, before)
    if recovery > _MAX_RECOVERY_SECONDS:
        now = mesh.memory()
        grown = {part: (now[part] - before[part]) >> 20 for part in now if now[part] > before[part] + _KEPT_BYTES}
        problems.append(f"memory did not come back, MiB: {grown}")
    limits: dict[str, int] = {part: group.limit for part, group in mesh.groups.items()}
    closest = max(peaks, key=lambda part: peaks[part] / limits[part])
    return Result(
        name, row, dict(answers), closest, peaks[closest] / 2**20, limits[closest] / 2**20, recovery,
        len(legitimate.durations), legitimate.p99_ms, tuple(problems),
    )  # fmt: skip


async def _recovery_seconds(mesh: LimitedMesh, before: dict[str, int]) -> float:
    began_at = time.monotonic()
    while time.monotonic() - began_at < _MAX_RECOVERY_SECONDS:
        now = mesh.memory()
        if all(now[part] <= before[part] + _KEPT_BYTES for part in now):
            return time.monotonic() - began_at
        await asyncio.sleep(0.25)
    return float("inf")
