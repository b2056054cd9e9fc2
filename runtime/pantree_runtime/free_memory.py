"""Returns memory that is no longer used to the operating system.

After a burst, glibc keeps what its arenas have freed, so a part would stay near its memory limit, where the next burst
could end it.
"""

import asyncio
import ctypes
import sys
from pathlib import Path

_INTERVAL_SECONDS = 5.0
_MIN_GROWTH_BYTES = 16 << 20
_PAGE_BYTES = 4096
_STATM = Path("/proc/self/statm")


async def trim_periodically() -> None:
    """Trims the heap whenever the process has grown since the last time, until canceled; only with glibc."""
    trim = _malloc_trim()
    if trim is None:
        return
    trimmed_bytes = _resident_bytes()
    while True:
        await asyncio.sleep(_INTERVAL_SECONDS)
        if _resident_bytes() > trimmed_bytes + _MIN_GROWTH_BYTES:
            await asyncio.to_thread(trim, 0)
            trimmed_bytes = _resident_bytes()


def _malloc_trim() -> "ctypes._NamedFuncPointer | None":
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


def _resident_bytes() -> int:
    return int(_STATM.read_text().split()[1]) * _PAGE_BYTES
