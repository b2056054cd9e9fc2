"""The rehearsal: everything that `prod` would start, started, used, restarted, broken and measured."""

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pantree_cli.mesh import HOST, PARTS, PartKind, free_ports
from pantree_runtime.identity import CLIENT
from scripts.make_certificates import Authority
from tests.deploy.edges import ARCHITECTURE, OUTSIDE
from tests.deploy.manifests import WORKLOADS, environment_of, named, of_kind, overlay, pod_of
from tests.faults.load import Reference, Verdict, requests_of
from tests.faults.run import references_of
from tests.recommendation.sagemaker_processes import KEY, SECRET
from tests.rehearsal.cluster import PLATFORM_NAMESPACES, Cluster, listening
from tests.rehearsal.pods import MEBIBYTE, Image, Pod, run, until

STAND_INS = "tests.rehearsal.stand_ins"
COLLECTOR = "opentelemetry-collector"
_CONNECT_SECONDS = 4.0
_REQUESTS = 4
# An address of the internet, as policies see it, that belongs to nobody (RFC 5737).
_INTERNET = "203.0.113.10"
_CUT_SECONDS = 8.0
_SETTLE_SECONDS = 2.0
_RESTART_SECONDS = 60.0
_LONGEST_ANSWER_SECONDS = 300.0
# Parts look at their files with each handshake, and once a second when they call.
_RENEWAL_SECONDS = 5.0
# Spans are sent in batches, every five seconds.
_SPANS_SECONDS = 20.0

# Milvus' own port for its health, which nobody but the kubelet asks.
_BEHIND_THE_WALL = {9091}

# One process in a pod tries all its targets at the same time.
_CONNECT = """
import asyncio, json, sys
async def is_open(host, port):
    try:
        async with asyncio.timeout(float(sys.argv[1])):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return "silence"
    except OSError as error:
        return f"refused: {error}"
    writer.close()
    return "open"
async def main():
    targets = json.loads(sys.argv[2])
    print(json.dumps(await asyncio.gather(*(is_open(*target) for target in targets))))
asyncio.run(main())
"""


@dataclass
class Plan:
    """How much is done."""

    overlay: str = "prod"
    most_replicas: int = 2
    restarts: Sequence[str] = tuple(part.name for part in PARTS)
    """Deployments to restart under load, one after another."""
    kills: Sequence[str] = tuple(part.name for part in PARTS)
    cuts: Sequence[str] = ("pipeline", "frequency", "enrichment", "gateway")
    measured_requests: int = 0
    """How many requests of 24 months, 16 at a time, the table of CPU and memory rests on; 0 for none."""
    clients: int = 3
    pause_seconds: float = 0.2
    seed: int = 9


@dataclass
class Report:
    """What was seen."""

    left_out: list[str] = field(default_factory=list)
    ready_seconds: dict[str, float] = field(default_factory=dict)
    edges_open: int = 0
    edges_shut: int = 0
    checks: list[str] = field(default_factory=list)
    """Outcomes of single requests."""
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    """Verdicts, by what was going on."""
    troubles: list[str] = field(default_factory=list)
    """All that must not be."""
    restarts_failed: list[str] = field(default_factory=list)
    """Unary calls that failed in rolling restarts."""
    spans: dict[str, int] = field(default_factory=dict)
    milliseconds: dict[str, float] = field(default_factory=dict)
    """CPU time of all pods of a part for one request."""
    memory: dict[str, tuple[float, float, float, int, int]] = field(default_factory=dict)
    """CPU seconds to start, MiB when idle and at the peak, request and limit, by part."""

    def table(self) -> str:
        """Everything, for people."""
        lines = [f"left out: {reason}" for reason in self.left_out]
        slowest = max(self.ready_seconds.values(), default=0.0)
        lines.append(f"pods ready: {len(self.ready_seconds)}, the slowest after {slowest:.1f} s")
        lines.append(f"edges: {self.edges_open} open as documented, {self.edges_shut} others shut")
        lines += [
            f"single requests: {dict(Counter(self.checks))}",
            "",
            f"| meanwhile | requests | {' | '.join(Verdict)} |",
        ]
        lines.append("|---|" + "--:|" * (len(Verdict) + 1))
        for label, counts in self.counts.items():
            cells = [label or "nothing", sum(counts.values()), *(counts[verdict] for verdict in Verdict)]
            lines.append(f"| {' | '.join(map(str, cells))} |")
        lines.append(f"\nunary calls that failed in rolling restarts: {len(self.restarts_failed)}")
        lines += [f"{count} x {failed}" for failed, count in Counter(self.restarts_failed).items()]
        lines += [f"spans at the collector: {self.spans}", ""]
        memory = "memory when idle, MiB | peak, MiB"
        lines.append(f"| part | CPU to start, s | {memory} | CPU per request, ms | request, MiB | limit, MiB |")
        lines.append("|---|--:|--:|--:|--:|--:|--:|")
        for part, (start, idle, peak, request, limit) in self.memory.items():
            each = self.milliseconds.get(part, float("nan"))
            lines.append(f"| {part} | {start:.1f} | {idle:.0f} | {peak:.0f} | {each:.1f} | {request} | {limit} |")
        lines.append(f"\n{len(self.troubles)} troubles")
        lines += [f"{count} x {trouble}" for trouble, count in Counter(self.troubles).items()]
        return "\n".join(lines)


