"""Files that parts keep on this machine."""

import os
from pathlib import Path


def data_dir() -> Path:
    """The user's directory for application data, according to the XDG base directory specification."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "pantree"


def keep_private() -> None:
    """Lets only their owner read the files that this process creates from now on: they hold purchases.

    For the program of a part. A caller that builds a part in its own process keeps its umask.
    """
    os.umask(0o077)
