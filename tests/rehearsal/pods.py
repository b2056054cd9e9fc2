"""A pod without a cluster: a network namespace, a root that nothing can be written to, one process, and its probes.

Whoever uses this is the node: root, in namespaces of its own, with a scratch folder on a file system of its own. What
is made here lives in the kernel and is held by processes that end with this one, however it ends.
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

from scripts.build_images import ROOT, dockerfiles

Manifest = Mapping[str, Any]

# The address under which every pod reaches the node, as some network plug-ins have it: no subnet, only routes.
NODE = "169.254.1.1"
TOOLS = ("ip", "nft", "nsenter", "unshare", "setpriv", "chroot", "mount")
MEBIBYTE = 1024 * 1024
_NOBODY = (65534, 65534)
_POLL_SECONDS = 0.05
_SANDBOX_SECONDS = 10.0
# A container that ends is started again at once, then after ten seconds and twice as long each time, as the kubelet
# does.
_FIRST_DELAY_SECONDS = 10.0
_LONGEST_DELAY_SECONDS = 300.0
_DEFAULT_PROBE = {"periodSeconds": 10, "timeoutSeconds": 1, "failureThreshold": 3, "initialDelaySeconds": 0}

# Arguments: root, what is laid over it, user, group; then pairs of folders to show inside, `--`, and the command. The
# overlay has no upper layer, so nothing can be written to it. What lies on another file system is laid over that again.
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
    """A command ended with an error, or the kernel does not allow what it wanted."""


async def until(condition: Callable[[], bool], seconds: float) -> None:
    """Returns as soon as a condition holds that nobody announces.

    Raises:
        TimeoutError: when it does not hold after so many seconds.
    """
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 # processes and the kernel set no event
            await asyncio.sleep(_POLL_SECONDS)


async def run(*command: str, input_text: str = "") -> str:
    """Output of a command.

    Raises:
        CommandFailed: with what it said.
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
    """What an image says about how it is run."""

    command: Sequence[str]
    variables: Mapping[str, str]

    @classmethod
    def of_part(cls, part: str) -> "Image":
        """Of the Dockerfile of a part, with this environment's Python in the place of the image's."""
        text = dockerfiles()[part].read_text()
        (entry_point,) = re.findall(r"^ENTRYPOINT \[(.+)\]$", text, re.MULTILINE)
        lines = re.findall(r"^ENV (.+)$", text, re.MULTILINE)
        variables = dict(assignment.split("=", 1) for line in lines for assignment in line.split())
        variables["PATH"] = f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin"
        return cls(re.findall(r'"([^"]+)"', entry_point), variables)

    @classmethod
    def of_module(cls, module: str, *arguments: str) -> "Image":
        """Of a module of the tests: a stand-in."""
        variables = {"PATH": f"{sys.prefix}/bin:/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        return cls(["python", "-m", module, *arguments], {**variables, "PYTHONDONTWRITEBYTECODE": "1"})


@dataclass(frozen=True)
class PodKind:
    """What pods of a workload have in common."""

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
    """Folders of the node, such as Secrets, and where the pod sees them."""
    address: str = ""
    """Of its only pod, when that has to be a certain one."""
    is_part: bool = False

    @property
    def ports(self) -> Mapping[str, int]:
        """Numbers of the named ports."""
        return {port["name"]: port["containerPort"] for port in self.container.get("ports", [])}

    @property
    def pre_stop_seconds(self) -> float:
        """What passes before a pod that is to go is told so."""
        hook = self.container.get("lifecycle", {}).get("preStop", {})
        return float(hook["sleep"]["seconds"]) if hook else 0.0


@dataclass(frozen=True)
class Node:
    """Where pods run."""

    scratch: Path
    resolver: str
    """Address of the name server, as pods know it."""
    domain: str = "cluster.local"
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(2))


