"""Terms for the evidence on an item, shared by several parts."""

import enum
from dataclasses import dataclass


class Trend(enum.Enum):
    """How the intervals of an item change."""

    # Members are singletons. Enum's own hash is a Python function, called some hundred times per household.
    __hash__ = object.__hash__

    UNKNOWN = "unknown"
    STABLE = "stable"
    ACCELERATING = "accelerating"
    SLOWING = "slowing"


class Need(enum.Enum):
    """Whether a household still needs an item."""

    __hash__ = object.__hash__

    ACTIVE = "active"
    LATE = "late"
    PAUSED = "paused"
    ENDED = "ended"
    SWITCHED = "switched"


@dataclass(frozen=True)
class ModelName:
    """The model that produced a result."""

    name: str
    version: str
    """Changes whenever the output for equal input may change; empty if only the endpoint knows it."""
