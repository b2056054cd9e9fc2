"""Settings of the history service, and the URL that selects its store."""

from typing import Literal, NamedTuple, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from pantree_history.core.ledger import MIN_KEY_BYTES
from pantree_history.core.limits import RETENTION_DAYS, Limits, TenantLimits, parse_tenants, parse_test_tenants
from pantree_history.core.webhooks.delivery import Rules
from pantree_runtime.local_files import data_dir
from pantree_runtime.settings import PartSettings

_STORE_URLS = "sqlite:///path/history.db, sqlite://:memory:, or postgresql://user@host:5432/database"


class StoreLocation(NamedTuple):
    """The system that stores purchases, and where it is."""

    system: Literal["sqlite", "postgresql"]
    place: str
    """Path of a file, `:memory:`, or connection string of a server."""


def store_location(url: str) -> StoreLocation:
    """The location in a store URL; for an empty one, a file in the user's data directory.

    Raises:
        ValueError: the URL is not supported.
    """
    if not url:
        return StoreLocation("sqlite", str(data_dir() / "history.db"))
    if url == "sqlite://:memory:":
        return StoreLocation("sqlite", ":memory:")
    parts = urlsplit(url)
    if parts.scheme == "sqlite" and not parts.netloc and parts.path.strip("/") and not (parts.query or parts.fragment):
        return StoreLocation("sqlite", unquote(parts.path))
    if parts.scheme == "postgresql" and parts.hostname and parts.path.strip("/"):
        if parts.password is not None:
            raise ValueError("has a password; put it into PANTREE_HISTORY_STORE_PASSWORD, which is not shown anywhere")
        return StoreLocation("postgresql", url)
    raise ValueError(f"is not the URL of a store; use {_STORE_URLS}")


class HistorySettings(PartSettings):
    """Settings of the history service."""

    # In a copy of .env.example, unset variables are empty.
    model_config = SettingsConfigDict(env_prefix="PANTREE_HISTORY_", env_ignore_empty=True)

    port: int = Field(default=50057, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    store_url: str = Field(
        default="",
        description=f"Where purchases are stored: {_STORE_URLS}. Empty: a file in the user's data directory.",
    )
    ledger_key: SecretStr = Field(
        default=SecretStr(""),
        description="Key of the hashes in the ledger of erasures, at least 16 characters. Empty: a random one in a "
        "file next to the database.",
    )

    store_password: SecretStr = Field(
        default=SecretStr(""), description="Password of the user of a PostgreSQL server; empty for libpq's own ways."
    )
    store_connections: int = Field(
        default=8, ge=1, le=100, description="Maximum number of connections to a PostgreSQL server."
    )
    store_timeout_seconds: float = Field(
        default=10.0, gt=0, description="Maximum time to wait for a connection to a PostgreSQL server."
    )

    retention_days: int = Field(
        default=RETENTION_DAYS,
        ge=0,
        description="How many days purchases are kept; older ones are removed daily, and refused. 0: for good.",
    )
    max_customers: int = Field(default=0, ge=0, description="Maximum number of customers of a tenant; 0 for no limit.")
    max_lines: int = Field(default=0, ge=0, description="Maximum number of stored lines of a tenant; 0 for no limit.")
    max_lines_per_day: int = Field(
        default=0, ge=0, description="Maximum number of new lines of a tenant in a day (UTC); 0 for no limit."
    )
    tenants: str = Field(
        default="",
        description='Tenants with other limits, as JSON: {"north": {"retention_days": 730, "max_customers": 50000}}. '
        "What is missing is as for all.",
    )
    test_tenants: str = Field(
        default="",
        description='Tenants with a test clock, which stands still until it is advanced, as JSON: ["sandbox"]. "" is '
        "the tenant of callers without one. Never list a tenant with real customers.",
    )
    maintenance_hours: float = Field(
        default=24.0,
        ge=0,
        description="Time between removals of purchases that are no longer kept; the first is a minute after the "
        "start. 0: only on request.",
    )

    webhook_poll_seconds: float = Field(
        default=1.0,
        ge=0,
        description="Time between two looks for events of webhooks to send. 0: this service sends none.",
    )
    webhook_timeout_seconds: float = Field(
        default=10.0, gt=0, le=20, description="Maximum time for a receiver to answer an event."
    )
    webhook_retry_seconds: float = Field(
        default=5.0,
        gt=0,
        description="Time until an event is sent again; twice as long after each further failure, up to 12 hours.",
    )
    webhook_max_attempts: int = Field(
        default=20, ge=1, description="How often an event is sent before it is a dead letter."
    )
    webhook_allow_http: bool = Field(default=False, description="Whether events may be sent without TLS.")
    webhook_allow_private_addresses: bool = Field(
        default=False, description="Whether events may be sent to private, loopback and link-local addresses."
    )

    @field_validator("store_url")
    @classmethod
    def _check_store_url(cls, url: str) -> str:
        store_location(url)
        return url

    @field_validator("ledger_key")
    @classmethod
    def _check_ledger_key(cls, key: SecretStr) -> SecretStr:
        if 0 < len(key.get_secret_value().encode()) < MIN_KEY_BYTES:
            raise ValueError(f"must have at least {MIN_KEY_BYTES} characters")
        return key

    @model_validator(mode="after")
    def _check_shared_key(self) -> Self:
        if self.store.system == "postgresql" and not self.ledger_key.get_secret_value():
            raise ValueError("PANTREE_HISTORY_LEDGER_KEY is required with a PostgreSQL server, whose services share it")
        return self

    @model_validator(mode="after")
    def _check_tenants(self) -> Self:
        try:
            parse_tenants(self.tenants, self._usual_limits)
        except ValueError as error:
            raise ValueError(f"PANTREE_HISTORY_TENANTS {error}") from error
        return self

    @model_validator(mode="after")
    def _check_test_tenants(self) -> Self:
        try:
            parse_test_tenants(self.test_tenants)
        except ValueError as error:
            raise ValueError(f"PANTREE_HISTORY_TEST_TENANTS {error}") from error
        return self

    @property
    def _usual_limits(self) -> Limits:
        return Limits(self.retention_days, self.max_customers, self.max_lines, self.max_lines_per_day)

    @property
    def limits(self) -> TenantLimits:
        """How long purchases of tenants are kept, and how much tenants may store."""
        return TenantLimits(self._usual_limits, parse_tenants(self.tenants, self._usual_limits))

    @property
    def tenants_with_clock(self) -> frozenset[str]:
        """Tenants with a test clock."""
        return parse_test_tenants(self.test_tenants)

    @property
    def webhook_rules(self) -> Rules:
        """How events are delivered."""
        return Rules(
            self.webhook_timeout_seconds,
            self.webhook_retry_seconds,
            self.webhook_max_attempts,
            self.webhook_poll_seconds,
        )

    @property
    def store(self) -> StoreLocation:
        """Where purchases are stored."""
        return store_location(self.store_url)
