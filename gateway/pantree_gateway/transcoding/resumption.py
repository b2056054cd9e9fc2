"""Tokens by which a client that lost its socket goes on where it was.

A stream is made from its request alone, so nothing has to be kept: a token tells how many frames have come, and what
the server chose for fields that the request left out (such as a seed), as the stream's first message says it. The same
request with a token is answered anew, with those choices, and frames that have come are not sent again.

A token is no secret and gives no rights: it says nothing that its holder was not sent or could not ask for.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pantree_runtime.errors import FieldViolation, InvalidInput

RESUME_TOKEN = "resume_token"  # noqa: S105 # a name, and tokens of this kind are no secret
LONGEST_TOKEN = 4096
_DIGEST_BYTES = 12


@dataclass(frozen=True)
class Progress:
    """How far the answer to a request has come."""

    digest: str
    """Of the request."""
    seq: int = 0
    """Number of the last frame that has come."""
    choices: Mapping[str, Any] | None = None
    """Values that the server chose for fields of the body, by name; None before the first message."""

    def token(self, seq: int) -> str:
        """Token that comes with a frame."""
        text = json.dumps([self.digest, seq, dict(self.choices or {})], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def with_choices(self, told: Mapping[str, Any], body: Mapping[str, Any], names: Mapping[str, str]) -> "Progress":
        """The progress, with what the first message of an answer tells of fields that the request left out.

        Args:
            told: the first message.
            body: the request.
            names: the other name of each field of the body that may be chosen, by its name.
        """
        left_out = {name for name, other_name in names.items() if name not in body and other_name not in body}
        return replace(self, choices={name: value for name, value in told.items() if name in left_out})


def progress_of(body: Mapping[str, Any], place: str, token: Any = None) -> Progress:
    """Progress of a request that comes with a token, or for the first time.

    Args:
        body: the request, without the token.
        place: what else the request depends on, such as its path.
        token: the token; None for the first time.

    Raises:
        InvalidInput: when the token is none, or is that of another request.
    """
    canonical = json.dumps([place, body], sort_keys=True).encode()
    digest = hashlib.blake2b(canonical, digest_size=_DIGEST_BYTES).hexdigest()
    if token is None:
        return Progress(digest)
    progress = _read(token)
    if progress.digest != digest:
        wrong = "belongs to another request; send the request that it came with once more, unchanged"
        raise InvalidInput([FieldViolation(RESUME_TOKEN, wrong)])
    return progress


def _read(token: Any) -> Progress:
    try:
        if not isinstance(token, str) or len(token) > LONGEST_TOKEN:
            raise ValueError
        padded = token + "=" * (-len(token) % 4)
        digest, seq, choices = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(digest, str) or type(seq) is not int or seq < 0 or not isinstance(choices, dict):
            raise ValueError
    except (ValueError, TypeError, RecursionError):
        wrong = "is none; give the resume_token of the last frame that came, or leave it out"
        raise InvalidInput([FieldViolation(RESUME_TOKEN, wrong)]) from None
    return Progress(digest, seq, choices)
