"""Compiles hot functions with numba: machine code without the interpreter lock, cached next to the source.

Code that was compiled while the source directory was writable, such as during an image build, is loaded later from the
read-only directory on the same kind of processor; other processors compile it in each process. With
`NUMBA_DISABLE_JIT=1` the functions stay Python, slow but with the same results.

With `PANTREE_COMPILE=background`, functions that are not in the cache yet stay Python until `switch_to_compiled`, so
that a part can serve while another process fills the cache.
"""

import contextlib
import functools
import hashlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar, cast

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.caching import CompileResultCacheImpl, FunctionCache, InTreeCacheLocator
from numba.core.registry import cpu_target
from numba.extending import intrinsic, overload

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
        except PermissionError:  # written by another user
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(PermissionError):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call] # numba's own
            # Parts keep private what they write, but machine code holds no purchases, and other users may run it.
            directory = Path(self._cache_path)
            for path in directory.glob(f"{Path(self._cache_file._index_name).stem}.*"):
                path.chmod(path.stat().st_mode | 0o444)
            directory.chmod(directory.stat().st_mode | 0o555)


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


class _Calls:
    """Counts the calls of interpreted functions that run, without those that they make."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._thread = threading.local()
        self._count = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Context of a call."""
        if getattr(self._thread, "is_inside", False):
            yield
            return
        with self._condition:
            self._count += 1
        self._thread.is_inside = True
        try:
            yield
        finally:
            self._thread.is_inside = False
            with self._condition:
                self._count -= 1
                self._condition.notify_all()

    @contextlib.contextmanager
    def none_running(self) -> Iterator[None]:
        """Context in which no call runs; waits for those in flight."""
        with self._condition:
            self._condition.wait_for(lambda: not self._count)
            yield


class _Interpreted:
    """A function that stays Python until `switch_to_compiled`."""

    def __init__(self, function: Callable[..., Any], kernel: Callable[[], Any]) -> None:
        functools.update_wrapper(self, function)
        # Hashes overflow, of which numpy would warn and machine code does not.
        self._function = np.errstate(over="ignore")(function)
        self._make_kernel = kernel
        self._kernel: Callable[..., Any] | None = None

    def switch(self) -> Callable[..., Any]:
        """The function for the compiler, which is called from now on."""
        self._kernel = self._kernel or self._make_kernel()
        return self._kernel

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if self._kernel is not None:
            return self._kernel(*arguments, **options)
        with _calls.running():
            return self._function(*arguments, **options)


_calls = _Calls()
_interpreted: list[_Interpreted] = []
_directories: set[Path] = set()


def _is_interpreted(function: Callable[..., Any]) -> bool:
    """Whether a function stays Python for now: its directory's cache can be filled, and has not been."""
    directory = Path(function.__code__.co_filename).parent
    _directories.add(directory)
    if os.environ.get("PANTREE_COMPILE") != "background":
        return False
    stamp = _stamp(directory)
    return os.access(directory, os.W_OK) and not stamp.exists()


@functools.cache
def _stamp(directory: Path) -> Path:
    """File that exists when the functions in a directory are in the cache, for this source, compiler and processor."""
    target = f"{numba.__version__}-{llvmlite.binding.get_host_cpu_name()}"
    return directory / "__pycache__" / f"compiled-{_digest_of(directory)[:16]}-{target}"


def load_compiler() -> None:
    """Loads what numba otherwise loads when a process calls its first function, which takes most of a second."""
    if not numba.config.DISABLE_JIT:  # type: ignore[attr-defined] # made when numba is imported
        cpu_target.typing_context.refresh()
        cpu_target.target_context.refresh()


def is_interpreted() -> bool:
    """Whether some functions of this process stay Python until `switch_to_compiled`."""
    return bool(_interpreted)


