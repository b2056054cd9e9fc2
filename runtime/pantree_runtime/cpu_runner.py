"""Port for core code that mixes I/O and CPU work; servicers pass `run_cpu`."""

from collections.abc import Awaitable, Callable
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
ResultT = TypeVar("ResultT")


class CpuRunner(Protocol):
    """Signature of `pantree_runtime.cpu.run_cpu`."""

    def __call__(
        self, cost_ms: float, fn: Callable[P, ResultT], /, *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[ResultT]:
        """Result of a CPU-bound function."""
        ...


async def run_inline(cost_ms: float, fn: Callable[P, ResultT], /, *args: P.args, **kwargs: P.kwargs) -> ResultT:
    """Result of a function, called on the event loop regardless of its cost."""
    return fn(*args, **kwargs)
