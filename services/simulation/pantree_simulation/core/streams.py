"""Counter-based random streams.

Number `k` of a stream is a hash of the stream's key and `k`, so numbers can be computed in any order, by any thread.
Each household has a key, and its trips and each of its needs have keys derived from it. Therefore one item affects
neither another item's numbers nor the days of the trips, and a longer simulation begins like a shorter one.

The hash is the output function of SplitMix64 over a Weyl sequence (Steele, Lea, Flood: Fast Splittable Pseudorandom
Number Generators, OOPSLA 2014; constants of Stafford's variant 13), in plain 64-bit integers.
"""

import enum
import functools
import hashlib
import json
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pantree_domain.compiled import compiled

_WEYL = np.uint64(0x9E3779B97F4A7C15)
_FIRST_FACTOR = np.uint64(0xBF58476D1CE4E5B9)
_SECOND_FACTOR = np.uint64(0x94D049BB133111EB)
_FIRST_SHIFT, _SECOND_SHIFT, _THIRD_SHIFT = np.uint64(30), np.uint64(27), np.uint64(31)
_HALF = np.uint64(32)
_LOW_HALF = np.uint64(0xFFFFFFFF)
_KEY_BYTES = 8
_KEY_ON_ANY_MACHINE = np.dtype("<u8")
_TO_UNIT = 1.0 / 2**32


class Purpose(enum.StrEnum):
    """What a key is used for. The values are hashed: changing one changes every simulation."""

    HOUSEHOLD = "household"
    """The behavior of a household."""
    NEED = "need"
    """One kind of thing that a household needs, or one item of its first purchase."""
    PRICING = "shop"
    """Shelf prices and promotions, which all households of a seed share."""


def key_of(purpose: Purpose, *subject: str | int) -> np.uint64:
    """The key of a subject, which is unique within its purpose, such as a seed and a household id.

    The same in every process.
    """
    digest = hashlib.blake2b(json.dumps([purpose, *subject]).encode(), digest_size=_KEY_BYTES).digest()
    return np.uint64(int.from_bytes(digest, "little"))


def keys_of_names(purpose: Purpose, seed: int, names: Iterable[str]) -> NDArray[np.uint64]:
    """uint64[n], `key_of(purpose, seed, name)` of each name. Their common prefix is hashed only once."""
    return _keys(purpose, seed, map(_end_of_known_subject, names))


def _keys(purpose: Purpose, seed: int, ends: Iterable[bytes]) -> NDArray[np.uint64]:
    """Keys of subjects that begin with the same seed; `ends` are the rests of their JSON texts."""
    copy = hashlib.blake2b(b'["%b", %d' % (purpose.encode(), seed), digest_size=_KEY_BYTES).copy
    digests = []
    for end in ends:
        key = copy()
        key.update(end)
        digests.append(key.digest())
    return np.frombuffer(b"".join(digests), _KEY_ON_ANY_MACHINE).astype(np.uint64)


def _end_of_subject(name: str) -> bytes:
    return f", {json.dumps(name)}]".encode()


# The names of the catalog repeat with every seed.
_end_of_known_subject = functools.lru_cache(maxsize=4096)(_end_of_subject)


def household_key(seed: int, household_id: str) -> np.uint64:
    """`key_of(Purpose.HOUSEHOLD, seed, household_id)`."""
    key: np.uint64 = _keys(Purpose.HOUSEHOLD, seed, [_end_of_subject(household_id)])[0]
    return key


def household_keys(seed: int, household_numbers: Iterable[int]) -> NDArray[np.uint64]:
    """uint64[h], `key_of(Purpose.HOUSEHOLD, seed, str(number))` of each: a household's id is its number in digits."""
    return _keys(Purpose.HOUSEHOLD, seed, [b', "%d"]' % number for number in household_numbers])


@compiled("numpy")
def bits_at(key: np.uint64, counter: np.uint64) -> np.uint64:
    """Number `counter` of the stream of a key: 64 random bits."""
    bits = key + (counter + np.uint64(1)) * _WEYL
    bits = (bits ^ (bits >> _FIRST_SHIFT)) * _FIRST_FACTOR
    bits = (bits ^ (bits >> _SECOND_SHIFT)) * _SECOND_FACTOR
    return bits ^ (bits >> _THIRD_SHIFT)


@compiled("numpy")
def high_ratio(bits: np.uint64) -> float:
    """The upper 32 bits as a number from 0, inclusive, to 1, exclusive."""
    return np.int64(bits >> _HALF) * _TO_UNIT


@compiled("numpy")
def low_ratio(bits: np.uint64) -> float:
    """The lower 32 bits as a number from 0, inclusive, to 1, exclusive; independent of the upper ones."""
    return np.int64(bits & _LOW_HALF) * _TO_UNIT
