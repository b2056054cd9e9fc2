"""Settings of a part, read from the environment and from a `.env` file.

Each part has a subclass of `PartSettings` with its own prefix, `PANTREE_<PART>_`. Settings are read in `__main__` only;
everything else gets what it needs through constructor arguments.
"""

import sys
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from pantree_domain.limits import FieldLimits
from pantree_runtime.validation import number_range

MAX_CALLS = 512


class ProgramSettings(BaseSettings):
    """Settings of every server."""

    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", extra="ignore", populate_by_name=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0 for all.")
    port: int = Field(default=0, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    drain_seconds: float = Field(
        default=30.0,
        ge=0,
        description="How long calls in flight may still take after SIGTERM.",
        validation_alias="PANTREE_DRAIN_SECONDS",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Lowest level that is logged.", validation_alias="PANTREE_LOG_LEVEL"
    )
    log_format: Literal["auto", "text", "json"] = Field(
        default="auto", description="auto is text on a terminal, JSON elsewhere.", validation_alias="PANTREE_LOG_FORMAT"
    )
    debug: bool = Field(default=False, description="Same as PANTREE_LOG_LEVEL=DEBUG.", validation_alias="DEBUG")

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object, info: ValidationInfo) -> object:
        """An empty value, as in `.env.example`, means None where that is the default, not the current directory."""
        return None if value == "" and cls.model_fields[info.field_name or ""].default is None else value


class PartSettings(ProgramSettings):
    """Settings of every part of the mesh."""

    max_calls: int = Field(
        default=MAX_CALLS,
        ge=1,
        le=100_000,
        description="Largest total cost of the calls in flight; bulk calls cost more than 1 each.",
    )
    max_held_mib: int = Field(
        default=128,
        ge=1,
        le=1_000_000,
        description="Largest memory that the requests in flight hold, in MiB: eight times their size.",
    )
    metrics_port: int = Field(
        default=0, ge=0, le=65535, description="Port of Prometheus metrics, at /metrics; 0 for none."
    )
    tls_dir: Path | None = Field(
        default=None, description="Directory with tls.crt, tls.key and ca.crt of this part; no TLS if empty."
    )
    tls_domain: str = Field(
        default="pantree.internal",
        min_length=1,
        description="Domain of the names in the certificates of all parts.",
        validation_alias="PANTREE_TLS_DOMAIN",
    )
    client_tenants: str = Field(
        default="",
        description="Tenants of clients whose certificate names none, comma-separated; * for all, empty: the default.",
        validation_alias="PANTREE_CLIENT_TENANTS",
    )
    otlp_endpoint: str = Field(
        default="",
        description="Trace collector, such as http://localhost:4317; empty for none.",
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
    )
    otlp_protocol: Literal["grpc", "http/protobuf"] = Field(
        default="grpc",
        description="Protocol of the collector: grpc, or http/protobuf for a URL such as http://localhost:4318.",
        validation_alias="OTEL_EXPORTER_OTLP_PROTOCOL",
    )
    trace_ratio: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of new traces that are sampled, 0 to 1.",
        validation_alias="OTEL_TRACES_SAMPLER_ARG",
    )

    @field_validator("otlp_endpoint")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("use a URL such as http://localhost:4317")
        return value


def environment_variable(settings: type[BaseSettings], field: str) -> str:
    """Name of the environment variable of a field."""
    alias = settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else f"{settings.model_config.get('env_prefix', '')}{field}".upper()


def environment_variables(settings: type[BaseSettings]) -> dict[str, str]:
    """Field names by environment variable."""
    return {environment_variable(settings, field): field for field in settings.model_fields}


SettingsT = TypeVar("SettingsT", bound=BaseSettings)


def load_settings(settings: type[SettingsT]) -> SettingsT:
    """Reads the settings. If any are invalid, prints a line for each and exits with code 2."""
    try:
        return settings()
    except ValidationError as error:
        for problem in error.errors():
            print(f"error: {_description(settings, problem)}", file=sys.stderr)
        raise SystemExit(2) from None


def _description(settings: type[BaseSettings], problem: ErrorDetails) -> str:
    """Description of a problem, such as `PANTREE_DRAIN_SECONDS: must be a number of at least 0; is '-1'`."""
    name = str(problem["loc"][0]) if problem["loc"] else "settings"
    field = environment_variables(settings).get(name, name)
    if field not in settings.model_fields:
        return f"{name}: {problem['msg']}"
    variable = environment_variable(settings, field)
    schema = settings.model_json_schema(by_alias=False)["properties"][field]
    if schema.get("type") not in ("integer", "number"):
        return f"{variable}: {problem['msg']}"  # without the value, which may be a secret
    limits = FieldLimits(
        minimum=schema.get("minimum"),
        maximum=schema.get("maximum"),
        exclusive_minimum=schema.get("exclusiveMinimum"),
        exclusive_maximum=schema.get("exclusiveMaximum"),
    )
    return f"{variable}: must be {number_range(limits, is_float=schema['type'] == 'number')}; is {problem['input']!r}"
