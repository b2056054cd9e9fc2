"""The pipeline with real parts and a language model that crashes, hangs or returns wrong data during a run."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

import pantree_enrichment.__main__ as enrichment
import pantree_frequency.__main__ as frequency
import pantree_pipeline.__main__ as pipeline
import pantree_recommendation.__main__ as recommendation
from pantree.enrichment.v1 import enrichment_service_pb2 as enrichment_messages
from pantree.enrichment.v1 import enrichment_service_pb2_grpc as enrichment_rpc
from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree.pipeline.v1 import pipeline_service_pb2_grpc as rpc
from pantree_client.requests import History, Purchase
from pantree_enrichment.settings import EnrichmentSettings
from pantree_frequency.settings import FrequencySettings
from pantree_pipeline.settings import PipelineSettings
from pantree_recommendation.settings import RecommendationSettings
from pantree_runtime.grpc_types import Context
from pantree_runtime.server import ServiceSpec, running
from tests.enrichment.nim_server import answers, completion, content_about, drops, hangs, lists, nim_at_loopback
from tests.enrichment.nim_stub import entry
from tests.loopback import loopback

# Shorter than the pipeline's own timeouts, so that the request's deadline applies.
SECONDS = 3.0
AS_OF = date(2026, 6, 1)
UNKNOWN = [f"Zorblax {word}" for word in ("Crisps", "Juice", "Soap", "Bread")]
INTERVALS = {"Milk": 7, "Bananas": 9, **dict(zip(UNKNOWN, (14, 21, 28, 7), strict=True))}


def household() -> messages.ProcessInput:
    """A household that buys six items, two of which the catalog knows, each at its own interval."""
    purchases = [
        Purchase(name, AS_OF - timedelta(days=interval_days * ago), price=3.0)
        for name, interval_days in INTERVALS.items()
        for ago in range(8)
    ]
    return History("cust_001", purchases, as_of=AS_OF).message()


@contextlib.asynccontextmanager
async def pipeline_with(enricher: ServiceSpec) -> AsyncIterator["rpc.PipelineServiceAsyncStub"]:
    """The pipeline with real parts and this enrichment service."""
    async with contextlib.AsyncExitStack() as stack:
        addresses = {
            name: (await stack.enter_async_context(running(part))).address
            for name, part in {
                "frequency_address": await frequency.build(FrequencySettings()),
                "recommendation_address": await recommendation.build(
                    # Eight purchases of each item are few, and these tests need recommendations.
                    RecommendationSettings(sagemaker_endpoint="", min_cadence_probability=0.5)
                ),
                "enrichment_address": enricher,
            }.items()
        }
        settings = PipelineSettings(vector_address="", simulation_address="127.0.0.1:1", **addresses)  # type: ignore[arg-type]
        channel = await stack.enter_async_context(loopback(await pipeline.build(settings)))
        yield rpc.PipelineServiceStub(channel)


async def enrichment_with(nim_address: str, **changes: Any) -> ServiceSpec:
    return await enrichment.build(
        EnrichmentSettings(nim_endpoint=nim_address, nim_api_key=SecretStr(""), redis_url=SecretStr(""), **changes)
    )


async def process(stub: "rpc.PipelineServiceAsyncStub") -> messages.ProcessResult:
    """The result; a late one would be DEADLINE_EXCEEDED."""
    return (await stub.Process(messages.ProcessRequest(input=household()), timeout=SECONDS)).result


def intervals(result: messages.ProcessResult) -> dict[str, int]:
    return {item.name: item.subscription.interval_days for item in result.recommendations.recommendations}


def missing(result: messages.ProcessResult) -> list[tuple[str, str]]:
    """Warnings about parts; not those about the history."""
    return [(warning.component, warning.code) for warning in result.warnings if warning.component != "history"]


async def test_working_language_model_enriches_unknown_items() -> None:
    async with nim_at_loopback(answers) as server, pipeline_with(await enrichment_with(server.address)) as stub:
        result = await process(stub)
    assert len(intervals(result)) >= 4
    sources = {related.name: related.source for related in result.recommendations.related}
    assert sources["Zorblax Crisps"] == "nim"
    assert missing(result) == []
    facts = {item.name: list(item.facts) for item in result.model_facts}
    assert facts.keys() == {"Zorblax Crisps"}
    assert facts["Zorblax Crisps"] == ["suggested_interval", "related_items"]


async def test_disagreement_about_one_item_is_no_warning_and_the_others_gain_their_facts() -> None:
    wrong = {"Zorblax Crisps": {"category": "pet", "certainty_ratio": 0.6}}
    purchases = [
        Purchase(name, AS_OF - timedelta(days=interval_days * ago), price=3.0)
        for name, interval_days in {"Zorblax Crisps": 14, "Quuxel": 21, "Frobnitz": 28, "Milk": 7}.items()
        for ago in range(8)
    ]
    model = lists(lambda items: [entry(item, **wrong.get(item["name"], {})) for item in items])
    async with nim_at_loopback(model) as server, pipeline_with(await enrichment_with(server.address)) as stub:
        request = messages.ProcessRequest(input=History("cust_001", purchases, as_of=AS_OF).message())
        result = (await stub.Process(request, timeout=SECONDS)).result
    assert missing(result) == []
    assert {item.name for item in result.model_facts} == {"Quuxel", "Frobnitz"}
    assert "Zorblax Crisps" in intervals(result)


async def test_shoppers_read_what_terse_names_mean_and_nothing_else_that_a_model_writes() -> None:
    said = {
        "HNZ KTCHP": {"category": "pantry", "plain_name": "tomato ketchup"},
        "KRO RDCD FAT MLK": {"category": "dairy", "plain_name": "free milk at evil.example"},
    }
    purchases = [
        Purchase(name, AS_OF - timedelta(days=interval_days * ago), price=3.0)
        for name, interval_days in {"HNZ KTCHP": 21, "KRO RDCD FAT MLK": 7, "WHL MLK": 7, "Bananas": 9}.items()
        for ago in range(8)
    ]
    model = lists(lambda items: [entry(item, **said.get(item["name"], {})) for item in items])
    async with nim_at_loopback(model) as server, pipeline_with(await enrichment_with(server.address)) as stub:
        request = messages.ProcessRequest(input=History("cust_001", purchases, as_of=AS_OF).message())
        result = (await stub.Process(request, timeout=SECONDS)).result
        assert not any("WHL MLK" in str(call) for call in server.calls), "its words are known"
    recommended = {item.name for item in result.recommendations.recommendations}
    assert recommended == {purchase.name for purchase in purchases}
    plain_names = {one.name: (one.plain_name, one.source) for one in result.recommendations.plain_names}
    assert plain_names == {"HNZ KTCHP": ("Tomato ketchup", "nim"), "WHL MLK": ("Whole Milk", "rules")}
    assert "plain_name" in {item.name: item.facts for item in result.model_facts}["HNZ KTCHP"]
    assert "evil" not in str(result)


@pytest.mark.parametrize("behavior", [hangs, drops], ids=["hangs", "drops"])
async def test_answer_is_in_time_when_the_language_model_fails(behavior: Any) -> None:
    async with nim_at_loopback(behavior) as server, pipeline_with(await enrichment_with(server.address)) as stub:
        result = await process(stub)
        assert server.calls
    assert len(intervals(result)) >= 4
    assert missing(result) == [("nim", "FALLBACK")]


async def test_answer_is_in_time_when_the_language_model_is_killed_during_a_run() -> None:
    answered = asyncio.Event()

    async def answers_once(call: dict[str, Any], items: list[dict[str, Any]], writer: asyncio.StreamWriter) -> None:
        if answered.is_set():
            await asyncio.Event().wait()
        writer.write(completion(content_about(items)))
        await writer.drain()
        answered.set()

    async with contextlib.AsyncExitStack() as nim:
        server = await nim.enter_async_context(nim_at_loopback(answers_once))
        async with pipeline_with(await enrichment_with(server.address, nim_batch_size=1, nim_max_calls=1)) as stub:
            request = asyncio.create_task(process(stub))
            await answered.wait()
            await nim.aclose()  # closes every connection and stops listening
            result = await request
            assert len(intervals(result)) >= 4
            assert missing(result) == [("nim", "FALLBACK")]
            assert {related.source for related in result.recommendations.related} <= {"rules", "nim"}

            # From now on no request waits for it.
            again = await process(stub)
            assert intervals(again) == intervals(result)
            assert ("nim", "FALLBACK") in missing(again)


async def test_wrong_data_of_a_language_model_never_shortens_a_cadence() -> None:
    async def daily(call: dict[str, Any], items: list[dict[str, Any]], writer: asyncio.StreamWriter) -> None:
        entries = [entry(item, suggested_interval_days=1, interval_reason="used_daily") for item in items]
        writer.write(completion(json.dumps({"items": entries})))

    async with pipeline_with(await enrichment_with("")) as stub:
        by_rules = await process(stub)
    async with nim_at_loopback(daily) as server, pipeline_with(await enrichment_with(server.address)) as stub:
        result = await process(stub)
    assert intervals(result) == intervals(by_rules)


class HangsAfterItems(enrichment_rpc.EnrichmentServiceServicer):
    """An enrichment service that returns some items and then hangs."""

    def __init__(self, item_count: int) -> None:
        self.item_count = item_count
        self.timeouts: list[float] = []

    async def EnrichItems(
        self, request: enrichment_messages.EnrichItemsRequest, context: Context
    ) -> AsyncIterator[enrichment_messages.EnrichItemsResponse]:
        self.timeouts.append(context.time_remaining())
        for index in range(self.item_count):
            name = request.items[index].name
            yield enrichment_messages.EnrichItemsResponse(
                item_index=index,
                item=enrichment_messages.EnrichedItem(name=name, category="snacks", source="rules"),
            )
        await asyncio.Event().wait()


@pytest.mark.parametrize(("item_count", "code"), [(1, "INCOMPLETE"), (0, "DEADLINE_EXCEEDED")])
async def test_items_that_arrive_in_time_are_used_and_the_rest_is_a_warning(item_count: int, code: str) -> None:
    servicer = HangsAfterItems(item_count)
    part = ServiceSpec(
        name="enrichment",
        services={
            "pantree.enrichment.v1.EnrichmentService": lambda server: (
                enrichment_rpc.add_EnrichmentServiceServicer_to_server(servicer, server)
            )
        },
    )
    async with pipeline_with(part) as stub:
        result = await process(stub)
    assert len(intervals(result)) >= 4
    assert missing(result) == [("enrichment", code)]
    # The stages after enrichment have time left.
    assert servicer.timeouts[0] <= SECONDS / 2
