"""Settings of the SageMaker container."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from pantree_runtime.settings import ProgramSettings


class ContainerSettings(ProgramSettings):
    """What the container can be told; the defaults are what SageMaker expects of one."""

    model_config = SettingsConfigDict(env_prefix="PANTREE_SAGEMAKER_")

    host: str = Field(default="0.0.0.0", description="Address to listen on.")  # noqa: S104 # SageMaker asks from outside
    port: int = Field(
        default=8080,
        ge=0,
        le=65535,
        description="Port to listen on; SageMaker sets it. 0 picks a free one.",
        validation_alias="SAGEMAKER_BIND_TO_PORT",
    )
    model_folder: Path = Field(
        default=Path("/opt/ml/model"), description="Where the model is, and where a trained one is written."
    )
    input_folder: Path = Field(
        default=Path("/opt/ml/input"), description="Where training finds its hyperparameters and channels."
    )
    output_folder: Path = Field(
        default=Path("/opt/ml/output"), description="Where training writes why it failed, in the file `failure`."
    )
    # SageMaker ends a container 30 s after SIGTERM.
    drain_seconds: float = Field(
        default=25.0,
        ge=0,
        description="How long requests under way may still take after SIGTERM.",
        validation_alias="PANTREE_DRAIN_SECONDS",
    )
