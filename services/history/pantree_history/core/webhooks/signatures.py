"""Secrets and signatures after Standard Webhooks, https://www.standardwebhooks.com."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence

from pantree_history.core.lines import MICROSECONDS
from pantree_history.core.webhooks.model import Secret, Target

SECRET_PREFIX = "whsec_"  # noqa: S105 # of all secrets
_SALT_BYTES = 16
_CONTEXT = "pantree webhook secret"


def new_salt() -> str:
    """Salt of a new secret."""
    return secrets.token_hex(_SALT_BYTES)


def key_of(service_key: bytes, target: Target, secret: Secret) -> bytes:
    """Key of a secret, 32 bytes. Nobody who has only the database can derive it."""
    # The lengths keep ("a", "bc") and ("ab", "c") apart.
    parts = (_CONTEXT, *target, secret.salt)
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hmac.new(service_key, text.encode(), hashlib.sha256).digest()


def secret_text(key: bytes) -> str:
    """A secret as receivers get it."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def signed_headers(message_id: str, body: bytes, now: int, keys: Sequence[bytes]) -> Mapping[str, str]:
    """Headers of a request: its id, the time of the attempt, and a signature for each key.

    Args:
        message_id: the same in each attempt, without full stops.
        body: content of the request.
        now: microseconds since 1970-01-01 in UTC.
        keys: keys of the secrets that sign.
    """
    timestamp = str(now // MICROSECONDS)
    content = f"{message_id}.{timestamp}.".encode() + body
    signatures = [base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode() for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{one}" for one in signatures),
    }
