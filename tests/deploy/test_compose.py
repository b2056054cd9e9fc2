"""The compose file: every part, in the version of the project, with variables and addresses that the code knows."""

import re
import tomllib

import pytest
import yaml

from pantree_cli.mesh import PARTS, PartKind
from pantree_runtime.settings import environment_variables
from tests.deploy.edges import ARCHITECTURE
from tests.deploy.manifests import ROOT, containers, overlay
from tests.deploy.parts import settings_class

FILE = ROOT / "docs" / "operations" / "docker-compose.yaml"
SERVICES = yaml.safe_load(FILE.read_text())["services"]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

of_parts = pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)


@of_parts
def test_part_is_built_from_its_dockerfile(part: PartKind) -> None:
    service = SERVICES[part.name]
    assert service["image"] == f"pantree/{part.name}:{VERSION}"
    context = (FILE.parent / service["build"]["context"]).resolve()
    assert context == ROOT
    assert f'"pantree_{part.name}"]' in (context / service["build"]["dockerfile"]).read_text()


@of_parts
def test_part_has_no_more_rights_than_in_kubernetes(part: PartKind) -> None:
    service = SERVICES[part.name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@of_parts
def test_variables_are_settings_of_their_part(part: PartKind) -> None:
    assert set(SERVICES[part.name]["environment"]) <= set(environment_variables(settings_class(part)))


@of_parts
def test_addresses_are_those_of_the_parts_it_calls(part: PartKind) -> None:
    environment = SERVICES[part.name]["environment"]
    addresses = {value for variable, value in environment.items() if variable.endswith("_ADDRESS")}
    called = {called for caller, called in ARCHITECTURE if caller == part.name}
    assert addresses == {f"dns:///{kind.name}:{kind.port}" for kind in PARTS if kind.name in called}
    assert environment[f"PANTREE_{part.name.upper()}_HOST"] == "0.0.0.0"


@of_parts
def test_stopping_outlasts_the_drain(part: PartKind) -> None:
    drain = settings_class(part).model_fields["drain_seconds"].default
    assert int(SERVICES[part.name]["stop_grace_period"].removesuffix("s")) > drain


def test_other_images_are_those_of_kubernetes() -> None:
    deployed = {container["image"] for container in containers(overlay("prod"))}
    others = {service["image"] for name, service in SERVICES.items() if name not in {part.name for part in PARTS}}
    assert others <= deployed


def test_no_secret_is_written_down() -> None:
    for service in SERVICES.values():
        for variable, value in service["environment"].items():
            if re.search("KEY|SECRET|TOKEN|PASSWORD", variable):
                assert value is None or re.fullmatch(r"\$\{\w+:-\}", value), variable
