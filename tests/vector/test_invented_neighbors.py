"""Someone who can store customers cannot learn from suggestions what one of the others buys."""

from collections.abc import Sequence

import pytest

from pantree_vector.backends.hashing import HashedTrigrams
from pantree_vector.backends.memory import MemoryStore
from pantree_vector.core.household_points import HistoryToIndex
from pantree_vector.core.neighborhood import MIN_BUYERS, Neighborhood
from pantree_vector.core.similarity import DEFAULT_WAITING_DAYS, Similarity
from tests.vector.households import Line, history_of_lines

_KNOWN = [f"Known {letter}" for letter in "ABCDEFGHIJ"]
"""What the attacker knows that the victim buys."""
_SECRET = "Insulin"


class _Mesh:
    def __init__(self) -> None:
        self.day = 20_600
        self.similarity = Similarity(MemoryStore(max_items=10_000), HashedTrigrams(), today=lambda: self.day)

    def history(self, customer: str, items: Sequence[str], secret: str = "") -> HistoryToIndex:
        lines: list[Line] = [(item, "", 20_500, 1.0) for item in items]
        lines += [(secret, "", 20_500 + 7 * number, 1.0) for number in range(4) if secret]
        return HistoryToIndex("", customer, history_of_lines(lines), 20_600)

    async def request(self, customer: str, items: Sequence[str], secret: str = "") -> None:
        """What a request to the gateway with this customer stores."""
        await self.similarity.index_history(self.history(customer, items, secret))

    async def load(self, customer: str, items: Sequence[str], secret: str = "") -> None:
        """What a back end stores in bulk."""
        await self.similarity.index_histories([self.history(customer, items, secret)])

    async def requested(self) -> Neighborhood:
        """What the attacker sees with a further customer next to the victim."""
        await self.request("question", _KNOWN)
        return await self.similarity.neighborhood("", "question", limit=10)


def _padded(number: int) -> list[str]:
    """The known items and as many others as make an independent customer."""
    return [*_KNOWN, *(f"Padding {number} {letter}" for letter in "ABCDE")]


@pytest.fixture
async def mesh() -> _Mesh:
    mesh = _Mesh()
    await mesh.similarity.open()
    return mesh


async def _attack(mesh: _Mesh, victim_secret: str, *, waiting_days: int, padded: bool) -> Neighborhood:
    await mesh.load("victim", _KNOWN, victim_secret)
    for number in range(MIN_BUYERS - 1):
        await mesh.request(f"false-{number}", _padded(number) if padded else _KNOWN, _SECRET)
    mesh.day += waiting_days
    for number in range(MIN_BUYERS - 1):  # an active customer is stored again and again
        await mesh.request(f"false-{number}", _padded(number) if padded else _KNOWN, _SECRET)
    return await mesh.requested()


@pytest.mark.parametrize(
    ("waiting_days", "padded"), [(0, False), (DEFAULT_WAITING_DAYS - 1, True), (DEFAULT_WAITING_DAYS, False)]
)
async def test_answer_is_the_same_whatever_the_victim_buys(mesh: _Mesh, waiting_days: int, padded: bool) -> None:
    other = _Mesh()
    await other.similarity.open()
    buys = await _attack(mesh, _SECRET, waiting_days=waiting_days, padded=padded)
    buys_not = await _attack(other, "", waiting_days=waiting_days, padded=padded)
    assert buys == buys_not
    assert buys.items == ()


async def test_patient_attacker_with_independent_customers_is_the_documented_limit(mesh: _Mesh) -> None:
    # The attack works where its conditions are met; otherwise the test above would show nothing.
    seen = await _attack(mesh, _SECRET, waiting_days=DEFAULT_WAITING_DAYS, padded=True)
    assert [item.name for item in seen.items] == [_SECRET]


async def test_customers_of_a_back_end_count_at_once(mesh: _Mesh) -> None:
    for number in range(MIN_BUYERS):
        await mesh.load(f"customer-{number}", _padded(number), "Oat Milk")
    assert [item.name for item in (await mesh.requested()).items] == ["Oat Milk"]


async def test_customer_that_was_deleted_waits_again(mesh: _Mesh) -> None:
    await mesh.request("a", _KNOWN)
    mesh.day += DEFAULT_WAITING_DAYS
    assert (await mesh.requested()).neighbor_count == 1
    await mesh.similarity.delete_customer("", "a")
    await mesh.request("a", _KNOWN)
    assert (await mesh.requested()).neighbor_count == 0
