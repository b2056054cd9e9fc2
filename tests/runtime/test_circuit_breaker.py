from pantree_runtime.circuit_breaker import CircuitBreaker


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_working_system_may_be_asked() -> None:
    breaker = CircuitBreaker(30, Clock())
    assert breaker.allows()
    breaker.record_success()
    assert breaker.allows()


def test_failed_system_is_left_alone_until_the_cool_down_is_over() -> None:
    clock = Clock()
    breaker = CircuitBreaker(30, clock)
    breaker.record_failure()
    clock.seconds += 29.9
    assert not breaker.allows()
    clock.seconds += 0.1
    assert breaker.allows()


def test_one_caller_tries_after_the_cool_down_and_the_others_wait_for_it() -> None:
    clock = Clock()
    breaker = CircuitBreaker(30, clock)
    breaker.record_failure()
    clock.seconds += 30
    assert [breaker.allows(), breaker.allows()] == [True, False]
    breaker.record_success()
    assert [breaker.allows(), breaker.allows()] == [True, True]


def test_system_that_asks_for_more_time_gets_it() -> None:
    clock = Clock()
    breaker = CircuitBreaker(30, clock)
    breaker.record_failure(min_seconds=60)
    clock.seconds += 59
    assert not breaker.allows()
    clock.seconds += 1
    assert breaker.allows()


def test_system_is_left_alone_only_after_so_many_failures_in_a_row() -> None:
    clock = Clock()
    breaker = CircuitBreaker(30, clock, failure_threshold=2)
    breaker.record_failure()
    breaker.record_success()
    breaker.record_failure()
    assert breaker.allows()
    breaker.record_failure()
    assert not breaker.allows()


def test_caller_that_fails_after_the_cool_down_leaves_the_system_alone_again() -> None:
    clock = Clock()
    breaker = CircuitBreaker(30, clock, failure_threshold=2)
    breaker.record_failure()
    breaker.record_failure()
    clock.seconds += 30
    assert breaker.allows()
    breaker.record_failure()
    assert not breaker.allows()
