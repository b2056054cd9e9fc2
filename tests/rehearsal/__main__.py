"""`python -m tests.rehearsal`: the `prod` manifests without a cluster, in network namespaces; ends with 1 when bad.

Needs Linux and root, and leaves nothing behind: everything is in namespaces of this process and ends with it.
"""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pantree_cli.mesh import PARTS
from tests.rehearsal.pods import TOOLS
from tests.rehearsal.run import Plan, rehearse

_INSIDE = "--inside"
_NAMESPACES = ("--net", "--mount", "--propagation", "private")


def why_not() -> str:
    """Why there can be no rehearsal here; empty when there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces need Linux and root"
    missing = [tool for tool in (*TOOLS, "kubectl") if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    tried = subprocess.run(["unshare", *_NAMESPACES, "sh", "-c", _TRY], capture_output=True, text=True)
    return f"namespaces are not allowed here: {tried.stderr.strip()}" if tried.returncode else ""


# All that the rehearsal asks of the kernel, once.
_TRY = """
set -e
ip link add one type veth peer name two
echo 'table inet a { chain b { type filter hook forward priority filter; ct state established accept; }; }' | nft -f -
echo 1 > /proc/sys/net/ipv4/ip_forward
mount -t tmpfs tmpfs /mnt
mkdir /mnt/over /mnt/root
mount -t overlay overlay -o lowerdir=/mnt/over:/ /mnt/root
"""


def main() -> None:
    """Rehearses; prints what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [part.name for part in PARTS]
    parser.add_argument("--most-replicas", type=int, default=2, help="pods of each part at most (default 2)")
    parser.add_argument("--clients", type=int, default=3, help="clients at a time (default 3)")
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument(
        "--measure",
        type=int,
        default=400,
        metavar="REQUESTS",
        help="how many requests of 24 months the table of CPU and memory rests on (default 400)",
    )
    for option, default, what in (
        ("--restart", names, "restarted one after another"),
        ("--scale", list(Plan.scales), "that get a pod more and lose it again"),
        ("--kill", names, "whose process is killed"),
        ("--cut", list(Plan.cuts), "whose network is cut"),
    ):
        parser.add_argument(option, nargs="*", choices=names, default=default, metavar="PART", help=f"parts {what}")
    parser.add_argument(_INSIDE, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside is None:
        raise SystemExit(_outside())
    plan = Plan(
        most_replicas=arguments.most_replicas,
        restarts=arguments.restart,
        scales=arguments.scale,
        kills=arguments.kill,
        cuts=arguments.cut,
        measured_requests=arguments.measure,
        clients=arguments.clients,
        seed=arguments.seed,
    )
    began = time.monotonic()

    def told(step: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {step}", flush=True)

    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(arguments.inside)], check=True)
    report = asyncio.run(rehearse(plan, arguments.inside, told))
    print(f"\n{report.table()}")
    raise SystemExit(1 if report.troubles else 0)


def _outside() -> int:
    """Starts this program again as the node: in a network and with file systems of its own."""
    if reason := why_not():
        print(f"no rehearsal: {reason}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="pantree-rehearsal-") as scratch:
        os.chmod(scratch, 0o755)
        # The first process of a namespace takes all others with it, and dies with whoever started it.
        alone = [
            "setpriv",
            "--pdeathsig",
            "KILL",
            "unshare",
            *_NAMESPACES,
            "--pid",
            "--mount-proc",
            "--kill-child",
            "--fork",
        ]
        return subprocess.call([*alone, sys.executable, "-m", "tests.rehearsal", *sys.argv[1:], _INSIDE, scratch])


if __name__ == "__main__":
    main()