class Clients:
    """Those who use the gateway, in their pod."""

    def __init__(self, pod: Pod, answers: asyncio.StreamReader, requests: int) -> None:
        self._pod = pod
        self._answers = answers
        self._descriptor = requests

    def say(self, **document: Any) -> None:
        """Sends a line."""
        data = json.dumps(document).encode() + b"\n"
        while data:
            data = data[os.write(self._descriptor, data) :]

    async def ask(self, **document: Any) -> Any:
        """Sends a line and returns the answer."""
        self.say(**document)
        async with asyncio.timeout(_LONGEST_ANSWER_SECONDS):
            line = await self._answers.readline()
        assert line, f"the clients ended: {self._pod.log[-2000:]}"
        return json.loads(line)


async def rehearse(plan: Plan, scratch: Path, told: Callable[[str], None]) -> Report:
    """Does all of it.

    Args:
        plan: how much.
        scratch: folder on a file system that holds nothing else.
        told: is called with each step, for people.
    """
    report = Report()
    manifests = overlay(plan.overlay)
    generator = random.Random(plan.seed)
    requests = requests_of(_REQUESTS, generator)
    await run("ip", "link", "set", "lo", "up")
    told("the right answers, from a mesh without a cluster")
    references = await _references(requests, manifests)
    region = environment_of(manifests, "recommendation").get("AWS_REGION", "")
    cluster = Cluster(manifests, scratch, told)
    try:
        told("name server, collector, stand-ins")
        await cluster.start_platform()
        authority = Authority("Pantree")
        await _start_surroundings(cluster, authority, report)
        parts = [
            cluster.add_deployment(part.name, plan.most_replicas, None, **_changes(part, region)) for part in PARTS
        ]
        for part in parts:
            wanted = cluster.replicas_of(part.kind.name)
            if wanted > plan.most_replicas:
                report.left_out.append(f"{part.kind.name}: {wanted - plan.most_replicas} of its {wanted} pods")
        # In waves, those first whom nobody waits for.
        for wave in (parts[2:], parts[1:2], parts[:1]):
            told(f"starting {', '.join(part.kind.name for part in wave)}")
            await asyncio.gather(
                *(part.scale(min(plan.most_replicas, cluster.replicas_of(part.kind.name))) for part in wave)
            )
        report.ready_seconds = {pod.name: pod.seconds_to_ready for part in parts for pod in part.pods}

        told("who reaches whom")
        await _check_edges(cluster, report)
        told("single requests")
        async with _clients(cluster, requests, references, plan.seed) as clients:
            await _check_requests(clients, report)
            await _check_grpc(cluster, authority, requests[0], references[0], report)
            if plan.measured_requests:
                told(f"{plan.measured_requests} requests of 24 months")
                await _measure_cpu(cluster, clients, plan.measured_requests, report)
            clients.say(load=plan.clients, pause=plan.pause_seconds)
            await _renew(cluster, clients, authority, report, told)
            await _restart(cluster, clients, plan, report, told)
            clients.say(load=plan.clients, pause=plan.pause_seconds)
            await _break(cluster, clients, plan, report, told)
            await _check_requests(clients, report)
        told("spans and memory")
        await _count_spans(cluster, report)
        _measure(cluster, report)
        told("stopping")
        await asyncio.gather(*(part.scale(0) for part in parts))
        for part in parts:
            # Pods that were killed on purpose were started again; what is ended in order ends with 0.
            if any(part.exit_codes):
                report.troubles.append(f"{part.kind.name}: exit codes {part.exit_codes}")
    finally:
        await cluster.remove()
    return report


