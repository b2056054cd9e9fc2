"""Settings of the gateway."""

from typing import Self

from limits import parse
from pydantic import Field, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from pantree_gateway.transcoding.metadata import header_policy_of
from pantree_runtime.settings import PartSettings


class GatewaySettings(PartSettings):
    """What the gateway can be told."""

    model_config = SettingsConfigDict(env_prefix="PANTREE_GATEWAY_")

    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    pipeline_address: str = Field(
        default="127.0.0.1:50051",
        description="Where the pipeline is: host:port, or dns:///name:port for several replicas.",
        validation_alias="PANTREE_PIPELINE_ADDRESS",
    )
    simulation_address: str = Field(
        default="127.0.0.1:50052",
        description="Where the simulation is: host:port, or dns:///name:port for several replicas.",
        validation_alias="PANTREE_SIMULATION_ADDRESS",
    )
    cors_origins: str = Field(
        default="*",
        description="Origins whose pages may call from a browser, separated by commas; * for all, empty for none.",
    )
    request_timeout_seconds: float = Field(
        default=30.0, gt=0, le=3600, description="Longest time for a request without X-Request-Timeout."
    )
    stream_timeout_seconds: float = Field(
        default=300.0, gt=0, le=3600, description="Longest time for a WebSocket stream without X-Request-Timeout."
    )
    stream_linger_seconds: float = Field(
        default=1.0,
        ge=0,
        le=3600,
        description="How long a WebSocket waits for another request after the answer to one without an id.",
    )
    heartbeat_seconds: float = Field(
        default=20.0,
        gt=0,
        le=3600,
        description="How often a WebSocket client is pinged; one that does not answer for as long is let go.",
    )
    forwarded_headers: str = Field(
        default="",
        description="Headers passed on to the services as metadata, and metadata passed back, separated by commas.",
    )
    api_keys_file: str = Field(
        default="",
        description="JSON file with the SHA-256, name, tenant and scopes of each API key; empty asks for none.",
    )
    jwt_issuer: str = Field(default="", description="Issuer whose tokens are taken; empty takes none.")
    jwt_audience: str = Field(default="", description="Audience that a token must name.")
    jwt_jwks: str = Field(default="", description="The issuer's public keys: a JWKS file, or its URL.")
    jwt_tenant_claim: str = Field(default="tenant", description="Claim of a token that names the tenant.")
    rate_limit: str = Field(
        default="", description="Most requests of a caller, such as 600/minute; empty for no limit."
    )
    cache_seconds: float = Field(
        default=60.0,
        ge=0,
        le=86400,
        description="How long the answer to a request with both seed and as_of is kept; 0 for not at all.",
    )
    idempotency_seconds: float = Field(
        default=86400.0, gt=0, le=604800, description="How long the answer to an Idempotency-Key is kept."
    )
    redis_url: str = Field(
        default="",
        description="Redis that several gateways share limits and kept answers through; empty keeps them in each.",
        validation_alias="PANTREE_REDIS_URL",
    )

    @field_validator("rate_limit")
    @classmethod
    def _check_rate_limit(cls, value: str) -> str:
        if value:
            try:
                parse(value)
            except ValueError:
                raise ValueError("give a number and a time, such as 600/minute") from None
        return value

    @field_validator("forwarded_headers")
    @classmethod
    def _check_forwarded_headers(cls, value: str) -> str:
        header_policy_of(value)
        return value

    @model_validator(mode="after")
    def _check_tokens(self) -> Self:
        given = [bool(self.jwt_issuer), bool(self.jwt_audience), bool(self.jwt_jwks)]
        if any(given) and not all(given):
            names = "PANTREE_GATEWAY_JWT_ISSUER, PANTREE_GATEWAY_JWT_AUDIENCE and PANTREE_GATEWAY_JWT_JWKS"
            raise ValueError(f"{names} go together; give all of them or none")
        return self
