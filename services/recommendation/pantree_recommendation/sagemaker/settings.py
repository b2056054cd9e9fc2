"""Settings of the SageMaker container."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from pantree_runtime.settings import ProgramSettings


class ContainerSettings(ProgramSettings):
    """Settings of the container. The defaults are those that SageMaker expects."""

    model_config = SettingsConfigDict(env_prefix="PANTREE_SAGEMAKER_")

    host: str = Field(default="0.0.0.0", description="Address to listen on.")  # noqa: S104 # SageMaker calls from outside
    port: int = Field(
        default=8080,
        ge=0,
        le=65535,
        description="Port to listen on; SageMaker sets it. 0 picks a free one.",
        validation_alias="SAGEMAKER_BIND_TO_PORT",
    )
    model_dir: Path = Field(
        default=Path("/opt/ml/model"), description="Directory that the model is read from or written to."
    )
    input_dir: Path = Field(
        default=Path("/opt/ml/input"), description="Directory of hyperparameters and channels for training."
    )
    output_dir: Path = Field(
        default=Path("/opt/ml/output"), description="Directory of the file `failure`, the reason why training failed."
    )
    # SageMaker ends a container 30 s after SIGTERM.
    drain_seconds: float = Field(
        default=25.0,
        ge=0,
        description="How long requests in flight may take after SIGTERM.",
        validation_alias="PANTREE_DRAIN_SECONDS",
    )
