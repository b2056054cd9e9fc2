"""The wheel in new environments: every part with only its own extra, and the demo with all of them."""

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


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, ROOT], check=True, stdout=subprocess.DEVNULL)
    (built,) = folder.glob("*.whl")
    return built


def environment(folder: Path, wheel: Path, extra: str) -> Path:
    """`bin` directory of a new environment with the wheel and one extra.

    uv links cached packages instead of unpacking them; with pip, eleven environments took five minutes.
    """
    python = str(folder / "bin" / "python")
    constraints = str(ROOT / "scripts" / "constraints.txt")
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    install = [UV, "pip", "install", "--quiet", "--python", python, "--constraint", constraints]
    subprocess.run([*install, f"{wheel}[{extra}]"], check=True)
    return folder / "bin"


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
def test_part_starts_with_only_its_own_extra(part: ServiceKind, wheel: Path, tmp_path: Path) -> None:
    binaries = environment(tmp_path / "env", wheel, part.name)
    with serving(part, binaries) as address:
        ends = time.monotonic() + MAX_START_SECONDS
        while not is_serving(part, address):
            assert time.monotonic() < ends, f"{part.name} is not serving"
            time.sleep(0.1)


MAX_DEMO_BYTES = 350 * 1024 * 1024


def size_of(folder: Path) -> int:
    """Bytes of the packages in an environment."""
    return sum(file.stat().st_size for file in folder.rglob("site-packages/**/*") if file.is_file())


def test_demo_runs_in_a_bare_environment(wheel: Path, tmp_path: Path) -> None:
    binaries = environment(tmp_path / "env", wheel, "demo")
    assert size_of(tmp_path / "env") <= MAX_DEMO_BYTES
    result = subprocess.run([binaries / "pantree", "demo"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "Worth a subscription" in result.stdout
    assert "from all services SERVING to the result" in result.stdout


def test_command_line_without_its_extra_names_the_extra(wheel: Path, tmp_path: Path) -> None:
    binaries = environment(tmp_path / "env", wheel, "pipeline")
    result = subprocess.run([binaries / "pantree", "demo"], capture_output=True, text=True)
    assert result.returncode == 2
    assert "pantree[demo]" in result.stderr
    assert "Traceback" not in result.stderr


def test_wheel_contains_only_pantree_packages(wheel: Path) -> None:
    top_level = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in top_level if not name.startswith("pantree")} == set()


def test_sagemaker_container_starts_with_only_its_extra(wheel: Path, tmp_path: Path) -> None:
    binaries = environment(tmp_path / "env", wheel, "sagemaker")
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
