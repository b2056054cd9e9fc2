import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_batch.buckets import buckets_of, hashes_of


def reference(data: bytes) -> int:
    """Murmur3, one byte after the other, as its definition reads."""
    mask, value = 0xFFFFFFFF, 0

    def mixed(word: int) -> int:
        word = word * 0xCC9E2D51 & mask
        word = (word << 15 | word >> 17) & mask
        return word * 0x1B873593 & mask

    words = len(data) // 4
    for at in range(words):
        value ^= mixed(int.from_bytes(data[4 * at : 4 * at + 4], "little"))
        value = (value << 13 | value >> 19) & mask
        value = (value * 5 + 0xE6546B64) & mask
    if len(data) % 4:
        value ^= mixed(int.from_bytes(data[4 * words :], "little"))
    value ^= len(data)
    value = (value ^ value >> 16) * 0x85EBCA6B & mask
    value = (value ^ value >> 13) * 0xC2B2AE35 & mask
    return value ^ value >> 16


def test_hash_is_that_of_the_specification() -> None:
    # Apache Iceberg table specification, appendix B: hash of the string "iceberg".
    assert hashes_of(pa.array(["iceberg"])).tolist() == [1210000089]


@given(st.lists(st.text(max_size=30), max_size=20), st.integers(1, 4096))
def test_buckets_are_those_of_the_definition(texts: list[str], count: int) -> None:
    expected = [(reference(text.encode()) & 0x7FFFFFFF) % count for text in texts]
    assert buckets_of(pa.array(texts, pa.string()), count).tolist() == expected


@pytest.mark.parametrize("offset", [0, 3])
def test_hash_of_a_slice(offset: int) -> None:
    texts = [f"household {number}" for number in range(8)]
    assert hashes_of(pa.array(texts).slice(offset)).tolist() == hashes_of(pa.array(texts[offset:])).tolist()
