"""Runs an overlay in the simulated cluster: sends requests, renews, scales, restarts, breaks and measures it."""

import asyncio
import contextlib
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pantree_cli.mesh import PARTS
from scripts.make_certificates import Authority
from tests.cluster_simulation.cluster import Cluster
from tests.cluster_simulation.connections import check_connections, check_grpc
from tests.cluster_simulation.dependencies import COLLECTOR, changes, references, start_dependencies
from tests.cluster_simulation.pods import MEBIBYTE, Image, Pod, run, until
from tests.cluster_simulation.report import Report
from tests.deploy.manifests import environment_of, named, overlay
from tests.faults.load import Outcome, Reference, requests_of

# Pods cannot write compiled functions next to the modules; the Dockerfile names the same parts.
_COMPILED_PARTS = ("simulation", "frequency", "recommendation")
_REQUESTS = 4
_CUT_SECONDS = 8.0
_SETTLE_SECONDS = 2.0
_RESTART_SECONDS = 60.0
_MAX_ANSWER_SECONDS = 300.0
# Parts check their certificate files at each handshake, and once a second when they make calls.
_RENEWAL_SECONDS = 5.0
# Spans are sent in batches, every five seconds.
_SPANS_SECONDS = 20.0

LogStep = Callable[[str], None]


@dataclass
class Plan:
    """Settings of a run."""

    overlay: str = "prod"
    max_replicas: int = 2
    restarts: Sequence[str] = tuple(part.name for part in PARTS)
    """Deployments to restart under load, one after another."""
    scales: Sequence[str] = ("frequency",)
    """Deployments to scale up by one pod and down again under load."""
    kills: Sequence[str] = tuple(part.name for part in PARTS)
    cuts: Sequence[str] = ("pipeline", "frequency", "enrichment", "gateway")
    measured_requests: int = 0
    """Requests of 24 months, 16 at a time, for the table of CPU and memory; 0 for none."""
    clients: int = 3
    pause_seconds: float = 0.2
    seed: int = 9


class Clients:
    """Controls the clients of the gateway, which run in a pod."""

    def __init__(self, pod: Pod, answers: asyncio.StreamReader, requests: int) -> None:
        self._pod = pod
        self._answers = answers
        self._descriptor = requests

    def send(self, **document: Any) -> None:
        """Sends a command."""
        data = json.dumps(document).encode() + b"\n"
        while data:
            data = data[os.write(self._descriptor, data) :]

    async def request(self, **document: Any) -> Any:
        """Sends a command and returns the answer."""
        self.send(**document)
        async with asyncio.timeout(_MAX_ANSWER_SECONDS):
            line = await self._answers.readline()
        assert line, f"the clients ended: {self._pod.log[-2000:]}"
        return json.loads(line)


