"""Numbered migrations of a schema: applied once each, in order, and never changed afterward.

A migration first adds what the next version needs and only a later one removes what no version uses any more, so that
two versions can run at the same time. Therefore a database with more migrations than this version knows is accepted.
"""

import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import NamedTuple

from pantree_runtime.errors import StoreMismatch


class Migration(NamedTuple):
    """A migration."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of its text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(system: str) -> Sequence[Migration]:
    """The migrations of `sqlite` or `postgresql`, in order."""
    folder = resources.files(__package__).joinpath("migrations", system)
    found = []
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        number, _, name = file.name.removesuffix(".sql").partition("_")
        if number.isdecimal():
            found.append(Migration(int(number), name, file.read_text(encoding="utf-8")))
    return found


def pending(migrations: Sequence[Migration], applied: Mapping[int, str]) -> Sequence[Migration]:
    """The migrations that are not applied.

    Args:
        migrations: all that this version knows.
        applied: checksums of the applied ones, by number.

    Raises:
        StoreMismatch: an applied migration differs from ours, or one before it is missing.
    """
    for migration in migrations:
        if applied.get(migration.number, migration.checksum) != migration.checksum:
            raise StoreMismatch(
                f"migration {migration.number} ({migration.name}) of the history database differs from the one of this "
                "version; it is the database of another program, or a migration was changed"
            )
    missing = [migration for migration in migrations if migration.number not in applied]
    if missing and applied and missing[0].number < max(applied):
        raise StoreMismatch(f"migration {missing[0].number} was skipped in the history database, which is not ours")
    return missing
