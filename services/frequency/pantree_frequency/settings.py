"""Settings of the frequency service."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from pantree_runtime.settings import PartSettings


class FrequencySettings(PartSettings):
    """Settings of the frequency service."""

    model_config = SettingsConfigDict(env_prefix="PANTREE_FREQUENCY_")

    port: int = Field(default=50054, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    model_dir: Path | None = Field(
        default=None, description="Directory of the fitted models; the bundled ones by default."
    )
    costs_file: Path | None = Field(
        default=None, description="TOML file with costs of stockouts and early deliveries; the bundled ones by default."
    )
    model_threads: int = Field(default=1, ge=1, le=64, description="Threads of one prediction.")
