"""Circuit breaker: blocks calls to an external system for a while after it fails."""

from collections.abc import Callable


class CircuitBreaker:
    """Decides whether a system may be called.

    After the cool-down, one caller may try. The circuit stays open for all others until that call succeeds or the
    cool-down has passed again.

    Args:
        cool_down_seconds: how long the circuit stays open.
        clock: monotonic time in seconds.
        failure_threshold: number of consecutive failures that open the circuit.
    """

    def __init__(self, cool_down_seconds: float, clock: Callable[[], float], *, failure_threshold: int = 1) -> None:
        self._cool_down_seconds = cool_down_seconds
        self._clock = clock
        self._failure_threshold = failure_threshold
        self._failures = 0
        self._open_until: float | None = None

    @property
    def is_closed(self) -> bool:
        """Whether all calls are allowed."""
        return self._open_until is None

    def allows(self) -> bool:
        """Whether the caller may call the system now."""
        if self._open_until is None:
            return True
        if self._clock() < self._open_until:
            return False
        self.record_failure()  # blocks all others until this caller succeeds
        return True

    def record_failure(self, retry_after_seconds: float = 0.0) -> None:
        """Counts a failure.

        Args:
            retry_after_seconds: the system's `Retry-After`. A positive value opens the circuit for this time instead of
                the cool-down, regardless of the threshold.
        """
        self._failures += 1
        if retry_after_seconds > 0:
            self._open_until = self._clock() + retry_after_seconds
        elif self._failures >= self._failure_threshold:
            self._open_until = self._clock() + self._cool_down_seconds

    def record_success(self) -> None:
        """Closes the circuit."""
        self._failures = 0
        self._open_until = None
