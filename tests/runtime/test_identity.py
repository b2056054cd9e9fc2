"""Tests of TLS between parts: admitted and refused callers, log lines, and certificates that change."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from pantree.enrichment.v1 import enrichment_service_pb2 as messages
from pantree.enrichment.v1 import enrichment_service_pb2_grpc as rpc
from pantree_cli.mesh import HOST, free_ports
from pantree_runtime.channel import open_channel
from pantree_runtime.errors import ComponentUnavailable, PermissionDenied
from pantree_runtime.identity import ALLOWED_CALLERS, Identity
from pantree_runtime.server import RunningService, ServiceSpec, start
from pantree_runtime.status import translate_rpc_errors
from scripts.make_certificates import Authority, make_all

DOMAIN = "pantree.internal"
MAX_SECONDS = 60.0
pytestmark = pytest.mark.timeout(300)
ARCHITECTURE = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"


@dataclass(frozen=True)
class TlsPart:
    """The enrichment part with TLS, in its own process."""

    address: str
    folder: Path
    authority: Authority
    process: subprocess.Popen[str]

    def identity(self, name: str, *, authority: Authority | None = None, days: float = 30) -> Identity:
        """Identity of a caller that trusts the part's authority, regardless of who signed its own certificate."""
        signed_by = "other" if authority else "own"
        directory = self.folder / f"{name}-{days}-{signed_by}"
        (authority or self.authority).issue(directory, f"{name}.{DOMAIN}", days=days)
        (directory / "ca.crt").write_bytes((self.folder / "ca.crt").read_bytes())
        return Identity(directory, DOMAIN)

    def until_logged(self, *texts: str) -> None:
        """Reads the log up to a line with these texts; fails if the process stops first."""
        assert self.process.stderr is not None
        if not any(all(text in line for text in texts) for line in self.process.stderr):
            raise AssertionError(f"stopped without a line with {texts}")


@pytest.fixture(scope="module")
def tls_part(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsPart]:
    folder = tmp_path_factory.mktemp("certificates")
    make_all(folder, DOMAIN)
    (port,) = free_ports(1)
    variables = {
        **os.environ,
        "PANTREE_ENRICHMENT_PORT": str(port),
        "PANTREE_ENRICHMENT_TLS_DIR": str(folder / "enrichment"),
        "PANTREE_LOG_FORMAT": "json",
    }
    command = [sys.executable, "-m", "pantree_enrichment"]
    with subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True) as process:
        part = TlsPart(f"{HOST}:{port}", folder, Authority.load(folder), process)
        try:
            part.until_logged('"serving"')
            yield part
        finally:
            process.terminate()
            process.communicate(timeout=MAX_SECONDS)


async def ask(address: str, identity: Identity | None, part: str = "enrichment") -> list[str]:
    request = messages.EnrichItemsRequest(items=[messages.ItemToEnrich(name="Milk")])
    async with open_channel(address, timeout_seconds=MAX_SECONDS, part=part, identity=identity) as channel:
        with translate_rpc_errors("enrichment"):
            return [answer.item.name async for answer in rpc.EnrichmentServiceStub(channel).EnrichItems(request)]


async def test_pipeline_may_call_enrichment(tls_part: TlsPart) -> None:
    assert await ask(tls_part.address, tls_part.identity("pipeline")) == ["Milk"]


async def test_part_that_may_not_call_is_refused_by_name(tls_part: TlsPart) -> None:
    with pytest.raises(PermissionDenied, match=r"gateway\.pantree\.internal may not call enrichment"):
        await ask(tls_part.address, tls_part.identity("gateway"))
    tls_part.until_logged("caller refused", "gateway.pantree.internal may not call enrichment")


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        (lambda part: part.identity("pipeline", authority=Authority()), "unable to get local issuer certificate"),
        (lambda part: part.identity("pipeline", days=-1), "certificate has expired"),
        (lambda part: None, "WRONG_VERSION_NUMBER"),
    ],
    ids=["unknown caller", "expired certificate", "plaintext"],
)
async def test_caller_without_a_valid_certificate_is_refused(
    tls_part: TlsPart, who: Callable[[TlsPart], Identity | None], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Our own callers would not even start with it.
    monkeypatch.setattr("pantree_runtime.identity.check_is_valid_now", lambda directory: None)
    with pytest.raises(ComponentUnavailable):
        await ask(tls_part.address, who(tls_part))
    tls_part.until_logged("Handshake failed", reason)


async def test_caller_refuses_a_part_with_another_name(tls_part: TlsPart) -> None:
    identity = tls_part.identity("pipeline")
    async with open_channel(tls_part.address, timeout_seconds=MAX_SECONDS, part="vector", identity=identity) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="Hostname Verification Check failed"):
            async for _ in rpc.EnrichmentServiceStub(channel).EnrichItems(messages.EnrichItemsRequest()):
                pass


