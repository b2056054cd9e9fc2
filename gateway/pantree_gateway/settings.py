"""Settings of the gateway."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

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
