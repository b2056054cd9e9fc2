"""Terms for the evidence on an item that several parts share."""

import enum
from dataclasses import dataclass


class Trend(enum.Enum):
    """How the intervals of an item change."""

    # Members are singletons. Enum's own hash is a Python function, which is called some hundred times per household.
    __hash__ = object.__hash__

    UNKNOWN = "unknown"
    STABLE = "stable"
    ACCELERATING = "accelerating"
    SLOWING = "slowing"


class Need(enum.Enum):
    """State of the need for an item."""

    __hash__ = object.__hash__

    ACTIVE = "active"
    LATE = "late"
    PAUSED = "paused"
    ENDED = "ended"
    SWITCHED = "switched"


@dataclass(frozen=True)
class ModelName:
    """The model that produced an answer."""

    name: str
    version: str
    """Changes whenever equal input may give other output; empty when only the endpoint knows."""
