"""Receipt lines and a clock for tests."""

from datetime import UTC, datetime

from pantree_history.core.lines import MICROSECONDS, Line

KEY = b"a key of the ledger for tests"
START = int(datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp()) * MICROSECONDS
FIRST_DAY = 20_600
"""2026-05-27."""


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = START

    async def __call__(self, _tenant_id: str) -> int:
        return self.now

    def instant(self) -> int:
        """The time, for what does not depend on a tenant."""
        return self.now

    def advance(self, *, days: int = 0, seconds: int = 1) -> None:
        """Moves the clock."""
        self.now += (days * 86_400 + seconds) * MICROSECONDS


def line(order: int = 1, number: int = 1, day: int = 0, name: str = "Milk", **fields: object) -> Line:
    """A line, by default of a bottle of milk."""
    content: dict[str, object] = {"quantity": 1, "price": 1.49, **fields}
    return Line(f"order-{order}", str(number), FIRST_DAY + day, name, **content)  # type: ignore[arg-type]


def receipt(order: int, day: int, *names: str) -> list[Line]:
    """One line for each name."""
    return [line(order, number, day, name) for number, name in enumerate(names, 1)]
