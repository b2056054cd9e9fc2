"""What must agree in the tree: folders, packages, extras, settings and their documents."""

import importlib
import inspect
import re
import shutil
import tomllib
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from pantree_cli.mesh import ALL_PARTS
from pantree_runtime.settings import PartSettings, environment_variables
from scripts.install_with_hashes import OURS

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DISTRIBUTIONS = {
    folder: tomllib.loads((ROOT / folder / "pyproject.toml").read_text())
    for folder in (".", "gen", "runtime", "clients/python")
}
"""What is installed, by the folder that it is built from."""
SERVICES = sorted(folder.name for folder in (ROOT / "services").iterdir() if folder.is_dir())
PACKAGES = [
    (Path(folder) / package).as_posix()
    for folder, project in DISTRIBUTIONS.items()
    for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
]


def settings_classes() -> dict[str, type[PartSettings]]:
    classes: dict[str, type[PartSettings]] = {}
    for part in ALL_PARTS:
        module = importlib.import_module(f"{part.package}.settings")
        (classes[part.name],) = [
            value
            for _, value in inspect.getmembers(module, inspect.isclass)
            if issubclass(value, PartSettings) and value.__module__ == module.__name__
        ]
    return classes


def documented_variables() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    assignments = [line.partition("=") for line in lines if re.match(r"[A-Z][A-Z0-9_]*=", line)]
    return {name: value for name, _, value in assignments}


def default_text(settings: type[BaseSettings], field: str) -> str:
    default = settings.model_fields[field].get_default(call_default_factory=True, validated_data={})
    if default is None:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple | list):
        return str(list(default)).replace("'", '"')
    if hasattr(default, "get_secret_value"):
        return str(default.get_secret_value())
    return str(default)


def test_every_package_is_in_one_wheel() -> None:
    assert len(PACKAGES) == len(set(PACKAGES))
    folders = {
        str(package.parent.relative_to(ROOT))
        for pattern in ("gen/*", "runtime/*", "services/*/*", "batch/*", "fitting/*", "gateway/*", "clients/*/*")
        for package in (file for folder in ROOT.glob(pattern) for file in folder.glob("__init__.py"))
    }
    assert set(PACKAGES) == folders
    assert all((ROOT / package / "py.typed").exists() for package in PACKAGES)


def test_distributions_have_one_version_and_require_it_of_one_another() -> None:
    projects = {one["project"]["name"]: one["project"] for one in DISTRIBUTIONS.values()}
    version = PROJECT["project"]["version"]
    assert {project["version"] for project in projects.values()} == {version}
    extras = [needed for project in projects.values() for needed in project.get("optional-dependencies", {}).values()]
    required = [
        line for lines in [*(project["dependencies"] for project in projects.values()), *extras] for line in lines
    ]
    ours = [re.fullmatch(r"(pantree-\w+)(\[\w+\])?(.*)", line) for line in required]
    pins = {(found[1], found[3]) for found in ours if found}
    assert pins == {(name, f"=={version}") for name in projects if name != "pantree"}


