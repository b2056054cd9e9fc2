"""Files that are either whole or absent."""

import hashlib
import json
import logging
import os
import shutil
import time
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)

_REMOVAL_ATTEMPTS = 20
_REMOVAL_PAUSE_SECONDS = 0.2


def write_json(file: Path, content: Any) -> None:
    """Writes a file that never exists in part; equal content gives equal bytes."""
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    with unfinished.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    unfinished.replace(file)
    sync_directory(file.parent)


def sync_directory(directory: Path) -> None:
    """Makes renames in a directory outlast a loss of power."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_directory(directory: Path) -> None:
    """Removes a directory to which a process that is still ending may write.

    Raises:
        OSError: if that process does not stop.
    """
    for _ in range(_REMOVAL_ATTEMPTS):
        try:
            shutil.rmtree(directory)
        except OSError:
            if not directory.exists():
                return
            time.sleep(_REMOVAL_PAUSE_SECONDS)
        else:
            return
    shutil.rmtree(directory)


def remove_or_warn(directory: Path) -> None:
    """Removes a directory that nobody reads. What cannot be removed is left there, with a warning."""
    try:
        remove_directory(directory)
    except OSError as error:
        _log.warning("%s cannot be removed and may be deleted later: %s", directory, error)


def checksum(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
