"""What callers can do with webhooks."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from pantree_history.core.clocks import Clock, system_clock
from pantree_history.core.lines import MICROSECONDS
from pantree_history.core.webhooks.addresses import url_problem
from pantree_history.core.webhooks.events import PING, Content, outgoing
from pantree_history.core.webhooks.model import DeadLetter, Secret, Target, Webhook, WebhookStatus
from pantree_history.core.webhooks.sending import Answer, Sender
from pantree_history.core.webhooks.signatures import key_of, new_salt, secret_text, signed_headers
from pantree_history.core.webhooks.store import WebhookStore
from pantree_runtime.errors import AlreadyExists, FieldViolation, InvalidInput, NotFound

MAX_WEBHOOKS = 20
"""Of a tenant: each change of a subscription writes a cursor for each."""
MAX_SECRETS = 3
"""That sign at the same time; the oldest ends early."""
_ID_BYTES = 8


class Created(NamedTuple):
    """A webhook with a new secret."""

    status: WebhookStatus
    secret: str


class Webhooks:
    """Keeps the webhooks of tenants.

    Args:
        store: where they are stored.
        sender: sends requests.
        service_key: secrets are derived from it.
        clock: the time.
        new_id: id of a new webhook.
        allow_http: whether URLs may begin with `http`.
        allow_private: whether URLs may have private addresses.
    """

    def __init__(
        self,
        store: WebhookStore,
        sender: Sender,
        service_key: bytes,
        clock: Clock = system_clock,
        new_id: Callable[[], str] = lambda: secrets.token_hex(_ID_BYTES),
        *,
        allow_http: bool = False,
        allow_private: bool = False,
    ) -> None:
        self._store = store
        self._sender = sender
        self._key = service_key
        self._clock = clock
        self._new_id = new_id
        self._allow_http = allow_http
        self._allow_private = allow_private

    async def create(self, tenant_id: str, webhook_id: str, url: str, description: str) -> Created:
        """Creates a webhook, and a secret.

        Raises:
            InvalidInput: events may not be sent to the URL.
            AlreadyExists: there is a webhook with this id.
            QuotaExceeded: the tenant has too many.
        """
        problem = url_problem(url, allow_http=self._allow_http, allow_private=self._allow_private)
        if problem:
            raise InvalidInput([FieldViolation("url", problem)])
        now = self._clock()
        secret = Secret(new_salt(), now)
        webhook = Webhook(webhook_id or self._new_id(), url, description, now, (secret,))
        if not await self._store.create(tenant_id, webhook, MAX_WEBHOOKS):
            raise AlreadyExists("a webhook with this webhook_id exists; send another one, or none")
        return await self._created(Target(tenant_id, webhook.webhook_id), secret)

    async def all(self, tenant_id: str, after: str, limit: int) -> Sequence[WebhookStatus]:
        """Webhooks of a tenant whose id is greater than `after`, ordered by id."""
        return await self._store.webhooks(tenant_id, after, limit)

    async def delete(self, target: Target) -> None:
        """Ends a webhook.

        Raises:
            NotFound: there is no such webhook.
        """
        if not await self._store.delete(target):
            raise _not_found()

    async def test(self, target: Target) -> Answer:
        """Sends a ping.

        Raises:
            NotFound: there is no such webhook.
        """
        webhook = await self._webhook(target)
        now = self._clock()
        ping = outgoing(Content(PING, {}), (*target, new_salt()), subject="", time=now, number=0)
        keys = [key_of(self._key, target, one) for one in live_secrets(webhook, now)]
        return await self._sender.send(webhook.url, signed_headers(ping.message_id, ping.body, now, keys), ping.body)

    async def rotate(self, target: Target, overlap_seconds: int) -> Created:
        """Adds a secret; the earlier ones sign for a while.

        Raises:
            NotFound: there is no such webhook.
        """
        while True:
            webhook = await self._webhook(target)
            now = self._clock()
            secret, end = Secret(new_salt(), now), now + overlap_seconds * MICROSECONDS
            kept = [
                one if one.expires_at is not None and one.expires_at < end else replace(one, expires_at=end)
                for one in live_secrets(webhook, now)
                if overlap_seconds
            ]
            after = (secret, *kept[: MAX_SECRETS - 1])
            if await self._store.replace_secrets(target, webhook.secrets, after):
                return await self._created(target, secret)

    async def replay(self, target: Target, since: int | None, subscription_id: str) -> int:
        """Sends events again; how many subscriptions and erasures then wait.

        Raises:
            NotFound: there is no such webhook.
        """
        await self._webhook(target)
        return await self._store.replay(target, since, subscription_id, self._clock())

    async def dead_letters(self, target: Target, after: tuple[str, str], limit: int) -> Sequence[DeadLetter]:
        """Dead letters of a webhook whose kind and subject are greater than `after`, ordered by both.

        Raises:
            NotFound: there is no such webhook.
        """
        await self._webhook(target)
        return await self._store.dead_letters(target, after, limit)

    async def _webhook(self, target: Target) -> Webhook:
        found = await self._store.webhook(target)
        if found is None:
            raise _not_found()
        return found

    async def _created(self, target: Target, secret: Secret) -> Created:
        status = await self._store.status(target)
        if status is None:
            raise _not_found()
        return Created(status, secret_text(key_of(self._key, target, secret)))


def live_secrets(webhook: Webhook, now: int) -> Sequence[Secret]:
    """Secrets that sign at an instant, newest first."""
    return [one for one in webhook.secrets if one.expires_at is None or one.expires_at > now]


def _not_found() -> NotFound:
    return NotFound("there is no such webhook")