async def simulate_cluster(plan: Plan, scratch: Path, log_step: LogStep) -> Report:
    """Runs the whole simulation.

    Args:
        plan: settings of the run.
        scratch: directory on its own filesystem.
        log_step: called with a description of each step.
    """
    report = Report()
    manifests = overlay(plan.overlay)
    generator = random.Random(plan.seed)
    requests = requests_of(_REQUESTS, generator)
    await run("ip", "link", "set", "lo", "up")
    log_step("compiling, as the build of an image does")
    for name in _COMPILED_PARTS:
        await run(sys.executable, "-m", f"pantree_{name}", "--demo")
    log_step("reference answers from a mesh without a cluster")
    reference_answers = await references(requests, manifests)
    region = environment_of(manifests, "recommendation").get("AWS_REGION", "")
    cluster = Cluster(manifests, scratch)
    try:
        log_step("name server, collector, fakes")
        await cluster.start_platform()
        authority = Authority("Pantree")
        await start_dependencies(cluster, authority, report)
        parts = [cluster.add_deployment(part.name, plan.max_replicas, None, **changes(part, region)) for part in PARTS]
        for part in parts:
            wanted = cluster.replicas_of(part.kind.name)
            if wanted > plan.max_replicas:
                report.not_simulated.append(f"{part.kind.name}: {wanted - plan.max_replicas} of {wanted} pods")
        # In three waves, callees before callers.
        for wave in (parts[2:], parts[1:2], parts[:1]):
            log_step(f"starting {', '.join(part.kind.name for part in wave)}")
            await asyncio.gather(
                *(part.scale(min(plan.max_replicas, cluster.replicas_of(part.kind.name))) for part in wave)
            )
        report.ready_seconds = {pod.name: pod.seconds_to_ready for part in parts for pod in part.pods}

        log_step("connections")
        await check_connections(cluster, report)
        log_step("single requests")
        async with _clients(cluster, requests, reference_answers, plan.seed) as clients:
            await _check_requests(clients, report)
            await check_grpc(cluster, authority, requests[0], reference_answers[0], report)
            if plan.measured_requests:
                log_step(f"{plan.measured_requests} requests of 24 months")
                await _measure_cpu(cluster, clients, plan.measured_requests, report)
            clients.send(load=plan.clients, pause=plan.pause_seconds)
            await _renew(cluster, clients, authority, report, log_step)
            await _scale(cluster, clients, plan, log_step)
            await _restart(cluster, clients, plan, report, log_step)
            clients.send(load=plan.clients, pause=plan.pause_seconds)
            await _break(cluster, clients, plan, report, log_step)
            await _check_requests(clients, report)
        log_step("spans and memory")
        await _count_spans(cluster, report)
        _measure(cluster, report)
        log_step("stopping")
        await asyncio.gather(*(part.scale(0) for part in parts))
        for part in parts:
            # Killed processes were restarted; a pod that is deleted must exit with 0.
            if any(part.exit_codes):
                report.problems.append(f"{part.kind.name}: exit codes {part.exit_codes}")
    finally:
        await cluster.remove()
    return report


@contextlib.asynccontextmanager
async def _clients(
    cluster: Cluster, requests: Sequence[dict[str, Any]], references: Sequence[Reference], seed: int
) -> AsyncIterator[Clients]:
    """Clients in a pod of an allowed namespace, connected to the gateway's Service."""
    (port,) = (port["port"] for port in named(cluster.manifests, "Service", "gateway")["spec"]["ports"][:1])
    from_here, into_pod = os.pipe()
    from_pod, to_here = os.pipe()
    address = f"gateway.{cluster.namespace}:{port}"
    pod = await cluster.add_platform_pod(
        "client",
        "gateways",
        Image.of_module("tests.cluster_simulation.client", address),
        stdin=from_here,
        stdout=to_here,
    )
    os.close(from_here)
    os.close(to_here)
    answers = asyncio.StreamReader(limit=1 << 26)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(answers), os.fdopen(from_pod, "rb")
    )
    clients = Clients(pod, answers, into_pod)
    try:
        pairs = [(reference.full, reference.without_enrichment) for reference in references]
        await asyncio.to_thread(clients.send, requests=list(requests), references=pairs, seed=seed)
        yield clients
    finally:
        os.close(into_pod)
        transport.close()


async def _check_requests(clients: Clients, report: Report) -> None:
    """Sends each request by REST and by WebSocket; every answer must be complete."""
    for number in range(_REQUESTS):
        for how, (outcome, why) in zip(("REST", "WebSocket"), await clients.request(check=number), strict=True):
            report.checks.append(outcome)
            if outcome != Outcome.CORRECT:
                report.problems.append(f"request {number} by {how}: {outcome}: {why}")


def _take(seen: Mapping[str, Any], report: Report) -> None:
    for label, counts in seen["counts"].items():
        report.counts.setdefault(label, Counter()).update(counts)
    report.problems += seen["problems"]


async def _measure_cpu(cluster: Cluster, clients: Clients, count: int, report: Report) -> None:
    """Measures the CPU time of each part per request."""

    def used() -> dict[str, float]:
        return {part.name: sum(pod.cpu_seconds for pod in cluster.deployments[part.name].pods) for part in PARTS}

    before = used()
    answered = await clients.request(measure=count, clients=16, months=24)
    report.milliseconds = {name: 1000 * (seconds - before[name]) / count for name, seconds in used().items()}
    if answered != count:
        report.problems.append(f"{count - answered} of {count} requests of 24 months failed")


