"""How hot functions are compiled: to machine code that holds no interpreter lock, cached beside the source.

For parts that have numba. With `NUMBA_DISABLE_JIT=1` the functions stay ordinary Python and give the same results, only
slowly.
"""

from collections.abc import Callable
from typing import Literal, ParamSpec, TypeVar, cast

import numba

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def compiled(
    error_model: Literal["python", "numpy"] = "python",
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Decorator that compiles a function when it is first called, anew in each process where no folder can be written.

    Args:
        error_model: what a division by zero does: raise, as in Python, or give infinity or NaN, as in numpy.
    """

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        try:
            kernel = numba.njit(nogil=True, cache=True, error_model=error_model)(function)
        except RuntimeError:  # numba finds no folder to write to, as in a container with a read-only root
            kernel = numba.njit(nogil=True, error_model=error_model)(function)
        return cast(Callable[Parameters, Result], kernel)

    return decorate


def inlined(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """The function, compiled as a part of its only caller: compiling it on its own as well would take as long again."""
    return cast(Callable[Parameters, Result], numba.njit(inline="always", error_model="numpy")(function))
