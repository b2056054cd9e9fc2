"""What the webhook of an engine reports."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from pantree_history.core.subscriptions.engines import ordergroove, recharge, shopify
from pantree_history.core.subscriptions.engines.reports import EngineEvent, invalid, parse
from pantree_history.core.subscriptions.model import Engine

_READERS: Mapping[Engine, Callable[[str, Mapping[str, Any]], EngineEvent]] = {
    Engine.RECHARGE: recharge.read_webhook,
    Engine.ORDERGROOVE: ordergroove.read_webhook,
    Engine.SHOPIFY: shopify.read_webhook,
}


def read_webhook(engine: Engine, topic: str, event_id: str, payload: str) -> EngineEvent:
    """What a webhook reports, in our terms.

    Args:
        engine: who sent it.
        topic: name of the event; empty if the payload says it.
        event_id: the engine's id of the event; when empty, that of the payload, or else the hash of the payload.
        payload: the body, JSON.

    Raises:
        InvalidInput: the payload is not what the engine documents.
    """
    try:
        event = _READERS[engine](topic, parse(payload))
    except RecursionError:
        raise invalid("", "is nested too deeply") from None
    hashed = hashlib.sha256(f"{topic}\0{payload}".encode(errors="surrogatepass")).hexdigest()
    return event._replace(event_id=event_id or event.event_id or hashed)
