"""What the manifests name and no part is: other teams' pods, and stand-ins for what cannot run here."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any

from pantree_cli.mesh import HOST, ServiceKind, free_ports
from scripts.make_certificates import Authority
from tests.deploy.manifests import WORKLOADS, environment_of, of_kind, pod_of
from tests.faults.load import Reference
from tests.faults.run import references_of
from tests.recommendation.sagemaker_processes import KEY, SECRET
from tests.rehearsal.cluster import Cluster, listening
from tests.rehearsal.pods import Image
from tests.rehearsal.report import Report

COLLECTOR = "opentelemetry-collector"
_STAND_INS = "tests.rehearsal.stand_ins"
# An address of the internet, as policies see it, that belongs to nobody (RFC 5737).
_INTERNET = "203.0.113.10"


async def start_surroundings(cluster: Cluster, authority: Authority, report: Report) -> None:
    """What the manifests name and no part is: other teams' pods, and stand-ins for what cannot run here."""
    report.left_out.append("kept answers of the gateway: every answer is made anew")
    cluster.issue_certificates(authority)
    report.left_out.append("cert-manager: its Secrets are made here, by scripts/make_certificates.py")
    workloads = {workload["metadata"]["name"]: workload for workload in of_kind(cluster.manifests, *WORKLOADS)}
    pods: list[Awaitable[Any]] = [_listener(cluster, COLLECTOR, "observability", 4317, "collector")]
    if "nim" in workloads:
        report.left_out.append("nim: a stand-in that knows what the rules know, on the manifests' port and probes")
        pods.append(cluster.add_deployment("nim", 1, Image.of_module(_STAND_INS, "nim", "8000")).scale(1))
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
    image = Image.of_module(_STAND_INS, stand_in, str(port), *arguments)
    await cluster.add_platform_pod(name, namespace, image, container=container, **more)


def changes(part: ServiceKind, region: str) -> dict[str, str]:
    """What this machine has otherwise than `prod`: variables, each told by `start_surroundings`."""
    if part.name == "vector":
        return {"PANTREE_VECTOR_STORE_URL": "memory://"}
    if part.name == "recommendation":
        # What the cloud's own webhook would bring in place of a role.
        url = f"http://runtime.sagemaker.{region}.amazonaws.com:443"
        keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
        return {"PANTREE_RECOMMENDATION_SAGEMAKER_URL": url, **keys}
    # Every answer is made anew.
    return {"PANTREE_GATEWAY_CACHE_SECONDS": "0"} if part.name == "gateway" else {}


async def references(requests: Sequence[dict[str, Any]], manifests: list[Any]) -> list[Reference]:
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
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", _STAND_INS, *arguments, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
