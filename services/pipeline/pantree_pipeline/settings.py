"""Settings of the pipeline service."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from pantree_runtime.settings import PartSettings


class PipelineSettings(PartSettings):
    """Settings of the pipeline service. Addresses are `host:port`, or `dns:///name:port` for several replicas."""

    model_config = SettingsConfigDict(env_prefix="PANTREE_PIPELINE_")

    port: int = Field(default=50051, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    simulation_address: str = Field(
        default="127.0.0.1:50052",
        description="Where the simulation service listens.",
        validation_alias="PANTREE_SIMULATION_ADDRESS",
    )
    vector_address: str = Field(
        default="127.0.0.1:50053",
        description="Where the vector service listens; empty disables it.",
        validation_alias="PANTREE_VECTOR_ADDRESS",
    )
    frequency_address: str = Field(
        default="127.0.0.1:50054",
        description="Where the frequency service listens.",
        validation_alias="PANTREE_FREQUENCY_ADDRESS",
    )
    enrichment_address: str = Field(
        default="127.0.0.1:50055",
        description="Where the enrichment service listens; empty disables it.",
        validation_alias="PANTREE_ENRICHMENT_ADDRESS",
    )
    recommendation_address: str = Field(
        default="127.0.0.1:50056",
        description="Where the recommendation service listens.",
        validation_alias="PANTREE_RECOMMENDATION_ADDRESS",
    )
    history_address: str = Field(
        default="",
        description="Where the history service listens; empty disables it.",
        validation_alias="PANTREE_HISTORY_ADDRESS",
    )
    call_seconds: float = Field(default=30.0, gt=0, description="Timeout of a call to a required part, in seconds.")
    optional_call_seconds: float = Field(
        default=5.0, gt=0, description="Timeout of a call to an optional part, in seconds."
    )