def test_whatever_installs_pantree_installs_its_distributions_from_the_checkout() -> None:
    (folders,) = re.findall(r"^OURS := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert folders.split() == [folder for folder in DISTRIBUTIONS if folder != "."]
    for file in (ROOT / "Dockerfile", *ROOT.glob("*/Dockerfile.*"), *ROOT.glob("services/*/Dockerfile.*")):
        assert " ".join(f"./{folder}" for folder in folders.split()) + " . " in file.read_text(), file
    assert {project["project"]["name"] for project in DISTRIBUTIONS.values()} == set(OURS)


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_folder_looks_the_same(service: str) -> None:
    package = ROOT / "services" / service / f"pantree_{service}"
    for name in ("__init__", "__main__", "settings", "servicer", "convert", "demo", "core/__init__"):
        assert (package / f"{name}.py").exists(), f"{service} lacks {name}.py"
    assert (package.parent / "README.md").exists()
    assert (ROOT / "tests" / service).is_dir()
    allowed = {"__pycache__", "core", "backends", "models", "prompts", "sagemaker", "subscriptions", "webhooks"}
    assert {folder.name for folder in package.iterdir() if folder.is_dir()} <= allowed


@pytest.mark.parametrize("service", SERVICES)
def test_core_moves_no_work_to_threads_of_the_event_loop(service: str) -> None:
    core = ROOT / "services" / service / f"pantree_{service}" / "core"
    for name in ("to_thread", "run_in_executor"):
        assert [file.name for file in core.rglob("*.py") if name in file.read_text()] == []


def contract(name: str) -> dict[str, list[str]]:
    (found,) = [one for one in PROJECT["tool"]["importlinter"]["contracts"] if one["name"] == name]
    assert isinstance(found, dict)
    return found


def modules(*names: str) -> set[str]:
    """Modules and packages of some names in all services."""
    return {
        f"pantree_{service}.{name}"
        for service in SERVICES
        for name in names
        if any((ROOT / "services" / service / f"pantree_{service}").glob(f"{name}*"))
    }


def test_import_contracts_list_every_core_servicer_and_backend() -> None:
    assert set(contract("Core and domain know no transport")["source_modules"]) == {"pantree_domain", *modules("core")}
    assert set(contract("Core does not decide where CPU work runs")["source_modules"]) == {
        "pantree_domain",
        *modules("core"),
    }
    layers = contract("Core knows neither servicers, converters nor back ends")
    assert set(layers["source_modules"]) == modules("core")
    assert set(layers["forbidden_modules"]) == modules("servicer", "convert", "backends")


def test_import_contracts_list_every_package() -> None:
    packages = {package.rpartition("/")[2] for package in PACKAGES}
    assert set(contract("Nothing in the wheel imports research or tests")["source_modules"]) == packages
    assert set(PROJECT["tool"]["importlinter"]["root_packages"]) == {*packages, "pantree_research"}
    parts = {part.package for part in ALL_PARTS}
    assert set(contract("Parts never import one another")["modules"]) == parts
    shared = contract("Shared packages know no part")
    assert {*shared["source_modules"], *shared["forbidden_modules"]} == packages


def test_every_part_has_an_extra() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    assert {part.name for part in ALL_PARTS} <= set(extras)
    # What is large and few need is installed by name.
    by_name = {
        "all", "batch", "batch-kafka", "batch-spark", "demo", "fitting", "gateway-core", "qdrant",
        "sentence-transformers",
    }  # fmt: skip
    assert set(re.findall(r"\w+", extras["all"][0].split("[")[1])) == set(extras) - by_name


def test_usual_ports_are_those_of_the_settings() -> None:
    for part in ALL_PARTS:
        assert settings_classes()[part.name].model_fields["port"].default == part.port


def test_env_example_lists_every_variable_with_its_default() -> None:
    expected = {
        variable: default_text(settings, field)
        for settings in settings_classes().values()
        for variable, field in environment_variables(settings).items()
    }
    assert documented_variables() == expected


@pytest.mark.parametrize("part", [part.name for part in ALL_PARTS])
def test_a_copy_of_env_example_changes_no_setting(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_classes()[part]
    for variable in environment_variables(settings):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    defaults = settings()
    shutil.copy(ROOT / ".env.example", ".env")
    assert settings() == defaults


def test_comments_of_env_example_are_the_descriptions_of_the_settings() -> None:
    descriptions: dict[str, set[str]] = {}
    for settings in settings_classes().values():
        for variable, field in environment_variables(settings).items():
            descriptions.setdefault(variable, set()).add(settings.model_fields[field].description or "")
    text = re.sub(r"\n# ", " ", "\n" + (ROOT / ".env.example").read_text())
    # Parts use a shared system, such as Redis, for different purposes.
    own = {variable: next(iter(found)) for variable, found in descriptions.items() if len(found) == 1}
    assert [variable for variable, found in own.items() if f" {found}\n{variable}=" not in text] == []


@pytest.mark.parametrize("part", [part.name for part in ALL_PARTS])
def test_readme_of_a_part_lists_its_settings(part: str) -> None:
    readme = (ROOT / ("gateway" if part == "gateway" else f"services/{part}") / "README.md").read_text()
    shared = set(environment_variables(PartSettings))
    own = [name for name in environment_variables(settings_classes()[part]) if name not in shared]
    assert [name for name in own if f"`{name}`" not in readme] == []


def test_pinned_generator_is_not_newer_than_the_declared_runtime() -> None:
    lines = (ROOT / "scripts/constraints.txt").read_text().splitlines()
    pins = {name: version for name, _, version in (line.partition("==") for line in lines)}
    needed = DISTRIBUTIONS["gen"]["project"]["dependencies"]
    declared = {name: version for name, _, version in (line.partition(">=") for line in needed)}
    assert declared["grpcio"] == pins["grpcio-tools"]
    generated = (ROOT / "gen/pantree/pipeline/v1/pipeline_service_pb2.py").read_text()
    (protobuf,) = re.findall(r"# Protobuf Python Version: ([\d.]+)", generated)
    assert declared["protobuf"] == protobuf
