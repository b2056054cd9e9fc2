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
        default=10.0, gt=0, le=600, description="How long one call to Llama NIM may take in all."
    )
    nim_cool_down_seconds: float = Field(
        default=30.0, gt=0, description="How long Llama NIM is left alone after it failed."
    )
    nim_batch_size: int = Field(default=8, ge=1, le=50, description="How many items one call asks about.")
    nim_max_calls: int = Field(default=4, ge=1, le=64, description="How many calls to Llama NIM run at a time.")

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
