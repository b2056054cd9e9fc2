"""The served documents, checked against their rules and against real responses."""

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from pantree_gateway.transcoding.asyncapi import asyncapi_document
from pantree_gateway.transcoding.comments import comments_of
from pantree_gateway.transcoding.json_codec import JsonCodec
from pantree_gateway.transcoding.openapi import SchemaCollection
from pantree_gateway.transcoding.upstream import Upstream
from pantree_gateway.transcoding.websocket import websocket_methods
from tests.gateway.mesh import Mesh
from tests.gateway.sample import IMAGE, LIBRARY
from tests.gateway.schemas import assert_is_schema, assert_valid

# There is no contact person.
NO_CONTACT = {"asyncapi-info-contact-properties": "off"}
FOLDER = Path(__file__).parent / "spectral"
SPECTRAL = FOLDER / "node_modules" / ".bin" / "spectral"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def asyncapi(client: httpx.AsyncClient) -> dict[str, Any]:
    document: dict[str, Any] = (await client.get("/asyncapi.json")).json()
    return document


@pytest.mark.skipif(not SPECTRAL.exists(), reason="spectral is not installed: make spectral-install")
@pytest.mark.parametrize("guarded", [False, True])
async def test_spectral_finds_no_problems(guarded: bool, mesh: Mesh, tmp_path: Path) -> None:
    # Most tools do not read the latest AsyncAPI version yet.
    ruleset = {
        "extends": ["spectral:oas", "spectral:asyncapi"],
        "rules": {"asyncapi-latest-version": "off", **NO_CONTACT},
    }
    (tmp_path / "rules.json").write_text(json.dumps(ruleset))
    (tmp_path / "keys.json").write_text(json.dumps([{"name": "shop", "sha256": "0" * 64}]))
    guard = {"api_keys_file": str(tmp_path / "keys.json"), "rate_limit": "600/minute"} if guarded else {}
    async with mesh.client(**guard) as client:
        for document in ("openapi.json", "asyncapi.json"):
            (tmp_path / document).write_text((await client.get(f"/{document}")).text)
    command = [str(SPECTRAL), "lint", "--fail-severity=hint", "--ruleset=rules.json", "openapi.json", "asyncapi.json"]
    linted = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: ASYNC221
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_channel_of_the_contract_is_described(asyncapi: dict[str, Any]) -> None:
    channel = asyncapi["channels"]["StreamProcess"]
    assert channel["address"] == "/ws/stream/{customer_id}"
    assert list(channel["parameters"]) == ["customer_id"]
    assert list(channel["messages"]) == ["request", "error", "started", "monthly_update", "completed"]
    assert asyncapi["servers"]["gateway"] == {"host": "gateway", "protocol": "ws", "description": "This gateway."}
    for schema in asyncapi["components"]["schemas"].values():
        assert_is_schema(schema)


@pytest.mark.parametrize("reference", ["#/channels/", "#/components/"])
def test_references_resolve(reference: str, asyncapi: dict[str, Any]) -> None:
    found = [part.split('"')[0] for part in json.dumps(asyncapi).split(f'"$ref": "{reference}')[1:]]
    assert found
    for path in found:
        value: Any = asyncapi[reference.strip("#/")]
        for key in path.split("/"):
            value = value[key]


@pytest.mark.parametrize(
    ("request_body", "fits"),
    [
        ({"items": [{"name": "Milk", "price": 1.99}]}, True),
        ({"items": [], "id": "a", "customer_id": "cust_001"}, True),
        ({"items": [], "flavor": "red"}, False),
        ({"items": [], "id": []}, False),
    ],
)
def test_request_is_described_with_its_id(request_body: Any, fits: bool, asyncapi: dict[str, Any]) -> None:
    schema = {"$ref": "#/components/schemas/StreamProcessRequest", "components": asyncapi["components"]}
    if fits:
        assert_valid(request_body, schema)
    else:
        with pytest.raises(Exception, match=r"flavor|\[\]"):
            assert_valid(request_body, schema)


def test_document_of_another_contract_needs_no_change() -> None:
    upstream = Upstream(LIBRARY, "library", lambda: pytest.fail("no call is made"))
    schemas = SchemaCollection(comments_of(IMAGE))
    document = asyncapi_document({}, websocket_methods([upstream], JsonCodec()), schemas)
    assert document["channels"]["FollowBook"]["address"] == "/ws/books/{name}"
    assert set(document["components"]["schemas"]) == {"Book", "FollowBookRequest", "Genre", "Problem"}
