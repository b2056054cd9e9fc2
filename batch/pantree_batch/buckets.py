"""Buckets of households by the hash of Iceberg's specification, so that other engines find the same buckets.

Source: Apache Iceberg table specification, appendix B: 32-bit Murmur3 x86 variant with seed 0 over UTF-8 bytes;
bucket = (hash & 2³¹ − 1) mod N.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_C1, _C2 = np.uint32(0xCC9E2D51), np.uint32(0x1B873593)


def hashes_of(texts: pa.Array) -> NDArray[np.int32]:
    """int32[n], the hash of each text, which must not be null."""
    data = texts.cast(pa.large_binary())
    offsets = np.frombuffer(data.buffers()[1], np.int64)[data.offset : data.offset + len(data) + 1]
    buffer = data.buffers()[2]
    content = np.frombuffer(b"" if buffer is None else buffer, np.uint8)
    lengths = np.diff(offsets)
    hashes: NDArray[np.uint32] = np.zeros(len(texts), np.uint32)
    # Texts of one length are hashed together.
    for length in np.unique(lengths).tolist():
        chosen = np.flatnonzero(lengths == length)
        rows = content[offsets[chosen][:, None] + np.arange(length)] if length else np.zeros((len(chosen), 0), np.uint8)
        hashes[chosen] = _murmur3(rows)
    return hashes.astype(np.int32)


def buckets_of(texts: pa.Array, bucket_count: int) -> NDArray[np.int32]:
    """int32[n], the bucket of each text, 0 to `bucket_count` − 1."""
    encoded = texts.dictionary_encode()
    buckets = (hashes_of(encoded.dictionary) & np.int32(0x7FFFFFFF)) % np.int32(bucket_count)
    chosen: NDArray[np.int32] = buckets[encoded.indices.to_numpy()].astype(np.int32)
    return chosen


def _murmur3(rows: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """uint32[n], the hash of each of n rows of bytes."""
    count, length = rows.shape
    words = length // 4
    hashes = np.zeros(count, np.uint32)
    blocks = np.ascontiguousarray(rows[:, : 4 * words]).view("<u4") if words else np.zeros((count, 0), np.uint32)
    for word in range(words):
        hashes ^= _mixed(blocks[:, word].astype(np.uint32))
        hashes = _rotated(hashes, 13) * np.uint32(5) + np.uint32(0xE6546B64)
    if length % 4:
        tail = np.zeros(count, np.uint32)
        for position in range(4 * words, length):
            tail |= rows[:, position].astype(np.uint32) << np.uint32(8 * (position % 4))
        hashes ^= _mixed(tail)
    hashes ^= np.uint32(length)
    hashes = (hashes ^ (hashes >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    hashes = (hashes ^ (hashes >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return np.asarray(hashes ^ (hashes >> np.uint32(16)))


def _mixed(words: NDArray[np.uint32]) -> Any:
    return _rotated(words * _C1, 15) * _C2


def _rotated(words: NDArray[np.uint32], bits: int) -> NDArray[np.uint32]:
    return np.asarray((words << np.uint32(bits)) | (words >> np.uint32(32 - bits)))
