"""Settings of the enrichment service."""

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from pantree_runtime.settings import PartSettings


class EnrichmentSettings(PartSettings):
    """Settings of the enrichment service."""

    model_config = SettingsConfigDict(env_prefix="PANTREE_ENRICHMENT_")

    port: int = Field(default=50055, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    nim_endpoint: str = Field(
        default="",
        description="Address of Llama NIM, with or without http://; empty disables it.",
        validation_alias="LLAMA_NIM_ENDPOINT",
    )
    nim_api_key: SecretStr = Field(
        default=SecretStr(""),
        description="API key of Llama NIM, if it requires one.",
        validation_alias="LLAMA_NIM_API_KEY",
    )
    nim_ca_file: Path | None = Field(
        default=None, description="PEM file of the CA that signed Llama NIM's certificate; empty for the public ones."
    )
    nim_model: str = Field(
        default="meta/llama-3.1-8b-instruct", min_length=1, description="Model that Llama NIM serves."
    )
    nim_timeout_seconds: float = Field(
        default=20.0,
        gt=0,
        le=600,
        description="Maximum total time to ask Llama NIM about a batch, including a second attempt.",
    )
    nim_cool_down_seconds: float = Field(
        default=30.0, gt=0, description="How long Llama NIM is not called after a failure."
    )
    nim_batch_size: int = Field(default=8, ge=1, le=50, description="Maximum number of items in one call.")
    nim_token_budget: int = Field(
        default=4096, ge=2048, description="Maximum number of tokens of one call, prompt and reply together."
    )
    nim_max_calls: int = Field(default=4, ge=1, le=64, description="Maximum number of concurrent calls to Llama NIM.")

    redis_url: SecretStr = Field(
        default=SecretStr(""),
        description="Redis that replicas share, such as redis://localhost:6379/0; empty for none.",
        validation_alias="PANTREE_REDIS_URL",
    )
    redis_password: SecretStr = Field(
        default=SecretStr(""), description="Password of that Redis.", validation_alias="PANTREE_REDIS_PASSWORD"
    )
    cache_size: int = Field(
        default=20_000, ge=1, description="Maximum number of answers cached in memory, about 1 KiB each."
    )
    cache_seconds: float = Field(
        default=2_592_000.0, gt=0, description="How long an answer is cached; the default is 30 days."
    )

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: SecretStr) -> SecretStr:
        # No error shows the URL, because it may contain a password.
        if value.get_secret_value() and not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must be a URL such as redis://localhost:6379/0, rediss://... or unix://...")
        return value

    @field_validator("nim_endpoint")
    @classmethod
    def _check_endpoint(cls, value: str) -> str:
        """The endpoint as a URL, without the path that the client adds."""
        if not value.strip():
            return ""
        url = value.strip() if "://" in value else f"http://{value.strip()}"
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # an invalid port
            usable = False
        if not usable:
            raise ValueError("must be an address such as localhost:8001 or https://nim.example.com")
        return url.rstrip("/").removesuffix("/v1")
