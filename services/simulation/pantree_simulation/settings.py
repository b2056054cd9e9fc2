"""Settings of the simulation service."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from pantree_runtime.settings import PartSettings


class SimulationSettings(PartSettings):
    """Settings of the simulation service."""

    model_config = SettingsConfigDict(env_prefix="PANTREE_SIMULATION_")

    port: int = Field(default=50052, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    archetypes_file: Path | None = Field(
        default=None, description="TOML file with more archetypes, in the format of archetypes.toml."
    )
