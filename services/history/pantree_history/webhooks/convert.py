"""Messages of the webhook service ↔ core types, and the data of events."""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from pantree.subscription.v1 import webhook_service_pb2 as messages
from pantree_history.core.subscriptions.keeper import View
from pantree_history.core.subscriptions.model import RecordedEvent
from pantree_history.core.webhooks.events import ERASED, Content
from pantree_history.core.webhooks.keeper import Created
from pantree_history.core.webhooks.model import DeadLetter, Kind, Secret, WebhookStatus
from pantree_history.core.webhooks.sending import Answer
from pantree_history.subscriptions.convert import event_message, subscription_message
from pantree_history.texts import page_token, read_instant, read_page_token, time_text

_DEFAULT_OVERLAP_SECONDS = 86_400
_MAX_COUNT = 2**31 - 1


def overlap_of(request: messages.RotateWebhookSecretRequest) -> int:
    return request.overlap_seconds if request.HasField("overlap_seconds") else _DEFAULT_OVERLAP_SECONDS


def since_of(request: messages.ReplayWebhookRequest) -> int | None:
    return read_instant(request.since) if request.since else None


def letter_after(token: str) -> tuple[str, str]:
    if not token:
        return "", ""
    kind, subject_id = read_page_token(token, (str, str))
    return str(kind), str(subject_id)


def webhook_message(status: WebhookStatus) -> messages.Webhook:
    webhook, backlog = status
    return messages.Webhook(
        webhook_id=webhook.webhook_id,
        url=webhook.url,
        description=webhook.description,
        created_at=time_text(webhook.created_at),
        secrets=list(map(_secret_message, webhook.secrets)),
        waiting_count=min(backlog.waiting, _MAX_COUNT),
        waiting_since=time_text(backlog.waiting_since) if backlog.waiting else "",
        dead_letter_count=min(backlog.dead, _MAX_COUNT),
    )


def create_response(created: Created) -> messages.CreateWebhookResponse:
    return messages.CreateWebhookResponse(webhook=webhook_message(created.status), secret=created.secret)


def rotate_response(created: Created) -> messages.RotateWebhookSecretResponse:
    return messages.RotateWebhookSecretResponse(webhook=webhook_message(created.status), secret=created.secret)


def webhooks_page(found: Sequence[WebhookStatus], size: int) -> messages.ListWebhooksResponse:
    """A page of webhooks, from one more than its size, if there are that many."""
    more = len(found) > size
    return messages.ListWebhooksResponse(
        webhooks=list(map(webhook_message, found[:size])),
        next_page_token=page_token(found[size - 1].webhook.webhook_id) if more else "",
    )


def test_response(answer: Answer) -> messages.TestWebhookResponse:
    return messages.TestWebhookResponse(
        delivered=not answer.error,
        status_code=answer.status,
        error=answer.error,
        latency_ms=round(answer.seconds * 1000),
    )


def letters_page(found: Sequence[DeadLetter], size: int) -> messages.ListDeadLettersResponse:
    """A page of dead letters, from one more than its size, if there are that many."""
    more = len(found) > size
    return messages.ListDeadLettersResponse(
        dead_letters=list(map(_letter_message, found[:size])),
        next_page_token=page_token(*found[size - 1].cursor[:2]) if more else "",
    )


def event_content(view: View, recorded: RecordedEvent) -> Content:
    """What an event of a subscription says."""
    event = event_message(recorded)
    data = messages.WebhookEventData(
        customer_id=view.subscription.household_id, event=event, subscription=subscription_message(view)
    )
    if data.subscription.HasField("mirror"):
        # It has more than receivers need, such as addresses; the engine has it.
        data.subscription.mirror.ClearField("document")
    return Content(event.type, _json(data))


def erasure_content(household_id: str, erased_at: int) -> Content:
    """What the erasure of a household says."""
    data = messages.ErasureEventData(customer_id=household_id, erased_at=time_text(erased_at))
    return Content(ERASED, _json(data))


def _json(message: Message) -> Mapping[str, Any]:
    # As the gateway's JSON: names of the contract, and values that are empty are there.
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def _secret_message(secret: Secret) -> messages.WebhookSecret:
    return messages.WebhookSecret(
        created_at=time_text(secret.created_at),
        expires_at="" if secret.expires_at is None else time_text(secret.expires_at),
    )


def _letter_message(letter: DeadLetter) -> messages.DeadLetter:
    cursor = letter.cursor
    is_erasure = cursor.kind is Kind.CUSTOMER
    return messages.DeadLetter(
        subscription_id="" if is_erasure else cursor.subject_id,
        customer_id=cursor.subject_id if is_erasure else "",
        number=0 if is_erasure else cursor.delivered + 1,
        waiting_count=1 if is_erasure else cursor.latest - cursor.delivered,
        attempt_count=cursor.attempts,
        error=letter.error,
        failed_at=time_text(letter.failed_at),
    )