def _changes(part: PartKind, region: str) -> dict[str, str]:
    """What this machine has otherwise than `prod`: variables, each told by `_start_surroundings`."""
    if part.name == "vector":
        return {"PANTREE_VECTOR_STORE_URL": "memory://"}
    if part.name == "recommendation":
        # What the cloud's own webhook would bring in place of a role.
        url = f"http://runtime.sagemaker.{region}.amazonaws.com:443"
        keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
        return {"PANTREE_RECOMMENDATION_SAGEMAKER_URL": url, **keys}
    # Every answer is made anew.
    return {"PANTREE_GATEWAY_CACHE_SECONDS": "0"} if part.name == "gateway" else {}


async def _references(requests: Sequence[dict[str, Any]], manifests: list[Any]) -> list[Reference]:
    """The right answers, with the same stand-ins on loopback."""
    nim, sagemaker = free_ports(2)
    settings = environment_of(manifests, "recommendation")
    variables = {
        "LLAMA_NIM_ENDPOINT": f"http://{HOST}:{nim}",
        "PANTREE_RECOMMENDATION_SAGEMAKER_URL": f"http://{HOST}:{sagemaker}",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "SAGEMAKER_ENDPOINT": settings["SAGEMAKER_ENDPOINT"],
        "AWS_REGION": settings["AWS_REGION"],
    }
    async with (
        _stand_in("nim", str(nim)),
        _stand_in("sagemaker", str(sagemaker), settings["SAGEMAKER_ENDPOINT"]),
    ):
        return await references_of(requests, **variables)


@contextlib.asynccontextmanager
async def _stand_in(*arguments: str) -> AsyncIterator[None]:
    """A stand-in on this node, as long as the context lasts; it may answer only after a second."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", STAND_INS, *arguments, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _start_surroundings(cluster: Cluster, authority: Authority, report: Report) -> None:
    """What the manifests name and no part is: other teams' pods, and stand-ins for what cannot run here."""
    cluster.issue_certificates(authority)
    report.left_out.append("cert-manager: its Secrets are made here, by scripts/make_certificates.py")
    workloads = {workload["metadata"]["name"]: workload for workload in of_kind(cluster.manifests, *WORKLOADS)}
    pods: list[Awaitable[Any]] = [_listener(cluster, COLLECTOR, "observability", 4317, "collector")]
    if "nim" in workloads:
        report.left_out.append("nim: a stand-in that knows what the rules know, on the manifests' port and probes")
        pods.append(cluster.add_deployment("nim", 1, Image.of_module(STAND_INS, "nim", "8000")).scale(1))
    if "redis" in workloads:
        (container,) = pod_of(workloads["redis"])["containers"]
        if shutil.which(container["command"][0]):
            image = Image([*container["command"], *container["args"]], {"PATH": "/usr/local/bin:/usr/bin:/bin"})
            pods.append(cluster.add_deployment("redis", 1, image).scale(1))
        else:
            report.left_out.append("redis: there is no redis-server here; parts go on by themselves")
            pods.append(_listener(cluster, "redis", cluster.namespace, 6379))
    if "milvus" in workloads:
        report.left_out.append("milvus: something that only listens; vector keeps its points in memory")
        (container,) = pod_of(workloads["milvus"])["containers"]
        pods.append(_listener(cluster, "milvus", cluster.namespace, 19530, ports=container["ports"]))
    settings = environment_of(cluster.manifests, "recommendation")
    if endpoint := settings.get("SAGEMAKER_ENDPOINT"):
        report.left_out.append("SageMaker: the project's container behind its local runtime, without TLS, with a key")
        cluster.name_outside(f"runtime.sagemaker.{settings['AWS_REGION']}.amazonaws.com", _INTERNET)
        pods.append(_listener(cluster, "internet", "elsewhere", 443, "sagemaker", endpoint, address=_INTERNET))
    pods += [
        _listener(cluster, name, namespace, 8080)
        for name, namespace in (
            ("prometheus", "observability"),
            ("stranger", "elsewhere"),
            ("intruder", cluster.namespace),
            ("ingress", "gateways"),
        )
    ]
    await asyncio.gather(*pods)


