"""The guides for those who run Pantree: what they name exists."""

import re
from pathlib import Path

import pytest

from pantree_cli.mesh import PARTS
from pantree_runtime.settings import environment_variables
from tests.deploy.manifests import ROOT, named, of_kind, overlay
from tests.deploy.parts import settings_class

GUIDE = ROOT / "docs" / "operations.md"
guides = pytest.mark.parametrize("guide", [GUIDE, ROOT / "k8s" / "README.md"], ids=lambda guide: guide.name)


@guides
def test_links_lead_somewhere(guide: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)[^):]*\)", guide.read_text())
    assert links
    assert [link for link in links if not (guide.parent / link).exists()] == []


@guides
def test_variables_are_settings(guide: Path) -> None:
    known = {variable for part in PARTS for variable in environment_variables(settings_class(part))}
    in_kubernetes_only = {"NGC_API_KEY", "BASE_IMAGE", "PARTS"}
    named_ones = set(re.findall(r"`([A-Z][A-Z_]*[A-Z])(?:=[^`]*)?`", guide.read_text())) - {
        "UNAVAILABLE",
        "DEADLINE_EXCEEDED",
        "OVERLOADED",
    }
    assert named_ones - known - in_kubernetes_only == set()


def test_keys_to_rotate_are_those_of_the_external_secrets() -> None:
    manifests = overlay("prod")
    text = GUIDE.read_text()
    for secret in of_kind(manifests, "ExternalSecret"):
        (entry,) = secret["spec"]["data"]
        for word in (entry["secretKey"], entry["remoteRef"]["key"], secret["spec"]["target"]["name"]):
            assert f"`{word}`" in text
    for deployment in re.findall(r"deployment/([a-z]+)", text):
        assert named(manifests, "Deployment", deployment)
