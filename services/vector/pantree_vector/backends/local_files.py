"""What the file system says about an embedded store that cannot be used."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

# Stores fail before the last byte is taken.
_MIN_FREE_BYTES = 16 << 20


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def file_problem(place: Path, lock_name: str, *, is_open: bool, free_bytes: Callable[[Path], int] = _free_bytes) -> str:
    """What is wrong with the place of a store, with a remedy.

    Args:
        place: file or directory of the store.
        lock_name: name of the file below it that an open store locks.
        is_open: whether this process has the store open, and so has the lock.
        free_bytes: returns the free space of a directory.
    """
    folder = next(one for one in (place, *place.parents) if one.exists())
    if not os.access(folder, os.R_OK | os.W_OK):
        return f"{folder} cannot be read and written by this user; change its permissions"
    if free_bytes(folder) < _MIN_FREE_BYTES:
        return f"the disk of {folder} is full; free some space"
    if not is_open and _is_locked(place / lock_name):
        return f"{place} is open in another process; stop that one"
    return f"{place} cannot be used, see the cause; restore it from a backup if it is damaged"


def _is_locked(file: Path) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        with file.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
