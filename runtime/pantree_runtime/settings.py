"""Settings of a part, read from the environment and from a `.env` file.

Each part has a subclass of `PartSettings` with its own prefix, `PANTREE_<PART>_`. It is read in `__main__` only;
everything else gets what it needs as constructor arguments.
"""

import sys
from typing import Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class PartSettings(BaseSettings):
    """What every part can be told."""

    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", extra="ignore", populate_by_name=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0 for all.")
    port: int = Field(default=0, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    drain_seconds: float = Field(
        default=30.0,
        ge=0,
        description="How long calls under way may still take after SIGTERM.",
        validation_alias="PANTREE_DRAIN_SECONDS",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least severe level that is logged.", validation_alias="PANTREE_LOG_LEVEL"
    )
    log_format: Literal["auto", "text", "json"] = Field(
        default="auto", description="auto is text on a terminal, JSON elsewhere.", validation_alias="PANTREE_LOG_FORMAT"
    )
    debug: bool = Field(default=False, description="Same as PANTREE_LOG_LEVEL=DEBUG.", validation_alias="DEBUG")


def environment_variable(settings: type[BaseSettings], field: str) -> str:
    """Name of the environment variable that sets a field."""
    alias = settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else f"{settings.model_config.get('env_prefix', '')}{field}".upper()


def environment_variables(settings: type[BaseSettings]) -> dict[str, str]:
    """Field of each environment variable that the settings read."""
    return {environment_variable(settings, field): field for field in settings.model_fields}


SettingsT = TypeVar("SettingsT", bound=BaseSettings)


def load_settings(settings: type[SettingsT]) -> SettingsT:
    """The settings; ends the program with code 2 and a line per wrong variable when they are wrong."""
    try:
        return settings()
    except ValidationError as error:
        variables = {field: variable for variable, field in environment_variables(settings).items()}
        for problem in error.errors():
            name = str(problem["loc"][0]) if problem["loc"] else "settings"
            print(f"error: {variables.get(name, name)}: {problem['msg']}", file=sys.stderr)
        raise SystemExit(2) from None
