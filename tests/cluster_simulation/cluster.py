"""A simulated cluster: runs the rendered manifests of an overlay as pods in network namespaces of this machine.

It implements the Kubernetes controllers that these manifests need: Deployments with rollouts, Services with their ready
pods, DNS, NetworkPolicies, Secrets with certificates. All numbers come from the manifests.
"""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pantree_cli.mesh import PARTS
from scripts.make_certificates import Authority
from tests.cluster_simulation.network import Endpoint, policy_rules, service_rules
from tests.cluster_simulation.pods import Image, Node, Pod, PodKind, run, until
from tests.deploy.manifests import NAME, Manifest, environment_of, named, of_kind, pod_of

NAME_SERVER = "10.96.0.10"
"""Address of the name server's Service: the tenth of the range, as in most clusters."""
# The cache time of kubeadm's CoreDNS; other distributions use less.
DNS_TTL_SECONDS = 30.0
MAX_START_SECONDS = 240.0
_MAX_ROLLOUT_SECONDS = 600.0
_POLL_SECONDS = 0.1
PLATFORM = "cluster-simulation"
"""Label of pods that the cluster provides; the manifests do not contain them."""

# Namespaces of other teams.
PLATFORM_NAMESPACES = {
    "kube-system": {"kubernetes.io/metadata.name": "kube-system"},
    "gateways": {"kubernetes.io/metadata.name": "gateways", "pantree/entry": "allowed"},
    "observability": {"kubernetes.io/metadata.name": "observability", "pantree/telemetry": "allowed"},
    "elsewhere": {"kubernetes.io/metadata.name": "elsewhere"},
}


class NotReadyInTime(Exception):
    """Some pods did not become ready in time."""


class Deployment:
    """A set of pods of one kind."""

    def __init__(self, cluster: "Cluster", kind: PodKind, replicas: int, specification: Manifest) -> None:
        self.kind = kind
        self.pods: list[Pod] = []
        self._cluster = cluster
        self._replicas = replicas
        self._min_ready_seconds = float(specification.get("minReadySeconds", 0))
        rolling = specification.get("strategy", {}).get("rollingUpdate", {})
        # Percentages are not supported.
        self._surge = int(rolling.get("maxSurge", 1))
        self._unavailable = int(rolling.get("maxUnavailable", 0))
        self.exit_codes: list[int] = []

    async def scale(self, replicas: int) -> None:
        """Creates pods or deletes the newest ones; returns when the remaining ones are ready."""
        self._replicas = replicas
        surplus = self.pods[replicas:]
        self.pods = self.pods[:replicas]
        await asyncio.gather(*(self._delete(pod) for pod in surplus))
        while len(self.pods) < replicas:
            await self._add()
        await self.until_ready(self.pods)

    async def until_ready(self, pods: Sequence[Pod]) -> None:
        """Returns when these pods are ready.

        Raises:
            NotReadyInTime: after `MAX_START_SECONDS`.
        """
        try:
            await until(lambda: all(pod.is_ready for pod in pods), MAX_START_SECONDS)
        except TimeoutError:
            late = [pod for pod in pods if not pod.is_ready]
            logs = "\n".join(f"{pod.name}:\n{pod.log[-2000:]}" for pod in late)
            raise NotReadyInTime(f"not ready after {MAX_START_SECONDS:.0f} s: {logs}") from None

    async def restart(self) -> None:
        """Replaces all pods in a rolling restart, within maxSurge and maxUnavailable."""
        old, self.pods = self.pods, []
        deletions: list[asyncio.Task[None]] = []
        async with asyncio.timeout(_MAX_ROLLOUT_SECONDS):
            while old or len(self.pods) < self._replicas:
                while len(self.pods) < self._replicas and len(old) + len(self.pods) < self._replicas + self._surge:
                    await self._add()
                available = [pod for pod in self.pods if self._is_available(pod)]
                if old and len(old) + len(available) > self._replicas - self._unavailable:
                    deletions.append(asyncio.create_task(self._delete(old.pop(0))))
                    continue
                await asyncio.sleep(_POLL_SECONDS)
            await until(lambda: all(self._is_available(pod) for pod in self.pods), _MAX_ROLLOUT_SECONDS)
            await asyncio.gather(*deletions)

    def _is_available(self, pod: Pod) -> bool:
        return pod.is_ready and time.monotonic() - pod.ready_since >= self._min_ready_seconds

    async def _add(self) -> None:
        pod = Pod(self._cluster.node, self.kind, self._cluster.pods_changed)
        self._cluster.pods.append(pod)
        self.pods.append(pod)
        await self._cluster.write_policies()
        await pod.start()

    async def _delete(self, pod: Pod) -> None:
        self.exit_codes.append(await pod.delete())
        self._cluster.record_deleted(pod)


