"""What results lacked lately."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from pantree_pipeline.core.events import Degradation

MAX_WARNINGS = 20


class RecentWarning(NamedTuple):
    """A degradation of earlier results."""

    degradation: Degradation
    """The latest one."""
    result_count: int
    last_time: datetime


def _now() -> datetime:
    return datetime.now(UTC)


class RecentWarnings:
    """Counts degradations by component and code, without those that concern a household's own purchases.

    Args:
        household_component: name of the component of the latter.
        now: time of a result.
    """

    def __init__(self, household_component: str, now: Callable[[], datetime] = _now) -> None:
        self._household_component = household_component
        self._now = now
        self._warnings: dict[tuple[str, str], RecentWarning] = {}

    def add(self, degradations: Iterable[Degradation]) -> None:
        """Counts the degradations of a result."""
        for degradation in degradations:
            if degradation.component == self._household_component:
                continue
            key = (degradation.component, degradation.code)
            earlier = self._warnings.pop(key, None)
            count = 1 if earlier is None else earlier.result_count + 1
            self._warnings[key] = RecentWarning(degradation, min(count, 2**31 - 1), self._now())
        while len(self._warnings) > MAX_WARNINGS:
            del self._warnings[next(iter(self._warnings))]

    def latest(self) -> list[RecentWarning]:
        """The warnings, the latest first."""
        return list(reversed(self._warnings.values()))
