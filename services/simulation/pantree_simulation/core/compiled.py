"""How the hot functions are compiled: to machine code that holds no interpreter lock, cached beside the source.

With `NUMBA_DISABLE_JIT=1` they stay ordinary Python and give the same results, only slowly.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def compiled(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """The function, compiled when it is first called; each time anew where there is no folder to keep the result in."""
    try:
        kernel = numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # numba finds no folder to write to, as in a read-only container
        kernel = numba.njit(nogil=True, error_model="numpy")(function)
    return cast(Callable[Parameters, Result], kernel)


def inlined(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """The function, compiled as a part of its only caller: compiling it on its own as well would take as long again."""
    return cast(Callable[Parameters, Result], numba.njit(inline="always", error_model="numpy")(function))