async def _listener(
    cluster: Cluster,
    name: str,
    namespace: str,
    port: int,
    stand_in: str = "listen",
    *arguments: str,
    ports: Sequence[Any] = (),
    **more: Any,
) -> None:
    """A pod with a stand-in that is ready when it listens.

    Args:
        cluster: where.
        name: of the pod.
        namespace: of the pod.
        port: where it listens.
        stand_in: what it is.
        arguments: of the stand-in, after its port.
        ports: which ports the pod tells of, if not this one alone.
        more: further fields of `PodKind`.
    """
    container = {**listening(port), **({"ports": ports} if ports else {})}
    image = Image.of_module(STAND_INS, stand_in, str(port), *arguments)
    await cluster.add_platform_pod(name, namespace, image, container=container, **more)


async def _check_edges(cluster: Cluster, report: Report) -> None:
    """Tries each pair of pods at each port, and compares with the documents, from which no rule was made."""
    pods = _one_of_each(cluster)
    entries = {name for name, labels in PLATFORM_NAMESPACES.items() if labels.get("pantree/entry") == "allowed"}

    def names_of(pod: Pod) -> set[str]:
        """What the documents call it."""
        names = {pod.kind.name}
        if pod.kind.is_part:
            names.add("every part")
        if pod.kind.namespace in entries:
            names.add("entry")
        return names

    def is_documented(caller: Pod, called: Pod, port: int) -> bool:
        if called.kind.name == "kube-dns":
            return True  # names are looked up by everybody
        known = {(own, other) for own in names_of(caller) for other in names_of(called)} & (ARCHITECTURE | OUTSIDE)
        metrics = called.kind.ports.get("metrics")
        return bool(known) and (port == metrics) == (caller.kind.name == "prometheus") and port not in _BEHIND_THE_WALL

    async def try_from(caller: Pod) -> None:
        tries = [
            (called, port)
            for called in pods
            # What others do among themselves is none of these manifests' business.
            if called is not caller and cluster.namespace in (caller.kind.namespace, called.kind.namespace)
            for port in called.kind.ports.values()
        ]
        wanted = json.dumps([(called.ip, port) for called, port in tries])
        outcomes = json.loads(await run(*caller.inside, sys.executable, "-c", _CONNECT, str(_CONNECT_SECONDS), wanted))
        for (called, port), outcome in zip(tries, outcomes, strict=True):
            edge = f"{caller.kind.name} -> {called.kind.name}:{port}"
            if is_documented(caller, called, port):
                report.edges_open += 1
                if outcome != "open":
                    report.troubles.append(f"{edge} is documented, and met {outcome}")
            else:
                report.edges_shut += 1
                if outcome != "silence":
                    report.troubles.append(f"{edge} is not documented, and met no wall: {outcome}")

    await asyncio.gather(*(try_from(caller) for caller in pods))


def _one_of_each(cluster: Cluster) -> list[Pod]:
    """A pod of each kind."""
    return list({pod.kind.name: pod for pod in cluster.pods}.values())


