"""The whole mesh with certificates, as `pantree up --certificates` starts it."""

import asyncio
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from pantree_cli.mesh import client_identity, port_settings, start_processes, tls_settings
from scripts.make_certificates import make_all

pytestmark = pytest.mark.timeout(300)
REQUEST = {"customer_id": "cust_001", "items": [{"name": "Bananas", "price": 1.99}], "seed": 5, "as_of": "2026-07-01"}


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


async def test_mesh_with_certificates_requires_a_client_certificate(tmp_path: Path) -> None:
    make_all(tmp_path, "pantree.internal")
    variables = {**port_settings(own_ports=True), **tls_settings(tmp_path), "PANTREE_DRAIN_SECONDS": "1"}
    mesh = await start_processes(variables, lambda part, state: None, client_identity(tmp_path))
    try:
        async with httpx.AsyncClient(base_url=f"http://{mesh.addresses['gateway']}", timeout=60) as client:
            answer = await client.post("/api/v1/process", json=REQUEST)
            assert answer.status_code == 200
            assert answer.json()["warnings"] == []
            assert (await client.get("/health")).json()["status"] == "healthy"
        status = [sys.executable, "-m", "pantree_cli", "status", "--address", mesh.addresses["pipeline"]]
        known = await asyncio.to_thread(run, [*status, "--certificates", str(tmp_path)])
        assert known.returncode == 0, known.stderr
        assert (await asyncio.to_thread(run, status)).returncode == 3
    finally:
        await mesh.stop()
