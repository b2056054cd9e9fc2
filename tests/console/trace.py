"""Measures the console in Chromium against a mesh: `make console-trace`. Figures are printed, never asserted."""

import asyncio
import os
import sys

from tests.console.test_build import CONSOLE, ROOT
from tests.console.test_console import CHROMIUM, until_compiled
from tests.e2e.mesh import mesh_of_processes

TRACES = ROOT / "build/traces"


async def main(names: list[str]) -> int:
    """Exit code. The names are of measurements: `frames`, `memory`; all without names."""
    TRACES.mkdir(parents=True, exist_ok=True)
    async with mesh_of_processes() as mesh:
        await until_compiled(mesh)
        process = await asyncio.create_subprocess_exec(
            "node_modules/.bin/playwright",
            "test",
            "--config",
            "playwright.trace.config.ts",
            *names,
            cwd=CONSOLE,
            env={
                **os.environ,
                "CHROMIUM": CHROMIUM,
                "PANTREE_URL": f"{mesh.http}/",
                "PANTREE_TRACES": str(TRACES),
                "PANTREE_TEST_RESULTS": str(TRACES / "results"),
            },
        )
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                process.kill()


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main(sys.argv[1:])))
