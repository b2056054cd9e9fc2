import fcntl
from pathlib import Path

import pytest

from pantree_vector.backends.local_files import file_problem


@pytest.mark.parametrize(
    ("is_open", "free", "expected"),
    [(False, 1 << 30, "another process"), (True, 1 << 30, "see the cause"), (False, 1000, "is full")],
)
def test_error_of_an_embedded_store_says_what_is_wrong(is_open: bool, free: int, expected: str, tmp_path: Path) -> None:
    place = tmp_path / "store"
    place.mkdir()
    with (place / "LOCK").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        problem = file_problem(place, "LOCK", is_open=is_open, free_bytes=lambda _: free)
    assert expected in problem
    assert str(place) in problem
    assert "another process" not in file_problem(place, "LOCK", is_open=False)


def test_error_of_a_store_whose_directory_is_missing_names_its_path(tmp_path: Path) -> None:
    place = tmp_path / "missing" / "store.db"
    assert str(place) in file_problem(place, "LOCK", is_open=False)
