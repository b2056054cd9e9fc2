"""The compose file agrees with the parts, their settings and the project version."""

import re
import tomllib
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from pantree_cli.mesh import ALL_PARTS, OPTIONAL_PARTS, PARTS, ServiceKind
from pantree_runtime.settings import environment_variables
from tests.deploy.connections import ARCHITECTURE, OPTIONAL_NAMES
from tests.deploy.manifests import ROOT, containers, overlay
from tests.deploy.parts import settings_class

FILE = ROOT / "docs" / "operations" / "docker-compose.yaml"
SERVICES = yaml.safe_load(FILE.read_text())["services"]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

of_parts = pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)


@pytest.mark.parametrize("part", OPTIONAL_PARTS, ids=lambda part: part.name)
def test_optional_part_has_a_profile_and_a_volume(part: ServiceKind) -> None:
    service = SERVICES[part.name]
    assert service["profiles"] == [part.name]
    assert service["image"] == f"pantree/{part.name}:{VERSION}"
    assert service["build"]["args"]["PART"] == part.name
    assert service["read_only"] is True
    assert set(service["environment"]) <= set(environment_variables(settings_class(part)))
    (volume,) = service["volumes"]
    assert service["environment"]["PANTREE_HISTORY_STORE_URL"].startswith(f"sqlite://{volume.partition(':')[2]}/")
    assert f"PANTREE_HISTORY_ADDRESS=dns:///{part.name}:{part.port}" in FILE.read_text()


@of_parts
def test_build_arguments_name_the_part(part: ServiceKind) -> None:
    service = SERVICES[part.name]
    assert service["image"] == f"pantree/{part.name}:{VERSION}"
    assert (FILE.parent / service["build"]["context"]).resolve() == ROOT
    assert "dockerfile" not in service["build"]
    assert service["build"]["args"]["PART"] == part.name


@of_parts
def test_part_is_as_restricted_as_in_kubernetes(part: ServiceKind) -> None:
    service = SERVICES[part.name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@of_parts
def test_variables_are_settings_of_their_part(part: ServiceKind) -> None:
    assert set(SERVICES[part.name]["environment"]) <= set(environment_variables(settings_class(part)))


@of_parts
def test_addresses_are_those_of_the_parts_it_calls(part: ServiceKind) -> None:
    environment = SERVICES[part.name]["environment"]
    addresses = {value for variable, value in environment.items() if variable.endswith("_ADDRESS")}
    called = {called for caller, called in ARCHITECTURE if caller == part.name}
    addresses -= {f"${{PANTREE_{name.upper()}_ADDRESS:-}}" for name in OPTIONAL_NAMES}
    assert addresses == {f"dns:///{kind.name}:{kind.port}" for kind in PARTS if kind.name in called}
    assert environment[f"PANTREE_{part.name.upper()}_HOST"] == "0.0.0.0"


@of_parts
def test_stop_grace_period_exceeds_the_drain(part: ServiceKind) -> None:
    drain = settings_class(part).model_fields["drain_seconds"].default
    assert int(SERVICES[part.name]["stop_grace_period"].removesuffix("s")) > drain


def test_other_images_have_a_fixed_tag_and_match_kubernetes() -> None:
    deployed = dict(container["image"].rsplit(":", 1) for container in containers(overlay("prod")))
    for name in set(SERVICES) - {part.name for part in ALL_PARTS}:
        image, _, tag = SERVICES[name]["image"].rpartition(":")
        assert image, f"{name} has no tag"
        assert tag != "latest", name
        assert deployed.get(image, tag) == tag, name


def test_published_ports_are_local_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_every_mounted_file_exists() -> None:
    volumes = set(yaml.safe_load(FILE.read_text())["volumes"])
    sources = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert {source for source in sources if source not in volumes and not (FILE.parent / source).is_file()} == set()
    assert volumes <= sources


def mounted(service: str, inside: str) -> Any:
    """Content of a YAML or JSON file that is mounted into a container."""
    (source,) = (
        volume.split(":")[0] for volume in SERVICES[service]["volumes"] if volume.split(":")[1:] == [inside, "ro"]
    )
    return yaml.safe_load((FILE.parent / source).read_text())


@of_parts
def test_prometheus_scrapes_the_part_under_its_job_name(part: ServiceKind) -> None:
    jobs = {
        job["job_name"]: job["static_configs"]
        for job in mounted("prometheus", "/etc/prometheus/prometheus.yml")["scrape_configs"]
    }
    assert set(jobs) == {f"pantree-{kind.name}" for kind in PARTS}
    port = SERVICES[part.name]["environment"][f"PANTREE_{part.name.upper()}_METRICS_PORT"]
    assert jobs[f"pantree-{part.name}"] == [{"targets": [f"{part.name}:{port}"]}]


def test_prometheus_has_the_alert_rules() -> None:
    (file,) = mounted("prometheus", "/etc/prometheus/prometheus.yml")["rule_files"]
    assert [group["name"] for group in mounted("prometheus", file)["groups"]] == ["pantree"]


@of_parts
def test_traces_of_the_part_reach_the_collector_and_its_exporter(part: ServiceKind) -> None:
    collector = mounted("collector", "/etc/otelcol/config.yaml")
    endpoint = urlsplit(SERVICES[part.name]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"])
    assert endpoint.hostname == "collector"
    assert collector["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"] == f"0.0.0.0:{endpoint.port}"
    for kind in ("receivers", "processors", "exporters"):
        assert set(collector["service"]["pipelines"]["traces"][kind]) == set(collector[kind])
    (exporter,) = collector["exporters"].values()
    assert exporter["endpoint"].split(":")[0] in SERVICES


def test_grafana_finds_the_dashboard_and_its_sources() -> None:
    (provider,) = mounted("grafana", "/etc/grafana/provisioning/dashboards/pantree.yaml")["providers"]
    dashboard = mounted("grafana", f"{provider['options']['path']}/pantree.json")
    assert f"/d/{dashboard['uid']}" in FILE.read_text(), "the address in the file's comment"
    (variable,) = dashboard["templating"]["list"]
    sources = mounted("grafana", "/etc/grafana/provisioning/datasources/pantree.yaml")["datasources"]
    assert [source["type"] for source in sources if source.get("isDefault")] == [variable["query"]]
    assert {urlsplit(source["url"]).hostname for source in sources} <= set(SERVICES)


def test_parts_use_the_redis_service() -> None:
    users = {part.name for part in PARTS if "PANTREE_REDIS_URL" in environment_variables(settings_class(part))}
    addresses = {name: urlsplit(SERVICES[name]["environment"]["PANTREE_REDIS_URL"]) for name in users}
    assert {address.hostname for address in addresses.values()} == {"redis"}
    assert "redis" in SERVICES


@of_parts
def test_settings_accept_the_values(part: ServiceKind, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in SERVICES[part.name]["environment"].items():
        # `${NAME:-default}` and a bare name use the environment of the caller, which is empty here.
        text = re.sub(r"\$\{\w+:-(.*)\}", r"\1", "" if value is None else str(value))
        if value is not None:
            monkeypatch.setenv(variable, text)
    settings = settings_class(part)(_env_file=None)  # type: ignore[call-arg] # pydantic-settings' own
    assert (settings.host, settings.port) == ("0.0.0.0", part.port)


def test_file_contains_no_secret() -> None:
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            if re.search("KEY|SECRET|TOKEN|PASSWORD", variable):
                assert value is None or re.fullmatch(r"\$\{\w+:-\}", value), variable
