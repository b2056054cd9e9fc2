import base64
import contextlib
import functools
import hashlib
import http.server
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import ValidationError
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from pantree.history.v1 import history_service_pb2
from pantree.subscription.v1 import subscription_service_pb2, webhook_service_pb2
from pantree_gateway.access import Authenticator, TokenRules, read_api_keys
from pantree_gateway.app import SHOP_METHODS, create_app
from pantree_gateway.settings import GatewaySettings, is_loopback
from tests.gateway.mesh import Mesh
from tests.gateway.schemas import checked

_HISTORY = history_service_pb2.DESCRIPTOR.services_by_name["HistoryService"]
_WEBHOOK = webhook_service_pb2.DESCRIPTOR.services_by_name["WebhookService"]
_SUBSCRIPTION = subscription_service_pb2.DESCRIPTOR.services_by_name["SubscriptionService"]
ISSUER, AUDIENCE = "https://issuer.example", "pantree"
PRIVATE_KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())


def key_set(key: ec.EllipticCurvePrivateKey = PRIVATE_KEY) -> str:
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    return json.dumps({"keys": [{**public, "kid": "first", "alg": "ES256", "use": "sig"}]})


def token(key: Any = PRIVATE_KEY, algorithm: str = "ES256", kid: str = "first", **claims: Any) -> str:
    known = {"iss": ISSUER, "aud": AUDIENCE, "sub": "someone", "exp": int(time.time()) + 60, **claims}
    given = {name: value for name, value in known.items() if value is not None}
    return jwt.encode(given, key, algorithm=algorithm, headers={"kid": kid})


def entry(name: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "sha256": hashlib.sha256(f"key of {name}".encode()).hexdigest(), **changes}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder: Path = tmp_path_factory.mktemp("access")
    (folder / "jwks.json").write_text(key_set())
    entries = [
        entry("shop", tenant="north", scopes=["pipeline"]),
        entry("reader", scopes=["simulation"]),
        entry("slow", rate_limit="1/hour"),
    ]
    (folder / "keys.json").write_text(json.dumps(entries))
    return {
        "api_keys_file": str(folder / "keys.json"),
        "jwt_jwks": str(folder / "jwks.json"),
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(served_mesh: Mesh, files: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    async with served_mesh.client(**files) as client:
        yield client


async def test_authentication_is_off_by_default(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/v1/config")).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/live", "/ready", "/health", "/metrics", "/docs", "/openapi.json", "/asyncapi.json"]
)
async def test_probes_and_documents_are_open(path: str, guarded: httpx.AsyncClient, mesh: Mesh) -> None:
    assert (await guarded.get(path)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": "wrong"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic c2hvcDprZXk="},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer a.b.c"},
    ],
)
async def test_request_without_valid_credentials_is_401(
    headers: dict[str, str], mesh: Mesh, guarded: httpx.AsyncClient
) -> None:
    response = await guarded.get("/api/v1/config", headers=headers)
    assert (response.status_code, response.json()["code"]) == (401, "UNAUTHENTICATED")
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("headers", [{"X-API-Key": "key of shop"}, {"Authorization": "bearer key of shop"}])
async def test_key_authenticates_and_sets_the_tenant(
    headers: dict[str, str], mesh: Mesh, guarded: httpx.AsyncClient
) -> None:
    spoofed = {**headers, "X-Pantree-Tenant": "south"}
    assert (await guarded.post("/api/v1/process", json={"customer_id": "a"}, headers=spoofed)).status_code == 200
    assert mesh.pipeline.metadata["x-pantree-tenant"] == "north"


async def test_key_without_the_scope_is_403(mesh: Mesh, guarded: httpx.AsyncClient) -> None:
    headers = {"X-API-Key": "key of reader"}
    response = await guarded.get("/api/v1/config", headers=headers)
    assert (response.status_code, response.json()["code"]) == (403, "PERMISSION_DENIED")
    assert "pipeline" in response.json()["detail"]
    assert (await guarded.get("/api/v1/archetypes", headers=headers)).status_code == 200


async def test_key_can_have_its_own_rate_limit(mesh: Mesh, guarded: httpx.AsyncClient) -> None:
    headers = {"X-API-Key": "key of slow"}
    assert (await guarded.get("/api/v1/config", headers=headers)).status_code == 200
    assert (await guarded.get("/api/v1/config", headers=headers)).status_code == 429
    assert (await guarded.get("/api/v1/config", headers={"X-API-Key": "key of shop"})).status_code == 200


