"""Settings of the recommendation service."""

import re
from pathlib import Path
from typing import Any, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from pantree_recommendation.backends.bodies import BodyFormat
from pantree_runtime.settings import PartSettings


class RecommendationSettings(PartSettings):
    """What the recommendation service can be told."""

    model_config = SettingsConfigDict(env_prefix="PANTREE_RECOMMENDATION_")

    port: int = Field(default=50056, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    min_cadence_probability: float = Field(
        default=0.65,
        ge=0,
        le=1,
        description="Least probability of a purchase within 1.5 × the cadence, unless a request names its own.",
    )
    min_confidence: float = Field(
        default=0.0, ge=0, le=100, description="Least confidence that an item needs, unless a request names its own."
    )
    min_purchases: int = Field(
        default=3, ge=2, description="Least number of purchase days that an item needs; two are one interval."
    )
    discounts_file: Path | None = Field(
        default=None,
        description="TOML file of discounts by the number of items on a day; 5 %, and 15 % from five on, when absent.",
    )
    excluded_categories: str = Field(
        default="", description="Categories that are not delivered by subscription, separated by commas."
    )
    max_category_ratio: float = Field(
        default=0.5, gt=0, le=1, description="Largest share of the recommendations that may come from one category."
    )
    sagemaker_endpoint: str = Field(
        default="",
        description="Name of a SageMaker endpoint that ranks the items; empty for the embedded model.",
        validation_alias="SAGEMAKER_ENDPOINT",
    )
    models_dir: Path | None = Field(
        default=None, description="Holds one folder for each further model; only the one that ships when absent."
    )
    selection_file: Path | None = Field(
        default=None,
        description="JSON file that says which model answers whom, read again when it changes; without it SageMaker "
        "answers if it is configured, else the model that ships.",
    )
    selection_reload_seconds: float = Field(
        default=1.0, ge=0, description="How long the selection file is not looked at again."
    )
    sagemaker_variant: str = Field(
        default="", description="Variant of the endpoint that is to answer; the endpoint chooses when empty."
    )
    sagemaker_inference_component: str = Field(
        default="", description="Inference component that is to answer, for endpoints that host several."
    )
    sagemaker_content_type: BodyFormat = Field(
        default=BodyFormat.JSON,
        description="What the endpoint takes and gives: application/json, application/jsonlines or text/csv.",
    )
    sagemaker_url: str | None = Field(
        default=None, description="URL of the SageMaker runtime, for a private network; AWS's own when absent."
    )
    sagemaker_total_max_attempts: int = Field(
        default=2,
        ge=1,
        le=5,
        description="How often SageMaker is asked at most after failures that pass, the first time included.",
    )
    sagemaker_connect_timeout_seconds: float = Field(
        default=2.0, gt=0, description="How long one attempt may take to connect to SageMaker."
    )
    sagemaker_read_timeout_seconds: float = Field(
        default=10.0, gt=0, le=70, description="How long one attempt may wait for SageMaker's next bytes."
    )
    sagemaker_timeout_seconds: float = Field(
        default=20.0, gt=0, description="How long a request waits for SageMaker at most, all attempts together."
    )
    sagemaker_max_calls: int = Field(default=4, ge=1, le=64, description="How many SageMaker calls run at a time.")
    sagemaker_failures_to_open: int = Field(
        default=3, ge=1, description="After how many failed requests in a row SageMaker is left alone."
    )
    sagemaker_cool_down_seconds: float = Field(
        default=30.0, ge=0, description="How long SageMaker is then left alone before one request tries again."
    )
    aws_region: str = Field(
        default="us-west-2", min_length=1, description="Region of the endpoint.", validation_alias="AWS_REGION"
    )
    aws_access_key_id: SecretStr | None = Field(
        default=None,
        description="AWS credentials; the ordinary AWS chain (profile, role) when absent.",
        validation_alias="AWS_ACCESS_KEY_ID",
    )
    aws_secret_access_key: SecretStr | None = Field(
        default=None, description="Goes with AWS_ACCESS_KEY_ID.", validation_alias="AWS_SECRET_ACCESS_KEY"
    )
    aws_session_token: SecretStr | None = Field(
        default=None, description="Goes with temporary AWS credentials.", validation_alias="AWS_SESSION_TOKEN"
    )

    def aws_keys(self) -> dict[str, Any]:
        """The credentials by the names that `open_client` has for them; None for the ordinary AWS chain.

        A line without a value in `.env` gives an empty one, which stands for none.
        """
        keys = {
            "access_key_id": self.aws_access_key_id,
            "secret_access_key": self.aws_secret_access_key,
            "session_token": self.aws_session_token,
        }
        return {name: secret.get_secret_value() if secret else None for name, secret in keys.items()}

    @field_validator("sagemaker_endpoint")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        # As SageMaker's CreateEndpoint has it.
        if value and not re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", value):
            raise ValueError("give the endpoint's name, such as prod-subscribe-save-endpoint, not its address or ARN")
        return value

    @model_validator(mode="after")
    def _keys_come_in_pairs(self) -> Self:
        if self.sagemaker_endpoint and bool(self.aws_access_key_id) != bool(self.aws_secret_access_key):
            raise ValueError("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together; set both or neither")
        return self
