"""Leaves an outside system alone for a while after it failed."""

from collections.abc import Callable


class CircuitBreaker:
    """Says whether a system may be asked.

    After the cool-down one caller may try; the others wait until that one had success, or another cool-down is over.
    """

    def __init__(self, cool_down_seconds: float, clock: Callable[[], float], *, failures_to_open: int = 1) -> None:
        """Takes what it counts by.

        Args:
            cool_down_seconds: how long the system is left alone.
            clock: seconds, never going backwards.
            failures_to_open: after how many failures in a row the system is left alone.
        """
        self._cool_down_seconds = cool_down_seconds
        self._clock = clock
        self._failures_to_open = failures_to_open
        self._failures = 0
        self._open_until: float | None = None

    @property
    def is_closed(self) -> bool:
        """Whether the system is not left alone: it has not failed too often in a row."""
        return self._open_until is None

    def allows(self) -> bool:
        """Whether the caller may ask now."""
        if self._open_until is None:
            return True
        if self._clock() < self._open_until:
            return False
        self.failed()  # for all others, until this caller's attempt succeeds
        return True

    def failed(self, least_seconds: float = 0.0) -> None:
        """Notes a failure.

        Args:
            least_seconds: how long the system itself asks to be left alone; more than 0 leaves it alone at once.
        """
        self._failures += 1
        if self._failures >= self._failures_to_open or least_seconds > 0:
            self._open_until = self._clock() + max(self._cool_down_seconds, least_seconds)

    def succeeded(self) -> None:
        """Notes a success."""
        self._failures = 0
        self._open_until = None
