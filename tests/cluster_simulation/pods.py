"""A pod without a cluster: a network namespace, a read-only root filesystem, one process and its probes.

The calling process is the node. It needs root, its own namespaces, and a scratch directory on its own filesystem.
Everything created here lives in the kernel and is held by processes that end with the calling one.
"""

import asyncio
import contextlib
import itertools
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from scripts.build_images import DOCKERFILE, ROOT

Manifest = Mapping[str, Any]

# Address of the node for all pods. As with some network plug-ins there is no subnet, only routes.
NODE = "169.254.1.1"
TOOLS = ("ip", "nft", "nsenter", "unshare", "setpriv", "chroot", "mount")
MEBIBYTE = 1024 * 1024
_NOBODY = (65534, 65534)
_POLL_SECONDS = 0.05
_SANDBOX_SECONDS = 10.0
# As in the kubelet: a container that ends is restarted immediately, then with an exponential back-off.
_FIRST_DELAY_SECONDS = 10.0
_MAX_DELAY_SECONDS = 300.0
_DEFAULT_PROBE = {"periodSeconds": 10, "timeoutSeconds": 1, "failureThreshold": 3, "initialDelaySeconds": 0}

# Arguments: root, overlay files, user, group; then pairs of directories to mount, `--`, and the command. The overlay
# has no upper layer, so it is read-only. Directories on other filesystems get an overlay of their own.
_ENTER = """
set -e
root=$1 files=$2 user=$3 group=$4; shift 4
mount -t overlay overlay -o "lowerdir=$files:/" "$root"
while [ "$1" != -- ]; do
  if [ "$1" = "$2" ]; then
    mount -t overlay overlay -o "lowerdir=$files$1:$1" "$root$1"
  else
    mount --bind "$1" "$root$2"
    mount -o remount,ro,bind "$root$2"
  fi
  shift 2
done
shift
mount --bind /proc "$root/proc"
mount --bind /dev "$root/dev"
exec chroot "$root" /usr/bin/setpriv --reuid "$user" --regid "$group" --clear-groups --no-new-privs \\
  --bounding-set=-all --inh-caps=-all --pdeathsig KILL /usr/bin/env -i "$@"
"""


class CommandFailed(Exception):
    """A command failed."""


async def until(condition: Callable[[], bool], seconds: float) -> None:
    """Polls until a condition holds.

    Raises:
        TimeoutError: when it does not hold in time.
    """
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 # there is no event to wait for
            await asyncio.sleep(_POLL_SECONDS)


async def run(*command: str, input_text: str = "") -> str:
    """Output of a command.

    Raises:
        CommandFailed: with its standard error.
    """
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate(input_text.encode())
    if process.returncode:
        raise CommandFailed(f"{' '.join(command)}: {errors.decode().strip()}")
    return output.decode()


@dataclass(frozen=True)
class Image:
    """Command and environment of an image."""

    command: Sequence[str]
    variables: Mapping[str, str]

    @classmethod
    def of_part(cls, part: str) -> "Image":
        """The image of a part, with its Dockerfile's environment and this environment's Python."""
        lines = re.findall(r"^ENV (.+)$", DOCKERFILE.read_text(), re.MULTILINE)
        variables = dict(assignment.split("=", 1) for line in lines for assignment in line.split())
        variables["PATH"] = f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin"
        if path := os.environ.get("PYTHONPATH"):  # the packages of this process, not those of an installation
            variables["PYTHONPATH"] = path
        return cls(["python", "-m", f"pantree_{part}"], variables)

    @classmethod
    def of_module(cls, module: str, *arguments: str) -> "Image":
        """An image that runs a module of the tests, such as a fake."""
        variables = {"PATH": f"{sys.prefix}/bin:/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        return cls(["python", "-m", module, *arguments], {**variables, "PYTHONDONTWRITEBYTECODE": "1"})


@dataclass(frozen=True)
class PodKind:
    """Specification shared by the pods of a workload."""

    name: str
    namespace: str
    labels: Mapping[str, str]
    image: Image
    container: Manifest = field(default_factory=dict)
    """From the manifests: ports, probes, hooks, resources."""
    variables: Mapping[str, str] = field(default_factory=dict)
    user: tuple[int, int] = _NOBODY
    grace_seconds: float = 30.0
    folders: Mapping[Path, str] = field(default_factory=dict)
    """Directories of the node, such as Secrets, and their mount paths."""
    address: str = ""
    """Fixed address of its only pod; empty for any."""
    is_part: bool = False

    @property
    def ports(self) -> Mapping[str, int]:
        """Port numbers by name."""
        return {port["name"]: port["containerPort"] for port in self.container.get("ports", [])}

    @property
    def pre_stop_seconds(self) -> float:
        """Seconds that the preStop hook takes."""
        hook = self.container.get("lifecycle", {}).get("preStop", {})
        return float(hook["sleep"]["seconds"]) if hook else 0.0


@dataclass(frozen=True)
class Node:
    """The node that runs the pods."""

    scratch: Path
    resolver: str
    """Address of the name server for pods."""
    domain: str = "cluster.local"
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(2))


