import pytest

from pantree_runtime.circuit_breaker import CircuitBreaker


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_working_system_may_be_called() -> None:
    breaker = CircuitBreaker(30, Clock())
    assert breaker.allows()
    breaker.record_success()
    assert breaker.allows()


def test_circuit_stays_open_until_the_cool_down_is_over() -> None:
    clock = Clock()
    breaker = CircuitBreaker(30, clock)
    breaker.record_failure()
    clock.seconds += 29.9
    assert not breaker.allows()
    clock.seconds += 0.1
    assert breaker.allows()


def test_only_one_caller_tries_after_the_cool_down() -> None:
    clock = Clock()
    breaker = CircuitBreaker(30, clock)
    breaker.record_failure()
    clock.seconds += 30
    assert [breaker.allows(), breaker.allows()] == [True, False]
    breaker.record_success()
    assert [breaker.allows(), breaker.allows()] == [True, True]


@pytest.mark.parametrize("seconds", [3, 60])
def test_retry_after_of_the_system_replaces_the_cool_down(seconds: float) -> None:
    clock = Clock()
    breaker = CircuitBreaker(30, clock, failure_threshold=5)
    breaker.record_failure(retry_after_seconds=seconds)
    clock.seconds += seconds - 1
    assert not breaker.allows()
    clock.seconds += 1
    assert breaker.allows()


def test_circuit_opens_after_consecutive_failures() -> None:
    clock = Clock()
    breaker = CircuitBreaker(30, clock, failure_threshold=2)
    breaker.record_failure()
    breaker.record_success()
    breaker.record_failure()
    assert breaker.allows()
    breaker.record_failure()
    assert not breaker.allows()


def test_failed_try_after_the_cool_down_opens_the_circuit_again() -> None:
    clock = Clock()
    breaker = CircuitBreaker(30, clock, failure_threshold=2)
    breaker.record_failure()
    breaker.record_failure()
    clock.seconds += 30
    assert breaker.allows()
    breaker.record_failure()
    assert not breaker.allows()
