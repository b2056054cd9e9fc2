"""Images that are really built, run as Kubernetes runs them, and asked for their health.

Which parts: PANTREE_TEST_IMAGES, names separated by commas; `frequency` if it is not set.
"""

import json
import os
import time
from collections.abc import Iterator

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pantree_cli.mesh import ALL_PARTS, HOST, ServiceKind, free_ports
from scripts.build_images import MEBIBYTE, Engine
from tests.deploy.containers import Container, container
from tests.deploy.parts import health_names
from tests.deploy.test_dockerfiles import WARMED

CHOSEN = os.environ.get("PANTREE_TEST_IMAGES", "frequency").split(",")
MAX_START_SECONDS = 60
READ_ONLY_ERROR = 30  # EROFS

pytestmark = [pytest.mark.images, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module", params=[part for part in ALL_PARTS if part.name in CHOSEN], ids=lambda part: part.name)
def part(request: pytest.FixtureRequest) -> ServiceKind:
    assert isinstance(request.param, ServiceKind)
    return request.param


@pytest.fixture(scope="module")
def built(part: ServiceKind) -> Iterator[Container]:
    engine = Engine.find()
    image = engine.build(part.name, os.environ.get("BASE_IMAGE"))
    print(f"\n{image}: {engine.bytes_of(image) / MEBIBYTE:.0f} MiB")
    with container(engine, image) as made:
        yield made


async def is_serving(part: ServiceKind, address: str) -> bool:
    if part.name == "gateway":
        try:
            async with httpx.AsyncClient() as client:
                return (await client.get(f"http://{address}/ready")).is_success
        except httpx.HTTPError:
            return False
    async with grpc.aio.insecure_channel(address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined] # made at run time
        try:
            for name in await health_names(part):
                response = await check(health_pb2.HealthCheckRequest(service=name), timeout=1)
                if response.status != health_pb2.HealthCheckResponse.SERVING:
                    return False
        except grpc.aio.AioRpcError:
            return False
    return True


def test_image_names_its_user_and_its_program(built: Container) -> None:
    configuration = built.configuration()
    assert configuration["User"] == "10001:10001"
    assert configuration["Entrypoint"] == ["serve"]
    assert not configuration.get("Cmd")


def test_image_runs_without_rights(built: Container) -> None:
    code = (
        "import errno, json, os\n"
        "def error(path):\n"
        "    try: open(path + '/probe', 'w')\n"
        "    except OSError as failed: return failed.errno\n"
        "status = dict(line.split(':', 1) for line in open('/proc/self/status'))\n"
        "print(json.dumps([os.getuid(), os.getgid(), int(status['CapEff'], 16), error('/tmp')]))\n"
    )
    process = built.start({}, ["python", "-c", code])
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert json.loads(output) == [10001, 10001, 0, READ_ONLY_ERROR]


def test_image_holds_no_installer(built: Container) -> None:
    process = built.start({}, ["python", "-m", "pip", "--version"])
    output, _ = process.communicate(timeout=60)
    assert "No module named pip" in output


def test_image_compiles_nothing_that_was_compiled_when_it_was_built(built: Container, part: ServiceKind) -> None:
    if part.name not in WARMED:
        pytest.skip(f"{part.name} has no compiled functions")
    process = built.start({"NUMBA_DEBUG_CACHE": "1"}, ["serve", "--demo"])
    output, _ = process.communicate(timeout=MAX_START_SECONDS)
    assert process.returncode == 0, output
    assert "[cache] data loaded from" in output
    assert "[cache] data saved to" not in output


async def test_image_serves_and_drains(built: Container, part: ServiceKind) -> None:
    (port,) = free_ports(1)
    process = built.start({part.port_variable: str(port)})
    try:
        ends = time.monotonic() + MAX_START_SECONDS
        while not await is_serving(part, f"{HOST}:{port}"):
            assert process.poll() is None, process.stdout.read() if process.stdout else ""
            assert time.monotonic() < ends, f"{part.name} is not serving"
            time.sleep(0.1)  # noqa: ASYNC251 # nothing else runs in this loop
    finally:
        process.terminate()
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert json.loads(output.splitlines()[-1])["event"] == "stopped"
