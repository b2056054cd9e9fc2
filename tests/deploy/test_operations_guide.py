"""The guides for operators: what they mention exists."""

import json
import re
from pathlib import Path

import pytest
import yaml

from pantree_cli.mesh import ALL_PARTS
from pantree_runtime.settings import environment_variables
from tests.deploy.manifests import ROOT, named, of_kind, overlay
from tests.deploy.parts import settings_class

GUIDE = ROOT / "docs" / "operations.md"
guides = pytest.mark.parametrize("guide", [GUIDE, ROOT / "k8s" / "README.md"], ids=lambda guide: guide.name)


@guides
def test_links_work(guide: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)[^):]*\)", guide.read_text())
    assert links
    assert [link for link in links if not (guide.parent / link).exists()] == []


@guides
def test_variables_are_settings(guide: Path) -> None:
    known = {variable for part in ALL_PARTS for variable in environment_variables(settings_class(part))}
    of_libraries = {"AWS_CA_BUNDLE", "OTEL_EXPORTER_OTLP_CERTIFICATE"}
    in_kubernetes_only = {"NGC_API_KEY", "BASE_IMAGE", "PARTS", "EXTRAS"}
    named_ones = set(re.findall(r"`([A-Z][A-Z_]*[A-Z])(?:=[^`]*)?`", guide.read_text())) - {
        "UNAVAILABLE",
        "DEADLINE_EXCEEDED",
        "OVERLOADED",
    }
    assert named_ones - known - in_kubernetes_only - of_libraries == set()


def test_keys_to_rotate_are_those_of_the_external_secrets() -> None:
    manifests = overlay("prod")
    text = GUIDE.read_text()
    for secret in of_kind(manifests, "ExternalSecret"):
        (entry,) = secret["spec"]["data"]
        for word in (entry["secretKey"], entry["remoteRef"]["key"], secret["spec"]["target"]["name"]):
            assert f"`{word}`" in text
    for deployment in re.findall(r"deployment/([a-z]+)", text):
        assert named(manifests, "Deployment", deployment)


def sections(heading: str) -> dict[str, str]:
    """Text under each heading of this depth in the guide."""
    parts = re.split(rf"^{heading} (.+)$", GUIDE.read_text(), flags=re.MULTILINE)
    return {
        title: re.split(r"^#+ ", text, flags=re.MULTILINE)[0]
        for title, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def test_every_alert_has_a_section() -> None:
    (group,) = yaml.safe_load((ROOT / "k8s" / "monitoring" / "alerts.yaml").read_text())["groups"]
    written = {title: text for title, text in sections("####").items() if title.startswith("Pantree")}
    assert list(written) == [rule["alert"] for rule in group["rules"]]
    words = {"5m": "five minutes", "10m": "ten minutes", "15m": "fifteen minutes"}
    for rule in group["rules"]:
        text = " ".join(written[rule["alert"]].split())
        assert len(text) > 100, rule["alert"]
        # The section says after how long the alert fires; without `for` it fires immediately.
        assert words.get(rule.get("for", ""), "immediately") in text, rule["alert"]


def test_every_panel_of_the_dashboard_is_explained() -> None:
    dashboard = json.loads((ROOT / "k8s" / "monitoring" / "dashboard.json").read_text())
    rows = re.findall(r"^\| ([A-Z][^|]+) \|", sections("###")["The dashboard"], re.MULTILINE)
    assert rows == [panel["title"] for panel in dashboard["panels"]]


@pytest.mark.parametrize("guide", [GUIDE, ROOT / "k8s" / "README.md"], ids=lambda guide: guide.name)
def test_links_to_headings_work(guide: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", guide.read_text()):
        text = (guide.parent / target).read_text() if target else guide.read_text()
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in anchors, f"{target}#{anchor}"
