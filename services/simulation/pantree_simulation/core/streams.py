"""Random streams that depend on nothing but what they are for.

Each stream is keyed by the seed, the household, a purpose and a subject, so that what one item does changes neither
another item's draws nor the days of the trips, and a longer simulation begins like a shorter one.
"""

import enum
import hashlib
import json

import numpy as np


class Purpose(enum.Enum):
    """What a random stream is used for."""

    HOUSEHOLD = "household"
    """How the household differs from its archetype."""
    TRIPS = "trips"
    """Days of its trips."""
    TASTE = "taste"
    """What it thinks of every item of the catalogue."""
    FIRST_ITEM = "first_item"
    """How it uses an item of the first purchase."""
    PURCHASES = "purchases"
    """Purchases of one item."""


def random_stream(seed: int, household_id: str, purpose: Purpose, subject: str = "") -> np.random.Generator:
    """The stream of a household for a purpose; the same in every process.

    Args:
        seed: number that starts all streams.
        household_id: separates households that share a seed.
        purpose: what the stream is used for.
        subject: separates streams of one purpose, such as an item's name.
    """
    key = json.dumps([seed, household_id, purpose.value, subject]).encode()
    digest = hashlib.blake2b(key, digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
