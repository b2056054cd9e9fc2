"""Divides a capacity, such as places or bytes, among callers and tenants.

A caller may hold at most as much as stays free for others, a tenant twice as much. So one caller alone gets half of the
capacity, n callers get 1/(n + 1) each, and a new caller always finds room: no caller can use up the capacity that
another one needs. Switches divide their buffers in this way (Choudhury & Hahne, "Dynamic queue length thresholds for
shared-memory packet switches", 1998).
"""

from collections import Counter
from typing import NamedTuple

_TENANT_WEIGHT = 2


class Holder(NamedTuple):
    """Who holds a part of a capacity."""

    caller: str
    tenant: str = ""
    """Empty if unknown; then only the share of the caller is limited."""


class FairShares:
    """A capacity, and who holds how much of it. Not thread-safe."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.total = 0
        """Sum of all that is held."""
        self._callers: Counter[str] = Counter()
        self._tenants: Counter[str] = Counter()

    def take(self, holder: Holder, amount: int) -> bool:
        """Takes an amount, and returns whether the holder may have it; if not, nothing changes."""
        free = self.capacity - self.total - amount
        if free < 0:
            return False
        # An empty server takes whatever fits.
        if self.total and not (
            self._fits(self._callers[holder.caller], amount, free)
            and (not holder.tenant or self._fits(self._tenants[holder.tenant], amount, _TENANT_WEIGHT * free))
        ):
            return False
        self._add(holder, amount)
        return True

    def _fits(self, held: int, amount: int, free: int) -> bool:
        # Who holds nothing always gets a little.
        return held + amount <= free or (not held and amount <= max(1, self.capacity // 16))

    def give_back(self, holder: Holder, amount: int) -> None:
        """Returns an amount that the holder has taken."""
        self._add(holder, -amount)

    def _add(self, holder: Holder, amount: int) -> None:
        self.total += amount
        for counter, key in ((self._callers, holder.caller), (self._tenants, holder.tenant)):
            counter[key] += amount
            if not counter[key]:
                del counter[key]


class Hold:
    """An amount that grows and shrinks with what a request holds. Given back at the latest when it is collected."""

    __slots__ = ("_holder", "_shares", "amount")

    def __init__(self, shares: FairShares, holder: Holder) -> None:
        self._shares = shares
        self._holder = holder
        self.amount = 0

    def resize(self, amount: int) -> bool:
        """Changes the amount, and returns whether the holder may have it; if not, nothing changes."""
        if amount > self.amount and not self._shares.take(self._holder, amount - self.amount):
            return False
        if amount < self.amount:
            self._shares.give_back(self._holder, self.amount - amount)
        self.amount = amount
        return True

    def release(self) -> None:
        """Gives everything back."""
        self.resize(0)

    def __del__(self) -> None:
        self.release()
