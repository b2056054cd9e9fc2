"""Settings of the recommendation service."""

import re
from pathlib import Path
from typing import Any, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from pantree_recommendation.backends.bodies import BodyFormat
from pantree_runtime.settings import PartSettings


class RecommendationSettings(PartSettings):
    """Settings of the recommendation service."""

    model_config = SettingsConfigDict(env_prefix="PANTREE_RECOMMENDATION_")

    port: int = Field(default=50056, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    min_cadence_probability: float = Field(
        default=0.65,
        ge=0,
        le=1,
        description="Minimum probability of a purchase within 1.5 × the cadence, unless a request sets its own.",
    )
    min_confidence: float = Field(
        default=0.0, ge=0, le=100, description="Minimum confidence of an item, unless a request sets its own."
    )
    min_purchases: int = Field(default=3, ge=2, description="Minimum number of purchase days of an item; at least 2.")
    discounts_file: Path | None = Field(
        default=None,
        description="TOML file with discounts by items per delivery; 5 %, and 15 % from five items on, when absent.",
    )
    excluded_categories: str = Field(
        default="", description="Categories not delivered by subscription, separated by commas."
    )
    goods_file: Path | None = Field(
        default=None,
        description="TOML file with types of goods that change or extend the bundled policy; `pantree policy show` "
        "prints it.",
    )
    opt_in_goods: str = Field(
        default="",
        description="Types of goods that are offered only by choice, separated by commas: alcohol, medicines.",
    )
    max_category_ratio: float = Field(
        default=0.5, gt=0, le=1, description="Largest share of the recommendations that may come from one category."
    )
    max_more_expensive_ratio: float = Field(
        default=0.1,
        ge=0,
        le=10,
        description="How much more than the household paid an item may cost at the discount that the plan reaches.",
    )
    promotional_prices: bool = Field(
        default=False,
        description="Take discounts off the day's price, promotions included, instead of the shelf price.",
    )
    sagemaker_endpoint: str = Field(
        default="",
        description="Name of a SageMaker endpoint that ranks the items; empty for the embedded model.",
        validation_alias="SAGEMAKER_ENDPOINT",
    )
    models_dir: Path | None = Field(
        default=None, description="Directory with one subdirectory per further model; only bundled models when absent."
    )
    selection_file: Path | None = Field(
        default=None,
        description="JSON file with the shares of the models, read again when it changes; without it SageMaker "
        "answers if it is configured, else the default model.",
    )
    selection_reload_seconds: float = Field(default=1.0, ge=0, description="How often the selection file is checked.")
    next_basket_dir: Path | None = Field(
        default=None, description="Directory of the next-basket model; the bundled one when absent."
    )
    sagemaker_variant: str = Field(
        default="", description="Variant of the endpoint to invoke; the endpoint chooses when empty."
    )
    sagemaker_inference_component: str = Field(
        default="", description="Inference component to invoke, for endpoints that host several."
    )
    sagemaker_content_type: BodyFormat = Field(
        default=BodyFormat.JSON,
        description="Content type of requests and responses: application/json, application/jsonlines or text/csv.",
    )
    sagemaker_url: str | None = Field(
        default=None, description="URL of the SageMaker runtime, for private networks; AWS's own when absent."
    )
    sagemaker_total_max_attempts: int = Field(
        default=2,
        ge=1,
        le=5,
        description="Maximum number of attempts per call after temporary failures, including the first.",
    )
    sagemaker_connect_timeout_seconds: float = Field(
        default=2.0, gt=0, description="Timeout of a connection attempt to SageMaker."
    )
    sagemaker_read_timeout_seconds: float = Field(
        default=10.0, gt=0, le=70, description="Timeout between two reads from SageMaker."
    )
    sagemaker_timeout_seconds: float = Field(
        default=20.0, gt=0, description="Maximum time that a request waits for SageMaker, all attempts together."
    )
    sagemaker_max_calls: int = Field(default=4, ge=1, le=64, description="Maximum concurrent SageMaker calls.")
    sagemaker_failures_to_open: int = Field(
        default=3, ge=1, description="Number of consecutive failed requests that open SageMaker's circuit."
    )
    sagemaker_cool_down_seconds: float = Field(
        default=30.0, ge=0, description="How long the circuit stays open before one request tries again."
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
        default=None, description="Secret key of AWS_ACCESS_KEY_ID.", validation_alias="AWS_SECRET_ACCESS_KEY"
    )
    aws_session_token: SecretStr | None = Field(
        default=None, description="Session token of temporary AWS credentials.", validation_alias="AWS_SESSION_TOKEN"
    )

    @property
    def opted_in(self) -> frozenset[str]:
        """Types of goods that the retailer offers by choice."""
        return frozenset(id_.strip() for id_ in self.opt_in_goods.split(",") if id_.strip())

    @property
    def aws_connection(self) -> dict[str, Any]:
        """Arguments of `AwsConnection`; empty credentials are None, for the ordinary AWS chain."""
        names = ("access_key_id", "secret_access_key", "session_token")
        secrets: dict[str, SecretStr | None] = {name: getattr(self, f"aws_{name}") for name in names}
        return {
            "region": self.aws_region,
            "connect_timeout_seconds": self.sagemaker_connect_timeout_seconds,
            "read_timeout_seconds": self.sagemaker_read_timeout_seconds,
            "max_calls": self.sagemaker_max_calls,
            **{name: secret.get_secret_value() if secret else None for name, secret in secrets.items()},
        }

    @field_validator("sagemaker_endpoint")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        # The rule of SageMaker's CreateEndpoint.
        if value and not re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", value):
            raise ValueError("must be the endpoint's name, such as prod-subscribe-save-endpoint, not its URL or ARN")
        return value

    @model_validator(mode="after")
    def _keys_come_in_pairs(self) -> Self:
        if self.sagemaker_endpoint and bool(self.aws_access_key_id) != bool(self.aws_secret_access_key):
            raise ValueError("set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or neither")
        return self
