"""The console in Chromium against a mesh, its logic in Node.js, and a rebuild.

`make console-install` installs the tools. The tests themselves are in clients/console/test.
"""

import asyncio
import filecmp
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from pantree_cli.mesh import ALL_PARTS, port_settings, start_processes
from pantree_gateway.server import start
from pantree_gateway.settings import GatewaySettings
from tests.console.test_build import BUILD, CONSOLE
from tests.e2e.mesh import RunningMesh

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
MAX_SECONDS = 600
MAX_SECONDS_TO_COMPILE = 120
KEY = "the-right-key"


def skip_reason() -> str:
    """Why the tests cannot run on this machine; empty if they can."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return "needs Node.js 20 or newer with npm"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").split(".")[0]) < 20:
        return f"needs Node.js 20 or newer; found {version.strip()}"
    if not (CONSOLE / "node_modules/vite").exists():
        return "needs the development tools of the console; `make console-install` installs them"
    return ""


pytestmark = pytest.mark.skipif(bool(skip_reason()), reason=skip_reason())
needs_chromium = pytest.mark.skipif(shutil.which(CHROMIUM) is None, reason=f"needs Chromium at {CHROMIUM}")


async def run(*command: str, **variables: str) -> str:
    """Output of a program in the console's folder. The test fails with it if the program fails."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=CONSOLE,
        env={**os.environ, "CI": "1", "NO_COLOR": "1", "CHROMIUM": CHROMIUM, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(MAX_SECONDS):
            output = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, f"{' '.join(command)}\n{output}"
    return output


def files_of(folder: Path) -> list[str]:
    """Paths of all files in a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest_asyncio.fixture(loop_scope="session")
async def keyed(mesh: RunningMesh, tmp_path: Path) -> AsyncIterator[str]:
    """URL of another gateway of the mesh, which asks for a key."""
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps([{"name": "shop", "sha256": hashlib.sha256(KEY.encode()).hexdigest()}]))
    changes = {
        "api_keys_file": str(keys),
        "pipeline_address": mesh.address("pipeline"),
        "simulation_address": mesh.address("simulation"),
    }
    gateway = await start(GatewaySettings(port=0).model_copy(update=changes))
    try:
        yield f"http://{gateway.address}"
    finally:
        await gateway.stop(0)


@pytest_asyncio.fixture(loop_scope="session")
async def stored(mesh: RunningMesh) -> AsyncIterator[str]:
    """URL of a gateway of the mesh that has a history part, in memory; a pipeline of its own asks it, too."""
    parts = tuple(part for part in ALL_PARTS if part.name in ("gateway", "pipeline", "history"))
    own = port_settings(own_ports=True, parts=parts)
    # The other parts are those of the mesh.
    variables = {**mesh.variables, **own, "PANTREE_HISTORY_STORE_URL": "sqlite://:memory:"}
    started = await start_processes(variables, lambda part, state: None, parts=parts)
    try:
        yield f"http://{variables['PANTREE_GATEWAY_ADDRESS']}"
    finally:
        await started.stop()


def test_types() -> None:
    asyncio.run(run("node_modules/.bin/tsc"))


def test_logic() -> None:
    asyncio.run(run("node_modules/.bin/vitest", "run"))


def test_rebuild_is_equal(tmp_path: Path) -> None:
    target = ("--outDir", str(tmp_path), "--emptyOutDir")
    asyncio.run(run("node_modules/.bin/vite", "build", *target, "--logLevel", "error"))
    names = files_of(BUILD)
    assert names == files_of(tmp_path)
    assert filecmp.cmpfiles(BUILD, tmp_path, names, shallow=False)[0] == names


async def until_compiled(mesh: RunningMesh) -> None:
    """Waits until answers are no longer interpreted, on a first start: the tests of the page should not wait."""
    async with httpx.AsyncClient(base_url=mesh.http, timeout=30) as client:
        for _ in range(MAX_SECONDS_TO_COMPILE):
            components = (await client.get("/health")).json()["components"].values()
            if not any("compiled" in component["message"] for component in components):
                return
            await asyncio.sleep(1)


@needs_chromium
@pytest.mark.timeout(MAX_SECONDS + MAX_SECONDS_TO_COMPILE + 60)
@pytest.mark.asyncio(loop_scope="session")
async def test_in_chromium(mesh: RunningMesh, keyed: str, stored: str, tmp_path: Path) -> None:
    await until_compiled(mesh)
    pictures = os.environ.get("PANTREE_PICTURES", str(tmp_path / "pictures"))
    await run(
        "node_modules/.bin/playwright",
        "test",
        PANTREE_URL=f"{mesh.http}/",
        PANTREE_KEYED_URL=keyed,
        PANTREE_STORED_URL=stored,
        PANTREE_PICTURES=pictures,
        PANTREE_TEST_RESULTS=str(tmp_path / "results"),
    )
    views = ("try", "household", "what-if", "program", "subscriptions")
    wanted = {f"{view}-{look}.png" for view in views for look in ("light", "dark", "phone")}
    assert wanted <= set(files_of(Path(pictures)))
