"""The rehearsal: everything that `prod` would start, started, used, restarted, broken and measured."""

import asyncio
import contextlib
import json
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pantree_cli.mesh import PARTS
from scripts.make_certificates import Authority
from tests.deploy.manifests import environment_of, named, overlay
from tests.faults.load import Reference, Verdict, requests_of
from tests.rehearsal.cluster import Cluster
from tests.rehearsal.edges import check_edges, check_grpc
from tests.rehearsal.pods import MEBIBYTE, Image, Pod, run, until
from tests.rehearsal.report import Report
from tests.rehearsal.surroundings import COLLECTOR, changes, references, start_surroundings

_REQUESTS = 4
_CUT_SECONDS = 8.0
_SETTLE_SECONDS = 2.0
_RESTART_SECONDS = 60.0
_LONGEST_ANSWER_SECONDS = 300.0
# Parts look at their files with each handshake, and once a second when they call.
_RENEWAL_SECONDS = 5.0
# Spans are sent in batches, every five seconds.
_SPANS_SECONDS = 20.0


@dataclass
class Plan:
    """How much is done."""

    overlay: str = "prod"
    most_replicas: int = 2
    restarts: Sequence[str] = tuple(part.name for part in PARTS)
    """Deployments to restart under load, one after another."""
    scales: Sequence[str] = ("frequency",)
    """Deployments that get a pod more under load, and lose it again."""
    kills: Sequence[str] = tuple(part.name for part in PARTS)
    cuts: Sequence[str] = ("pipeline", "frequency", "enrichment", "gateway")
    measured_requests: int = 0
    """How many requests of 24 months, 16 at a time, the table of CPU and memory rests on; 0 for none."""
    clients: int = 3
    pause_seconds: float = 0.2
    seed: int = 9


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
    right_answers = await references(requests, manifests)
    region = environment_of(manifests, "recommendation").get("AWS_REGION", "")
    cluster = Cluster(manifests, scratch)
    try:
        told("name server, collector, stand-ins")
        await cluster.start_platform()
        authority = Authority("Pantree")
        await start_surroundings(cluster, authority, report)
        parts = [cluster.add_deployment(part.name, plan.most_replicas, None, **changes(part, region)) for part in PARTS]
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
        await check_edges(cluster, report)
        told("single requests")
        async with _clients(cluster, requests, right_answers, plan.seed) as clients:
            await _check_requests(clients, report)
            await check_grpc(cluster, authority, requests[0], right_answers[0], report)
            if plan.measured_requests:
                told(f"{plan.measured_requests} requests of 24 months")
                await _measure_cpu(cluster, clients, plan.measured_requests, report)
            clients.say(load=plan.clients, pause=plan.pause_seconds)
            await _renew(cluster, clients, authority, report, told)
            await _scale(cluster, clients, plan, told)
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


async def _scale(cluster: Cluster, clients: Clients, plan: Plan, told: Callable[[str], None]) -> None:
    """One pod more, and one less, as an autoscaler does it."""
    for name in plan.scales:
        deployment = cluster.deployments[name]
        usual = len(deployment.pods)
        clients.say(label=f"scale {name}")
        await deployment.scale(usual + 1)
        await asyncio.sleep(_SETTLE_SECONDS)
        await deployment.scale(usual)
        told(f"scaled {name} to {usual + 1} and back to {usual}")


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