def mark_compiled() -> None:
    """Records that every function of this process is in the cache. Call it after all have been called."""
    if _interpreted or numba.config.DISABLE_JIT:  # type: ignore[attr-defined] # made when numba is imported
        return
    for directory in _directories:
        with contextlib.suppress(OSError):
            _stamp(directory).parent.mkdir(exist_ok=True)
            _stamp(directory).touch()


def switch_to_compiled() -> None:
    """Makes all modules call compiled functions, between two calls; they are loaded from the cache when called."""
    with _calls.none_running():
        kernels = {id(one): one.switch() for one in _interpreted}
        for name, module in list(sys.modules.items()):
            if name.startswith("pantree_"):
                for variable, value in list(vars(module).items()):
                    if id(value) in kernels and isinstance(value, _Interpreted):
                        setattr(module, variable, kernels[id(value)])
        _interpreted.clear()


def compiled(
    error_model: Literal["python", "numpy"] = "python", *, inline: bool = False, allocates: bool = True
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Decorator that compiles a function at its first call, or loads its cached code.

    Args:
        error_model: whether a division by zero raises, as in Python, or results in infinity or NaN, as in numpy.
        inline: whether compiled callers contain the function's code instead of calling it.
        allocates: whether the function makes arrays. One that does not can leave the counting of references to its
            callers, which takes longer than all the rest of a short function that is called for every item.
    """

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        if numba.config.DISABLE_JIT:  # type: ignore[attr-defined] # made when numba is imported
            # Hashes overflow, of which numpy would warn and machine code does not.
            return np.errstate(over="ignore")(function)

        def kernel() -> Any:
            how: Literal["always", "never"] = "always" if inline else "never"
            # `_nrt`, numba's runtime of counted references, is an option that numba's own sorting functions turn off;
            # it is not in numba's types.
            kernel = cast(Any, numba.njit)(nogil=True, error_model=error_model, inline=how, _nrt=allocates)(function)
            # numba raises RuntimeError without a writable directory, as in a container with a read-only root, and for
            # code without a file.
            for cache in (_Cache, _InstalledCache):
                with contextlib.suppress(RuntimeError):
                    # As numba sets a function's cache itself; there is no public method.
                    vars(kernel)["_cache"] = cache(function)
                    break
            return kernel

        return cast(Callable[Parameters, Result], _now_or_later(function, kernel))

    return decorate


def _now_or_later(function: Callable[..., Any], kernel: Callable[[], Any]) -> Callable[..., Any]:
    """The function for the compiler, or the interpreted one that is switched later."""
    if not _is_interpreted(function):
        return cast(Callable[..., Any], kernel())
    _interpreted.append(_Interpreted(function, kernel))
    return _interpreted[-1]


def inlined(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """The function, compiled as a part of its callers: compiling it on its own as well would take as long again."""
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined] # made when numba is imported
        return function

    def kernel() -> Any:
        return numba.njit(inline="always", error_model="numpy")(function)

    return cast(Callable[Parameters, Result], _now_or_later(function, kernel))


def _prefetch_of(_: Any, array: Any, position: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        struct = context.make_array(kind)(context, builder, arguments[0])
        element = cgutils.get_item_pointer(  # type: ignore[no-untyped-call]
            context, builder, kind, struct, [arguments[1]], wraparound=False
        )
        address, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", [address], ir.FunctionType(ir.VoidType(), [address, number, number, number])
        )
        # For writing, into all caches, of data.
        builder.call(function, [builder.bitcast(element, address), number(1), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, position), generate


_prefetch: Any = intrinsic(_prefetch_of)


def prefetch(array: np.ndarray[Any, Any], position: int | np.integer[Any]) -> None:
    """Asks for the memory of an array's element that will be written soon, without waiting.

    Where functions are interpreted, it does nothing.

    Args:
        array: with one dimension.
        position: 0 or more.
    """


def _compiled_prefetch(array: Any, position: Any) -> Any:
    def implementation(array: Any, position: Any) -> None:
        _prefetch(array, position)

    return implementation


overload(prefetch)(_compiled_prefetch)
