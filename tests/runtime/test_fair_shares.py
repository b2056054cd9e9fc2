from hypothesis import given
from hypothesis import strategies as st

from pantree_runtime.fair_shares import FairShares, Hold, Holder


def taken(shares: FairShares, holder: Holder, amount: int = 1) -> int:
    """How much a holder gets that takes all it can."""
    count = 0
    while shares.take(holder, amount):
        count += amount
    return count


def test_greedy_callers_leave_as_much_as_each_of_them_has() -> None:
    shares = FairShares(1_200)
    assert taken(shares, Holder("a")) == 600
    assert taken(shares, Holder("b")) == 300
    assert taken(shares, Holder("c")) == 150


def test_callers_of_one_tenant_leave_a_third() -> None:
    shares = FairShares(900)
    held = sum(taken(shares, Holder(f"key {number}", "north")) for number in range(50))
    assert 590 <= held <= 600
    assert taken(shares, Holder("other", "south")) >= 149


def test_what_is_given_back_can_be_taken_again() -> None:
    shares = FairShares(100)
    hold = Hold(shares, Holder("a"))
    assert hold.resize(50)
    assert not hold.resize(51)
    assert not Hold(shares, Holder("a")).resize(1)
    assert hold.resize(10)
    assert shares.total == 10
    hold.release()
    assert shares.total == 0


def test_collected_holds_are_given_back() -> None:
    shares = FairShares(100)
    hold = Hold(shares, Holder("a"))
    hold.resize(50)
    del hold
    assert shares.total == 0


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 200)), max_size=60))
def test_newcomer_always_finds_what_the_largest_caller_could_have_left(requests: list[tuple[str, int]]) -> None:
    shares = FairShares(1_000)
    held: dict[str, int] = {}
    for caller, amount in requests:
        if shares.take(Holder(caller), amount):
            held[caller] = held.get(caller, 0) + amount
    assert shares.total == sum(held.values())
    free = shares.capacity - shares.total
    assert shares.take(Holder("newcomer"), free // 2)