async def test_token_authenticates_with_its_scopes_and_tenant(mesh: Mesh, guarded: httpx.AsyncClient) -> None:
    bearer = {"Authorization": f"Bearer {token(scope='pipeline other', tenant='west')}"}
    assert (await guarded.post("/api/v1/process", json={"customer_id": "a"}, headers=bearer)).status_code == 200
    assert mesh.pipeline.metadata["x-pantree-tenant"] == "west"
    assert (await guarded.get("/api/v1/archetypes", headers=bearer)).status_code == 403


@pytest.mark.parametrize(
    "route",
    [
        "purchases",
        "purchases:correct",
        "offers",
        "subscriptions/s-1:record",
        "subscriptions/s-1:change",
        "subscriptions",
    ],
)
async def test_token_for_one_customer_does_not_speak_for_the_shop(
    route: str, mesh: Mesh, guarded: httpx.AsyncClient
) -> None:
    async def post(**claims: Any) -> httpx.Response:
        bearer = {"Authorization": f"Bearer {token(**claims)}"}
        return await guarded.post(f"/api/v1/customers/ada/{route}", json={}, headers=bearer)

    refused = await post(customer_id="ada")
    is_for_shop = route.endswith((":change", "subscriptions")) is False
    # The history part is disabled here, which only callers who pass the check learn.
    assert refused.status_code == (403 if is_for_shop else 503), refused.text
    assert ("for the shop" in refused.json()["detail"]) == is_for_shop
    assert (await post(customer_id="ada", scope="history shop")).status_code == 503
    assert (await post(scope="history")).status_code == 503


async def test_token_for_one_customer_does_not_move_the_clock_of_all(mesh: Mesh, guarded: httpx.AsyncClient) -> None:
    bearer = {"Authorization": f"Bearer {token(customer_id='ada')}"}
    body = {"now": "2027-01-31"}
    refused = await guarded.post("/api/v1/test-clock:advance", json=body, headers=bearer)
    assert (refused.status_code, refused.json()["code"]) == (403, "PERMISSION_DENIED")
    assert (await guarded.get("/api/v1/test-clock", headers=bearer)).status_code == 403


def test_methods_for_the_shop_are_in_the_contract() -> None:
    names = {method.name for service in (_HISTORY, _SUBSCRIPTION, _WEBHOOK) for method in service.methods}
    assert names > SHOP_METHODS


async def test_token_with_null_as_tenant_has_no_tenant(files: dict[str, str]) -> None:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "someone", "exp": 2**33, "tenant": None}
    bearer = jwt.encode(claims, PRIVATE_KEY, algorithm="ES256", headers={"kid": "first"})
    authenticator = Authenticator({}, TokenRules(ISSUER, AUDIENCE, files["jwt_jwks"]))
    caller = await authenticator.authenticate({"headers": [(b"authorization", f"Bearer {bearer}".encode())]})
    assert caller.tenant == ""


def confused_token() -> str:
    """A token signed with the public key as if it were a shared secret."""
    head, claims = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "HS256", "kid": "first"}, {"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "exp": 2**33})
    )
    return f"{head}.{claims}.{base64.urlsafe_b64encode(b'x' * 32).rstrip(b'=').decode()}"


