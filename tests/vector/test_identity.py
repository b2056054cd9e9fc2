import uuid

from hypothesis import given
from hypothesis import strategies as st

from pantree_vector.core.identity import stable_id


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_stable_id_is_a_uuid_of_version_5(parts: list[str]) -> None:
    namespace = uuid.UUID("6f1d7c0e-6c0b-5b5a-9d0e-6a2f7f6f2c11")
    assert stable_id(*parts) == str(uuid.uuid5(namespace, "\x1f".join(parts)))
