"""A client with a certificate may use only the tenants that the certificate or a setting names."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from pantree.history.v1 import history_service_pb2 as history
from pantree.history.v1 import history_service_pb2_grpc as history_rpc
from pantree.vector.v1 import vector_service_pb2 as vector
from pantree.vector.v1 import vector_service_pb2_grpc as vector_rpc
from pantree_cli.mesh import HOST
from pantree_history.__main__ import build as build_history
from pantree_history.settings import HistorySettings
from pantree_runtime.channel import open_channel
from pantree_runtime.errors import PermissionDenied
from pantree_runtime.identity import CLIENT, Identity
from pantree_runtime.server import ServiceSpec, start
from pantree_runtime.status import translate_rpc_errors
from pantree_runtime.tenants import TENANT_METADATA
from pantree_vector.__main__ import build as build_vector
from pantree_vector.settings import VectorSettings
from scripts.make_certificates import Authority, make_all

DOMAIN = "pantree.internal"


@contextlib.asynccontextmanager
async def called(
    part: ServiceSpec, folder: Path, caller: str, tenants: list[str], client_tenants: frozenset[str] = frozenset({""})
) -> AsyncIterator[Any]:
    """A channel to a part with TLS, of a caller whose certificate names tenants."""
    make_all(folder, DOMAIN)
    Authority.load(folder).issue(folder / caller, f"{caller}.{DOMAIN}", tenants=tenants)
    server = await start(part, host=HOST, port=0, identity=Identity(folder / part.name, DOMAIN, client_tenants))
    try:
        async with open_channel(
            server.address, timeout_seconds=30, part=part.name, identity=Identity(folder / caller, DOMAIN)
        ) as channel:
            yield channel
    finally:
        await server.stop(0)


async def may(call: Any) -> bool:
    """Whether a call is admitted."""
    try:
        with translate_rpc_errors("part"):
            await call
    except PermissionDenied:
        return False
    return True


def search(channel: Any, tenant: str) -> Any:
    return vector_rpc.VectorServiceStub(channel).SearchItems(vector.SearchItemsRequest(tenant_id=tenant, text="milk"))


@pytest.mark.parametrize(
    ("caller", "named", "setting", "permitted"),
    [
        (CLIENT, [], {""}, {""}),
        (CLIENT, [], {"north", "south"}, {"north", "south"}),
        (CLIENT, [], {"*"}, {"", "north", "south", "nörd/1"}),
        (CLIENT, ["north"], {"*"}, {"north"}),
        (CLIENT, ["nörd/1", ""], {"south"}, {"nörd/1", ""}),
        ("pipeline", [], {""}, {"", "north", "south", "nörd/1"}),
    ],
)
async def test_request_names_only_tenants_of_the_caller(
    tmp_path: Path, caller: str, named: list[str], setting: set[str], permitted: set[str]
) -> None:
    part = await build_vector(VectorSettings(store_url="memory://"))
    async with called(part, tmp_path, caller, named, frozenset(setting)) as channel:
        tenants = {"", "north", "south", "nörd/1"}
        assert {tenant for tenant in tenants if await may(search(channel, tenant))} == permitted


async def test_every_message_of_a_stream_is_checked(tmp_path: Path) -> None:
    part = await build_vector(VectorSettings(store_url="memory://"))
    async with called(part, tmp_path, CLIENT, ["north"]) as channel:
        histories = [vector.IndexHistoryRequest(tenant_id=tenant, customer_id="a") for tenant in ("north", "south")]
        stub = vector_rpc.VectorServiceStub(channel)
        for sent in ([histories], [histories[:1], histories[1:]]):
            requests = iter([vector.IndexHistoriesRequest(histories=some) for some in sent])
            with pytest.raises(PermissionDenied, match="tenant south, only for north"), translate_rpc_errors("vector"):
                async for _ in stub.IndexHistories(requests):
                    pass
        assert await may(stub.EmbedItems(vector.EmbedItemsRequest(names=["milk"])))  # of no tenant


async def test_metadata_names_only_tenants_of_the_caller(tmp_path: Path) -> None:
    part = await build_history(HistorySettings(store_url="sqlite://:memory:"))
    async with called(part, tmp_path, CLIENT, ["north"]) as channel:
        list_customers = history_rpc.HistoryServiceStub(channel).ListCustomers
        request = history.ListCustomersRequest()
        with capture_logs() as logs:
            assert await may(list_customers(request, metadata=[(TENANT_METADATA, "north")]))
            assert not await may(list_customers(request, metadata=[(TENANT_METADATA, "south")]))
            assert not await may(list_customers(request))
    refused = [log["tenant"] for log in logs if log["event"] == "caller refused"]
    assert refused == ["south", ""]


def test_certificate_with_other_tenants_is_issued_again(tmp_path: Path) -> None:
    make_all(tmp_path, DOMAIN)
    assert make_all(tmp_path, DOMAIN, ["north"]) == [CLIENT]
    assert make_all(tmp_path, DOMAIN, ["north"]) == []
