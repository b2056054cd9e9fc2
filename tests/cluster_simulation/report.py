"""Results of a cluster simulation."""

from collections import Counter
from dataclasses import dataclass, field

from tests.faults.load import Outcome


@dataclass
class Report:
    """Results of a cluster simulation."""

    not_simulated: list[str] = field(default_factory=list)
    ready_seconds: dict[str, float] = field(default_factory=dict)
    connections_open: int = 0
    connections_blocked: int = 0
    checks: list[str] = field(default_factory=list)
    """Outcomes of single requests."""
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    """Outcomes by what happened during the requests."""
    problems: list[str] = field(default_factory=list)
    """Everything that went wrong."""
    failed_restarts: list[str] = field(default_factory=list)
    """Unary calls that failed during rolling restarts."""
    spans: dict[str, int] = field(default_factory=dict)
    milliseconds: dict[str, float] = field(default_factory=dict)
    """CPU time per request, of all pods of a part together."""
    memory: dict[str, tuple[float, float, float, int, int]] = field(default_factory=dict)
    """By part: CPU seconds to start, MiB when idle, peak MiB, requested MiB, limit in MiB."""

    def table(self) -> str:
        """The report as text."""
        lines = [f"not simulated: {reason}" for reason in self.not_simulated]
        slowest = max(self.ready_seconds.values(), default=0.0)
        lines.append(f"pods ready: {len(self.ready_seconds)}, the slowest after {slowest:.1f} s")
        opened, blocked = self.connections_open, self.connections_blocked
        lines.append(f"connections: {opened} open as documented, {blocked} others blocked")
        lines += [
            f"single requests: {dict(Counter(self.checks))}",
            "",
            f"| during | requests | {' | '.join(Outcome)} |",
        ]
        lines.append("|---|" + "--:|" * (len(Outcome) + 1))
        for label, counts in self.counts.items():
            cells = [label or "nothing", sum(counts.values()), *(counts[outcome] for outcome in Outcome)]
            lines.append(f"| {' | '.join(map(str, cells))} |")
        lines.append(f"\nunary calls that failed during rolling restarts: {len(self.failed_restarts)}")
        lines += [f"{count} x {failed}" for failed, count in Counter(self.failed_restarts).items()]
        lines += [f"spans at the collector: {self.spans}", ""]
        memory = "memory when idle, MiB | peak, MiB"
        lines.append(f"| part | CPU to start, s | {memory} | CPU per request, ms | request, MiB | limit, MiB |")
        lines.append("|---|--:|--:|--:|--:|--:|--:|")
        for part, (start, idle, peak, request, limit) in self.memory.items():
            each = self.milliseconds.get(part, float("nan"))
            lines.append(f"| {part} | {start:.1f} | {idle:.0f} | {peak:.0f} | {each:.1f} | {request} | {limit} |")
        lines.append(f"\n{len(self.problems)} problems")
        lines += [f"{count} x {trouble}" for trouble, count in Counter(self.problems).items()]
        return "\n".join(lines)