class Pod:
    """A pod. `start` creates it, `delete` shuts it down gracefully.

    Args:
        node: the node that runs it.
        kind: its specification.
        changed: called when its readiness changes.
    """

    def __init__(self, node: Node, kind: PodKind, changed: Callable[[], None]) -> None:
        number = next(node.numbers)
        self.kind = kind
        self.name = f"{kind.name}-{number}"
        self.ip = kind.address or f"10.244.{number // 250}.{number % 250 + 1}"
        self.is_terminating = False
        self.is_ready = False
        self.ready_since = 0.0
        self.restarts = 0
        self.peak_bytes = 0
        self.idle_bytes = 0
        self.start_cpu_seconds = 0.0
        self.seconds_to_ready = 0.0
        self._node = node
        self._changed = changed
        self._link = f"pod{number}"
        self._folder = node.scratch / "pods" / self.name
        self._sandbox: asyncio.subprocess.Process | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def log(self) -> str:
        """Output of its process."""
        return (self._folder / "log").read_text(errors="replace")

    @property
    def process(self) -> asyncio.subprocess.Process:
        """Its process."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process

    @property
    def cpu_seconds(self) -> float:
        """CPU time of its process."""
        # The process name may contain anything, so the fields after it are used: 14 and 15 are user and system time.
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def start(self, **pipes: int) -> None:
        """Creates the pod and starts its process; `is_ready` is set when its probes pass.

        Args:
            pipes: `stdin` and `stdout` of the process, for fakes that are controlled through them.
        """
        for name in ("root", "files/etc"):
            (self._folder / name).mkdir(parents=True)
        spaces = [f"{self.kind.namespace}.svc.{self._node.domain}", f"svc.{self._node.domain}", self._node.domain]
        for name, text in {
            "resolv.conf": f"search {' '.join(spaces)}\nnameserver {self._node.resolver}\noptions ndots:5\n",
            "hosts": f"127.0.0.1 localhost\n{self.ip} {self.name}\n",
        }.items():
            (self._folder / "files/etc" / name).write_text(text)
        for inside in self.kind.folders.values():
            (self._folder / "files" / inside.lstrip("/")).mkdir(parents=True, exist_ok=True)
        for closed in _private_folders():
            (self._folder / "files" / closed.lstrip("/")).mkdir(mode=0o755, parents=True, exist_ok=True)
        for elsewhere, _ in _other_filesystems():
            (self._folder / "files" / elsewhere.lstrip("/")).mkdir(parents=True, exist_ok=True)
        await self._make_network()
        await self._launch(**pipes)
        began = time.monotonic()
        self._tasks = [asyncio.create_task(self._keep_running()), asyncio.create_task(self._probe(began))]

    async def _make_network(self) -> None:
        # Keeps the namespace alive, like the pause container of Kubernetes.
        self._sandbox = await asyncio.create_subprocess_exec(
            "setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity", start_new_session=True
        )
        own = os.stat("/proc/self/ns/net").st_ino
        link = f"/proc/{self._sandbox.pid}/ns/net"
        await until(lambda: os.stat(link).st_ino != own, _SANDBOX_SECONDS)
        await run(
            *("ip", "link", "add", self._link, "type", "veth"),
            *("peer", "name", "eth0", "netns", str(self._sandbox.pid)),
        )
        await run("ip", "address", "add", f"{NODE}/32", "dev", self._link)
        await self.reconnect()
        await run(
            *self.inside,
            *("sh", "-ec", _NETWORK, "network", self.ip, NODE),
        )

    @property
    def inside(self) -> list[str]:
        """Prefix of a command that runs in this pod's network."""
        assert self._sandbox is not None, f"{self.name} was not started"
        return ["nsenter", f"--net=/proc/{self._sandbox.pid}/ns/net", "--"]

    async def cut(self) -> None:
        """Disconnects its network until `reconnect`."""
        await run("ip", "link", "set", self._link, "down")

    async def reconnect(self) -> None:
        """Connects its network."""
        await run("ip", "link", "set", self._link, "up")
        await run("ip", "route", "replace", f"{self.ip}/32", "dev", self._link, "scope", "link")

    async def _launch(self, **pipes: int) -> None:
        variables = {**self.kind.image.variables, "HOSTNAME": self.name, **self.kind.variables}
        shown = [*_other_filesystems(), *((str(path), inside) for path, inside in self.kind.folders.items())]
        with (self._folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.inside,
                *("unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER, self.name),
                *(str(self._folder / "root"), str(self._folder / "files"), *map(str, self.kind.user)),
                *(word for pair in shown for word in pair),
                "--",
                *(f"{name}={value}" for name, value in variables.items()),
                *self.kind.image.command,
                **{"stdin": asyncio.subprocess.DEVNULL, "stdout": log, **pipes},  # type: ignore[arg-type]
                stderr=log,
                start_new_session=True,
            )

    async def _keep_running(self) -> None:
        delay = 0.0
        while True:
            await self.process.wait()
            self._set_ready(ready=False)
            if self.is_terminating:
                return
            await asyncio.sleep(delay)
            delay = min(max(2 * delay, _FIRST_DELAY_SECONDS), _MAX_DELAY_SECONDS)
            self.restarts += 1
            await self._launch()

    async def _probe(self, began: float) -> None:
        """Runs the startup probe, then the readiness and liveness probes, as the kubelet does."""
        while not self.is_terminating:
            process = self.process
            if not await self._passes_startup("startupProbe", process):
                continue
            if not self.seconds_to_ready:
                self.seconds_to_ready = time.monotonic() - began
                self.start_cpu_seconds = self.cpu_seconds
            await asyncio.gather(self._watch_readiness(process), self._watch_liveness(process))
            await asyncio.sleep(_POLL_SECONDS)

    async def _passes_startup(self, name: str, process: asyncio.subprocess.Process) -> bool:
        """Whether the startup probe passes; kills the process if it does not in time."""
        if name not in self.kind.container:
            return True
        probe = {**_DEFAULT_PROBE, **self.kind.container[name]}
        for _ in range(probe["failureThreshold"]):
            if await self._passes_probe(probe):
                return True
            await asyncio.sleep(probe["periodSeconds"])
            if process.returncode is not None:
                return False
        _kill(process)
        await process.wait()
        return False

    async def _watch_readiness(self, process: asyncio.subprocess.Process) -> None:
        probe = {**_DEFAULT_PROBE, **self.kind.container.get("readinessProbe", {})}
        failures = 0
        while process.returncode is None and not self.is_terminating:
            if await self._passes_probe(probe):
                failures = 0
                self._note_memory(process)
                self._set_ready(ready=process.returncode is None and not self.is_terminating)
            else:
                failures += 1
                if failures >= probe["failureThreshold"]:
                    self._set_ready(ready=False)
            await asyncio.sleep(probe["periodSeconds"])

    async def _watch_liveness(self, process: asyncio.subprocess.Process) -> None:
        probe = {**_DEFAULT_PROBE, **self.kind.container.get("livenessProbe", {})}
        failures = 0
        while process.returncode is None and not self.is_terminating:
            await asyncio.sleep(probe["periodSeconds"])
            failures = 0 if await self._passes_probe(probe) else failures + 1
            if failures >= probe["failureThreshold"]:
                _kill(process)
                return

    async def _passes_probe(self, probe: Manifest) -> bool:
        return await passes_probe(probe, self.ip, self.kind.ports)

    def _set_ready(self, *, ready: bool) -> None:
        if ready != self.is_ready:
            self.is_ready = ready
            self.ready_since = time.monotonic()
            self._changed()

    def _note_memory(self, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{process.pid}/status").read_text()
            kilobytes = dict(re.findall(r"^(VmHWM|VmRSS):\s+(\d+) kB$", status, re.MULTILINE))
            self.peak_bytes = max(self.peak_bytes, int(kilobytes["VmHWM"]) * 1024)
            self.idle_bytes = self.idle_bytes or int(kilobytes["VmRSS"]) * 1024

    def kill(self) -> None:
        """Kills its process; it is restarted in the same pod."""
        _kill(self.process)

    async def delete(self) -> int:
        """Deletes the pod as Kubernetes does: no new calls, preStop, SIGTERM, and SIGKILL after the grace.

        Returns: exit code of its process; negative if it was killed.
        """
        self._note_memory(self.process)
        self.is_terminating = True
        self._changed()
        ends = time.monotonic() + self.kind.grace_seconds
        await asyncio.sleep(self.kind.pre_stop_seconds)
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + max(ends - time.monotonic(), 0)):
                code = await self.process.wait()
        except TimeoutError:
            _kill(self.process)
            code = await self.process.wait()
        await self.remove()
        return code

    async def remove(self) -> None:
        """Ends its processes immediately; its log is kept."""
        self.is_terminating = True
        for task in self._tasks:
            task.cancel()
        for process in (self._process, self._sandbox):
            if process is not None:
                _kill(process)
                await process.wait()
        shutil.rmtree(self._folder / "files", ignore_errors=True)


_NETWORK = """
echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start
ip link set lo up
ip address add "$1/32" dev eth0
ip link set eth0 up
ip route add "$2" dev eth0 scope link
ip route add default via "$2" dev eth0
"""


def _required_folders() -> list[Path]:
    """Directories that the processes read."""
    return sorted({ROOT, Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()})


def _private_folders() -> list[str]:
    """Parents of the required directories that only their owner may enter; pods see them as accessible."""
    parents = {folder for path in _required_folders() for folder in (path, *path.parents)}
    return [str(folder) for folder in sorted(parents) if not folder.stat().st_mode & 0o001]


def _other_filesystems() -> list[tuple[str, str]]:
    """Required directories that are not on the root filesystem, each as a pair (path, path)."""
    root = os.stat("/").st_dev
    return [(str(path), str(path)) for path in _required_folders() if path.stat().st_dev != root]


def _kill(process: asyncio.subprocess.Process) -> None:
    """Kills a process and its children."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


async def passes_probe(probe: Manifest, host: str, ports: Mapping[str, int]) -> bool:
    """Whether a probe passes.

    Args:
        probe: probe of a container; an empty one passes.
        host: address of the pod.
        ports: port numbers by name.
    """
    seconds = probe["timeoutSeconds"]

    def number_of(port: int | str) -> int:
        return port if isinstance(port, int) else ports[port]

    if "httpGet" in probe:
        url = f"http://{host}:{number_of(probe['httpGet']['port'])}{probe['httpGet']['path']}"
        return await _answers_http(url, seconds)
    if "grpc" in probe:
        return await _is_serving(f"{host}:{probe['grpc']['port']}", probe["grpc"].get("service", ""), seconds)
    if "tcpSocket" in probe:
        return await _is_open(host, number_of(probe["tcpSocket"]["port"]), seconds)
    return True


async def _is_open(host: str, port: int, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def _answers_http(url: str, seconds: float) -> bool:
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            return (await client.get(url, timeout=seconds)).status_code < 400
        except httpx.HTTPError:
            return False


async def _is_serving(address: str, service: str, seconds: float) -> bool:
    async with grpc.aio.insecure_channel(address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined] # made at run time
        try:
            response = await check(health_pb2.HealthCheckRequest(service=service), timeout=seconds)
        except grpc.aio.AioRpcError:
            return False
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)
