"""Rules of the contract that buf does not know."""

import stat
from collections.abc import Iterator
from importlib import resources

import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

from scripts.generate_protos import GEN, PROTOS

# Every file of the contract, with the services whose options the extension above makes readable.
IMAGE = descriptor_pb2.FileDescriptorSet.FromString(resources.files("pantree").joinpath("contract.binpb").read_bytes())
FILES = [file for file in IMAGE.file if file.package.startswith("pantree.")]


SUBSCRIPTION_SERVICE = "pantree.subscription.v1.SubscriptionService"
WEBHOOK_SERVICE = "pantree.subscription.v1.WebhookService"
SUBSCRIPTIONS = "/api/v1/customers/{customer_id}/subscriptions"


def methods() -> Iterator[tuple[str, descriptor_pb2.MethodDescriptorProto]]:
    for file in FILES:
        for service in file.service:
            for method in service.method:
                yield f"{file.package}.{service.name}/{method.name}", method


def routes() -> dict[str, str]:
    found = {}
    for name, method in methods():
        if method.options.HasExtension(annotations_pb2.http):
            rule = method.options.Extensions[annotations_pb2.http]
            kind = rule.WhichOneof("pattern")
            path = rule.custom.path if kind == "custom" else getattr(rule, kind)
            found[f"{rule.custom.kind if kind == 'custom' else kind.upper()} {path}"] = name
    return found


