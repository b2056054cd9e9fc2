"""How hot functions are compiled: to machine code that holds no interpreter lock, cached beside the source.

What was compiled where the source could be written to, as when a container image is built, is read where it cannot, by
processors of the same kind; others compile it anew in each process. For parts that have numba. With
`NUMBA_DISABLE_JIT=1` the functions stay ordinary Python and give the same results, only slowly.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar, cast

import numba
import numpy as np
from numba.core.caching import CompileResultCacheImpl, FunctionCache, InTreeCacheLocator

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class _InstalledLocator(InTreeCacheLocator):
    """Finds the folder beside the source, though it cannot be written to."""

    def ensure_cache_path(self) -> None:
        folder = Path(str(self.get_cache_path()))  # type: ignore[no-untyped-call] # numba's own
        if not folder.is_dir():
            raise FileNotFoundError(folder)


class _InstalledFiles(CompileResultCacheImpl):
    _locator_classes = [_InstalledLocator]  # noqa: RUF012 # numba's own, never changed


class _Cache(FunctionCache):
    """Ignores what an older version compiled with types that have been renamed since; numba would raise."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except (AttributeError, ImportError):
            self.flush()  # type: ignore[no-untyped-call]
            return None


class _InstalledCache(_Cache):
    """Reads what was compiled at installation. What is missing there is compiled and not kept: there is no place."""

    _impl_class = _InstalledFiles  # type: ignore[assignment]

    def save_overload(self, sig: Any, data: Any) -> None:
        pass

    def flush(self) -> None:
        pass


def compiled(
    error_model: Literal["python", "numpy"] = "python", *, inline: bool = False
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Decorator that compiles a function when it is first called, or reads what was compiled before.

    Args:
        error_model: what a division by zero does: raise, as in Python, or give infinity or NaN, as in numpy.
        inline: whether compiled callers contain the function's code instead of calling it.
    """

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        if numba.config.DISABLE_JIT:  # type: ignore[attr-defined] # made when numba is imported
            # Hashes overflow; numpy would warn of it, as machine code does not.
            return np.errstate(over="ignore")(function)
        how: Literal["always", "never"] = "always" if inline else "never"
        kernel = numba.njit(nogil=True, error_model=error_model, inline=how)(function)
        # numba raises RuntimeError when it cannot write to a folder, as in a container with a read-only root, and for
        # code without a file.
        for cache in (_Cache, _InstalledCache):
            with contextlib.suppress(RuntimeError):
                # numba's own way to set a function's cache, though it has no public name for it.
                vars(kernel)["_cache"] = cache(function)  # type: ignore[no-untyped-call]
                break
        return cast(Callable[Parameters, Result], kernel)

    return decorate


def inlined(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """The function, compiled as a part of its callers: compiling it on its own as well would take as long again."""
    return cast(Callable[Parameters, Result], numba.njit(inline="always", error_model="numpy")(function))
