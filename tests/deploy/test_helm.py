"""The Helm chart renders what the kustomize overlay `prod` renders."""

import re
from typing import Any

import pytest
import yaml

from scripts.make_helm_chart import ACCESS, CHART, main
from tests.deploy.manifests import kustomize, overlay

helm = pytest.importorskip("helm_python", reason="the Helm SDK exists for Linux only")

_HASH = re.compile(r"(-settings)-[0-9a-z]{10}\b")


def rendered(namespace: str = "pantree", **values: Any) -> dict[tuple[str, str], Any]:
    """The resources of the chart, by kind and name."""
    files = helm.Chart.load(str(CHART)).render(values or None, name="pantree", namespace=namespace)
    resources = [resource for text in files.values() for resource in yaml.safe_load_all(text) if resource]
    return {(resource["kind"], resource["metadata"]["name"]): resource for resource in resources}


def without_hashes(resources: Any) -> dict[tuple[str, str], Any]:
    """The resources with plain names of ConfigMaps: both tools append a hash of their own."""
    plain = yaml.safe_load_all(_HASH.sub(r"\1", yaml.safe_dump_all(resources)))
    return {(resource["kind"], resource["metadata"]["name"]): resource for resource in plain}


def test_chart_is_up_to_date() -> None:
    kustomize()
    assert main(["--check"]) == 0


def test_chart_renders_the_resources_of_the_overlay() -> None:
    expected = [resource for resource in overlay("prod", ACCESS) if resource["kind"] != "Namespace"]
    chart = without_hashes(list(rendered().values()))
    assert chart == without_hashes(expected)
    assert len(chart) == len(expected) > 80


def test_namespace_images_and_limits_follow_the_values() -> None:
    parts = {"vector": {"maxReplicas": 9, "resources": {"limits": {"memory": "4Gi"}}}}
    resources = rendered("shop", image={"registry": "r.example.org", "tag": "2"}, parts=parts)
    assert {resource["metadata"].get("namespace", "shop") for resource in resources.values()} == {"shop"}
    (container,) = resources["Deployment", "vector"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "r.example.org/pantree/vector:2"
    assert container["resources"]["limits"] == {"cpu": "1", "memory": "4Gi"}
    autoscaler = resources["HorizontalPodAutoscaler", "vector"]["spec"]
    assert (autoscaler["minReplicas"], autoscaler["maxReplicas"]) == (2, 9)


def test_changed_setting_restarts_the_pods_of_its_part_only() -> None:
    def names(resources: dict[tuple[str, str], Any]) -> set[str]:
        return {name for kind, name in resources if kind == "ConfigMap"}

    changed = rendered(settings={"vector-settings": {"PANTREE_LOG_LEVEL": "DEBUG", "VECTORDB_PORT": 1953}})
    (name,) = names(changed) - names(rendered())
    assert name.startswith("vector-settings-")
    assert changed["ConfigMap", name]["data"]["VECTORDB_PORT"] == "1953"
    (container,) = changed["Deployment", "vector"]["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == [{"configMapRef": {"name": name}}]


@pytest.mark.parametrize("component", ["milvus", "redis", "nim", "externalSecrets", "gatewayApi", "podMonitor"])
def test_component_can_be_left_out(component: str) -> None:
    left_out = rendered().keys() - rendered(components={component: False}).keys()
    assert left_out
    assert not {name for kind, name in left_out if kind == "Deployment"} - {component}


def test_chart_has_no_faults() -> None:
    messages = helm.lint(str(CHART))
    assert not [message for message in messages if "ERROR" in str(message) or "WARNING" in str(message)], messages
