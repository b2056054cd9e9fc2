"""What a rehearsal showed."""

from collections import Counter
from dataclasses import dataclass, field

from tests.faults.load import Verdict


@dataclass
class Report:
    """What was seen."""

    left_out: list[str] = field(default_factory=list)
    ready_seconds: dict[str, float] = field(default_factory=dict)
    edges_open: int = 0
    edges_shut: int = 0
    checks: list[str] = field(default_factory=list)
    """Outcomes of single requests."""
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    """Verdicts, by what was going on."""
    troubles: list[str] = field(default_factory=list)
    """All that must not be."""
    restarts_failed: list[str] = field(default_factory=list)
    """Unary calls that failed in rolling restarts."""
    spans: dict[str, int] = field(default_factory=dict)
    milliseconds: dict[str, float] = field(default_factory=dict)
    """CPU time of all pods of a part for one request."""
    memory: dict[str, tuple[float, float, float, int, int]] = field(default_factory=dict)
    """CPU seconds to start, MiB when idle and at the peak, request and limit, by part."""

    def table(self) -> str:
        """Everything, for people."""
        lines = [f"left out: {reason}" for reason in self.left_out]
        slowest = max(self.ready_seconds.values(), default=0.0)
        lines.append(f"pods ready: {len(self.ready_seconds)}, the slowest after {slowest:.1f} s")
        lines.append(f"edges: {self.edges_open} open as documented, {self.edges_shut} others shut")
        lines += [
            f"single requests: {dict(Counter(self.checks))}",
            "",
            f"| meanwhile | requests | {' | '.join(Verdict)} |",
        ]
        lines.append("|---|" + "--:|" * (len(Verdict) + 1))
        for label, counts in self.counts.items():
            cells = [label or "nothing", sum(counts.values()), *(counts[verdict] for verdict in Verdict)]
            lines.append(f"| {' | '.join(map(str, cells))} |")
        lines.append(f"\nunary calls that failed in rolling restarts: {len(self.restarts_failed)}")
        lines += [f"{count} x {failed}" for failed, count in Counter(self.restarts_failed).items()]
        lines += [f"spans at the collector: {self.spans}", ""]
        memory = "memory when idle, MiB | peak, MiB"
        lines.append(f"| part | CPU to start, s | {memory} | CPU per request, ms | request, MiB | limit, MiB |")
        lines.append("|---|--:|--:|--:|--:|--:|--:|")
        for part, (start, idle, peak, request, limit) in self.memory.items():
            each = self.milliseconds.get(part, float("nan"))
            lines.append(f"| {part} | {start:.1f} | {idle:.0f} | {peak:.0f} | {each:.1f} | {request} | {limit} |")
        lines.append(f"\n{len(self.troubles)} troubles")
        lines += [f"{count} x {trouble}" for trouble, count in Counter(self.troubles).items()]
        return "\n".join(lines)
