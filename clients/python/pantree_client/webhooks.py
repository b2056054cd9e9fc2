"""Webhooks of a shop: what is known of them, and their dead letters."""

from dataclasses import dataclass
from datetime import datetime

from pantree.subscription.v1 import webhook_service_pb2 as messages
from pantree_client.conversion import value_of


@dataclass(frozen=True)
class WebhookSecret:
    """A secret that requests are signed with; its text is never returned again."""

    created_at: str
    """ISO 8601 in UTC."""
    expires_at: str
    """When it ends because of a newer one, ISO 8601 in UTC; empty if it does not."""


@dataclass(frozen=True)
class Webhook:
    """A URL that gets the events of subscriptions."""

    webhook_id: str
    url: str
    description: str
    created_at: str
    """ISO 8601 in UTC."""
    secrets: tuple[WebhookSecret, ...]
    """Newest first."""
    waiting_count: int
    """Subscriptions and erasures with events that are not sent."""
    waiting_since: str
    """Since when the first of them waits, ISO 8601 in UTC; empty if none waits."""
    dead_letter_count: int


@dataclass(frozen=True)
class NewSecret:
    """A webhook with its new secret."""

    webhook: Webhook
    secret: str
    """`whsec_` and base64: keep it, it is never returned again."""


@dataclass(frozen=True)
class WebhookTest:
    """What a receiver answered to a ping."""

    delivered: bool
    status_code: int
    """HTTP status; 0 if there was no answer."""
    error: str
    """Why it was not delivered; empty if it was."""
    latency_ms: int


@dataclass(frozen=True)
class DeadLetter:
    """An event that the receiver refused too often. Later events of its subscription wait."""

    subscription_id: str
    """Empty for the erasure of a customer."""
    customer_id: str
    """The customer of an erasure; empty for a subscription."""
    number: int
    """Number of the event; 0 for an erasure."""
    waiting_count: int
    """Events that wait, this one included."""
    attempt_count: int
    error: str
    failed_at: str
    """ISO 8601 in UTC."""


def to_webhook(message: messages.Webhook) -> Webhook:
    """Converts a webhook."""
    secrets = tuple(value_of(WebhookSecret, one) for one in message.secrets)
    return value_of(Webhook, message, secrets=secrets)


def to_new_secret(message: messages.CreateWebhookResponse | messages.RotateWebhookSecretResponse) -> NewSecret:
    """Converts a webhook with its new secret."""
    return NewSecret(to_webhook(message.webhook), message.secret)


def to_webhook_test(message: messages.TestWebhookResponse) -> WebhookTest:
    """Converts the answer to a ping."""
    return value_of(WebhookTest, message)


def to_dead_letter(message: messages.DeadLetter) -> DeadLetter:
    """Converts a dead letter."""
    return value_of(DeadLetter, message)


def to_replay_request(webhook_id: str, since: datetime | None, subscription_id: str) -> messages.ReplayWebhookRequest:
    """Makes a request.

    Raises:
        ValueError: when the instant has no time zone.
    """
    if since is not None and since.tzinfo is None:
        raise ValueError("since must have a time zone")
    text = "" if since is None else since.isoformat()
    return messages.ReplayWebhookRequest(webhook_id=webhook_id, since=text, subscription_id=subscription_id)
