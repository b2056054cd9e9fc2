"""Settings that the command line shares with the parts that it starts."""

from pathlib import Path

import pytest

from pantree_cli.mesh import ProcessMesh, client_identity
from scripts.make_certificates import make_all


def test_invalid_drain_is_named_before_any_part_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PANTREE_DRAIN_SECONDS", "soon")
    with pytest.raises(SystemExit):
        ProcessMesh({}, {})
    assert "PANTREE_DRAIN_SECONDS" in capsys.readouterr().err


def test_domain_of_certificates_is_read_from_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PANTREE_TLS_DOMAIN", raising=False)
    (tmp_path / ".env").write_text("PANTREE_TLS_DOMAIN=shop.example\n")
    make_all(tmp_path, "shop.example")
    identity = client_identity(tmp_path)
    assert identity is not None
    assert identity.name_of("pipeline") == "pipeline.shop.example"
