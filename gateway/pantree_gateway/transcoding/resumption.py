"""Tokens with which a client that lost its connection resumes a stream.

A stream depends on its request alone, so the gateway stores nothing. A token contains the number of frames received,
and the values that the server chose for omitted fields (such as a seed), from the first message of the stream. For the
same request with a token, the stream is computed again with those values, and the frames already received are skipped.

A token is not a secret and grants no rights: its holder has received, or could request, everything in it.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pantree_runtime.errors import FieldViolation, InvalidInput

RESUME_TOKEN = "resume_token"  # noqa: S105 # a field name
MAX_TOKEN_CHARACTERS = 4096
_DIGEST_BYTES = 12


@dataclass(frozen=True)
class Progress:
    """The part of an answer that the client has received."""

    digest: str
    """Digest of the request."""
    seq: int = 0
    """Number of the last frame received."""
    choices: Mapping[str, Any] | None = None
    """Values that the server chose for omitted fields of the body, by name; None before the first message."""

    def token(self, seq: int) -> str:
        """Token to send with a frame."""
        text = json.dumps([self.digest, seq, dict(self.choices or {})], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def with_choices(
        self, first_message: Mapping[str, Any], body: Mapping[str, Any], json_names: Mapping[str, str]
    ) -> "Progress":
        """The progress, with the values in an answer's first message for fields that the body of the request omits.

        `json_names` has the JSON names, by name, of the fields that the server may choose.
        """
        omitted = {name for name, json_name in json_names.items() if name not in body and json_name not in body}
        return replace(self, choices={name: value for name, value in first_message.items() if name in omitted})


def progress_of(body: Mapping[str, Any], url: str, token: Any = None) -> Progress:
    """Progress of the request with a body (without its token), a URL and, unless it is new, a token.

    Raises:
        InvalidInput: when the token is malformed, or belongs to another request, or when the body is nested too deeply.
    """
    try:
        canonical = json.dumps([url, body], sort_keys=True).encode()
    except RecursionError:
        raise InvalidInput([FieldViolation("", "the message is nested too deeply")]) from None
    digest = hashlib.blake2b(canonical, digest_size=_DIGEST_BYTES).hexdigest()
    if token is None:
        return Progress(digest)
    progress = _decode(token)
    if progress.digest != digest:
        text = "belongs to another request; send it with the request that it was returned for, unchanged"
        raise InvalidInput([FieldViolation(RESUME_TOKEN, text)])
    return progress


def _decode(token: Any) -> Progress:
    try:
        if not isinstance(token, str) or len(token) > MAX_TOKEN_CHARACTERS:
            raise ValueError
        padded = token + "=" * (-len(token) % 4)
        digest, seq, choices = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(digest, str) or type(seq) is not int or seq < 0 or not isinstance(choices, dict):
            raise ValueError
    except (ValueError, TypeError, RecursionError):
        text = "is malformed; send the resume_token of the last frame received, or omit it"
        raise InvalidInput([FieldViolation(RESUME_TOKEN, text)]) from None
    return Progress(digest, seq, choices)
