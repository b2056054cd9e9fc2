"""The health of the components behind the pipeline."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class State(enum.Enum):
    """State of a component or of the whole mesh."""

    SERVING = "serving"
    DEGRADED = "degraded"
    """An optional component is unavailable."""
    UNAVAILABLE = "unavailable"
    DISABLED = "disabled"
    """By the settings."""


@dataclass(frozen=True)
class Component:
    """A service behind the pipeline."""

    name: str
    required: bool
    """Whether the pipeline fails without it."""
    enabled: bool


@dataclass(frozen=True)
class ComponentHealth:
    """The result of a health check."""

    component: Component
    state: State
    latency_ms: float = 0.0
    message: str = ""
    """What is wrong; empty if the component is healthy."""
    version: str = ""
    """Version of Pantree that the component runs; empty if unknown."""


class HealthProbe(Protocol):
    """Checks the health of the components."""

    components: tuple[Component, ...]

    async def check(self) -> Sequence[ComponentHealth]:
        """Health of every component, in the order of `components`, and of the systems that they depend on."""


def mesh_state(healths: Sequence[ComponentHealth]) -> State:
    """State of the whole mesh."""
    unavailable = [health.component for health in healths if health.state is State.UNAVAILABLE]
    if any(component.required for component in unavailable):
        return State.UNAVAILABLE
    return State.DEGRADED if unavailable else State.SERVING
