"""Settings of the enrichment service."""

from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from pantree_runtime.settings import PartSettings


class EnrichmentSettings(PartSettings):
    """What the enrichment service can be told."""

    model_config = SettingsConfigDict(env_prefix="PANTREE_ENRICHMENT_")

    port: int = Field(default=50055, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    nim_endpoint: str = Field(
        default="",
        description="Where Llama NIM is, with or without http://; empty when there is none.",
        validation_alias="LLAMA_NIM_ENDPOINT",
    )
    nim_api_key: SecretStr = Field(
        default=SecretStr(""), description="Key that Llama NIM asks for, if any.", validation_alias="LLAMA_NIM_API_KEY"
    )
    nim_model: str = Field(
        default="meta/llama-3.1-8b-instruct", min_length=1, description="Name of the model that Llama NIM serves."
    )
    nim_timeout_seconds: float = Field(
        default=20.0,
        gt=0,
        le=600,
        description="How long asking Llama NIM about a batch may take in all, a second try included.",
    )
    nim_cool_down_seconds: float = Field(
        default=30.0, gt=0, description="How long Llama NIM is left alone after it failed."
    )
    nim_batch_size: int = Field(default=8, ge=1, le=50, description="How many items one call asks about at most.")
    nim_token_budget: int = Field(
        default=4096, ge=2048, description="How many tokens one call may take, prompt and reply together."
    )
    nim_max_calls: int = Field(default=4, ge=1, le=64, description="How many calls to Llama NIM run at a time.")

    redis_url: SecretStr = Field(
        default=SecretStr(""),
        description="Redis that keeps what replicas may share, such as redis://localhost:6379/0; empty for none.",
        validation_alias="PANTREE_REDIS_URL",
    )
    cache_size: int = Field(
        default=20_000, ge=1, description="How many answers of Llama NIM are kept in memory; about 1 KiB each."
    )
    cache_seconds: float = Field(
        default=2_592_000.0, gt=0, description="How long an answer of Llama NIM is kept; 30 days unless told otherwise."
    )

    @field_validator("redis_url")
    @classmethod
    def _is_a_redis_url(cls, value: SecretStr) -> SecretStr:
        """The URL as it is; it may hold a password, so it is never shown."""
        if value.get_secret_value() and not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("give a URL such as redis://localhost:6379/0, rediss://... or unix://...")
        return value

    @field_validator("nim_endpoint")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        """The endpoint as a URL, without the path that the client adds itself."""
        if not value.strip():
            return ""
        url = value.strip() if "://" in value else f"http://{value.strip()}"
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # a port that is no number
            usable = False
        if not usable:
            raise ValueError("give an address such as localhost:8001 or https://nim.example.com")
        return url.rstrip("/").removesuffix("/v1")