class Cluster:
    """Pods, Services, DNS and policies. Call `start_platform` first, then `scale` of each Deployment.

    Args:
        manifests: those of an overlay.
        scratch: directory on its own filesystem, such as a tmpfs.
    """

    def __init__(self, manifests: list[Manifest], scratch: Path) -> None:
        self.manifests = manifests
        self.node = Node(scratch, NAME_SERVER)
        self.pods: list[Pod] = []
        self.deleted: list[Pod] = []
        self.deployments: dict[str, Deployment] = {}
        (namespace,) = of_kind(manifests, "Namespace")
        self.namespace = str(namespace["metadata"]["name"])
        own = {**namespace["metadata"]["labels"], "kubernetes.io/metadata.name": self.namespace}
        self._namespaces = {**PLATFORM_NAMESPACES, self.namespace: own}
        self._policies = list(of_kind(manifests, "NetworkPolicy"))
        self._services = [self._with_address(service) for service in of_kind(manifests, "Service")]
        self._services += [_NAME_SERVER_SERVICE, _COLLECTOR_SERVICE]
        self._external_names: dict[str, str] = {}
        self._changes = asyncio.Event()
        self._names = scratch / "names" / "names.json"
        self._watching: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._secrets: dict[str, Path] = {}
        self._issued = 0

    def _with_address(self, service: Manifest) -> Manifest:
        """A Service with a cluster IP, unless it is headless."""
        specification = dict(service["spec"])
        if "clusterIP" not in specification:
            names = [one["metadata"]["name"] for one in of_kind(self.manifests, "Service")]
            specification["clusterIP"] = f"10.96.1.{1 + names.index(service['metadata']['name'])}"
        return {**service, "spec": specification}

    async def start_platform(self) -> None:
        """Sets up the node's network and starts the name server."""
        await run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        await run("ip", "link", "set", "lo", "up")
        self._names.parent.mkdir(parents=True)
        await self._write_network()
        self._watching = asyncio.create_task(self._watch())
        arguments = ("/names/names.json", str(DNS_TTL_SECONDS))
        await self.add_platform_pod(
            "kube-dns",
            "kube-system",
            Image.of_module("tests.cluster_simulation.name_server", *arguments),
            labels={"k8s-app": "kube-dns"},
            folders={self._names.parent: "/names"},
            container=listening(53),
        )

    async def add_platform_pod(self, name: str, namespace: str, image: Image, **more: Any) -> Pod:
        """Starts a pod of the platform or of another team and returns it when it is ready.

        Args:
            name: its `app.kubernetes.io/name`, unless `labels` are given.
            namespace: one of `PLATFORM_NAMESPACES`, or the namespace of the manifests.
            image: the image to run.
            more: further fields of `PodKind`, and `stdin` and `stdout`.
        """
        pipes = {key: more.pop(key) for key in ("stdin", "stdout") if key in more}
        labels = more.pop("labels", {NAME: name})
        pod = Pod(self.node, PodKind(name, namespace, {**labels, PLATFORM: "yes"}, image, **more), self.pods_changed)
        self.pods.append(pod)
        await self.write_policies()
        await pod.start(**pipes)
        await until(lambda: pod.is_ready or pod.restarts > 1, MAX_START_SECONDS)
        assert pod.is_ready, f"{name} does not run: {pod.log[-2000:]}"
        return pod

    def add_external_name(self, name: str, address: str) -> None:
        """Adds a name outside the cluster to DNS."""
        self._external_names[name] = address
        self.pods_changed()

    def issue_certificates(self, authority: Authority) -> None:
        """Creates or renews the Secrets that cert-manager would create.

        As in the kubelet, files are links through `..data`, which is replaced atomically.
        """
        for certificate in of_kind(self.manifests, "Certificate"):
            specification = certificate["spec"]
            if specification.get("isCA"):
                continue
            (name,) = specification["dnsNames"]
            secret = specification["secretName"]
            folder = self.node.scratch / "secrets" / secret
            version = folder / f"..{self._issued}"
            authority.issue(version, name, days=int(specification["duration"].removesuffix("h")) / 24)
            for file in version.iterdir():
                os.chown(file, 0, self._group_of(secret))
                file.chmod(0o440)
            (folder / "..new").symlink_to(version.name)
            (folder / "..new").rename(folder / "..data")
            for file in version.iterdir():
                if not (folder / file.name).is_symlink():
                    (folder / file.name).symlink_to(f"..data/{file.name}")
            self._secrets[secret] = folder
        self._issued += 1

    def _group_of(self, secret: str) -> int:
        for workload in of_kind(self.manifests, "Deployment"):
            pod = pod_of(workload)
            for volume in pod.get("volumes", []):
                if volume.get("secret", {}).get("secretName") == secret:
                    assert volume["secret"]["defaultMode"] == 0o440
                    return int(pod["securityContext"]["fsGroup"])
        return 0

    def add_deployment(self, name: str, max_replicas: int, image: Image | None, **variables: str) -> Deployment:
        """Adds a Deployment of the manifests, without pods; `scale(replicas_of(...))` creates them.

        Args:
            name: name of the Deployment.
            max_replicas: upper limit of its replicas.
            image: image of a fake; None for the image of the part.
            variables: environment variables that override those of the manifests.
        """
        manifest = named(self.manifests, "Deployment", name)
        pod = pod_of(manifest)
        (container,) = pod["containers"]
        is_part = name in {part.name for part in PARTS}
        security = pod["securityContext"]
        kind = PodKind(
            name=name,
            namespace=self.namespace,
            labels=manifest["spec"]["template"]["metadata"]["labels"],
            image=Image.of_part(name) if image is None else image,
            container=container,
            variables={**(environment_of(self.manifests, name) if is_part else {}), **variables},
            user=(security["runAsUser"], security["runAsGroup"]),
            grace_seconds=float(pod.get("terminationGracePeriodSeconds", 30)),
            folders=self._folders_of(pod, container),
            is_part=is_part,
        )
        replicas = min(self.replicas_of(name), max_replicas)
        self.deployments[name] = Deployment(self, kind, replicas, manifest["spec"])
        return self.deployments[name]

    def replicas_of(self, name: str) -> int:
        """Number of pods in the manifests: that of the Deployment, or the minimum of its autoscaler."""
        for scaler in of_kind(self.manifests, "HorizontalPodAutoscaler"):
            if scaler["spec"]["scaleTargetRef"]["name"] == name:
                return int(scaler["spec"]["minReplicas"])
        return int(named(self.manifests, "Deployment", name)["spec"].get("replicas", 1))

    def _folders_of(self, pod: Manifest, container: Manifest) -> dict[Path, str]:
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        # Fakes have no other volumes.
        mounts = [mount for mount in container.get("volumeMounts", []) if "secret" in volumes[mount["name"]]]
        return {self._secrets[volumes[mount["name"]]["secret"]["secretName"]]: mount["mountPath"] for mount in mounts}

    def pods_changed(self) -> None:
        """Updates DNS and Services after a change of pods."""
        self._changes.set()

    def record_deleted(self, pod: Pod) -> None:
        """Removes a deleted pod and keeps its measurements."""
        self.pods.remove(pod)
        self.deleted.append(pod)
        self.pods_changed()

    async def _watch(self) -> None:
        while True:
            await self._changes.wait()
            self._changes.clear()
            await self._write_network()

    async def write_policies(self) -> None:
        """Updates the policies for a new pod before it starts."""
        await self._write_network()

    async def _write_network(self) -> None:
        async with self._writing:
            endpoints = [Endpoint(pod.kind.namespace, pod.kind.labels, pod.ip) for pod in self.pods]
            rules = policy_rules(self._policies, endpoints, self._namespaces)
            behind = {
                (service["metadata"]["namespace"], service["metadata"]["name"]): self._behind(service)
                for service in self._services
            }
            names = {}
            for service in self._services:
                name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
                address = service["spec"]["clusterIP"]
                ready = [pod["ip"] for pod in behind[namespace, name]]
                names[f"{name}.{namespace}.svc.{self.node.domain}"] = ready if address == "None" else [address]
            names |= {name: [address] for name, address in self._external_names.items()}
            new = self._names.with_suffix(".new")
            new.write_text(json.dumps(names))
            new.replace(self._names)
            await run("nft", "-f", "-", input_text=rules + service_rules(self._services, behind))

    def _behind(self, service: Manifest) -> list[dict[str, Any]]:
        """Ready pods of a Service."""
        selector = service["spec"]["selector"].items()
        return [
            {"ip": pod.ip, "ports": pod.kind.ports}
            for pod in self.pods
            if pod.kind.namespace == service["metadata"]["namespace"]
            and selector <= pod.kind.labels.items()
            and pod.is_ready
            and not pod.is_terminating
        ]

    async def remove(self) -> None:
        """Removes all pods immediately."""
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        await asyncio.gather(*(pod.remove() for pod in self.pods))


def listening(port: int) -> Manifest:
    """Ports and probes of a container that is ready as soon as it accepts connections."""
    probe = {"tcpSocket": {"port": port}, "periodSeconds": 1, "failureThreshold": 60}
    return {"ports": [{"name": "own", "containerPort": port}], "startupProbe": probe, "readinessProbe": probe}


def service_of(name: str, namespace: str, address: str, selector: Mapping[str, str], *ports: Manifest) -> Manifest:
    """A Service of another team."""
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterIP": address, "selector": selector, "ports": list(ports)},
    }


_NAME_SERVER_SERVICE = service_of(
    "kube-dns",
    "kube-system",
    NAME_SERVER,
    {"k8s-app": "kube-dns"},
    {"port": 53, "protocol": "UDP"},
    {"port": 53, "protocol": "TCP"},
)
_COLLECTOR_SERVICE = service_of(
    "opentelemetry-collector",
    "observability",
    "10.96.0.11",
    {NAME: "opentelemetry-collector"},
    {"port": 4317, "protocol": "TCP"},
)
