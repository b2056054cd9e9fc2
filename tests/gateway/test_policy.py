"""Hosts, wrong credentials, tokens for one customer, reserved headers, keys over http."""

import json
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from pantree_gateway.access import MAX_FAILURES
from pantree_gateway.settings import GatewaySettings
from pantree_gateway.transcoding.caller import Caller, address_group
from pantree_gateway.transcoding.headers import parse_header_policy
from pantree_gateway.transcoding.problem import ProblemError
from tests.gateway.mesh import Mesh
from tests.gateway.test_access import AUDIENCE, ISSUER, entry, key_set, token


async def test_other_hosts_are_refused_where_hosts_are_set(mesh: Mesh) -> None:
    async with mesh.client(allowed_hosts="*.example.com, gateway") as client:
        codes = [
            (await client.get("/api/v1/config", headers={"Host": host})).status_code
            for host in ("gateway", "gateway:8000", "a.example.com", "example.org", "")
        ]
        assert codes == [200, 200, 200, 400, 400]
        assert (await client.get("/live", headers={"Host": "10.0.0.1"})).status_code == 200


async def test_wrong_keys_of_an_address_are_limited_but_known_ones_work(mesh: Mesh, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(json.dumps([entry("shop"), entry("late")]))
    async with mesh.client(api_keys_file=str(tmp_path / "keys.json")) as client:

        async def status(key: str) -> int:
            return (await client.get("/api/v1/config", headers={"X-API-Key": key})).status_code

        assert await status("key of shop") == 200
        assert [await status(f"guess {number}") for number in range(MAX_FAILURES)] == [401] * MAX_FAILURES
        # Not even checked, or guessing would go on.
        assert await status("key of late") == 429
        assert await status("key of shop") == 200


async def test_token_for_one_customer_names_no_other(mesh: Mesh, tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_text(key_set())
    rules = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_jwks": str(tmp_path / "jwks.json")}
    headers = {"Authorization": f"Bearer {token(customer_id='cust_1')}"}
    async with mesh.client(**rules) as client:
        own = await client.post("/api/v1/process", json={"customer_id": "cust_1"}, headers=headers)
        other = await client.post("/api/v1/process", json={"customer_id": "cust_2"}, headers=headers)
    assert (own.status_code, other.status_code) == (200, 403)


def test_token_that_has_ended_is_refused_on_an_open_socket() -> None:
    Caller("a", expires_at=time.time() + 60).check_not_expired()
    with pytest.raises(ProblemError):
        Caller("a", expires_at=time.time() - 1).check_not_expired()


def test_key_and_token_of_one_name_are_different_callers() -> None:
    identities = {Caller("a", tenant, kind).identity for tenant in ("", "north") for kind in ("key", "token")}
    assert len(identities) == 4


@pytest.mark.parametrize("name", ["x-pantree-tenant", "X-Forwarded-For", "forwarded", "authorization"])
def test_reserved_headers_are_not_forwarded(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be forwarded"):
        parse_header_policy(name)


@pytest.mark.parametrize(
    ("url", "insecure", "is_valid"),
    [
        ("https://issuer.example/keys", False, True),
        ("http://127.0.0.1:9/keys", False, True),
        ("http://issuer.example/keys", False, False),
        ("http://issuer.example/keys", True, True),
    ],
)
def test_keys_of_an_issuer_come_over_https_unless_http_is_allowed(url: str, insecure: bool, is_valid: bool) -> None:
    values = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_jwks": url, "jwt_insecure_jwks": insecure}
    if is_valid:
        GatewaySettings.model_validate(values)
    else:
        with pytest.raises(ValidationError, match="https"):
            GatewaySettings.model_validate(values)


def test_addresses_of_one_network_are_one_caller() -> None:
    assert address_group(("2001:db8::1", 1)) == address_group(("2001:db8::ffff", 2))
    assert address_group(("2001:db8:0:1::1", 1)) != address_group(("2001:db8::1", 1))
    assert address_group(("::ffff:192.0.2.1", 1)) == address_group(("192.0.2.1", 9)) == "192.0.2.1"
