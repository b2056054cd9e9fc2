import contextlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from pantree.catalog.v1 import catalog_pb2
from pantree.enrichment.v1 import enrichment_service_pb2 as messages
from pantree.enrichment.v1 import enrichment_service_pb2_grpc as rpc
from pantree_enrichment.__main__ import build
from pantree_enrichment.settings import EnrichmentSettings
from pantree_runtime.errors import InvalidInput
from pantree_runtime.settings import PartSettings, environment_variables
from pantree_runtime.status import translate_rpc_errors
from tests.enrichment.nim_stub import entry, items_of
from tests.loopback import loopback

README = Path(__file__).parents[2] / "services" / "enrichment" / "README.md"


def by_rules() -> EnrichmentSettings:
    return EnrichmentSettings(nim_endpoint="", nim_api_key=SecretStr(""), redis_url=SecretStr(""))


def on_nim(endpoint: str, **changes: Any) -> EnrichmentSettings:
    return EnrichmentSettings(
        nim_endpoint=endpoint, nim_api_key=SecretStr("not-a-real-key"), redis_url=SecretStr(""), **changes
    )


def request(*names: str) -> messages.EnrichItemsRequest:
    return messages.EnrichItemsRequest(items=[messages.ItemToEnrich(name=name) for name in names])


async def enrich(
    enrich_request: messages.EnrichItemsRequest, settings: EnrichmentSettings | None = None
) -> dict[int, messages.EnrichedItem]:
    async with loopback(await build(settings or by_rules())) as channel:
        with translate_rpc_errors("enrichment"):
            stream = rpc.EnrichmentServiceStub(channel).EnrichItems(enrich_request)
            return {response.item_index: response.item async for response in stream}


@contextlib.contextmanager
def nim_server(reply_status: int = 200) -> Iterator[str]:
    """Address of a server of the chat API that answers about all items."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            items = items_of(call)
            content = json.dumps({"items": [entry(item) for item in items]})
            body = json.dumps({"choices": [{"message": {"content": content}}]}).encode()
            self.send_response(reply_status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Logs nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


async def test_items_are_enriched_by_the_catalog() -> None:
    items = await enrich(request("OG BNLS CHKN BRST 2LB", "Milk", "Bananas", "Zorblax"))
    assert {position: item.category for position, item in items.items()} == {
        0: "protein",
        1: "dairy",
        2: "produce",
        3: "other",
    }
    chicken, bananas, unknown = items[0], items[2], items[3]
    assert chicken.name == "OG BNLS CHKN BRST 2LB"
    assert chicken.normalized_name == "organic boneless chicken breast"
    assert bananas.perishability == catalog_pb2.PERISHABILITY_DAYS
    assert (bananas.certainty_ratio, bananas.source, bananas.fallback_reason) == (1.0, "rules", "")
    assert {related.relation for related in bananas.related_items} == {
        catalog_pb2.RELATION_COMPLEMENT,
        catalog_pb2.RELATION_SUBSTITUTE,
    }
    assert unknown.perishability == catalog_pb2.PERISHABILITY_UNSPECIFIED
    assert unknown.suggested_interval_days == 0
    assert bananas.suggested_interval_reason.code == "known_item"
    assert not unknown.HasField("suggested_interval_reason")


async def test_thousand_items_get_a_thousand_answers() -> None:
    assert sorted(await enrich(request(*(f"Soup {number}" for number in range(1_000))))) == list(range(1_000))


async def test_every_wrong_field_is_named() -> None:
    invalid = request("Milk", " ", "x" * 201, "a\x00b")
    invalid.items[0].category = "y" * 201
    with pytest.raises(InvalidInput) as raised:
        await enrich(invalid)
    assert {violation.field for violation in raised.value.violations} == {
        "items[0].category",
        "items[1].name",
        "items[2].name",
        "items[3].name",
    }


@pytest.mark.parametrize("count", [0, 1_001])
async def test_wrong_number_of_items_is_rejected(count: int) -> None:
    with pytest.raises(InvalidInput, match="must have 1 to 1,000 elements"):
        await enrich(request(*["Milk"] * count))


async def test_language_model_answers_when_it_is_configured() -> None:
    with nim_server() as address:
        items = await enrich(request("Zorblax 12OZ", "Milk"), on_nim(address))
    assert (items[0].name, items[0].normalized_name) == ("Zorblax 12OZ", "zorblax")
    assert (items[0].source, items[0].category, items[0].suggested_interval_days) == ("nim", "snacks", 21)
    assert [related.name for related in items[0].related_items] == ["Milk"]
    assert items[0].suggested_interval_reason.code == "used_now_and_then"
    assert items[0].suggested_interval_reason.text == "it is used now and then"
    assert items[0].sources == messages.FactSources(
        category="nim", perishability="nim", suggested_interval="nim", related_items="nim"
    )
    assert items[1].sources.perishability == "rules"
    assert (items[1].source, items[1].category) == ("rules", "dairy")


async def test_rules_answer_and_say_why_when_the_language_model_fails() -> None:
    with nim_server(reply_status=503) as address:
        items = await enrich(request("Milk", "Zorblax"), on_nim(address))
    assert items[0].category == "dairy"
    assert {item.source for item in items.values()} == {"rules"}
    assert [items[index].fallback_reason for index in range(2)] == ["", "the language model is unavailable"]


async def test_rules_answer_when_the_language_model_cannot_be_reached() -> None:
    with nim_server() as address:
        pass
    items = await enrich(request("Wibble"), on_nim(address))
    assert items[0].category == "other"
    assert items[0].fallback_reason == "the language model is unavailable"


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("", ""),
        (" ", ""),
        ("localhost:8001", "http://localhost:8001"),
        ("nim", "http://nim"),
        ("http://localhost:8001/", "http://localhost:8001"),
        ("https://nim.example.com/v1/", "https://nim.example.com"),
        ("https://example.com/nim", "https://example.com/nim"),
    ],
)
def test_endpoint_may_lack_a_scheme(endpoint: str, url: str) -> None:
    assert on_nim(endpoint).nim_endpoint == url


@pytest.mark.parametrize("endpoint", ["ftp://nim", "http://", "localhost:port", "http://nim:99999"])
def test_endpoint_that_is_not_an_address_is_rejected(endpoint: str) -> None:
    with pytest.raises(ValidationError, match="must be an address such as"):
        on_nim(endpoint)


def test_readme_lists_every_setting() -> None:
    listed = set(re.findall(r"^\| `([A-Z_]+)`", README.read_text(encoding="utf-8"), re.MULTILINE))
    shared = set(environment_variables(PartSettings))
    assert listed == set(environment_variables(EnrichmentSettings)) - shared
