"""`pantree webhooks`: where the events of subscriptions are sent."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

import typer

from pantree.subscription.v1 import webhook_service_pb2 as messages
from pantree.subscription.v1 import webhook_service_pb2_grpc as rpc
from pantree_cli.customer import HistoryAddress, Tenant
from pantree_cli.help import examples
from pantree_cli.options import AsJson, Certificates
from pantree_cli.output import console
from pantree_cli.subscriptions import Service, keep_ids_whole, print_json, print_text, table_of
from pantree_client.webhooks import NewSecret, to_dead_letter, to_new_secret, to_webhook, to_webhook_test

_PAGE_SIZE = 100
_INSTANTS = ["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d"]

WebhookId = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Id of the webhook.")]

webhooks_app = typer.Typer(
    help="Send the events of subscriptions to a URL of the shop.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=examples("pantree webhooks create https://erp.shop.example/hook", "pantree webhooks list"),
)


class _WebhookService(Service):
    """Calls the webhook service."""

    stub = rpc.WebhookServiceStub


def _command(name: str, *lines: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return webhooks_app.command(name, epilog=examples(*(f"pantree webhooks {line}" for line in lines)))


@_command("create", "create https://erp.shop.example/hook --id erp")
def create(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where events are sent: https and a public host.")],
    webhook_id: Annotated[
        str, typer.Option("--id", metavar="ID", help="Id of the webhook; by default, one is chosen.")
    ] = "",
    description: Annotated[str, typer.Option(metavar="TEXT", help="What the shop calls it.")] = "",
    tenant: Tenant = "",
    address: HistoryAddress = "",
    certificates: Certificates = None,
) -> None:
    """Create a webhook and print its secret. It is never shown again."""
    request = messages.CreateWebhookRequest(url=url, webhook_id=webhook_id, description=description)
    answer = _WebhookService(tenant, address, certificates).call("CreateWebhook", request)
    _print_secret(to_new_secret(answer))


@_command("list", "list")
def list_webhooks(
    as_json: AsJson = False, tenant: Tenant = "", address: HistoryAddress = "", certificates: Certificates = None
) -> None:
    """List the webhooks with what they have not sent."""
    request = messages.ListWebhooksRequest(page_size=_PAGE_SIZE)
    found = _WebhookService(tenant, address, certificates).pages("ListWebhooks", request, "webhooks")
    if as_json:
        print_json(found)
        return
    if not found:
        print_text("There are no webhooks.")
        return
    table = table_of("Webhook", "URL", "Waiting", "Since", "Dead letters")
    for one in map(to_webhook, found):
        counts = (str(one.waiting_count), one.waiting_since[:19], str(one.dead_letter_count))
        table.add_row(one.webhook_id, one.url, *counts)
    console.print(keep_ids_whole(table, 0))


@_command("delete", "delete erp")
def delete(
    webhook_id: WebhookId, tenant: Tenant = "", address: HistoryAddress = "", certificates: Certificates = None
) -> None:
    """Delete a webhook, and forget what it has not sent."""
    request = messages.DeleteWebhookRequest(webhook_id=webhook_id)
    _WebhookService(tenant, address, certificates).call("DeleteWebhook", request)
    print_text(f"Webhook {webhook_id} is deleted.")


@_command("test", "test erp")
def send_ping(
    webhook_id: WebhookId, tenant: Tenant = "", address: HistoryAddress = "", certificates: Certificates = None
) -> None:
    """Send a ping and print what the receiver answered. Fails if it was not delivered."""
    request = messages.TestWebhookRequest(webhook_id=webhook_id)
    answer = to_webhook_test(_WebhookService(tenant, address, certificates).call("TestWebhook", request))
    if answer.delivered:
        print_text(f"Delivered: status {answer.status_code} after {answer.latency_ms} ms.")
        return
    print_text(f"Not delivered after {answer.latency_ms} ms: {answer.error}.")
    raise typer.Exit(1)


@_command("rotate", "rotate erp", "rotate erp --overlap-hours 1")
def rotate(
    webhook_id: WebhookId,
    overlap_hours: Annotated[float, typer.Option(metavar="N", help="How long earlier secrets still sign.")] = 24.0,
    tenant: Tenant = "",
    address: HistoryAddress = "",
    certificates: Certificates = None,
) -> None:
    """Add a secret, and print it; it is never shown again."""
    request = messages.RotateWebhookSecretRequest(webhook_id=webhook_id, overlap_seconds=round(overlap_hours * 3600))
    answer = _WebhookService(tenant, address, certificates).call("RotateWebhookSecret", request)
    _print_secret(to_new_secret(answer))


@_command("replay", "replay erp", "replay erp --since 2026-11-01T00:00:00Z")
def replay(
    webhook_id: WebhookId,
    since: Annotated[
        datetime | None,
        typer.Option(metavar="TIME", help="Send all events again since then.", formats=_INSTANTS),
    ] = None,
    subscription: Annotated[str, typer.Option(metavar="ID", help="Only of this subscription.")] = "",
    tenant: Tenant = "",
    address: HistoryAddress = "",
    certificates: Certificates = None,
) -> None:
    """Send events again. By default, those that wait behind dead letters. A time without an offset is local."""
    text = "" if since is None else since.astimezone().isoformat()
    request = messages.ReplayWebhookRequest(webhook_id=webhook_id, since=text, subscription_id=subscription)
    answer = _WebhookService(tenant, address, certificates).call("ReplayWebhook", request)
    print_text(f"To send: {answer.replayed_count:,} subscriptions and erasures.")


@_command("dead-letters", "dead-letters erp")
def dead_letters(
    webhook_id: WebhookId,
    as_json: AsJson = False,
    tenant: Tenant = "",
    address: HistoryAddress = "",
    certificates: Certificates = None,
) -> None:
    """List the events that were refused too often. Their subscriptions wait behind them."""
    request = messages.ListDeadLettersRequest(webhook_id=webhook_id, page_size=_PAGE_SIZE)
    found = _WebhookService(tenant, address, certificates).pages("ListDeadLetters", request, "dead_letters")
    if as_json:
        print_json(found)
        return
    if not found:
        print_text("There are no dead letters.")
        return
    table = table_of("Subscription", "Event", "Waiting", "Error", "Failed at")
    for one in map(to_dead_letter, found):
        name = one.subscription_id or f"erasure of {one.customer_id}"
        table.add_row(name, str(one.number or ""), str(one.waiting_count), one.error, one.failed_at[:19])
    console.print(keep_ids_whole(table, 0))


def _print_secret(created: NewSecret) -> None:
    print_text(f"Webhook {created.webhook.webhook_id}: {created.webhook.url}")
    print_text(f"Secret: {created.secret}")
    print_text("Keep it: it verifies the signatures, and is never shown again.")
