"""Settings of the gateway."""

import ipaddress
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from pantree_gateway.rate_limit import check_rate_limit
from pantree_gateway.transcoding.headers import parse_header_policy
from pantree_runtime.settings import PartSettings


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def split_list(value: str) -> list[str]:
    """The elements of a comma-separated list."""
    return [element.strip() for element in value.split(",") if element.strip()]


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
    history_address: str = Field(
        default="",
        description="Address of the history service; empty if nothing is stored.",
        validation_alias="PANTREE_HISTORY_ADDRESS",
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
    max_connections: int = Field(
        default=1024, ge=8, le=100_000, description="Largest number of open connections; idle ones are closed first."
    )
    max_held_mib: int = Field(
        default=48,
        ge=1,
        le=1_000_000,
        description="Largest memory that all requests in flight hold, in MiB; a caller gets half of it at most.",
    )
    probe_port: int = Field(
        default=0, ge=0, le=65535, description="Further port with /live and /ready only; 0 for none."
    )
    open: bool = Field(default=False, description="Whether to listen outside of this machine without keys and tokens.")
    allowed_hosts: str = Field(
        default="",
        description="Hosts that requests may name, such as *.example.com, separated by commas; empty for all.",
    )
    trusted_proxies: str = Field(
        default="",
        description="Addresses and networks of proxies whose X-Forwarded-For is trusted, separated by commas.",
    )
    forwarded_headers: str = Field(
        default="",
        description="Headers forwarded to the services as metadata, and back, separated by commas.",
    )
    api_keys_file: str = Field(
        default="",
        description="JSON file with the SHA-256, name, tenant and scopes of each API key; empty for none.",
    )
    engines_file: str = Field(
        default="",
        description="JSON file with the engine, secret, tenant and time zone of each account whose webhooks are taken.",
    )
    jwt_issuer: str = Field(default="", description="Issuer whose tokens are accepted; empty for none.")
    jwt_audience: str = Field(default="", description="Audience that a token must have.")
    jwt_jwks: str = Field(default="", description="The issuer's public keys: a JWKS file, or its URL.")
    jwt_tenant_claim: str = Field(default="tenant", description="Claim of a token that has the tenant.")
    jwt_customer_claim: str = Field(
        default="customer_id", description="Claim of a token that has the only customer whom its holder may name."
    )
    jwt_insecure_jwks: bool = Field(
        default=False, description="Whether the issuer's keys may be fetched over http from other machines."
    )
    tenant_rate_limit: Annotated[str, AfterValidator(check_rate_limit)] = Field(
        default="", description="Rate limit of all callers of a tenant together, such as 6000/minute; empty for none."
    )
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
    redis_password: SecretStr = Field(
        default=SecretStr(""), description="Password of that Redis.", validation_alias="PANTREE_REDIS_PASSWORD"
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
        url = urlsplit(self.jwt_jwks)
        if url.scheme == "http" and not self.jwt_insecure_jwks and not is_loopback(url.hostname or ""):
            raise ValueError(
                "PANTREE_GATEWAY_JWT_JWKS must be an https URL, since who replaces the keys in transit can issue "
                "tokens; set PANTREE_GATEWAY_JWT_INSECURE_JWKS=true to fetch them over http all the same"
            )
        return self

    @property
    def requires_credentials(self) -> bool:
        """Whether requests need a key or a token."""
        return bool(self.api_keys_file or self.jwt_issuer)

    @model_validator(mode="after")
    def _check_open(self) -> Self:
        if not (self.requires_credentials or self.open or is_loopback(self.host)):
            raise ValueError(
                "without keys and tokens anyone who reaches PANTREE_GATEWAY_HOST may call; set "
                "PANTREE_GATEWAY_API_KEYS_FILE, or PANTREE_GATEWAY_JWT_ISSUER, _JWT_AUDIENCE and _JWT_JWKS, or "
                "PANTREE_GATEWAY_OPEN=true, or listen on 127.0.0.1"
            )
        return self

    @field_validator("trusted_proxies")
    @classmethod
    def _check_trusted_proxies(cls, value: str) -> str:
        for proxy in split_list(value):
            ipaddress.ip_network(proxy, strict=False)
        return value
