"""Text of a name for embedders, and the ids under which points are stored."""

import hashlib
import unicodedata
import uuid

# Any fixed id would do; it must never change, or a second run would store everything again.
_NAMESPACE_BYTES = uuid.UUID("6f1d7c0e-6c0b-5b5a-9d0e-6a2f7f6f2c11").bytes
# Ids and names hold no control characters (requests with them are refused), so joined parts cannot be confused.
_SEPARATOR = "\x1f"
# The first two bits of this digit say that RFC 9562 made the id.
_WITH_VARIANT = {f"{digit:x}": f"{0b1000 | digit & 0b11:x}" for digit in range(16)}


def normalise_name(name: str) -> str:
    """A name as embedders read it: compatibility characters (NFKC) replaced, lower case, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def stable_id(*parts: str) -> str:
    """UUID (version 5) of some texts, the same in every process.

    Put together by hand, several times faster than by `uuid.uuid5`: every item of every household needs some.
    Source: RFC 9562, section 5.5.
    """
    text = hashlib.sha1(_NAMESPACE_BYTES + _SEPARATOR.join(parts).encode(), usedforsecurity=False).hexdigest()
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_WITH_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"


def customer_point_id(tenant_id: str, customer_id: str) -> str:
    """Id of a customer's point."""
    return stable_id("customer", tenant_id, customer_id)


def item_point_id(tenant_id: str, customer_id: str, normalised_name: str) -> str:
    """Id of the point of an item that a customer buys."""
    return stable_id("item", tenant_id, customer_id, normalised_name)
