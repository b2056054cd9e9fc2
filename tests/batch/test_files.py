"""Files and directories of runs."""

from pathlib import Path

import pytest

from pantree_batch import files


def test_directory_that_cannot_be_removed_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(files, "_REMOVAL_PAUSE_SECONDS", 0.0)
    no_directory = tmp_path / "attempts"
    no_directory.touch()
    files.remove_or_warn(no_directory)
    assert f"{no_directory} cannot be removed" in caplog.text
