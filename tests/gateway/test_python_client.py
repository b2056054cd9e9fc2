"""The Python client and the command line through a gateway that requires credentials."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec

from pantree_client import FirstPurchase, Item, PantreeClient, Result, SyncPantreeClient, Unauthenticated
from pantree_client.transports import Secret
from pantree_gateway.server import RunningGateway
from tests.gateway.mesh import Mesh

KEY = "key of the shop"
ISSUER, AUDIENCE = "https://issuer.example", "pantree"
PRIVATE_KEY = ec.generate_private_key(ec.SECP256R1())
BASKET = FirstPurchase("cust_001", [Item("Bananas", 1.99)], seed=1)


def token(seconds: int = 24 * 3600) -> str:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "someone", "exp": int(time.time()) + seconds}
    return jwt.encode(claims, PRIVATE_KEY, algorithm="ES256", headers={"kid": "first"})


async def current_token() -> str:
    await asyncio.sleep(0)
    return token()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def keyed_gateway(served_mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningGateway]:
    folder: Path = tmp_path_factory.mktemp("keys")
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    (folder / "keys.json").write_text(json.dumps([{"name": "shop", "sha256": digest}]))
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(PRIVATE_KEY.public_key()))
    (folder / "jwks.json").write_text(json.dumps({"keys": [{**public, "kid": "first", "alg": "ES256", "use": "sig"}]}))
    settings = {
        "api_keys_file": str(folder / "keys.json"),
        "jwt_jwks": str(folder / "jwks.json"),
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
    }
    async with served_mesh.gateway(**settings) as gateway:
        yield gateway


@pytest.mark.parametrize(
    ("api_key", "token"),
    [(KEY, None), (lambda: KEY, None), (None, token()), (None, current_token)],
    ids=["key", "key by a function", "token", "token by an async function"],
)
async def test_credentials_are_sent_with_calls_and_streams(
    keyed_gateway: RunningGateway, api_key: Secret | None, token: Secret | None
) -> None:
    url = f"http://{keyed_gateway.address}"
    async with PantreeClient(url, api_key=api_key, token=token) as client:
        assert (await client.process(BASKET)).customer_id == "cust_001"
        events = [event async for event in client.stream(BASKET)]
        assert isinstance(events[-1], Result)
        assert (await client.config()).default_archetype == "health_conscious"


@pytest.mark.parametrize("api_key", [None, "another key"])
async def test_missing_and_unknown_credentials_are_an_error_of_their_own(
    keyed_gateway: RunningGateway, api_key: str | None
) -> None:
    async with PantreeClient(f"http://{keyed_gateway.address}", api_key=api_key) as client:
        with pytest.raises(Unauthenticated) as raised:
            await client.process(BASKET)
        assert raised.value.reason == "UNAUTHENTICATED"
        with pytest.raises(Unauthenticated):
            [event async for event in client.stream(BASKET)]


async def test_blocking_client_sends_credentials(keyed_gateway: RunningGateway) -> None:
    def call() -> str:
        with SyncPantreeClient(f"http://{keyed_gateway.address}", api_key=KEY) as client:
            return client.process(BASKET).customer_id

    assert await asyncio.to_thread(call) == "cust_001"


async def test_expired_token_is_refused_and_the_next_one_is_used(keyed_gateway: RunningGateway) -> None:
    tokens = [token(-600), token()]
    async with PantreeClient(f"http://{keyed_gateway.address}", token=lambda: tokens.pop(0)) as client:
        with pytest.raises(Unauthenticated, match="expired"):
            await client.process(BASKET)
        assert (await client.process(BASKET)).customer_id == "cust_001"


@pytest.mark.parametrize("how", [["--api-key", KEY], ["--token", token()], []])
async def test_command_line_through_a_keyed_gateway(keyed_gateway: RunningGateway, how: list[str]) -> None:
    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pantree_cli", "process", "-", "--json", "--address",
             f"http://{keyed_gateway.address}", *how],
            input=json.dumps({"customer_id": "cust_001", "items": [{"name": "Bananas", "price": 1.99}]}),
            capture_output=True, text=True, timeout=60, env={**os.environ, "PANTREE_API_KEY": ""},
        )  # fmt: skip

    result = await asyncio.to_thread(run)
    if how:
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["customer_id"] == "cust_001"
    else:
        assert result.returncode == 1
        assert "credentials" in result.stderr
    assert KEY not in result.stderr


def test_credentials_need_a_gateway_and_are_one_of_two() -> None:
    with pytest.raises(ValueError, match="URL of a gateway"):
        PantreeClient("127.0.0.1:50051", api_key=KEY)
    with pytest.raises(ValueError, match="either api_key or token"):
        PantreeClient("http://127.0.0.1:8000", api_key=KEY, token="x")


@pytest.mark.parametrize("customer_id", ["shop/17", "a%2Fb", "käse ☕/?#", "..", "100%"])
async def test_customer_id_of_any_printable_characters(gateway: RunningGateway, customer_id: str) -> None:
    basket = FirstPurchase(customer_id, [Item("Bananas", 1.99)], seed=1)
    async with PantreeClient(f"http://{gateway.address}") as client:
        assert (await client.process(basket)).customer_id == customer_id
        events = [event async for event in client.stream(basket)]
    assert isinstance(events[-1], Result)
    assert events[-1].customer_id == customer_id
