"""The RPCs of the webhook service."""

from pantree.subscription.v1 import webhook_service_pb2 as messages
from pantree.subscription.v1 import webhook_service_pb2_grpc as rpc
from pantree_history.core.webhooks.keeper import Webhooks
from pantree_history.core.webhooks.model import Target
from pantree_history.texts import text_after
from pantree_history.webhooks import convert
from pantree_runtime.grpc_types import Context
from pantree_runtime.tenants import tenant_of

DEFAULT_PAGE_SIZE = 100


class WebhookServicer(rpc.WebhookServiceServicer):
    """Keeps webhooks."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    async def CreateWebhook(
        self, request: messages.CreateWebhookRequest, context: Context
    ) -> messages.CreateWebhookResponse:
        created = await self._webhooks.create(tenant_of(context), request.webhook_id, request.url, request.description)
        return convert.create_response(created)

    async def ListWebhooks(
        self, request: messages.ListWebhooksRequest, context: Context
    ) -> messages.ListWebhooksResponse:
        size = request.page_size or DEFAULT_PAGE_SIZE
        found = await self._webhooks.all(tenant_of(context), text_after(request.page_token), size + 1)
        return convert.webhooks_page(found, size)

    async def DeleteWebhook(
        self, request: messages.DeleteWebhookRequest, context: Context
    ) -> messages.DeleteWebhookResponse:
        await self._webhooks.delete(Target(tenant_of(context), request.webhook_id))
        return messages.DeleteWebhookResponse()

    async def TestWebhook(self, request: messages.TestWebhookRequest, context: Context) -> messages.TestWebhookResponse:
        return convert.test_response(await self._webhooks.test(Target(tenant_of(context), request.webhook_id)))

    async def RotateWebhookSecret(
        self, request: messages.RotateWebhookSecretRequest, context: Context
    ) -> messages.RotateWebhookSecretResponse:
        target, overlap_seconds = Target(tenant_of(context), request.webhook_id), convert.overlap_of(request)
        return convert.rotate_response(await self._webhooks.rotate(target, overlap_seconds))

    async def ReplayWebhook(
        self, request: messages.ReplayWebhookRequest, context: Context
    ) -> messages.ReplayWebhookResponse:
        target, since = Target(tenant_of(context), request.webhook_id), convert.since_of(request)
        count = await self._webhooks.replay(target, since, request.subscription_id)
        return messages.ReplayWebhookResponse(replayed_count=count)

    async def ListDeadLetters(
        self, request: messages.ListDeadLettersRequest, context: Context
    ) -> messages.ListDeadLettersResponse:
        target, size = Target(tenant_of(context), request.webhook_id), request.page_size or DEFAULT_PAGE_SIZE
        found = await self._webhooks.dead_letters(target, convert.letter_after(request.page_token), size + 1)
        return convert.letters_page(found, size)
