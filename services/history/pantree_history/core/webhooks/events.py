"""CloudEvents 1.0 in structured JSON, https://github.com/cloudevents/spec/blob/v1.0.2."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from pantree_history.texts import time_text

CONTENT_TYPE = "application/cloudevents+json; charset=UTF-8"
ERASED = "com.pantree.customer.erased"
PING = "com.pantree.webhook.ping"
_SOURCE = "urn:pantree:subscriptions"
_SEQUENCE_DIGITS = 10
_ID_CHARACTERS = 40


class Content(NamedTuple):
    """What an event says."""

    type: str
    data: Mapping[str, Any]
    """Values that JSON knows."""


class OutgoingEvent(NamedTuple):
    """An event as it is sent: each attempt has the same bytes."""

    message_id: str
    body: bytes


def outgoing(content: Content, identity: tuple[object, ...], *, subject: str, time: int, number: int) -> OutgoingEvent:
    """An event as it is sent.

    Args:
        content: what it says.
        identity: what makes it different from all others of the database, the tenant included.
        subject: the subscription or customer.
        time: when it happened, in microseconds since 1970-01-01 in UTC.
        number: later events of the subject have greater ones; 0 for none.
    """
    digest = hashlib.sha256(json.dumps([content.type, *identity]).encode()).hexdigest()
    event_id = f"evt_{digest[:_ID_CHARACTERS]}"
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": event_id,
        "source": _SOURCE,
        "type": content.type,
        "time": time_text(time),
        "datacontenttype": "application/json",
    }
    if subject:
        event["subject"] = subject
    if number:
        event["sequence"] = f"{number:0{_SEQUENCE_DIGITS}d}"
    event["data"] = content.data
    return OutgoingEvent(event_id, json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode())
