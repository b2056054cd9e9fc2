"""Compares the open connections between all pods with the documents; the rules come from the manifests."""

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

from pantree_runtime.identity import CLIENT
from scripts.make_certificates import Authority
from tests.cluster_simulation.cluster import PLATFORM_NAMESPACES, Cluster
from tests.cluster_simulation.pods import Pod, run
from tests.cluster_simulation.report import Report
from tests.deploy.connections import ARCHITECTURE, OUTSIDE
from tests.deploy.manifests import named
from tests.faults.load import Reference

_CONNECT_SECONDS = 4.0
# Ports of probes, of Milvus and of the gateway: only the kubelet connects to them.
_KUBELET_ONLY = {9091, 8001}

# One process in a pod tries all targets concurrently.
_CONNECT = """
import asyncio, json, sys
async def is_open(host, port):
    try:
        async with asyncio.timeout(float(sys.argv[1])):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return "no answer"
    except OSError as error:
        return f"refused: {error}"
    writer.close()
    return "open"
async def main():
    targets = json.loads(sys.argv[2])
    print(json.dumps(await asyncio.gather(*(is_open(*target) for target in targets))))
asyncio.run(main())
"""

# Arguments: address, certificate directory, request.
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


async def check_connections(cluster: Cluster, report: Report) -> None:
    """Tries to connect each pair of pods at each port and compares the results with the documents."""
    pods = _one_of_each(cluster)
    entries = {name for name, labels in PLATFORM_NAMESPACES.items() if labels.get("pantree/entry") == "allowed"}

    def names_of(pod: Pod) -> set[str]:
        """Names of a pod in the documents."""
        names = {pod.kind.name}
        if pod.kind.is_part:
            names.add("every part")
        if pod.kind.namespace in entries:
            names.add("entry")
        return names

    def is_documented(caller: Pod, called: Pod, port: int) -> bool:
        if called.kind.name == "kube-dns":
            return True  # every pod resolves names
        known = {(own, other) for own in names_of(caller) for other in names_of(called)} & (ARCHITECTURE | OUTSIDE)
        metrics = called.kind.ports.get("metrics")
        return bool(known) and (port == metrics) == (caller.kind.name == "prometheus") and port not in _KUBELET_ONLY

    async def try_from(caller: Pod) -> None:
        attempts = [
            (called, port)
            for called in pods
            # The manifests do not cover connections between pods of other namespaces.
            if called is not caller and cluster.namespace in (caller.kind.namespace, called.kind.namespace)
            for port in called.kind.ports.values()
        ]
        wanted = json.dumps([(called.ip, port) for called, port in attempts])
        outcomes = json.loads(await run(*caller.inside, sys.executable, "-c", _CONNECT, str(_CONNECT_SECONDS), wanted))
        for (called, port), outcome in zip(attempts, outcomes, strict=True):
            connection = f"{caller.kind.name} -> {called.kind.name}:{port}"
            if is_documented(caller, called, port):
                report.connections_open += 1
                if outcome != "open":
                    report.problems.append(f"{connection} is documented but not open: {outcome}")
            else:
                report.connections_blocked += 1
                if outcome != "no answer":
                    report.problems.append(f"{connection} is not documented but not blocked: {outcome}")

    await asyncio.gather(*(try_from(caller) for caller in pods))


def _one_of_each(cluster: Cluster) -> list[Pod]:
    """One pod of each kind."""
    return list({pod.kind.name: pod for pod in cluster.pods}.values())


async def check_grpc(
    cluster: Cluster, authority: Authority, request: Mapping[str, Any], reference: Reference, report: Report
) -> None:
    """Calls the pipeline by gRPC from outside the mesh: with a valid certificate and with a forged one."""
    domain = named(cluster.manifests, "Certificate", "pipeline")["spec"]["dnsNames"][0].partition(".")[2]
    (ingress,) = (pod for pod in cluster.pods if pod.kind.name == "ingress")
    pipeline = cluster.deployments["pipeline"].pods[0]
    address = f"{pipeline.ip}:{pipeline.kind.ports['grpc']}"
    names = [one["name"] for one in reference.full["recommendations"]["recommendations"]]
    for who, by, expected in (("client", authority, names), ("forger", Authority("Pantree"), "ComponentUnavailable")):
        folder = cluster.node.scratch / "outside" / who
        by.issue(folder, f"{CLIENT}.{domain}")
        words = [*ingress.inside, sys.executable, "-c", _CALL, address, str(folder), json.dumps(request)]
        outcome = json.loads(await run(*words))
        report.checks.append(f"{who} by gRPC")
        if outcome != expected:
            report.problems.append(f"gRPC from outside as {who}: {outcome} instead of {expected}")