class Pod:
    """A pod; `start` makes it, `delete` ends it in order."""

    def __init__(self, node: Node, kind: PodKind, changed: Callable[[], None]) -> None:
        """Takes what it is made of.

        Args:
            node: where it runs.
            kind: what it is.
            changed: is called when it becomes ready, or no longer is.
        """
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
        """What its process wrote."""
        return (self._folder / "log").read_text(errors="replace")

    @property
    def process(self) -> asyncio.subprocess.Process:
        """Its process."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process

    @property
    def cpu_seconds(self) -> float:
        """CPU time that its process has used so far."""
        # The fields after the name, which may hold anything: user and system time are the 14th and 15th of all.
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def start(self, **pipes: int) -> None:
        """Makes the pod and starts its process; `is_ready` tells when its probes are content.

        Args:
            pipes: `stdin` and `stdout` of the process, for stand-ins that are spoken to.
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
        for closed in _closed_folders():
            (self._folder / "files" / closed.lstrip("/")).mkdir(mode=0o755, parents=True, exist_ok=True)
        for elsewhere, _ in _other_file_systems():
            (self._folder / "files" / elsewhere.lstrip("/")).mkdir(parents=True, exist_ok=True)
        await self._make_network()
        await self._launch(**pipes)
        began = time.monotonic()
        self._tasks = [asyncio.create_task(self._keep_running()), asyncio.create_task(self._probe(began))]

    async def _make_network(self) -> None:
        # Holds the namespace, as the pause container of Kubernetes does.
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
        await self.mend()
        await run(
            *self.inside,
            *("sh", "-ec", _NETWORK, "network", self.ip, NODE),
        )

    @property
    def inside(self) -> list[str]:
        """Words before a command that is to run in this pod's network."""
        assert self._sandbox is not None, f"{self.name} was not started"
        return ["nsenter", f"--net=/proc/{self._sandbox.pid}/ns/net", "--"]

    async def cut(self) -> None:
        """Pulls the plug of its network, until `mend`."""
        await run("ip", "link", "set", self._link, "down")

    async def mend(self) -> None:
        """Plugs its network in."""
        await run("ip", "link", "set", self._link, "up")
        await run("ip", "route", "replace", f"{self.ip}/32", "dev", self._link, "scope", "link")

    async def _launch(self, **pipes: int) -> None:
        variables = {**self.kind.image.variables, "HOSTNAME": self.name, **self.kind.variables}
        shown = [*_other_file_systems(), *((str(path), inside) for path, inside in self.kind.folders.items())]
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
            self._tell(ready=False)
            if self.is_terminating:
                return
            await asyncio.sleep(delay)
            delay = min(max(2 * delay, _FIRST_DELAY_SECONDS), _LONGEST_DELAY_SECONDS)
            self.restarts += 1
            await self._launch()

    async def _probe(self, began: float) -> None:
        """Asks as the kubelet does: until it has started, then whether it is ready and whether it lives."""
        while not self.is_terminating:
            process = self.process
            if not await self._passes("startupProbe", process):
                continue
            if not self.seconds_to_ready:
                self.seconds_to_ready = time.monotonic() - began
                self.start_cpu_seconds = self.cpu_seconds
            await asyncio.gather(self._watch_readiness(process), self._watch_life(process))
            await asyncio.sleep(_POLL_SECONDS)

    async def _passes(self, name: str, process: asyncio.subprocess.Process) -> bool:
        """Whether a container got through its start; it is killed when it does not in time."""
        if name not in self.kind.container:
            return True
        probe = {**_DEFAULT_PROBE, **self.kind.container[name]}
        for _ in range(probe["failureThreshold"]):
            if await self._is_content(probe):
                return True
            await asyncio.sleep(probe["periodSeconds"])
            if process.returncode is not None:
                return False
        _kill(process)
        await process.wait()
        return False

    async def _watch_readiness(self, process: asyncio.subprocess.Process) -> None:
        probe = {**_DEFAULT_PROBE, **self.kind.container.get("readinessProbe", {})}
        misses = 0
        while process.returncode is None and not self.is_terminating:
            if await self._is_content(probe):
                misses = 0
                self._note_memory(process)
                self._tell(ready=process.returncode is None and not self.is_terminating)
            else:
                misses += 1
                if misses >= probe["failureThreshold"]:
                    self._tell(ready=False)
            await asyncio.sleep(probe["periodSeconds"])

    async def _watch_life(self, process: asyncio.subprocess.Process) -> None:
        probe = {**_DEFAULT_PROBE, **self.kind.container.get("livenessProbe", {})}
        misses = 0
        while process.returncode is None and not self.is_terminating:
            await asyncio.sleep(probe["periodSeconds"])
            misses = 0 if await self._is_content(probe) else misses + 1
            if misses >= probe["failureThreshold"]:
                _kill(process)
                return

    async def _is_content(self, probe: Manifest) -> bool:
        return await is_content(probe, self.ip, self.kind.ports)

    def _tell(self, *, ready: bool) -> None:
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
        """Ends its process at once, as a crash would; it is started again in the same pod."""
        _kill(self.process)

    async def delete(self) -> int:
        """Ends it as a deletion does: no new calls, preStop, SIGTERM, and SIGKILL when its grace is over.

        Returns: exit code of its process; negative for one that was killed.
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
        """Ends whatever of it is left, at once; its log stays."""
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


def _needed() -> list[Path]:
    """Folders that the processes read."""
    return sorted({ROOT, Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()})


def _closed_folders() -> list[str]:
    """Folders on the way to those that are needed through which only their owner may pass; a pod sees them open."""
    on_the_way = {folder for path in _needed() for folder in (path, *path.parents)}
    return [str(folder) for folder in sorted(on_the_way) if not folder.stat().st_mode & 0o001]


def _other_file_systems() -> list[tuple[str, str]]:
    """Folders that are needed and that an overlay of the root does not show, each twice."""
    root = os.stat("/").st_dev
    return [(str(path), str(path)) for path in _needed() if path.stat().st_dev != root]


def _kill(process: asyncio.subprocess.Process) -> None:
    """Ends a process and what it started."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


async def is_content(probe: Manifest, host: str, ports: Mapping[str, int]) -> bool:
    """Whether what a probe asks is answered as it should be, in time.

    Args:
        probe: of a container; one that asks nothing is content.
        host: address of the pod.
        ports: numbers of the named ports.
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