@contextlib.asynccontextmanager
async def _clients(
    cluster: Cluster, requests: Sequence[dict[str, Any]], references: Sequence[Reference], seed: int
) -> AsyncIterator[Clients]:
    """Clients in a pod of the namespace where requests come from, at the gateway's Service."""
    (port,) = (port["port"] for port in named(cluster.manifests, "Service", "gateway")["spec"]["ports"][:1])
    from_here, into_pod = os.pipe()
    from_pod, to_here = os.pipe()
    address = f"gateway.{cluster.namespace}:{port}"
    pod = await cluster.add_platform_pod(
        "client", "gateways", Image.of_module("tests.rehearsal.client", address), stdin=from_here, stdout=to_here
    )
    os.close(from_here)
    os.close(to_here)
    answers = asyncio.StreamReader(limit=1 << 26)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(answers), os.fdopen(from_pod, "rb")
    )
    clients = Clients(pod, answers, into_pod)
    try:
        pairs = [(reference.whole, reference.bare) for reference in references]
        await asyncio.to_thread(clients.say, requests=list(requests), references=pairs, seed=seed)
        yield clients
    finally:
        os.close(into_pod)
        transport.close()


async def _check_requests(clients: Clients, report: Report) -> None:
    """Each request by REST and by WebSocket; every answer must be the whole one."""
    for number in range(_REQUESTS):
        for how, (verdict, why) in zip(("REST", "WebSocket"), await clients.ask(check=number), strict=True):
            report.checks.append(verdict)
            if verdict != Verdict.CORRECT:
                report.troubles.append(f"request {number} by {how}: {verdict}: {why}")


# Arguments: address, folder with a certificate, request.
_CALL = """
import json, sys
from datetime import date
from pathlib import Path
from pantree_client import FirstPurchase, Item, PantreeError, SyncPantreeClient
request = json.loads(sys.argv[3])
request["items"] = [Item(**item) for item in request["items"]]
request["as_of"] = date.fromisoformat(request["as_of"])
with SyncPantreeClient(sys.argv[1], certificates=Path(sys.argv[2]), timeout_seconds=10) as client:
    try:
        result = client.process(FirstPurchase(**request))
        print(json.dumps([recommendation.name for recommendation in result.recommendations]))
    except PantreeError as error:
        print(json.dumps(type(error).__name__))
"""


async def _check_grpc(
    cluster: Cluster, authority: Authority, request: Mapping[str, Any], reference: Reference, report: Report
) -> None:
    """A service outside of the mesh asks the pipeline by gRPC: with its certificate, and with a forged one."""
    domain = named(cluster.manifests, "Certificate", "pipeline")["spec"]["dnsNames"][0].partition(".")[2]
    (door,) = (pod for pod in cluster.pods if pod.kind.name == "ingress")
    pipeline = cluster.deployments["pipeline"].pods[0]
    address = f"{pipeline.ip}:{pipeline.kind.ports['grpc']}"
    names = [one["name"] for one in reference.whole["recommendations"]["recommendations"]]
    for who, by, expected in (("client", authority, names), ("forger", Authority("Pantree"), "ComponentUnavailable")):
        folder = cluster.node.scratch / "outside" / who
        by.issue(folder, f"{CLIENT}.{domain}")
        words = [*door.inside, sys.executable, "-c", _CALL, address, str(folder), json.dumps(request)]
        outcome = json.loads(await run(*words))
        report.checks.append(f"{who} by gRPC")
        if outcome != expected:
            report.troubles.append(f"gRPC from outside as {who}: {outcome} in the place of {expected}")


def _take(seen: Mapping[str, Any], report: Report) -> None:
    for label, counts in seen["counts"].items():
        report.counts.setdefault(label, Counter()).update(counts)
    report.troubles += seen["troubles"]


async def _measure_cpu(cluster: Cluster, clients: Clients, count: int, report: Report) -> None:
    """CPU time of each part for one request."""

    def used() -> dict[str, float]:
        return {part.name: sum(pod.cpu_seconds for pod in cluster.deployments[part.name].pods) for part in PARTS}

    before = used()
    answered = await clients.ask(measure=count, clients=16, months=24)
    report.milliseconds = {name: 1000 * (seconds - before[name]) / count for name, seconds in used().items()}
    if answered != count:
        report.troubles.append(f"{count - answered} of {count} requests of 24 months were not answered")


