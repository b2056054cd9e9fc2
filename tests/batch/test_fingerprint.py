"""What decides on recommendations, and how another process gets the same settings."""

from pathlib import Path

import pytest

from pantree_batch.fingerprint import dependencies, shared_variables


def test_shared_variables_give_another_process_the_same_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    driver, executor = tmp_path / "driver", tmp_path / "executor"
    driver.mkdir()
    executor.mkdir()
    (driver / ".env").write_text("PANTREE_RECOMMENDATION_MIN_PURCHASES=4\n")
    (driver / "discounts.toml").write_text("[discounts]\n")
    monkeypatch.chdir(executor)
    defaults = dependencies()
    monkeypatch.chdir(driver)
    variables = {
        "PANTREE_LADDER": "7,14",
        "PANTREE_RECOMMENDATION_DISCOUNTS_FILE": "discounts.toml",
        "PANTREE_RECOMMENDATION_PROMOTIONAL_PRICES": "true",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    expected, shared = dependencies(), shared_variables()
    differing = {name for name, value in expected.items() if defaults[name] != value}
    assert differing == set(shared) == {*variables, "PANTREE_RECOMMENDATION_MIN_PURCHASES"}
    monkeypatch.chdir(executor)
    for name, value in shared.items():
        monkeypatch.setenv(name, value)
    assert dependencies() == expected


def test_settings_of_external_systems_neither_decide_nor_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dependencies(), shared_variables()
    for name in ("AWS_REGION", "SAGEMAKER_ENDPOINT", "LLAMA_NIM_API_KEY", "PANTREE_REDIS_PASSWORD"):
        monkeypatch.setenv(name, "other")
    monkeypatch.setenv("PANTREE_REDIS_URL", "redis://:secret@host")
    assert (dependencies(), shared_variables()) == before
