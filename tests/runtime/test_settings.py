import os
import subprocess
import sys

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from pantree_runtime.settings import PartSettings, load_settings


class ExampleSettings(PartSettings):
    model_config = SettingsConfigDict(env_prefix="PANTREE_EXAMPLE_", env_file=None)

    share: float = Field(default=0.5, gt=0, lt=1)
    secret: SecretStr = Field(default=SecretStr(""), max_length=3)


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("PANTREE_EXAMPLE_PORT", "99999", "PANTREE_EXAMPLE_PORT: must be a whole number from 0 to 65,535; is '99999'"),
        ("PANTREE_EXAMPLE_PORT", "abc", "PANTREE_EXAMPLE_PORT: must be a whole number from 0 to 65,535; is 'abc'"),
        ("PANTREE_DRAIN_SECONDS", "-1", "PANTREE_DRAIN_SECONDS: must be a number of at least 0; is '-1'"),
        ("PANTREE_EXAMPLE_SHARE", "1", "PANTREE_EXAMPLE_SHARE: must be a number above 0 and below 1; is '1'"),
        ("PANTREE_LOG_LEVEL", "loud", "PANTREE_LOG_LEVEL: Input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("PANTREE_EXAMPLE_SECRET", "swordfish", "PANTREE_EXAMPLE_SECRET: Value should have at most 3 items"),
    ],
)
def test_wrong_setting_is_named_with_its_remedy(
    variable: str, value: str, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as exited:
        load_settings(ExampleSettings)
    assert exited.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {line}")
    assert "swordfish" not in printed


@pytest.mark.parametrize("port", ["99999", "abc"])
def test_program_with_a_wrong_port_exits_with_code_2(port: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pantree_frequency"],
        env={**os.environ, "PANTREE_FREQUENCY_PORT": port},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 2
    assert run.stderr == f"error: PANTREE_FREQUENCY_PORT: must be a whole number from 0 to 65,535; is '{port}'\n"
