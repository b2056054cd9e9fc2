"""Texts of names for embedders, and ids of stored points."""

import unicodedata
import uuid

from pantree_domain.item_key import item_key

# Must never change, or stored points could no longer be found or overwritten.
_NAMESPACE = uuid.UUID("6f1d7c0e-6c0b-5b5a-9d0e-6a2f7f6f2c11")
# Requests with control characters are rejected, so no part contains the separator.
_SEPARATOR = "\x1f"


def embedding_text(name: str) -> str:
    """The text to embed for a name or an item key: equal for all spellings of an item and for compatible characters."""
    key = item_key(name)
    return key if key.isascii() else " ".join(unicodedata.normalize("NFKC", key).casefold().split())


def stable_id(*parts: str) -> str:
    """UUID (version 5) of the parts, the same in every process."""
    return str(uuid.uuid5(_NAMESPACE, _SEPARATOR.join(parts)))


def customer_point_id(tenant_id: str, customer_id: str) -> str:
    """Id of the point of a customer."""
    return stable_id("customer", tenant_id, customer_id)


def item_point_id(tenant_id: str, customer_id: str, key: str) -> str:
    """Id of the point of an item that a customer buys."""
    return stable_id("item", tenant_id, customer_id, key)