async def _renew(
    cluster: Cluster, clients: Clients, authority: Authority, report: Report, told: Callable[[str], None]
) -> None:
    """All certificates anew, while they are used."""
    clients.say(label="renew certificates")
    cluster.issue_certificates(authority)
    await asyncio.sleep(_RENEWAL_SECONDS)
    parts = [pod for pod in cluster.pods if pod.kind.is_part]
    late = [pod.name for pod in parts if "certificate read anew" not in pod.log]
    told(f"renewed the certificates of {len(parts)} pods")
    if late:
        report.troubles.append(f"did not read their renewed certificates: {late}")


async def _restart(cluster: Cluster, clients: Clients, plan: Plan, report: Report, told: Callable[[str], None]) -> None:
    """A rolling restart of one Deployment after the other."""
    for name in plan.restarts:
        began = time.monotonic()
        clients.say(label=f"restart {name}")
        await cluster.deployments[name].restart()
        told(f"restarted {name} in {time.monotonic() - began:.0f} s")
    clients.say(label="")
    seen = await clients.ask(stop=True)
    _take(seen, report)
    report.restarts_failed = seen["failed"]
    if seen["failed"]:
        report.troubles.append(f"{len(seen['failed'])} unary calls failed in rolling restarts")


async def _break(cluster: Cluster, clients: Clients, plan: Plan, report: Report, told: Callable[[str], None]) -> None:
    """Kills processes and pulls plugs; answers may be late, degraded or clean errors, but never wrong."""
    for how, names in (("kill -9", plan.kills), ("cut", plan.cuts)):
        for name in names:
            deployment = cluster.deployments[name]
            pod = deployment.pods[0]
            clients.say(label=f"{how} {name}")
            began = time.monotonic()
            if how == "cut":
                await pod.cut()
                await asyncio.sleep(_CUT_SECONDS)
                await pod.mend()
            else:
                restarts = pod.restarts
                pod.kill()
                await until(lambda: pod.restarts > restarts, _RESTART_SECONDS)  # noqa: B023 # awaited here
            await deployment.until_ready(deployment.pods)
            told(f"{how} {pod.name}: ready again after {time.monotonic() - began:.1f} s")
            await asyncio.sleep(_SETTLE_SECONDS)
    clients.say(label="")
    _take(await clients.ask(stop=True), report)


async def _count_spans(cluster: Cluster, report: Report) -> None:
    """Spans that reached the collector, by service."""
    (pod,) = (pod for pod in cluster.pods if pod.kind.name == COLLECTOR)
    wanted = {f"pantree-{part.name}" for part in PARTS}

    def counts() -> dict[str, int]:
        lines = pod.log.splitlines()
        return dict(json.loads(lines[-1])) if lines else {}

    with contextlib.suppress(TimeoutError):
        await until(lambda: wanted <= set(counts()), _SPANS_SECONDS)
    report.spans = counts()
    report.troubles += [f"no span of {name}" for name in sorted(wanted - set(report.spans))]


def _measure(cluster: Cluster, report: Report) -> None:
    """Memory of all pods, also of those that are gone, against the manifests."""
    for name, deployment in cluster.deployments.items():
        if not deployment.kind.is_part:
            continue
        pods = [pod for pod in (*cluster.pods, *cluster.gone) if pod.kind is deployment.kind]
        resources = deployment.kind.container["resources"]
        request, limit = (int(resources[bound]["memory"].removesuffix("Mi")) for bound in ("requests", "limits"))
        idle = max(pod.idle_bytes for pod in pods) / MEBIBYTE
        peak = max(pod.peak_bytes for pod in pods) / MEBIBYTE
        report.memory[name] = (max(pod.start_cpu_seconds for pod in pods), idle, peak, request, limit)
        if peak > limit:
            report.troubles.append(f"{name} took {peak:.0f} MiB; its limit is {limit} MiB")
