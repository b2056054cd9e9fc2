"""Attacks a mesh whose parts have the memory and CPU of the manifests: `make attack`. Exits with 1 on a failure."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.attack.attacks import ATTACKS
from tests.attack.mesh import limited_mesh
from tests.attack.run import HEADER, attack, warm_up


async def _main(names: list[str], scale: float) -> bool:
    is_fine = True
    with tempfile.TemporaryDirectory() as folder:
        async with limited_mesh(Path(folder)) as mesh:
            enforced = all(group.is_enforced for group in mesh.groups.values())
            await warm_up(mesh)
            print(f"limits by {'control groups' if enforced else 'RLIMIT_DATA'}\n\n{HEADER}", flush=True)
            for name in names:
                result = await attack(mesh, name, scale)
                print(result.line(), flush=True)
                for problem in result.problems[:40]:
                    print(f"  {problem}", flush=True)
                is_fine = is_fine and not result.problems
    return is_fine


def main() -> None:
    """Runs all attacks, or those that are named."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("names", nargs="*", help="attacks; all by default")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the attacks, 0 to 1")
    arguments = parser.parse_args()
    chosen = [name for name in ATTACKS if not arguments.names or any(part in name for part in arguments.names)]
    sys.exit(not asyncio.run(_main(chosen, arguments.scale)))


if __name__ == "__main__":
    main()
