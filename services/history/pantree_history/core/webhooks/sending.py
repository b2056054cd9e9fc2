"""The port to receivers."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol


class Answer(NamedTuple):
    """What a receiver answered."""

    status: int
    """HTTP status; 0 if there was no answer."""
    error: str
    """Why the event was not delivered; empty if it was."""
    seconds: float = 0.0
    """Until the answer, or until the attempt ended."""
    retry_after_seconds: float = 0.0
    """How long the receiver asks to wait; 0 if it does not."""


class Sender(Protocol):
    """Sends requests to receivers."""

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Sends a POST request; does not follow redirects, and connects to permitted addresses only."""
