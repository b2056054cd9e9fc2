"""The pods that Pantree depends on: those of other teams, and fakes of systems that cannot run here."""

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
from tests.cluster_simulation.cluster import Cluster, listening
from tests.cluster_simulation.pods import Image
from tests.cluster_simulation.report import Report
from tests.deploy.manifests import WORKLOADS, environment_of, of_kind, pod_of
from tests.faults.load import Reference
from tests.faults.run import references_of
from tests.recommendation.container_process import KEY, SECRET

COLLECTOR = "opentelemetry-collector"
_FAKES = "tests.cluster_simulation.fakes"
# An address outside the cluster that is reserved for documentation (RFC 5737).
_INTERNET = "203.0.113.10"
REDIS_PASSWORD = "a password of the simulation"


async def start_dependencies(cluster: Cluster, authority: Authority, report: Report) -> None:
    """Starts the pods of other teams and the fakes of systems that cannot run here."""
    report.not_simulated.append("the gateway's cache: every answer is computed again")
    cluster.issue_certificates(authority)
    report.not_simulated.append("cert-manager: scripts/make_certificates.py makes its Secrets")
    workloads = {workload["metadata"]["name"]: workload for workload in of_kind(cluster.manifests, *WORKLOADS)}
    pods: list[Awaitable[Any]] = [_listener(cluster, COLLECTOR, "observability", 4317, "collector")]
    if "nim" in workloads:
        report.not_simulated.append(
            "nim: a fake that answers from the rules, with the port and probes of the manifests"
        )
        pods.append(cluster.add_deployment("nim", 1, Image.of_module(_FAKES, "nim", "8000")).scale(1))
    if "redis" in workloads:
        (container,) = pod_of(workloads["redis"])["containers"]
        if shutil.which(container["command"][0]):
            # The kubelet replaces references to variables.
            arguments = [word.replace("$(PANTREE_REDIS_PASSWORD)", REDIS_PASSWORD) for word in container["args"]]
            image = Image([*container["command"], *arguments], {"PATH": "/usr/local/bin:/usr/bin:/bin"})
            pods.append(cluster.add_deployment("redis", 1, image).scale(1))
        else:
            report.not_simulated.append("redis: redis-server is not installed; the parts use their local fallback")
            pods.append(_listener(cluster, "redis", cluster.namespace, 6379))
    if "milvus" in workloads:
        report.not_simulated.append("milvus: a fake that only accepts connections; vector stores its points in memory")
        (container,) = pod_of(workloads["milvus"])["containers"]
        pods.append(_listener(cluster, "milvus", cluster.namespace, 19530, ports=container["ports"]))
    settings = environment_of(cluster.manifests, "recommendation")
    if endpoint := settings.get("SAGEMAKER_ENDPOINT"):
        report.not_simulated.append(
            "SageMaker: its local runtime with the project's container, without TLS, with a key"
        )
        cluster.add_external_name(f"runtime.sagemaker.{settings['AWS_REGION']}.amazonaws.com", _INTERNET)
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
    fake: str = "listen",
    *arguments: str,
    ports: Sequence[Any] = (),
    **more: Any,
) -> None:
    """Starts a pod with a fake and returns when it accepts connections.

    Args:
        cluster: the cluster.
        name: name of the pod.
        namespace: namespace of the pod.
        port: port of the fake.
        fake: name of the fake.
        arguments: arguments of the fake after its port.
        ports: ports that the pod declares; by default only `port`.
        more: further fields of `PodKind`.
    """
    container = {**listening(port), **({"ports": ports} if ports else {})}
    image = Image.of_module(_FAKES, fake, str(port), *arguments)
    await cluster.add_platform_pod(name, namespace, image, container=container, **more)


def changes(part: ServiceKind, region: str) -> dict[str, str]:
    """Environment variables that differ from `prod`; `start_dependencies` reports each difference."""
    if part.name == "vector":
        return {"PANTREE_VECTOR_STORE_URL": "memory://"}
    if part.name == "recommendation":
        # In the cloud, a webhook injects the credentials of a role.
        url = f"http://runtime.sagemaker.{region}.amazonaws.com:443"
        keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
        return {"PANTREE_RECOMMENDATION_SAGEMAKER_URL": url, **keys}
    password = {"PANTREE_REDIS_PASSWORD": REDIS_PASSWORD}  # from a Secret
    if part.name == "enrichment":
        return password
    # Compute every answer again.
    return {"PANTREE_GATEWAY_CACHE_SECONDS": "0", **password} if part.name == "gateway" else {}


async def references(requests: Sequence[dict[str, Any]], manifests: list[Any]) -> list[Reference]:
    """Reference answers, from a mesh on loopback with the same fakes."""
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
        _running_fake("nim", str(nim)),
        _running_fake("sagemaker", str(sagemaker), settings["SAGEMAKER_ENDPOINT"]),
    ):
        return await references_of(requests, **variables)


@contextlib.asynccontextmanager
async def _running_fake(*arguments: str) -> AsyncIterator[None]:
    """Runs a fake on this node while the context is open; it may take a second to answer."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", _FAKES, *arguments, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
