"""Events over HTTP: which addresses they go to, and what becomes of bad receivers; and webhooks by the REST API."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpcore
import httpx
import pytest
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError
from structlog.testing import capture_logs

from pantree_history.backends.webhook_http import HttpSender, Names
from pantree_history.core.webhooks.addresses import is_public, url_problem
from pantree_history.core.webhooks.sending import Answer
from pantree_history.settings import HistorySettings
from tests.history.test_subscription_routes import mesh
from tests.tcp import serving_tcp

OK = b"HTTP/1.1 204 No Content\r\n\r\n"
WEEKLY = {"unit": "INTERVAL_UNIT_WEEK", "count": 1}


@dataclass
class Server:
    """A receiver on a port of this machine."""

    answer: Callable[[], bytes | None]
    """None to answer never."""
    port: int = 0
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {
                    name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:]) if name
                }
                body = await reader.readexactly(int(headers["content-length"]))
                self.requests.append((headers, body))
                self.changed.set()
                answer = self.answer()
                if answer is None:
                    await reader.read()
                    break
                writer.write(answer)
                await writer.drain()
        writer.transport.abort()


@contextlib.asynccontextmanager
async def receiving(answer: Callable[[], bytes | None] = lambda: OK) -> AsyncIterator[Server]:
    server = Server(answer)
    async with serving_tcp(server.serve) as server.port:
        yield server


@contextlib.asynccontextmanager
async def sending(**options: Any) -> AsyncIterator[HttpSender]:
    sender = HttpSender(**{"timeout_seconds": 5.0, "allow_http": True, "allow_private": True, **options})
    try:
        yield sender
    finally:
        await sender.close()


async def send(url: str, **options: Any) -> Answer:
    async with sending(**options) as sender:
        return await sender.send(url, {"webhook-id": "evt_1"}, b"{}")


async def test_private_address_is_refused_when_the_connection_is_made() -> None:
    async with receiving() as server:
        assert (await send(server.url)).status == 204
        refused = await send(server.url, allow_private=False)
        assert (refused.status, refused.error) == (
            0, "the host has a private, loopback, link-local or reserved address",
        )  # fmt: skip
        assert len(server.requests) == 1


async def test_name_that_changes_its_address_is_of_no_use() -> None:
    requested = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        requested.append(host)
        return ["93.184.216.34", "127.0.0.1"] if len(requested) == 1 else ["127.0.0.1"]

    async with receiving() as server:
        url = f"http://shop.example:{server.port}/hook"
        async with sending(allow_private=False, resolve=rebinding) as sender:
            for _ in range(2):
                answer = await sender.send(url, {}, b"{}")
                assert "has a private" in answer.error
        assert (requested, server.requests) == (["shop.example"] * 2, [])
        # The name is resolved once for a connection, which goes to the address that was checked.
        async with sending(resolve=rebinding) as sender:
            assert (await sender.send(url, {}, b"{}")).status == 204
        assert len(requested) == 3


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        (OK, 204, ""),
        (b"HTTP/1.1 302 Found\r\nLocation: http://localhost:1/\r\nContent-Length: 0\r\n\r\n", 302, "status 302"),
        (b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", 503, "status 503"),
        (b"HTTP/1.1 429 Busy\r\nRetry-After: " + b"9" * 5000 + b"\r\nContent-Length: 0\r\n\r\n", 429, "status 429"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 40_000, 200, ""),
        (b"no HTTP\r\n\r\n", 0, "the connection failed: RemoteProtocolError"),
        (None, 0, "no answer within 0.3 seconds"),
    ],
)
async def test_bad_receiver_is_a_failure_with_a_reason(answer: bytes | None, status: int, error: str) -> None:
    async with receiving(lambda: answer) as server:
        found = await send(server.url, timeout_seconds=0.3)
    assert found.status == status
    assert error in found.error
    assert bool(found.error) == bool(error)
    assert found.retry_after_seconds == {503: 7, 429: 86_400}.get(status, 0)
    assert len(server.requests) == 1


async def test_http_is_refused_unless_it_is_allowed_and_nobody_may_be_there() -> None:
    assert "must be a URL that begins with https://" in (await send("http://localhost:1/", allow_http=False)).error
    assert (await send("http://localhost:1/")).error.startswith("cannot connect")
    assert (await send("http://shop.invalid/")).error.startswith("cannot connect")


@pytest.mark.parametrize("host", ["a..b", ".x.com", "x" * 64 + ".com", "a." * 127 + "com"])
async def test_host_that_is_no_name_is_refused_and_cannot_be_resolved(host: str) -> None:
    assert "host whose parts" in url_problem(f"https://{host}/", allow_http=False, allow_private=False)
    assert "host whose parts" in (await send(f"http://{host}/")).error
    with pytest.raises(httpcore.ConnectError):
        await Names()(host, 443)


def test_host_with_long_parts_and_a_full_stop_at_its_end_is_a_name() -> None:
    assert not url_problem(f"https://{'x' * 63}.com./", allow_http=False, allow_private=False)


async def test_error_that_nobody_expects_is_an_answer() -> None:
    async def broken(host: str, port: int) -> Sequence[str]:
        raise ValueError(host)

    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context))
    assert (await send("http://shop.example/", resolve=broken)).error == "the event cannot be sent: ValueError"
    assert len(reported) == 1


async def test_name_server_that_never_answers_holds_one_thread_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    requested, is_answered = [], threading.Event()

    def find(host: str, *_: object, **__: object) -> list[Any]:
        requested.append((host, threading.current_thread().name.rpartition("_")[0]))
        if host == "slow.example":
            is_answered.wait(20)
            raise socket.gaierror
        return [(0, 0, 0, "", ("93.184.216.34", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", find)
    names = Names()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(names("slow.example", 443), 0.02)
    assert await names("shop.example", 443) == ["93.184.216.34"]
    assert requested == [("slow.example", "webhook-names"), ("shop.example", "webhook-names")]
    waiting = asyncio.create_task(names("slow.example", 443))
    await asyncio.sleep(0)
    is_answered.set()
    with pytest.raises(httpcore.ConnectError):
        await waiting
    names.close()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.216.34", True), ("2606:4700:4700::1111", True), ("64:ff9b::5db8:d822", True), ("127.0.0.1", False),
        ("10.1.2.3", False), ("172.31.0.1", False), ("192.168.1.1", False), ("169.254.169.254", False),
        ("100.64.0.1", False), ("0.0.0.0", False), ("224.0.0.1", False), ("255.255.255.255", False), ("::1", False),
        ("::", False), ("fe80::1%eth0", False), ("fd00::1", False), ("::ffff:10.0.0.1", False), ("ff02::1", False),
        ("64:ff9b::a00:1", False), ("64:ff9b:1::1", False), ("2002:a00:1::", False), ("localhost", False),
        ("fec0::1", False), ("3fff::1", False), ("3fff:1000::1", True), ("168.63.129.16", False),
        ("::ffff:168.63.129.16", False), ("2002:a83f:8110::", False),
    ],
)  # fmt: skip
def test_public_addresses(address: str, expected: bool) -> None:
    assert is_public(address) is expected


async def test_webhook_by_rest_from_its_creation_to_the_erasure_of_a_customer() -> None:
    settings = HistorySettings(
        store_url="sqlite://:memory:", webhook_allow_http=True, webhook_allow_private_addresses=True,
        webhook_poll_seconds=0.05, webhook_retry_seconds=0.05,
    )  # fmt: skip
    answers = iter([OK, b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"])
    first_day = (datetime.now(UTC) + timedelta(days=10)).date().isoformat()
    with capture_logs() as logs:
        async with (
            receiving(lambda: next(answers, OK)) as server,
            mesh(settings) as url,
            httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=30) as rest,
        ):
            refused = await rest.post("/webhooks", json={"url": "ftp://shop.example/"})
            assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "url")
            created = (await rest.post("/webhooks", json={"url": server.url, "webhook_id": "erp"})).json()
            secret = created["secret"]
            tested = (await rest.post("/webhooks/erp:test", json={})).json()
            assert (tested["delivered"], tested["status_code"]) == (True, 204)
            body = {"subscription_id": "s/1", "item": {"name": "Milk"}, "interval": WEEKLY, "anchor_date": first_day}
            await rest.post("/customers/4711/subscriptions", json=body)
            await rest.post("/customers/4711/subscriptions/s%2F1:change", json={"skip": {}})
            async with asyncio.timeout(20):
                while len(server.requests) < 4:
                    server.changed.clear()
                    await server.changed.wait()
            events = []
            for headers, content in server.requests:
                assert headers["content-type"] == "application/cloudevents+json; charset=UTF-8"
                events.append(Verifier(secret).verify(content, headers))
                with pytest.raises(WebhookVerificationError):
                    Verifier(secret).verify(content.replace(b"Milk", b"Beer") + b" ", headers)
            assert [(one["type"], one.get("sequence", "")) for one in events] == [
                ("com.pantree.webhook.ping", ""), ("com.pantree.subscription.created", "0000000001"),
                ("com.pantree.subscription.created", "0000000001"), ("com.pantree.delivery.skipped", "0000000002"),
            ]  # fmt: skip
            stored = (await rest.get("/customers/4711/subscriptions/s%2F1")).json()["subscription"]
            assert events[-1]["data"]["subscription"] == stored
            rotated = (await rest.post("/webhooks/erp:rotate", json={"overlap_seconds": 60})).json()
            listed = await rest.get("/webhooks")
            (webhook,) = listed.json()["webhooks"]
            assert (webhook["webhook_id"], webhook["url"], len(webhook["secrets"])) == ("erp", server.url, 2)
            assert not [one for one in (secret, rotated["secret"]) if one[6:] in listed.text]
            wrong = await rest.post("/webhooks/erp:replay", json={"since": "2026-05-22"})
            assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "since")
            replayed = await rest.post("/webhooks/erp:replay", json={"since": "2026-05-22T00:00:00+02:00"})
            assert replayed.json() == {"replayed_count": 1}
            assert (await rest.get("/webhooks/erp/dead-letters")).json()["dead_letters"] == []
            assert (await rest.get("/webhooks/other/dead-letters")).status_code == 404
            assert (await rest.delete("/webhooks/erp")).status_code == 200
            assert (await rest.delete("/webhooks/erp")).status_code == 404
    assert not [one for one in (secret, rotated["secret"]) if one[6:] in json.dumps(logs, default=str)]