@pytest.mark.parametrize(
    "wrong",
    [
        token(exp=int(time.time()) - 3600),
        token(nbf=int(time.time()) + 3600),
        token(iss="https://other.example"),
        token(aud="other"),
        token(exp=None),
        token(sub=None),
        token(OTHER_KEY),
        token(kid="second"),
        token(rsa.generate_private_key(65537, 2048), "RS256"),
        token(tenant="north\nwest"),
        token(scope=5),
        jwt.encode({"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "exp": 2**33}, "", algorithm="none"),
        confused_token(),
    ],
)
async def test_invalid_token_is_401(wrong: str, mesh: Mesh, guarded: httpx.AsyncClient) -> None:
    response = await guarded.get("/api/v1/config", headers={"Authorization": f"Bearer {wrong}"})
    assert response.status_code == 401
    assert wrong not in response.text


@contextlib.contextmanager
def web_server(folder: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_keys_of_the_issuer_are_fetched_from_its_url(tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_text(key_set())
    scope = {"headers": [(b"authorization", f"Bearer {token()}".encode())]}
    with web_server(tmp_path) as url:
        authenticator = Authenticator({}, TokenRules(ISSUER, AUDIENCE, f"{url}/jwks.json"))
        caller = await authenticator.authenticate(scope)
    assert (caller.name, caller.scopes) == ("someone", frozenset({"*"}))


async def test_unavailable_issuer_is_503(mesh: Mesh, files: dict[str, str]) -> None:
    async with mesh.client(**{**files, "jwt_jwks": "http://127.0.0.1:1/jwks.json"}) as client:
        response = await client.get("/api/v1/config", headers={"Authorization": f"Bearer {token()}"})
    assert (response.status_code, response.json()["component"]) == (503, "token issuer")


async def test_websocket_without_credentials_is_closed_with_4401(mesh: Mesh, files: dict[str, str]) -> None:
    async with mesh.gateway(**files) as gateway, connect(f"ws://{gateway.address}/ws/stream/a") as websocket:
        frame = checked(json.loads(await websocket.recv()))
        await websocket.wait_closed()
    assert frame["problem"]["status"] == 401
    assert websocket.close_code == 4401
    assert not mesh.pipeline.requests


async def test_websocket_without_the_scope_is_closed_with_4401(mesh: Mesh, files: dict[str, str]) -> None:
    async with (
        mesh.gateway(**files) as gateway,
        connect(f"ws://{gateway.address}/ws/stream/a", additional_headers={"X-API-Key": "key of reader"}) as websocket,
    ):
        await websocket.send("{}")
        assert checked(json.loads(await websocket.recv()))["problem"]["status"] == 403
        await websocket.wait_closed()
    assert websocket.close_code == 4401


async def test_browser_sends_its_token_as_a_subprotocol(mesh: Mesh, files: dict[str, str]) -> None:
    offered = [Subprotocol("pantree"), Subprotocol(f"bearer.{token()}")]
    async with (
        mesh.gateway(**files) as gateway,
        connect(f"ws://{gateway.address}/ws/stream/a", subprotocols=offered) as websocket,
    ):
        assert websocket.subprotocol == "pantree"
        await websocket.send('{"items": []}')
        assert checked(json.loads(await websocket.recv()))["type"] == "started"


async def test_log_has_no_key(guarded: httpx.AsyncClient, mesh: Mesh) -> None:
    with capture_logs() as events:
        await guarded.get("/api/v1/config", headers={"X-API-Key": "key of nobody"})
        await guarded.get("/api/v1/config", headers={"X-API-Key": "key of shop"})
    assert "key of" not in str(events)


@pytest.mark.parametrize(
    ("host", "warned"),
    [("127.0.0.1", False), ("localhost", False), ("[::1]", False), ("0.0.0.0", True), ("10.0.0.1", True)],
)
def test_public_address_without_authentication_must_be_chosen_and_is_logged(host: str, warned: bool) -> None:
    assert is_loopback(host) is not warned
    if warned:
        with pytest.raises(ValidationError, match="PANTREE_GATEWAY_OPEN=true"):
            GatewaySettings(host=host)
    with capture_logs() as events:
        create_app(GatewaySettings(host=host, open=True))
    assert [event["log_level"] for event in events] == ["warning"] * warned
    if warned:
        assert "PANTREE_GATEWAY_API_KEYS_FILE" in events[0]["remedy"]


def test_public_address_with_keys_logs_no_warning(files: dict[str, str]) -> None:
    with capture_logs() as events:
        create_app(GatewaySettings(host="0.0.0.0", api_keys_file=files["api_keys_file"]))
    assert not events


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '[{"name": "a"}]',
        '[{"name": "a", "sha256": "x"}]',
        json.dumps([entry("a", rate_limit="often")]),
    ],
)
def test_invalid_key_file_is_rejected(text: str, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(text)
    with pytest.raises(ValueError, match=r"keys\.json"):
        read_api_keys(str(tmp_path / "keys.json"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"keys": []}'])
def test_invalid_key_set_is_rejected(text: str, tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_text(text)
    with pytest.raises(ValueError, match=r"jwks\.json"):
        Authenticator({}, TokenRules(ISSUER, AUDIENCE, str(tmp_path / "jwks.json")))


def test_partial_token_settings_are_rejected() -> None:
    with pytest.raises(ValueError, match="set all or none"):
        GatewaySettings(jwt_issuer=ISSUER)


@pytest.mark.parametrize("changes", [{"rate_limit": "often"}, {"forwarded_headers": "Cookie"}])
def test_invalid_settings_are_rejected(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"cannot be forwarded|600/minute"):
        GatewaySettings(**changes)