class _Echo(rpc.EnrichmentServiceServicer):
    async def EnrichItems(
        self, request: messages.EnrichItemsRequest, context: Any
    ) -> AsyncIterator[messages.EnrichItemsResponse]:
        for item in request.items:
            yield messages.EnrichItemsResponse(item=messages.EnrichedItem(name=item.name))


@contextlib.asynccontextmanager
async def serving(identity: Identity) -> AsyncIterator[RunningService]:
    servicer = _Echo()
    service = "pantree.enrichment.v1.EnrichmentService"
    part = ServiceSpec(
        "enrichment", {service: lambda server: rpc.add_EnrichmentServiceServicer_to_server(servicer, server)}
    )
    running = await start(part, host=HOST, port=0, identity=identity)
    try:
        yield running
    finally:
        await running.stop(0)


async def test_changed_certificates_are_used_without_a_restart(tmp_path: Path) -> None:
    make_all(tmp_path, DOMAIN)
    server, caller = Identity(tmp_path / "enrichment", DOMAIN), Identity(tmp_path / "pipeline", DOMAIN)
    async with (
        serving(server) as part,
        open_channel(part.address, timeout_seconds=MAX_SECONDS, part="enrichment", identity=caller) as channel,
    ):
        stub = rpc.EnrichmentServiceStub(channel)
        request = messages.EnrichItemsRequest(items=[messages.ItemToEnrich(name="Milk")])
        assert [answer.item.name async for answer in stub.EnrichItems(request)] == ["Milk"]
        # With a new authority no old certificate is valid, so a response proves that both sides use the new ones.
        authority = Authority("another")
        for name in ("enrichment", "pipeline"):
            authority.issue(tmp_path / name, f"{name}.{DOMAIN}")
        await asyncio.sleep(1.1)  # channels check the files once a second
        assert [answer.item.name async for answer in stub.EnrichItems(request)] == ["Milk"]
        assert caller.version == 1


async def test_renewed_certificate_is_logged_with_its_directory(tls_part: TlsPart) -> None:
    directory = tls_part.folder / "enrichment"
    tls_part.authority.issue(directory, f"enrichment.{DOMAIN}")
    assert await ask(tls_part.address, tls_part.identity("pipeline")) == ["Milk"]
    tls_part.until_logged("certificate reloaded", f'"dir": "{directory}"')


def test_files_that_do_not_match_are_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_all(tmp_path, DOMAIN)
    identity = Identity(tmp_path / "vector", DOMAIN)
    (tmp_path / "vector" / "tls.key").write_bytes((tmp_path / "gateway" / "tls.key").read_bytes())
    assert identity.refresh() == 0
    assert caplog.messages == ["certificate cannot be reloaded; the old one stays in use"]
    with pytest.raises(OSError, match="do not match each other"):
        Identity(tmp_path / "vector", DOMAIN)


def test_renewed_certificate_that_has_ended_is_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_all(tmp_path, DOMAIN)
    identity = Identity(tmp_path / "vector", DOMAIN)
    Authority.load(tmp_path).issue(tmp_path / "vector", f"vector.{DOMAIN}", days=-1)
    assert identity.refresh() == 0
    (record,) = caplog.records
    assert record.message == "certificate cannot be reloaded; the old one stays in use"
    assert "certificate has expired" in vars(record)["reason"]
    with pytest.raises(OSError, match=r"tls\.crt is not valid now: certificate has expired; issue a new one"):
        Identity(tmp_path / "vector", DOMAIN)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"tls\.crt"):
        Identity(tmp_path, DOMAIN)


def test_valid_certificates_are_kept(tmp_path: Path) -> None:
    assert set(make_all(tmp_path, DOMAIN)) == {"gateway", "client", *ALLOWED_CALLERS}
    (tmp_path / "vector" / "tls.crt").unlink()
    assert make_all(tmp_path, DOMAIN) == ["vector"]
    assert oct((tmp_path / "vector" / "tls.key").stat().st_mode)[-3:] == "600"


def test_allowed_callers_match_the_architecture() -> None:
    table = ARCHITECTURE.read_text().partition("Who calls whom")[2].partition("\n\n")[2].partition("\n\n")[0]
    documented = {
        (caller.strip(), called.strip())
        for _, caller, called, *_ in (line.split("|") for line in table.splitlines()[2:])
    }
    assert documented == {
        (caller, called) for called, callers in ALLOWED_CALLERS.items() for caller in callers if caller != "client"
    }
