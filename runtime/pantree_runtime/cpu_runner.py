"""Port of cores that mix I/O with CPU work; servicers pass `run_cpu`."""

from collections.abc import Awaitable, Callable
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
ResultT = TypeVar("ResultT")


class CpuRunner(Protocol):
    """Runs CPU-bound functions; has the signature of `pantree_runtime.cpu.run_cpu`."""

    def __call__(
        self, cost_ms: float, fn: Callable[P, ResultT], /, *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[ResultT]:
        """Result of a CPU-bound function."""
        ...


async def run_inline(cost_ms: float, fn: Callable[P, ResultT], /, *args: P.args, **kwargs: P.kwargs) -> ResultT:
    """Result of a function called on the event loop, whatever it costs."""
    return fn(*args, **kwargs)
