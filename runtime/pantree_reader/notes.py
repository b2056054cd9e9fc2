"""Notes on what a reader left out, changed or doubts."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field

# Lines that a note lists; the others are counted.
_MAX_LINES = 5


class NoteKind(enum.Enum):
    """What happened to the lines of a note."""

    LEFT_OUT = "left out"
    CHANGED = "changed"
    DOUBTED = "in doubt"


@dataclass(frozen=True)
class Note:
    """One remark on some lines of a file."""

    kind: NoteKind
    code: str
    """For programs, such as `charge`."""
    text: str
    """For people: what was found, what it was taken for, and what to do if that is wrong."""
    lines: tuple[int, ...] = ()
    """Ascending line numbers; empty if the note is on the whole file."""

    def __str__(self) -> str:
        where = f"{shown_lines(self.lines)}: " if self.lines else ""
        return f"{self.kind.value}: {where}{self.text}"


@dataclass
class Notes:
    """Collects notes; lines with the same remark share one."""

    _lines: dict[tuple[NoteKind, str, str], list[int]] = field(default_factory=dict)

    def add(self, kind: NoteKind, code: str, text: str, *lines: int) -> None:
        """Adds lines to a remark."""
        self._lines.setdefault((kind, code, text), []).extend(lines)

    def all(self) -> tuple[Note, ...]:
        """The notes in the order of their first lines' addition."""
        return tuple(Note(*remark, tuple(sorted(set(lines)))) for remark, lines in self._lines.items())


def shown_lines(lines: Sequence[int]) -> str:
    """Line numbers for people: the first ones, and the number of the others."""
    if len(lines) == 1:
        return f"line {lines[0]}"
    first = ", ".join(str(line) for line in lines[:_MAX_LINES])
    more = len(lines) - _MAX_LINES
    return f"lines {first} and {more:,} more" if more > 0 else f"lines {first}"
