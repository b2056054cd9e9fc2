import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio

from pantree_domain.limits import (
    MAX_BASKET_ITEMS,
    MAX_HISTORY_ROWS,
    MAX_NAME_CHARACTERS,
    MAX_PRICE,
    MAX_QUANTITY,
    MAX_SIMULATION_MONTHS,
)
from pantree_gateway.transcoding.binding import BoundMethod
from pantree_gateway.transcoding.comments import comments_of
from pantree_gateway.transcoding.http_rule import bindings_of
from pantree_gateway.transcoding.json_codec import JsonCodec
from pantree_gateway.transcoding.openapi import SchemaCollection
from tests.gateway.mesh import Mesh
from tests.gateway.sample import IMAGE, LIBRARY, Everything
from tests.gateway.schemas import assert_is_schema, assert_valid

OWN_PATHS = {"/", "/health", "/live", "/ready"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    answer: dict[str, Any] = (await client.get("/openapi.json")).json()
    return answer


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for operation in item.values():
            yield path, operation


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def schema(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Schema with resolvable references."""
    return {"$ref": f"#/components/schemas/{name}", "components": document["components"]}


def test_every_rest_route_of_the_contract_is_described(document: dict[str, Any]) -> None:
    customer = "/api/v1/customers/{customer_id}"
    of_customers = ("recommendations", "next-basket", "purchases", "purchases:correct", "export")
    stored = {customer, f"{customer}:merge", *(f"{customer}/{name}" for name in of_customers)}
    subscriptions = f"{customer}/subscriptions"
    one = f"{subscriptions}/{{subscription_id}}"
    stored |= {f"{customer}/offers", subscriptions, one, f"{one}:change", f"{one}:record", f"{subscriptions}:review"}
    stored |= {f"{one}/deliveries", f"{one}/events"}
    stored |= {f"{subscriptions}:pause", f"{subscriptions}:resume"}
    stored |= {"/api/v1/test-clock", "/api/v1/test-clock:advance"}
    system = ("archetypes", "config", "status", "models", "catalog/items", "purchase-files", "engines/{engine}/events")
    names = ("process", "plan", "what-if", "next-basket", *system)
    original = {f"/api/v1/{name}" for name in names}
    webhook = "/api/v1/webhooks/{webhook_id}"
    webhooks = {"/api/v1/webhooks", webhook, f"{webhook}/dead-letters"}
    webhooks |= {f"{webhook}:{verb}" for verb in ("replay", "rotate", "test")}
    assert original | stored | webhooks | OWN_PATHS == set(document["paths"])


def test_document_is_consistent(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    for reference in references(document):
        name = reference.removeprefix("#/components/schemas/")
        assert name in document["components"]["schemas"]
    for described in document["components"]["schemas"].values():
        assert_is_schema(described)
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    tags = {tag["name"] for tag in document["tags"]}
    for _, operation in operations(document):
        assert operation["summary"]
        assert operation["description"]
        assert set(operation["tags"]) <= tags


def test_problems_are_described_instead_of_the_default_422(document: dict[str, Any]) -> None:
    for path, operation in operations(document):
        assert "422" not in operation["responses"]
        if path not in OWN_PATHS:
            for status in ("400", "503", "504", "default"):
                content = operation["responses"][status]["content"]
                assert content["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}


def test_descriptions_come_from_the_comments_of_the_contract(document: dict[str, Any]) -> None:
    operation = document["paths"]["/api/v1/process"]["post"]
    assert operation["description"] == "Process runs the pipeline and returns its result."
    described = document["components"]["schemas"]["ProcessInput"]
    assert described["description"].startswith("ProcessInput is a household's first purchase")
    for name, described in document["components"]["schemas"].items():
        for field, part in described.get("properties", {}).items():
            assert part.get("description"), f"{name}.{field}"


def test_body_lists_required_fields_and_rejects_unknown_ones(document: dict[str, Any]) -> None:
    operation = document["paths"]["/api/v1/process"]["post"]
    content = operation["requestBody"]["content"]["application/json"]
    assert content["schema"] == {"$ref": "#/components/schemas/ProcessInput"}
    schemas = document["components"]["schemas"]
    assert schemas["ProcessInput"]["required"] == ["customer_id"]
    assert schemas["BasketItem"]["required"] == ["name", "price"]
    assert schemas["BasketItem"]["additionalProperties"] is False
    assert "additionalProperties" not in schemas["ProcessResult"]


async def test_example_matches_its_schema_and_gets_a_response(
    document: dict[str, Any], client: httpx.AsyncClient
) -> None:
    operation = document["paths"]["/api/v1/process"]["post"]
    (example,) = operation["requestBody"]["content"]["application/json"]["examples"].values()
    assert_valid(example["value"], schema(document, "ProcessInput"))
    response = await client.post("/api/v1/process", json=example["value"])
    assert response.status_code == 200
    assert_valid(response.json(), schema(document, "ProcessResult"))


async def test_responses_match_their_schemas(document: dict[str, Any], mesh: Mesh, client: httpx.AsyncClient) -> None:
    for path in ("/api/v1/archetypes", "/api/v1/config", "/health", "/", "/live", "/ready"):
        answer = await client.get(path)
        content = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
        assert_valid(answer.json(), {**content["schema"], "components": document["components"]})


def test_parameters_are_described(document: dict[str, Any]) -> None:
    parameters = document["paths"]["/api/v1/archetypes"]["get"]["parameters"]
    assert [(one["name"], one["in"], one["required"]) for one in parameters] == [
        ("page_size", "query", False),
        ("page_token", "query", False),
    ]
    assert "0 means 50" in parameters[0]["description"]


def test_line_breaks_in_comments_are_removed() -> None:
    comments = comments_of(IMAGE)
    assert comments["pantree_gateway_sample.v1.LibraryService.GetBook"] == "GetBook returns a book, by its name."
    assert comments["pantree_gateway_sample.v1.Genre.GENRE_NOVEL"] == "GENRE_NOVEL is for made-up stories."


def test_schema_of_every_field_type_accepts_the_output_of_the_codec() -> None:
    schemas = SchemaCollection(comments_of(IMAGE))
    method = LIBRARY.methods_by_name["CreateBook"]
    schemas.operation(BoundMethod(method, bindings_of(method)[0], JsonCodec()), {})
    schemas.refer_to(Everything.DESCRIPTOR)
    message = Everything(inner=Everything(), a_genre=1, doubles=[1.5], counts={"a": 1}, chosen_text="x", an_int64=5)
    message.a_timestamp.FromSeconds(5)
    message.a_duration.FromMilliseconds(1500)
    message.a_struct.update({"a": [1, None]})
    message.an_int64_value.value = 5
    message.books[7].name = "Middlemarch"
    document = {"components": {"schemas": schemas.components()}}
    assert_valid(JsonCodec().write(message), schema(document, "Everything"))
    assert document["components"]["schemas"]["Genre"]["enum"][1] == "GENRE_NOVEL"


async def test_document_describes_authentication_and_rate_limit_of_guarded_routes(mesh: Mesh, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps([{"name": "shop", "sha256": "0" * 64}]))
    async with mesh.client(api_keys_file=str(keys), rate_limit="600/minute") as client:
        document = (await client.get("/openapi.json")).json()
        stream = (await client.get("/asyncapi.json")).json()["operations"]["StreamProcess"]
    assert document["components"]["securitySchemes"]["ApiKey"]["name"] == "X-API-Key"
    for path, operation in operations(document):
        schemes = {name for one in operation.get("security", []) for name in one}
        assert schemes == (set() if path in OWN_PATHS else {"ApiKey", "BearerKey"})
        assert (path in OWN_PATHS) == (not {"401", "403", "429"} <= operation["responses"].keys())
    assert [scheme["type"] for scheme in stream["security"]] == ["httpApiKey", "http"]


def test_document_without_authentication_has_no_security_schemes(document: dict[str, Any]) -> None:
    assert "securitySchemes" not in document["components"]
    for _, operation in operations(document):
        assert "security" not in operation
        assert "401" not in operation["responses"]


async def test_bounds_of_the_contract_are_in_both_documents(
    document: dict[str, Any], client: httpx.AsyncClient
) -> None:
    asyncapi = (await client.get("/asyncapi.json")).json()
    for schemas in (document["components"]["schemas"], asyncapi["components"]["schemas"]):
        basket, purchase = schemas["BasketItem"], schemas["Purchase"]["properties"]
        request = schemas.get("ProcessInput") or schemas["StreamProcessRequest"]
        assert request["properties"]["items"]["maxItems"] == MAX_BASKET_ITEMS
        assert request["properties"]["history"]["maxItems"] == MAX_HISTORY_ROWS
        months = request["properties"]["simulation_months"]
        assert (months["minimum"], months["maximum"]) == (1, MAX_SIMULATION_MONTHS)
        name = basket["properties"]["name"]
        assert (name["minLength"], name["maxLength"]) == (1, MAX_NAME_CHARACTERS)
        assert {"name", "price"} <= set(basket["required"])
        assert (purchase["quantity"]["minimum"], purchase["quantity"]["maximum"]) == (1, MAX_QUANTITY)
        assert (purchase["price"]["minimum"], purchase["price"]["maximum"]) == (0, MAX_PRICE)
        assert purchase["date"]["format"] == "date"
