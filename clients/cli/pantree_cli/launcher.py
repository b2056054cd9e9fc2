"""Process from which `pantree up` forks the parts on Linux, so that they import the packages they share only once.

`python -m pantree_cli.launcher LIFELINE REPLIES` reads the names of packages from its standard input, a line each, and
runs each in a new process, as `python -m PACKAGE --until-stdin-closes` would. `LIFELINE` is the file descriptor that
becomes the standard input of the parts. To `REPLIES` it writes `started PACKAGE PID` and `exited PID CODE`, where a
negative code is a signal. It ends when its standard input closes; the parts end with their lifeline.
"""

import gc
import os
import runpy
import selectors
import signal
import sys
import warnings
from typing import NoReturn

import numpy as np  # noqa: F401 # imported for the parts
from setproctitle import setproctitle

import pantree_runtime.server  # noqa: F401 # imported for the parts
from pantree_cli.part_processes import COMPILED_PACKAGES


def main() -> NoReturn:
    """Forks parts until standard input closes."""
    lifeline, replies = int(sys.argv[1]), int(sys.argv[2])
    package = _fork_parts(lifeline, replies)
    if package is None:
        raise SystemExit(0)
    _run(package, lifeline, replies)
    raise SystemExit(0)


def _fork_parts(lifeline: int, replies: int) -> str | None:
    """Forks a process per package that is asked for. Returns None at the end, and in each new process its package."""
    ended, wake_up = os.pipe()
    os.set_blocking(wake_up, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_up, warn_on_full_buffer=False)
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(ended, selectors.EVENT_READ)
        unread = b""
        while True:
            for key, _ in selector.select():
                data = os.read(key.fd, 4096)
                if key.fd == ended:
                    _report_ends(replies)
                    continue
                if not data:
                    return None
                *lines, unread = (unread + data).split(b"\n")
                for line in lines:
                    package = line.decode()
                    pid = _fork(package)
                    if pid == 0:
                        signal.set_wakeup_fd(-1)
                        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                        os.close(ended)
                        os.close(wake_up)
                        return package
                    os.write(replies, f"started {package} {pid}\n".encode())


def _fork(package: str) -> int:
    if package in COMPILED_PACKAGES:
        # Here, since the other parts need not wait for it.
        from pantree_domain.compiled import load_compiler

        load_compiler()
    # Keeps the memory of imported modules shared: a collection would write to each object.
    gc.collect()
    gc.freeze()
    with warnings.catch_warnings():
        # The only other threads are those of numpy's OpenBLAS, which prepares them for a fork.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _report_ends(replies: int) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        os.write(replies, f"exited {pid} {os.waitstatus_to_exitcode(status)}\n".encode())


def _run(package: str, lifeline: int, replies: int) -> None:
    """Runs a package in this new process."""
    # Ctrl-C reaches only `pantree up`, which stops the parts in order.
    os.setsid()
    os.dup2(lifeline, 0)
    os.close(lifeline)
    os.close(replies)
    # Otherwise all parts had the launcher's command line.
    setproctitle(f"{sys.executable} -m {package} --until-stdin-closes")
    sys.argv = [package, "--until-stdin-closes"]
    runpy.run_module(package, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
