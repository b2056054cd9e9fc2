"""Runs the `prod` manifests without a cluster, in network namespaces: `python -m tests.cluster_simulation`.

Exits with 1 if it finds a problem. It needs Linux and root and leaves nothing behind: everything runs in namespaces of
this process and ends with it.
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
from tests.cluster_simulation.pods import TOOLS
from tests.cluster_simulation.run import Plan, simulate_cluster

_INSIDE = "--inside"
_NAMESPACES = ("--net", "--mount", "--propagation", "private")


def skip_reason() -> str:
    """Why the cluster simulation cannot run on this machine; empty if it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces need Linux and root"
    missing = [tool for tool in (*TOOLS, "kubectl") if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    tried = subprocess.run(["unshare", *_NAMESPACES, "sh", "-c", _TRY], capture_output=True, text=True)
    return f"namespaces are not allowed on this machine: {tried.stderr.strip()}" if tried.returncode else ""


# Tries every kernel feature that the simulation uses.
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
    """Runs the simulation and prints a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [part.name for part in PARTS]
    parser.add_argument("--max-replicas", type=int, default=2, help="maximum pods per part (default 2)")
    parser.add_argument("--clients", type=int, default=3, help="concurrent clients (default 3)")
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument(
        "--measure",
        type=int,
        default=400,
        metavar="REQUESTS",
        help="requests of 24 months for the table of CPU and memory (default 400)",
    )
    for option, default, what in (
        ("--restart", names, "to restart, one after another"),
        ("--scale", list(Plan.scales), "to scale up by one pod and down again"),
        ("--kill", names, "whose process to kill"),
        ("--cut", list(Plan.cuts), "to disconnect from the network"),
    ):
        parser.add_argument(option, nargs="*", choices=names, default=default, metavar="PART", help=f"parts {what}")
    parser.add_argument(_INSIDE, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside is None:
        raise SystemExit(_run_in_namespaces())
    plan = Plan(
        max_replicas=arguments.max_replicas,
        restarts=arguments.restart,
        scales=arguments.scale,
        kills=arguments.kill,
        cuts=arguments.cut,
        measured_requests=arguments.measure,
        clients=arguments.clients,
        seed=arguments.seed,
    )
    began = time.monotonic()

    def log_step(step: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {step}", flush=True)

    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(arguments.inside)], check=True)
    report = asyncio.run(simulate_cluster(plan, arguments.inside, log_step))
    print(f"\n{report.table()}")
    raise SystemExit(1 if report.problems else 0)


def _run_in_namespaces() -> int:
    """Starts this program again as the node, in its own network and mount namespaces."""
    if reason := skip_reason():
        print(f"the cluster simulation cannot run: {reason}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="pantree-cluster-simulation-") as scratch:
        os.chmod(scratch, 0o755)
        # When the first process of a PID namespace ends, so do all others; --pdeathsig ends it with its parent.
        command = [
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
        return subprocess.call(
            [*command, sys.executable, "-m", "tests.cluster_simulation", *sys.argv[1:], _INSIDE, scratch]
        )


if __name__ == "__main__":
    main()
