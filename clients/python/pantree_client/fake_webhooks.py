"""The webhooks of the fake in `pantree_client.testing`."""

from pantree.subscription.v1 import webhook_service_pb2 as messages
from pantree_client.fake_subscriptions import NOW
from pantree_runtime.errors import AlreadyExists, NotFound


class FakeWebhooks:
    """Keeps webhooks, and sends nothing."""

    def __init__(self) -> None:
        self.webhooks: dict[str, messages.Webhook] = {}
        """By webhook_id."""
        self._secrets = 0

    def create_webhook(self, request: messages.CreateWebhookRequest) -> messages.CreateWebhookResponse:
        """See `Transport`."""
        webhook_id = request.webhook_id or f"webhook-{len(self.webhooks) + 1}"
        if webhook_id in self.webhooks:
            raise AlreadyExists("a webhook with this webhook_id exists; send another one, or none")
        webhook = messages.Webhook(
            webhook_id=webhook_id, url=request.url, description=request.description, created_at=NOW
        )
        self.webhooks[webhook_id] = webhook
        return messages.CreateWebhookResponse(webhook=webhook, secret=self._new_secret(webhook))

    def list_webhooks(self, _request: messages.ListWebhooksRequest) -> messages.ListWebhooksResponse:
        """See `Transport`."""
        return messages.ListWebhooksResponse(webhooks=[one for _, one in sorted(self.webhooks.items())])

    def delete_webhook(self, request: messages.DeleteWebhookRequest) -> messages.DeleteWebhookResponse:
        """See `Transport`."""
        self._webhook(request.webhook_id)
        del self.webhooks[request.webhook_id]
        return messages.DeleteWebhookResponse()

    def test_webhook(self, request: messages.TestWebhookRequest) -> messages.TestWebhookResponse:
        """See `Transport`."""
        self._webhook(request.webhook_id)
        return messages.TestWebhookResponse(delivered=True, status_code=204, latency_ms=1)

    def rotate_webhook_secret(
        self, request: messages.RotateWebhookSecretRequest
    ) -> messages.RotateWebhookSecretResponse:
        """See `Transport`."""
        webhook = self._webhook(request.webhook_id)
        return messages.RotateWebhookSecretResponse(webhook=webhook, secret=self._new_secret(webhook))

    def replay_webhook(self, request: messages.ReplayWebhookRequest) -> messages.ReplayWebhookResponse:
        """See `Transport`."""
        self._webhook(request.webhook_id)
        return messages.ReplayWebhookResponse()

    def list_dead_letters(self, request: messages.ListDeadLettersRequest) -> messages.ListDeadLettersResponse:
        """See `Transport`."""
        self._webhook(request.webhook_id)
        return messages.ListDeadLettersResponse()

    def _webhook(self, webhook_id: str) -> messages.Webhook:
        if webhook_id not in self.webhooks:
            raise NotFound("there is no such webhook")
        return self.webhooks[webhook_id]

    def _new_secret(self, webhook: messages.Webhook) -> str:
        self._secrets += 1
        webhook.secrets.insert(0, messages.WebhookSecret(created_at=NOW))
        return f"whsec_{self._secrets:044d}"
