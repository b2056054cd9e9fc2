"""Memory and CPU limits of processes: those of `k8s`, by control groups or, without these, by RLIMIT."""

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import psutil
import yaml

_ROOT = Path(__file__).resolve().parents[2]
_MEMORY = Path("/sys/fs/cgroup/memory")
_CPU = Path("/sys/fs/cgroup/cpu")
_UNIFIED = Path("/sys/fs/cgroup")
_PERIOD_US = 100_000


def memory_limits() -> dict[str, int]:
    """Bytes by part."""
    limits = {}
    k8s = _ROOT / "k8s"
    files = {file.parent.name: file for file in sorted((k8s / "base").glob("*/deployment.yaml"))}
    files["history"] = k8s / "components" / "history" / "base" / "deployment.yaml"
    for part, file in files.items():
        (container,) = yaml.safe_load(file.read_text())["spec"]["template"]["spec"]["containers"]
        text = container["resources"]["limits"]["memory"]
        limits[part] = int(text.removesuffix("Mi")) << 20
    return limits


class Group:
    """A control group with the limits of a part; without permission for one, only measures and limits by RLIMIT.

    Args:
        part: name of the part.
        limit: bytes.
    """

    def __init__(self, part: str, limit: int) -> None:
        self.limit = limit
        self._name = f"pantree-attack-{os.getpid()}-{part}"
        self._folders = self._create()
        self.is_enforced = bool(self._folders)

    def _create(self) -> list[Path]:
        try:
            if (_MEMORY / "memory.limit_in_bytes").exists():
                memory, cpu = _MEMORY / self._name, _CPU / self._name
                memory.mkdir()
                (memory / "memory.limit_in_bytes").write_text(str(self.limit))
                cpu.mkdir()
                (cpu / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
                (cpu / "cpu.cfs_quota_us").write_text(str(_PERIOD_US))
                return [memory, cpu]
            unified = _UNIFIED / self._name
            unified.mkdir()
            (unified / "memory.max").write_text(str(self.limit))
            (unified / "memory.swap.max").write_text("0")
            (unified / "cpu.max").write_text(f"{_PERIOD_US} {_PERIOD_US}")
        except OSError:
            return []
        return [unified]

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Context in which this process, and so each new one, is in the group."""
        for folder in self._folders:
            (folder / "cgroup.procs").write_text(str(os.getpid()))
        try:
            yield
        finally:
            for folder in self._folders:
                (folder.parent / "cgroup.procs").write_text(str(os.getpid()))

    def limit_process(self, process_id: int) -> None:
        """Limits the data of a process where there are no control groups; a margin is for what is never touched."""
        if not self.is_enforced:
            resource.prlimit(process_id, resource.RLIMIT_DATA, (4 * self.limit, 4 * self.limit))

    def remove(self) -> None:
        """Removes the group once its processes have ended."""
        for folder in self._folders:
            with contextlib.suppress(OSError):
                folder.rmdir()


def memory_of(process_id: int) -> int:
    """Resident bytes of a process and of its children; 0 if it has ended."""
    try:
        process = psutil.Process(process_id)
        return sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0
