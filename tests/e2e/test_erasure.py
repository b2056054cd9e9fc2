"""An erased customer is in no answer, file or log of the mesh, also after an older backup is restored."""

import contextlib
import shutil
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path

import grpc
import httpx
import pytest

from pantree.vector.v1 import vector_service_pb2 as vector
from pantree.vector.v1 import vector_service_pb2_grpc as vector_rpc
from pantree_cli.mesh import OPTIONAL_PARTS, PARTS, port_settings, start_processes
from pantree_history.backends.sqlite import SqliteStore
from pantree_history.core.history import History
from tests.e2e.mesh import RunningMesh

CUSTOMER, OTHER = "erasemark-customer", "remaining-customer"
MARKER = "erasemark"
FIRST_DAY = date(2026, 3, 2)


@contextlib.asynccontextmanager
async def mesh_with_files(folder: Path) -> AsyncIterator[RunningMesh]:
    """A mesh with all parts, whose files are in one folder."""
    parts = (*PARTS, *OPTIONAL_PARTS)
    variables = {
        **port_settings(True, parts),
        "XDG_DATA_HOME": str(folder),
        "PANTREE_HISTORY_STORE_URL": f"sqlite://{folder}/history.db",
        "PANTREE_VECTOR_STORE_URL": f"milvus+lite://{folder}/vectors.db",
        "PANTREE_LOG_LEVEL": "INFO",
    }
    processes = await start_processes(variables, lambda part, state: None, parts=parts)
    try:
        yield RunningMesh(variables, processes)
    finally:
        await processes.stop()


def purchases(customer: str) -> dict[str, object]:
    name = f"{customer.partition('-')[0]} milk"
    days = [FIRST_DAY + timedelta(days=7 * week) for week in range(8)]
    return {
        "purchases": [
            {"order_id": f"{customer} {day}", "line_id": "1", "name": name, "date": str(day), "price": 1.5}
            for day in days
        ]
    }


def files_with(text: str, folder: Path) -> set[str]:
    """Names of files and folders directly in the folder that have a text in their bytes."""
    files = [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]
    return {path.relative_to(folder).parts[0].removesuffix("-wal") for path in files}


async def has_profile(mesh: RunningMesh, customer: str) -> bool:
    async with grpc.aio.insecure_channel(mesh.address("vector")) as channel:
        stub = vector_rpc.VectorServiceStub(channel)
        try:
            await stub.GetCustomerProfile(vector.GetCustomerProfileRequest(customer_id=customer), timeout=30)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            return False
        return True


async def test_erased_customer_is_in_no_answer_file_or_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("milvus_lite", reason="profiles are kept in its files")
    folder, backup = tmp_path / "files", tmp_path / "backup"
    folder.mkdir()
    path = f"/api/v1/customers/{CUSTOMER}"
    async with mesh_with_files(folder) as mesh, httpx.AsyncClient(base_url=mesh.http, timeout=60) as rest:
        for customer in (CUSTOMER, OTHER):
            stored = await rest.post(f"/api/v1/customers/{customer}/purchases", json=purchases(customer))
            assert stored.status_code == 200, stored.text
            body = {"customer_id": customer, "stored_history": True, "as_of": "2026-05-01"}
            answered = await rest.post("/api/v1/process", json=body, headers={"Idempotency-Key": f"key of {customer}"})
            assert answered.status_code == 200, answered.text
            assert await has_profile(mesh, customer)
        assert files_with(MARKER, folder) == {"history.db", "vectors.db"}
        # History only: the backup of a running file is made by SQLite's own means, but nothing is written just now.
        backup.mkdir()
        for file in folder.glob("history.db*"):
            shutil.copy(file, backup)

        erased = await rest.delete(path)
        assert erased.status_code == 200, erased.text
        assert not await has_profile(mesh, CUSTOMER)
        assert (await rest.get(f"{path}/purchases")).status_code == 404
        assert (await rest.get(f"{path}/export")).status_code == 404
        late = await rest.post(f"{path}/purchases", json=purchases(CUSTOMER))
        assert late.json()["code"] == "CUSTOMER_ERASED", late.text
        again = await rest.post("/api/v1/process", json={"customer_id": CUSTOMER, "stored_history": True})
        assert again.status_code == 404, again.text
        remaining = await rest.get(f"/api/v1/customers/{OTHER}/purchases")
        assert len(remaining.json()["purchases"]) == 8
        assert await has_profile(mesh, OTHER)
    assert files_with(MARKER, folder) == set()
    assert files_with("remaining", folder) == {"history.db", "vectors.db"}
    printed = capfd.readouterr()
    assert MARKER not in printed.out + printed.err
    assert "EraseCustomer" in printed.out + printed.err, "the log was read"

    for file in backup.iterdir():
        shutil.copy(file, folder)
    assert files_with(MARKER, folder) == {"history.db"}
    history = History(SqliteStore(folder / "history.db"), (folder / "history.key").read_text().strip().encode())
    assert await history.open() == 1
    await history.close()
    assert files_with(MARKER, folder) == set()
