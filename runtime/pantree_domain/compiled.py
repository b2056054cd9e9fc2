"""Compiles hot functions with numba: machine code without the interpreter lock, cached next to the source.

Code that was compiled while the source directory was writable, such as during an image build, is loaded later from the
read-only directory on the same kind of processor; other processors compile it in each process. With
`NUMBA_DISABLE_JIT=1` the functions stay Python, slow but with the same results.
"""

import contextlib
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar, cast

import numba
import numpy as np
from numba.core.caching import CompileResultCacheImpl, FunctionCache, InTreeCacheLocator

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class _InstalledLocator(InTreeCacheLocator):
    """Locates the cache directory next to the source even if it is read-only."""

    def ensure_cache_path(self) -> None:
        directory = Path(str(self.get_cache_path()))  # type: ignore[no-untyped-call] # numba's own
        if not directory.is_dir():
            raise FileNotFoundError(directory)


class _InstalledFiles(CompileResultCacheImpl):
    _locator_classes = [_InstalledLocator]  # noqa: RUF012 # numba's own, never changed


class _Cache(FunctionCache):
    """Loads cached code as long as no module in the function's directory has changed.

    Compiled code contains the functions that it calls, and numba checks the function's own file only. Cached code of an
    older version with types that have been renamed is ignored; numba would raise.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        vars(self._cache_file)["_source_stamp"] = _digest_of(Path(function.__code__.co_filename).parent)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except (AttributeError, ImportError):
            self.flush()  # type: ignore[no-untyped-call]
            return None


class _InstalledCache(_Cache):
    """Loads code that was compiled at installation. Other code is compiled and not cached."""

    _impl_class = _InstalledFiles  # type: ignore[assignment]

    def save_overload(self, sig: Any, data: Any) -> None:
        pass

    def flush(self) -> None:
        pass


@functools.cache
def _digest_of(directory: Path) -> str:
    """Digest of the modules in a directory."""
    digest = hashlib.sha256()
    for path in sorted(directory.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def compiled(
    error_model: Literal["python", "numpy"] = "python", *, inline: bool = False
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Decorator that compiles a function at its first call, or loads its cached code.

    Args:
        error_model: whether a division by zero raises, as in Python, or results in infinity or NaN, as in numpy.
        inline: whether compiled callers contain the function's code instead of calling it.
    """

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        if numba.config.DISABLE_JIT:  # type: ignore[attr-defined] # made when numba is imported
            # Hashes overflow, of which numpy would warn and machine code does not.
            return np.errstate(over="ignore")(function)
        how: Literal["always", "never"] = "always" if inline else "never"
        kernel = numba.njit(nogil=True, error_model=error_model, inline=how)(function)
        # numba raises RuntimeError without a writable directory, as in a container with a read-only root, and for code
        # without a file.
        for cache in (_Cache, _InstalledCache):
            with contextlib.suppress(RuntimeError):
                # As numba sets a function's cache itself; there is no public method.
                vars(kernel)["_cache"] = cache(function)
                break
        return cast(Callable[Parameters, Result], kernel)

    return decorate


def inlined(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """The function, compiled as a part of its callers: compiling it on its own as well would take as long again."""
    return cast(Callable[Parameters, Result], numba.njit(inline="always", error_model="numpy")(function))