async def _renew(cluster: Cluster, clients: Clients, authority: Authority, report: Report, log_step: LogStep) -> None:
    """Renews all certificates under load."""
    clients.send(label="renew certificates")
    cluster.issue_certificates(authority)
    await asyncio.sleep(_RENEWAL_SECONDS)
    parts = [pod for pod in cluster.pods if pod.kind.is_part]
    late = [pod.name for pod in parts if "certificate reloaded" not in pod.log]
    log_step(f"renewed the certificates of {len(parts)} pods")
    if late:
        report.problems.append(f"did not reload their certificates: {late}")


async def _scale(cluster: Cluster, clients: Clients, plan: Plan, log_step: LogStep) -> None:
    """Scales up by one pod and down again, as an autoscaler does."""
    for name in plan.scales:
        deployment = cluster.deployments[name]
        usual = len(deployment.pods)
        clients.send(label=f"scale {name}")
        await deployment.scale(usual + 1)
        await asyncio.sleep(_SETTLE_SECONDS)
        await deployment.scale(usual)
        log_step(f"scaled {name} to {usual + 1} and back to {usual}")


async def _restart(cluster: Cluster, clients: Clients, plan: Plan, report: Report, log_step: LogStep) -> None:
    """Restarts one Deployment after another."""
    for name in plan.restarts:
        began = time.monotonic()
        clients.send(label=f"restart {name}")
        await cluster.deployments[name].restart()
        log_step(f"restarted {name} in {time.monotonic() - began:.0f} s")
    clients.send(label="")
    seen = await clients.request(stop=True)
    _take(seen, report)
    report.failed_restarts = seen["failed"]
    if seen["failed"]:
        report.problems.append(f"{len(seen['failed'])} unary calls failed during rolling restarts")


async def _break(cluster: Cluster, clients: Clients, plan: Plan, report: Report, log_step: LogStep) -> None:
    """Kills processes and cuts networks; answers may be late, degraded or clean errors, but never wrong."""
    for how, names in (("kill -9", plan.kills), ("cut", plan.cuts)):
        for name in names:
            deployment = cluster.deployments[name]
            pod = deployment.pods[0]
            clients.send(label=f"{how} {name}")
            began = time.monotonic()
            if how == "cut":
                await pod.cut()
                await asyncio.sleep(_CUT_SECONDS)
                await pod.reconnect()
            else:
                restarts = pod.restarts
                pod.kill()
                await until(lambda: pod.restarts > restarts, _RESTART_SECONDS)  # noqa: B023 # awaited here
            await deployment.until_ready(deployment.pods)
            log_step(f"{how} {pod.name}: ready again after {time.monotonic() - began:.1f} s")
            await asyncio.sleep(_SETTLE_SECONDS)
    clients.send(label="")
    _take(await clients.request(stop=True), report)


async def _count_spans(cluster: Cluster, report: Report) -> None:
    """Counts the spans that reached the collector, by service."""
    (pod,) = (pod for pod in cluster.pods if pod.kind.name == COLLECTOR)
    wanted = {f"pantree-{part.name}" for part in PARTS}

    def counts() -> dict[str, int]:
        lines = pod.log.splitlines()
        return dict(json.loads(lines[-1])) if lines else {}

    with contextlib.suppress(TimeoutError):
        await until(lambda: wanted <= set(counts()), _SPANS_SECONDS)
    report.spans = counts()
    report.problems += [f"no span of {name}" for name in sorted(wanted - set(report.spans))]


def _measure(cluster: Cluster, report: Report) -> None:
    """Compares the memory of all pods, including deleted ones, with the manifests."""
    for name, deployment in cluster.deployments.items():
        if not deployment.kind.is_part:
            continue
        pods = [pod for pod in (*cluster.pods, *cluster.deleted) if pod.kind is deployment.kind]
        resources = deployment.kind.container["resources"]
        request, limit = (int(resources[bound]["memory"].removesuffix("Mi")) for bound in ("requests", "limits"))
        idle = max(pod.idle_bytes for pod in pods) / MEBIBYTE
        peak = max(pod.peak_bytes for pod in pods) / MEBIBYTE
        report.memory[name] = (max(pod.start_cpu_seconds for pod in pods), idle, peak, request, limit)
        if peak > limit:
            report.problems.append(f"{name} used {peak:.0f} MiB; the limit is {limit} MiB")