def test_public_routes_are_those_of_the_seed_and_of_what_is_stored() -> None:
    assert routes() == {
        "POST /api/v1/process": "pantree.pipeline.v1.PipelineService/Process",
        "POST /api/v1/plan": "pantree.pipeline.v1.PipelineService/Plan",
        "POST /api/v1/what-if": "pantree.pipeline.v1.PipelineService/GetWhatIf",
        "WEBSOCKET /ws/what-if/{input.customer_id}": "pantree.pipeline.v1.PipelineService/WhatIf",
        "POST /api/v1/next-basket": "pantree.pipeline.v1.PipelineService/NextBasket",
        "WEBSOCKET /ws/stream/{input.customer_id}": "pantree.pipeline.v1.PipelineService/StreamProcess",
        "GET /api/v1/customers/{customer_id}/recommendations": "pantree.pipeline.v1.PipelineService/GetRecommendations",
        "GET /api/v1/customers/{customer_id}/next-basket": "pantree.pipeline.v1.PipelineService/GetNextBasket",
        "DELETE /api/v1/customers/{customer_id}": "pantree.pipeline.v1.PipelineService/EraseCustomer",
        "POST /api/v1/customers/{customer_id}/purchases": "pantree.history.v1.HistoryService/AppendPurchases",
        "GET /api/v1/customers/{customer_id}/purchases": "pantree.history.v1.HistoryService/ListPurchases",
        "POST /api/v1/customers/{customer_id}/purchases:correct": "pantree.history.v1.HistoryService/CorrectPurchases",
        "POST /api/v1/customers/{customer_id}:merge": "pantree.history.v1.HistoryService/MergeCustomers",
        "GET /api/v1/customers/{customer_id}/export": "pantree.history.v1.HistoryService/ExportCustomer",
        "POST /api/v1/customers/{customer_id}/offers": f"{SUBSCRIPTION_SERVICE}/CreateOffer",
        "GET /api/v1/customers/{customer_id}/offers": f"{SUBSCRIPTION_SERVICE}/ListOffers",
        f"POST {SUBSCRIPTIONS}": f"{SUBSCRIPTION_SERVICE}/CreateSubscription",
        f"GET {SUBSCRIPTIONS}": f"{SUBSCRIPTION_SERVICE}/ListSubscriptions",
        f"GET {SUBSCRIPTIONS}:review": "pantree.pipeline.v1.PipelineService/ReviewSubscriptions",
        f"GET {SUBSCRIPTIONS}/{{subscription_id}}": f"{SUBSCRIPTION_SERVICE}/GetSubscription",
        f"POST {SUBSCRIPTIONS}/{{subscription_id}}:change": f"{SUBSCRIPTION_SERVICE}/ChangeSubscription",
        f"POST {SUBSCRIPTIONS}:pause": f"{SUBSCRIPTION_SERVICE}/PauseSubscriptions",
        f"POST {SUBSCRIPTIONS}:resume": f"{SUBSCRIPTION_SERVICE}/ResumeSubscriptions",
        "GET /api/v1/test-clock": f"{SUBSCRIPTION_SERVICE}/GetTestClock",
        "POST /api/v1/test-clock:advance": f"{SUBSCRIPTION_SERVICE}/AdvanceTestClock",
        f"POST {SUBSCRIPTIONS}/{{subscription_id}}:record": f"{SUBSCRIPTION_SERVICE}/RecordDelivery",
        f"GET {SUBSCRIPTIONS}/{{subscription_id}}/deliveries": f"{SUBSCRIPTION_SERVICE}/ListDeliveries",
        f"GET {SUBSCRIPTIONS}/{{subscription_id}}/events": f"{SUBSCRIPTION_SERVICE}/ListEvents",
        "POST /api/v1/webhooks": f"{WEBHOOK_SERVICE}/CreateWebhook",
        "GET /api/v1/webhooks": f"{WEBHOOK_SERVICE}/ListWebhooks",
        "DELETE /api/v1/webhooks/{webhook_id}": f"{WEBHOOK_SERVICE}/DeleteWebhook",
        "POST /api/v1/webhooks/{webhook_id}:test": f"{WEBHOOK_SERVICE}/TestWebhook",
        "POST /api/v1/webhooks/{webhook_id}:rotate": f"{WEBHOOK_SERVICE}/RotateWebhookSecret",
        "POST /api/v1/webhooks/{webhook_id}:replay": f"{WEBHOOK_SERVICE}/ReplayWebhook",
        "GET /api/v1/webhooks/{webhook_id}/dead-letters": f"{WEBHOOK_SERVICE}/ListDeadLetters",
        "GET /api/v1/config": "pantree.pipeline.v1.PipelineService/GetConfig",
        "GET /api/v1/status": "pantree.pipeline.v1.PipelineService/GetStatus",
        "GET /api/v1/models": "pantree.pipeline.v1.PipelineService/GetModels",
        "GET /api/v1/catalog/items": "pantree.simulation.v1.SimulationService/ListCatalogItems",
        "GET /api/v1/archetypes": "pantree.simulation.v1.SimulationService/ListArchetypes",
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_comments_open_with_the_name_they_describe(file: descriptor_pb2.FileDescriptorProto) -> None:
    strangers = [
        f"{name}: {comment!r}"
        for path, comment in comments(file).items()
        if not comment.startswith(((name := name_at(file, path)) + " ", name + ","))
    ]
    assert not strangers


def comments(file: descriptor_pb2.FileDescriptorProto) -> dict[tuple[int, ...], str]:
    return {
        tuple(location.path): location.leading_comments.strip()
        for location in file.source_code_info.location
        if location.leading_comments and len(location.path) > 1  # a comment on the file itself has no name to open with
    }


def name_at(file: descriptor_pb2.FileDescriptorProto, path: tuple[int, ...]) -> str:
    """Name of whatever stands at a path of a file descriptor."""
    place: object = file
    for number, index in zip(path[::2], path[1::2], strict=True):
        field = place.DESCRIPTOR.fields_by_number[number]  # type: ignore[attr-defined]
        place = getattr(place, field.name)[index]
    return str(place.name)  # type: ignore[attr-defined]


def test_money_and_counts_are_numbers_in_json() -> None:
    """64-bit integers are strings in JSON; messages that the gateway shows have none."""
    shown = {"pantree.pipeline.v1", "pantree.recommendation.v1", "pantree.simulation.v1", "pantree.purchase.v1"}
    wide = {
        descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
        descriptor_pb2.FieldDescriptorProto.TYPE_UINT64,
    }
    fields = [
        f"{message.name}.{field.name}"
        for file in FILES
        if file.package in shown
        for message in file.message_type
        for field in message.field
        if field.type in wide
    ]
    assert not fields


def test_generated_code_is_as_open_to_others_as_the_protos() -> None:
    """Parts run as users who do not own the checkout."""
    generated, protos = (GEN / "pantree").stat().st_mode, PROTOS.stat().st_mode
    assert stat.S_IMODE(generated) == stat.S_IMODE(protos)
