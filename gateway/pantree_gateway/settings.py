"""Settings of the gateway."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from pantree_gateway.rate_limit import check_rate_limit
from pantree_gateway.transcoding.headers import parse_header_policy
from pantree_runtime.settings import PartSettings


class GatewaySettings(PartSettings):
    """Settings of the gateway."""

    model_config = SettingsConfigDict(env_prefix="PANTREE_GATEWAY_")

    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    pipeline_address: str = Field(
        default="127.0.0.1:50051",
        description="Address of the pipeline: host:port, or dns:///name:port for several replicas.",
        validation_alias="PANTREE_PIPELINE_ADDRESS",
    )
    simulation_address: str = Field(
        default="127.0.0.1:50052",
        description="Address of the simulation: host:port, or dns:///name:port for several replicas.",
        validation_alias="PANTREE_SIMULATION_ADDRESS",
    )
    cors_origins: str = Field(
        default="*",
        description="Origins whose pages may call, separated by commas; * for all, empty for none.",
    )
    request_timeout_seconds: float = Field(
        default=30.0, gt=0, le=3600, description="Timeout of a request without X-Request-Timeout."
    )
    stream_timeout_seconds: float = Field(
        default=300.0, gt=0, le=3600, description="Timeout of a stream without X-Request-Timeout."
    )
    stream_linger_seconds: float = Field(
        default=1.0,
        ge=0,
        le=3600,
        description="How long a WebSocket stays open after the answer to a request without an id.",
    )
    heartbeat_seconds: float = Field(
        default=20.0,
        gt=0,
        le=3600,
        description="Interval of WebSocket pings, and how long a client may take to answer one.",
    )
    forwarded_headers: str = Field(
        default="",
        description="Headers forwarded to the services as metadata, and back, separated by commas.",
    )
    api_keys_file: str = Field(
        default="",
        description="JSON file with the SHA-256, name, tenant and scopes of each API key; empty for none.",
    )
    jwt_issuer: str = Field(default="", description="Issuer whose tokens are accepted; empty for none.")
    jwt_audience: str = Field(default="", description="Audience that a token must have.")
    jwt_jwks: str = Field(default="", description="The issuer's public keys: a JWKS file, or its URL.")
    jwt_tenant_claim: str = Field(default="tenant", description="Claim of a token that has the tenant.")
    rate_limit: Annotated[str, AfterValidator(check_rate_limit)] = Field(
        default="", description="Rate limit of each caller, such as 600/minute; empty for none."
    )
    cache_seconds: float = Field(
        default=60.0,
        ge=0,
        le=86400,
        description="How long responses to requests with both seed and as_of are cached; 0 turns the cache off.",
    )
    idempotency_seconds: float = Field(
        default=86400.0, gt=0, le=604800, description="How long the response to an Idempotency-Key is stored."
    )
    redis_url: str = Field(
        default="",
        description="Redis in which several gateways share rate limits and responses; empty for none.",
        validation_alias="PANTREE_REDIS_URL",
    )

    @field_validator("forwarded_headers")
    @classmethod
    def _check_forwarded_headers(cls, value: str) -> str:
        parse_header_policy(value)
        return value

    @model_validator(mode="after")
    def _check_tokens(self) -> Self:
        values = (self.jwt_issuer, self.jwt_audience, self.jwt_jwks)
        if any(values) and not all(values):
            names = "PANTREE_GATEWAY_JWT_ISSUER, PANTREE_GATEWAY_JWT_AUDIENCE and PANTREE_GATEWAY_JWT_JWKS"
            raise ValueError(f"set all or none of {names}")
        return self
