"""Random HTTP requests to every operation of a whole mesh: `python -m tests.attack.random_requests`.

Schemathesis makes them from the OpenAPI document that the gateway serves. No response may be a 5xx or differ from the
document, and no part may log a traceback.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

from tests.attack.mesh import ATTACKER_KEY, LimitedMesh, limited_mesh

_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
_TIMEOUT_SECONDS = 60
_SEED = 14


async def send_random_requests(mesh: LimitedMesh, cases: int, paths: str) -> list[str]:
    """Problems, after all requests.

    Args:
        mesh: the mesh.
        cases: number of fuzzed requests for each operation, in addition to those of the coverage phase.
        paths: regular expression of the paths; all when empty.
    """
    arguments = [
        "schemathesis", "run", f"{mesh.http}/openapi.json", "--header", f"X-API-Key: {ATTACKER_KEY}",
        "--phases", "coverage,fuzzing", "--max-examples", str(cases), "--seed", str(_SEED),
        "--checks", ",".join(_CHECKS), "--request-timeout", str(_TIMEOUT_SECONDS), "--suppress-health-check", "all",
        "--continue-on-failure", "--warnings", "off", "--no-shrink",
    ]  # fmt: skip
    arguments += ["--include-path-regex", paths] if paths else []
    process = await asyncio.create_subprocess_exec(*arguments)
    problems = [] if await process.wait() == 0 else ["a response is a 5xx or differs from the document, see above"]
    problems += [f"{part} died" for part in mesh.dead]
    return problems + [f"logged: {line[-600:]}" for line in mesh.tracebacks()]


async def _main(cases: int, paths: str) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        async with limited_mesh(Path(folder)) as mesh:
            return await send_random_requests(mesh, cases, paths)


def main() -> None:
    """Sends the requests; exits with 1 on a problem."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=500, help="fuzzed requests for each operation")
    parser.add_argument("--paths", default="", help="regular expression of paths; all by default")
    arguments = parser.parse_args()
    problems = asyncio.run(_main(arguments.cases, arguments.paths))
    print("\n".join(problems))
    raise SystemExit(bool(problems))


if __name__ == "__main__":
    main()
