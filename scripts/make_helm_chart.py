"""Writes the Helm chart in k8s/helm/pantree from the manifests of the overlay `prod`.

The kustomize manifests stay the source. With its default values, the chart renders the same resources (a test compares
them); values change what installations differ in: namespace, images, settings, replicas, resources, and which of the
systems around Pantree are installed with it. `--check` only compares the files, and exits with 1 if they differ.

    python scripts/make_helm_chart.py
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "k8s" / "helm" / "pantree"
# The overlay has no default; the chart requires the Secret `gateway-api-keys`.
ACCESS = "access-keys"
_HASH = re.compile(r"-[0-9a-z]{10}$")
# Systems and controllers that not every cluster has, and the resources that belong to them: kind and name patterns.
COMPONENTS: Mapping[str, tuple[str, str]] = {
    "milvus": (r".*", r"milvus.*"),
    "redis": (r".*", r"redis.*"),
    "nim": (r".*", r"nim.*"),
    "externalSecrets": (r"ExternalSecret", r".*"),
    "gatewayApi": (r"HTTPRoute|TLSRoute", r".*"),
    "podMonitor": (r"PodMonitor", r".*"),
    "networkPolicies": (r"NetworkPolicy", r".*"),
}
_CHART_YAML = """\
# Written by scripts/make_helm_chart.py.
apiVersion: v2
name: pantree
description: Grocery subscriptions recommended from a household's purchases.
type: application
version: {version}
appVersion: "{version}"
"""
_VALUES_HEAD = """\
# Written by scripts/make_helm_chart.py from the kustomize overlay `prod`. Override values in a file of your own.
"""


class _Chart:
    """Templates and values of the chart."""

    def __init__(self) -> None:
        self.templates: dict[str, str] = {}
        self.settings: dict[str, dict[str, str]] = {}
        self.parts: dict[str, dict[str, Any]] = {}
        self.registry = self.version = ""

    def add(self, resource: dict[str, Any]) -> None:
        """Adds a resource as a template."""
        kind, name = (
            resource["kind"],
            _HASH.sub("", resource["metadata"]["name"]) if _is_hashed(resource) else (resource["metadata"]["name"]),
        )
        if "namespace" in resource["metadata"]:
            resource["metadata"]["namespace"] = "@@.Release.Namespace@@"
        if kind == "ConfigMap" and _is_hashed(resource):
            self.settings[name] = {key: str(value) for key, value in resource["data"].items()}
            resource["metadata"]["name"] = _settings_name(name)
            resource["data"] = f"@@SETTINGS {name}@@"
        if kind in ("Deployment", "StatefulSet"):
            self._add_workload(resource, name)
        if kind == "HorizontalPodAutoscaler":
            limits = {key: resource["spec"][key] for key in ("minReplicas", "maxReplicas")}
            self.parts.setdefault(name, {}).update(limits)
            for key in limits:
                resource["spec"][key] = f"@@(index .Values.parts {_quoted(name)}).{key}@@"
        text = _expressions(yaml.safe_dump(resource, sort_keys=True, allow_unicode=True, width=10_000))
        for component, (kinds, names) in COMPONENTS.items():
            if re.fullmatch(kinds, kind) and re.fullmatch(names, name):
                text = f"{{{{- if .Values.components.{component} }}}}\n{text}{{{{- end }}}}\n"
        self.templates[f"{kind.lower()}-{name}.yaml"] = text

    def _add_workload(self, resource: dict[str, Any], name: str) -> None:
        pod = resource["spec"]["template"]["spec"]
        for container in pod["containers"]:
            registry, _, image = container["image"].partition("/pantree/")
            if image:
                self.registry, self.version = registry, image.partition(":")[2]
                container["image"] = (
                    f"@@.Values.image.registry@@/pantree/{image.partition(':')[0]}:@@.Values.image.tag@@"
                )
                self.parts.setdefault(name, {})["resources"] = container["resources"]
                container["resources"] = f"@@RESOURCES {name}@@"
            for source in container.get("envFrom", ()):
                reference = source.get("configMapRef")
                if reference and _HASH.search(reference["name"]):
                    reference["name"] = _settings_name(_HASH.sub("", reference["name"]))

    @property
    def values(self) -> str:
        """The default values."""
        values = {
            "image": {"registry": self.registry, "tag": self.version},
            "components": dict.fromkeys(COMPONENTS, True),
            "parts": self.parts,
            "settings": self.settings,
        }
        return _VALUES_HEAD + yaml.safe_dump(values, sort_keys=False, width=10_000)


def _is_hashed(resource: Mapping[str, Any]) -> bool:
    return resource["kind"] == "ConfigMap" and bool(_HASH.search(resource["metadata"]["name"]))


def _quoted(text: str) -> str:
    return f'"{text}"'


def _settings_name(name: str) -> str:
    """Name of a ConfigMap, which changes with its values so that pods restart."""
    return f"{name}-@@index .Values.settings {_quoted(name)} | toJson | sha256sum | trunc 10@@"


def _expressions(text: str) -> str:
    """The text with template expressions instead of the marks around them."""
    text = re.sub(
        r"^( *)data: '?@@SETTINGS ([\w-]+)@@'?$",
        lambda match: (
            f"{match[1]}data:\n"
            f'{{{{- range $key, $value := index .Values.settings "{match[2]}" }}}}\n'
            f"{match[1]}  {{{{ $key }}}}: {{{{ $value | toString | quote }}}}\n"
            "{{- end }}"
        ),
        text,
        flags=re.MULTILINE,
    )
    text = re.sub(
        r"^( *)resources: '?@@RESOURCES ([\w-]+)@@'?$",
        lambda match: (
            f"{match[1]}resources:\n"
            f'{{{{ (index .Values.parts "{match[2]}").resources | toYaml | indent {len(match[1]) + 2} }}}}'
        ),
        text,
        flags=re.MULTILINE,
    )
    text = re.sub(r": '((?:[^'\n]|'')*@@(?:[^'\n]|'')*)'$", lambda match: f": {match[1]}", text, flags=re.MULTILINE)
    return re.sub(r"@@(.+?)@@", lambda match: f"{{{{ {match[1]} }}}}", text)


def _manifests() -> str:
    """The manifests of the overlay, with API keys as the way to choose who may call.

    Raises:
        OSError: when kubectl is not installed or fails.
    """
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise OSError("kubectl is not installed")
    with tempfile.TemporaryDirectory() as directory:
        copy = shutil.copytree(ROOT / "k8s", Path(directory) / "k8s")
        overlay = Path(copy) / "overlays" / "prod"
        file = overlay / "kustomization.yaml"
        file.write_text(file.read_text().replace("components/choose-access", f"components/{ACCESS}"))
        command = [kubectl, "kustomize", str(overlay)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no user input
    if result.returncode:
        raise OSError(result.stderr)
    return result.stdout


def chart_files() -> dict[Path, str]:
    """Content of every file of the chart.

    Raises:
        OSError: when kubectl is not installed or fails.
    """
    text = _manifests()
    chart = _Chart()
    for resource in yaml.safe_load_all(text):
        if resource["kind"] != "Namespace":
            chart.add(resource)
    return {
        CHART / "Chart.yaml": _CHART_YAML.format(version=chart.version),
        CHART / "values.yaml": chart.values,
        **{CHART / "templates" / name: text for name, text in sorted(chart.templates.items())},
    }


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 if the chart is written or up to date, 1 if it is not, or cannot be made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare the files")
    chosen = parser.parse_args(arguments)
    try:
        files = chart_files()
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    existing = {path for path in CHART.rglob("*") if path.is_file()}
    stale = existing - files.keys()
    changed = [path for path, text in files.items() if path not in existing or path.read_text() != text]
    if chosen.check:
        for path in sorted({*stale, *changed}):
            print(f"{path.relative_to(ROOT)} is not up to date", file=sys.stderr)
        return 1 if stale or changed else 0
    for path in stale:
        path.unlink()
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[path])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
