from google.protobuf.wrappers_pb2 import BytesValue
from hypothesis import given
from hypothesis import strategies as st

from pantree_runtime.batches import split_by_size


@given(st.lists(st.integers(0, 30)), st.integers(10, 40))
def test_entries_keep_their_order_in_batches_as_large_as_possible(sizes: list[int], max_bytes: int) -> None:
    entries = [BytesValue(value=b"x" * size) for size in sizes]
    batches = list(split_by_size(entries, max_bytes))
    assert [entry for batch in batches for entry in batch] == entries
    totals = [sum(entry.ByteSize() for entry in batch) for batch in batches]
    assert all(total <= max_bytes or len(batch) == 1 for total, batch in zip(totals, batches, strict=True))
    for total, next_batch in zip(totals, batches[1:], strict=False):
        assert total + next_batch[0].ByteSize() > max_bytes


def test_no_entries_make_no_batch() -> None:
    assert list(split_by_size([])) == []
