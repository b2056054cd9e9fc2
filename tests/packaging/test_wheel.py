"""The wheels in new environments: every part with only its own extra, the demo with all of them, the client alone."""

import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import httpx
import pytest
import uv
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pantree_cli.mesh import ALL_PARTS, HOST, ServiceKind, free_ports

ROOT = Path(__file__).resolve().parents[2]
MAX_START_SECONDS = 180
UV = uv.find_uv_bin()
pytestmark = [pytest.mark.packaging, pytest.mark.timeout(600)]


FOLDERS = {
    "pantree": ROOT,
    "pantree-contract": ROOT / "gen",
    "pantree-runtime": ROOT / "runtime",
    "pantree-client": ROOT / "clients" / "python",
}
MIB = 1024 * 1024
MAX_MIB = {"demo": 350, "client": 25, "http": 32}


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel of each distribution, built from its source distribution."""
    built = {}
    for name, folder in FOLDERS.items():
        target = tmp_path_factory.mktemp(name)
        subprocess.run([UV, "build", "--quiet", "--out-dir", target, folder], check=True)
        (built[name],) = target.glob("*.whl")
    return built


def install(folder: Path, wheels: dict[str, Path], name: str, extra: str = "") -> Path:
    """`bin` directory of a new environment with one distribution, and the others that it needs; compiled, as by pip.

    uv links cached packages instead of unpacking them; with pip, eleven environments took five minutes.
    """
    python = str(folder / "bin" / "python")
    ours = folder.with_suffix(".txt")
    ours.write_text("".join(f"{other} @ {wheel.as_uri()}\n" for other, wheel in wheels.items() if other != name))
    constraints = ["--constraint", str(ROOT / "scripts" / "constraints.txt"), "--constraint", str(ours)]
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    command = [UV, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, *constraints]
    subprocess.run([*command, f"{name}[{extra}] @ {wheels[name].as_uri()}"], check=True)
    return folder / "bin"


def environment(folder: Path, wheels: dict[str, Path], extra: str) -> Path:
    """`bin` directory of a new environment with `pantree` and one extra."""
    return install(folder, wheels, "pantree", extra)


def installed_in(folder: Path) -> set[str]:
    """Normalized names of the distributions in an environment."""
    names = (info.name.partition("-")[0] for info in folder.rglob("site-packages/*.dist-info"))
    return {name.lower().replace("_", "-") for name in names}


@contextmanager
def serving(part: ServiceKind, binaries: Path) -> Iterator[str]:
    """Runs a part in an environment, outside this checkout, and returns its address."""
    (port,) = free_ports(1)
    variables = {**os.environ, part.port_variable: str(port), "PANTREE_LOG_LEVEL": "WARNING"}
    command = [str(binaries / "python"), "-m", part.package]
    with subprocess.Popen(command, env=variables, cwd=binaries.parent) as process:
        try:
            yield f"{HOST}:{port}"
        finally:
            process.terminate()
        assert process.wait(30) == 0


def is_serving(part: ServiceKind, address: str) -> bool:
    if part.name == "gateway":
        try:
            return httpx.get(f"http://{address}/live").is_success
        except httpx.HTTPError:
            return False
    with grpc.insecure_channel(address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined] # made at run time
        try:
            response = check(health_pb2.HealthCheckRequest(), timeout=1)
        except grpc.RpcError:
            return False
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)


@pytest.mark.parametrize("part", ALL_PARTS, ids=lambda part: part.name)
def test_part_starts_with_only_its_own_extra(part: ServiceKind, wheels: dict[str, Path], tmp_path: Path) -> None:
    binaries = environment(tmp_path / "env", wheels, part.name)
    with serving(part, binaries) as address:
        ends = time.monotonic() + MAX_START_SECONDS
        while not is_serving(part, address):
            assert time.monotonic() < ends, f"{part.name} is not serving"
            time.sleep(0.1)


def check_size(name: str, environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prints the size of the packages in an environment, and checks it as the wheels unpack."""
    sizes = {file: file.stat().st_size / MIB for file in environment.rglob("site-packages/**/*") if file.is_file()}
    unpacked = sum(size for file, size in sizes.items() if file.suffix != ".pyc")
    compiled = sum(sizes.values())
    with capsys.disabled():
        print(f"{name}: {unpacked:.1f} MiB, {compiled:.1f} MiB with bytecode; at most {MAX_MIB[name]}")
    assert unpacked <= MAX_MIB[name]


