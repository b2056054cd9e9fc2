"""The rendered manifests of an overlay, and functions that look things up in them."""

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
# As k8s/README.md recommends: an overlay in which one component replaces another.
ALTERNATIVES = {"prod with qdrant": ("prod", "milvus", "qdrant")}
OVERLAYS = [*sorted(folder.name for folder in (ROOT / "k8s" / "overlays").iterdir()), *ALTERNATIVES]
NAME = "app.kubernetes.io/name"
CHOICE = "choose-access"
ACCESS = ("access-open", "access-keys", "access-tokens")
WORKLOADS = ("Deployment", "StatefulSet")

Manifest = dict[str, Any]


def kustomize() -> list[str]:
    """Command that renders a directory. Without one the test is skipped, but fails in CI."""
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    message = "neither kubectl nor kustomize is installed; manifests are not checked"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@functools.cache
def overlay(name: str, access: str = "access-open") -> list[Manifest]:
    """All manifests of an overlay. They are cached, so do not modify them."""
    folder, from_component, to_component = ALTERNATIVES.get(name, (name, "", ""))
    with tempfile.TemporaryDirectory() as copy:
        tree = Path(shutil.copytree(ROOT / "k8s", Path(copy) / "k8s"))
        file = tree / "overlays" / folder / "kustomization.yaml"
        file.write_text(_with_component_replaced(file.read_text(), from_component, to_component))
        # `prod` has no default, and the cluster simulation sends no credentials.
        file.write_text(file.read_text().replace(CHOICE, access))
        command = [*kustomize(), str(file.parent)]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [manifest for manifest in yaml.safe_load_all(text) if manifest is not None]


def _with_component_replaced(text: str, from_component: str, to_component: str) -> str:
    if not from_component:
        return text
    former = f"- ../../components/{from_component}\n"
    assert text.count(former) == 1
    return text.replace(former, f"- ../../components/{to_component}\n")


def is_production(name: str) -> bool:
    """Whether an overlay is `prod`, or `prod` with another component."""
    return ALTERNATIVES.get(name, (name,))[0] == "prod"


def of_kind(manifests: list[Manifest], *kinds: str) -> Iterator[Manifest]:
    return (manifest for manifest in manifests if manifest["kind"] in kinds)


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = (manifest for manifest in of_kind(manifests, kind) if manifest["metadata"]["name"] == name)
    return found


def pod_of(workload: Manifest) -> Manifest:
    """Specification of a workload's pods."""
    return workload["spec"]["template"]["spec"]  # type: ignore[no-any-return]


def containers(manifests: list[Manifest]) -> list[Manifest]:
    """All containers of all workloads."""
    pods = [pod_of(workload) for workload in of_kind(manifests, *WORKLOADS)]
    return [container for pod in pods for container in [*pod["containers"], *pod.get("initContainers", [])]]


def server_of(manifests: list[Manifest], part: str) -> Manifest:
    """Container of a part."""
    (container,) = pod_of(named(manifests, "Deployment", part))["containers"]
    return container  # type: ignore[no-any-return]


def environment_of(manifests: list[Manifest], part: str) -> Mapping[str, str]:
    """Environment variables that the manifests set for a part, without those from Secrets."""
    container = server_of(manifests, part)
    variables: dict[str, str] = {}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            variables |= named(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    return variables | {entry["name"]: entry["value"] for entry in container.get("env", []) if "value" in entry}