def test_demo_runs_in_a_bare_environment(
    wheels: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    binaries = environment(tmp_path / "env", wheels, "demo")
    check_size("demo", tmp_path / "env", capsys)
    assert "pantree-client" in installed_in(tmp_path / "env")
    result = subprocess.run([binaries / "pantree", "demo"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "Worth a subscription" in result.stdout
    assert "from all services SERVING to the result" in result.stdout


def test_gateway_of_the_demo_names_what_tokens_and_redis_need(wheels: dict[str, Path], tmp_path: Path) -> None:
    binaries = environment(tmp_path / "env", wheels, "gateway-core")
    (tmp_path / "keys.json").write_text('{"keys": []}')
    tokens = {
        "PANTREE_GATEWAY_JWT_ISSUER": "https://issuer.example",
        "PANTREE_GATEWAY_JWT_AUDIENCE": "pantree",
        "PANTREE_GATEWAY_JWT_JWKS": str(tmp_path / "keys.json"),
    }
    for variables in (tokens, {"PANTREE_REDIS_URL": "redis://127.0.0.1:1/0"}):
        command = [str(binaries / "python"), "-m", "pantree_gateway"]
        result = subprocess.run(command, env={**os.environ, **variables}, cwd=tmp_path, capture_output=True, text=True)
        assert result.returncode == 1, result.stderr
        assert "pip install 'pantree[gateway" in result.stderr
        assert "Traceback" not in result.stderr


def test_command_line_without_its_extra_names_the_extra(wheels: dict[str, Path], tmp_path: Path) -> None:
    binaries = environment(tmp_path / "env", wheels, "pipeline")
    result = subprocess.run([binaries / "pantree", "demo"], capture_output=True, text=True)
    assert result.returncode == 2
    assert "pantree[demo]" in result.stderr
    assert "Traceback" not in result.stderr


def test_no_two_wheels_hold_a_package(wheels: dict[str, Path]) -> None:
    held = {name: {file.split("/")[0] for file in zipfile.ZipFile(wheel).namelist()} for name, wheel in wheels.items()}
    packages = [package for files in held.values() for package in files if not package.endswith(".dist-info")]
    assert len(packages) == len(set(packages))
    assert {package for package in packages if not package.startswith("pantree")} == set()
    assert held["pantree-contract"] >= {"pantree"}
    assert held["pantree-client"] >= {"pantree_client"}


CLIENT_ALONE = {
    "pantree-client", "pantree-contract", "pantree-runtime",
    "googleapis-common-protos", "grpcio", "protobuf", "typing-extensions",
}  # fmt: skip

# Every module but that for gateways, the fake, and a call that finds no mesh.
USE_CLIENT = """
import pkgutil, importlib, pantree_client
from pantree_client import ComponentUnavailable, FirstPurchase, Item, SyncPantreeClient
from pantree_client.testing import FakePantree

for module in pkgutil.walk_packages(pantree_client.__path__, "pantree_client."):
    if module.name != "pantree_client.transports.gateway":
        importlib.import_module(module.name)
basket = FirstPurchase("cust_001", [Item("Bananas", 1.99)])
with FakePantree([("Bananas", "weekly")]).sync_client() as client:
    assert client.process(basket).recommendations
with SyncPantreeClient("127.0.0.1:1", timeout_seconds=1) as client:
    try:
        client.process(basket)
    except ComponentUnavailable:
        print("unavailable")
try:
    SyncPantreeClient("http://127.0.0.1:1", timeout_seconds=1).__enter__()
except ModuleNotFoundError as error:
    print(error)
"""


def test_client_needs_no_package_of_the_parts(
    wheels: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    binaries = install(tmp_path / "env", wheels, "pantree-client")
    assert installed_in(tmp_path / "env") == CLIENT_ALONE
    check_size("client", tmp_path / "env", capsys)
    run = [str(binaries / "python"), "-I", "-W", "error", "-c", USE_CLIENT]
    result = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    unavailable, missing = result.stdout.splitlines()
    assert unavailable == "unavailable"
    assert "pip install 'pantree-client[http]'" in missing


def test_client_of_a_gateway_needs_its_extra_only(
    wheels: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    binaries = install(tmp_path / "env", wheels, "pantree-client", "http")
    check_size("http", tmp_path / "env", capsys)
    code = """
from pantree_client import ComponentUnavailable, FirstPurchase, Item, SyncPantreeClient
with SyncPantreeClient("http://127.0.0.1:1", timeout_seconds=1) as client:
    for ask in (client.process, lambda basket: list(client.stream(basket))):
        try:
            ask(FirstPurchase("cust_001", [Item("Bananas", 1.99)]))
        except ComponentUnavailable:
            print("unavailable")
"""
    run = [str(binaries / "python"), "-I", "-W", "error", "-c", code]
    result = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    assert result.stdout.split() == ["unavailable", "unavailable"], result.stderr


def test_sagemaker_container_starts_with_only_its_extra(wheels: dict[str, Path], tmp_path: Path) -> None:
    binaries = environment(tmp_path / "env", wheels, "sagemaker")
    python = str(binaries / "python")
    program = [python, "-m", "pantree_recommendation.sagemaker"]
    subprocess.run([*program, "write-default", str(tmp_path / "model")], check=True)
    (port,) = free_ports(1)
    variables = {
        **os.environ,
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "PANTREE_SAGEMAKER_MODEL_DIR": str(tmp_path / "model"),
    }
    with subprocess.Popen([*program, "serve"], env=variables, cwd=tmp_path) as process:
        ends = time.monotonic() + MAX_START_SECONDS
        while not answers_ping(f"http://{HOST}:{port}/ping"):
            assert time.monotonic() < ends, "the container is not serving"
            time.sleep(0.1)
        process.terminate()
        assert process.wait(30) == 0
    imported = "import pantree_fitting.recommendation.training_job, pantree_recommendation.sagemaker.local_runtime"
    subprocess.run([python, "-c", f"{imported}, pantree_recommendation.sagemaker.bulk_scoring"], check=True)


def answers_ping(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.HTTPError:
        return False
