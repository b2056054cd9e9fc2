"""Settings of the vector service, and the URL that selects its store."""

from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from pantree_runtime.local_files import data_dir
from pantree_runtime.settings import PartSettings
from pantree_vector.core.similarity import DEFAULT_WAITING_DAYS

DEFAULT_MILVUS_PORT = 19530
DEFAULT_QDRANT_PORT = 6333
STATIC, HASHED_TRIGRAMS, SENTENCE_TRANSFORMERS = "static", "hashed-trigrams", "sentence-transformers"
_STORE_URLS = (
    "memory://, milvus+lite:///path/file.db, milvus:// (a file in your data directory), milvus://host:19530, "
    "qdrant://:memory:, qdrant:///path/directory or qdrant://host:6333 (milvus+tls:// and qdrant+tls:// for TLS)"
)
_EMBEDDERS = "static, hashed-trigrams, or sentence-transformers:<model name or path>"


class StoreLocation(NamedTuple):
    """The system that stores points, and where it is."""

    system: Literal["memory", "milvus", "qdrant"]
    place: Path | str = ""
    """Path of an embedded store, address of a server, or `:memory:`."""


def store_location(url: str) -> StoreLocation:
    """The location in a store URL.

    Raises:
        ValueError: the URL is not supported.
    """
    if url == "memory://":
        return StoreLocation("memory")
    if url == "qdrant://:memory:":
        return StoreLocation("qdrant", ":memory:")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} is not a URL ({error}); use {_STORE_URLS}") from None
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError(
            "has credentials or options, which are not supported; put credentials into PANTREE_VECTOR_STORE_TOKEN, "
            f"and use {_STORE_URLS}"
        )
    if url == "milvus://":
        return StoreLocation("milvus", data_dir() / "vectors.db")
    if parts.scheme == "milvus+lite" and not parts.netloc and len(parts.path) > len("/.db"):
        path = Path(unquote(parts.path))
        if path.suffix != ".db":
            raise ValueError(f"{url!r} must end with .db, which milvus-lite requires; use {_STORE_URLS}")
        return StoreLocation("milvus", path)
    if parts.scheme == "qdrant" and not parts.netloc and parts.path.strip("/"):
        return StoreLocation("qdrant", Path(unquote(parts.path)))
    if host and not parts.path.strip("/"):
        scheme = "https" if parts.scheme.endswith("+tls") else "http"
        match parts.scheme.removesuffix("+tls"):
            case "milvus":
                return _server("milvus", scheme, host, DEFAULT_MILVUS_PORT if port is None else port)
            case "qdrant":
                return _server("qdrant", scheme, host, DEFAULT_QDRANT_PORT if port is None else port)
    raise ValueError(f"{url!r} is not the URL of a store; use {_STORE_URLS}")


def _server(system: Literal["milvus", "qdrant"], scheme: str, host: str, port: int) -> StoreLocation:
    return StoreLocation(system, f"{scheme}://{host}:{port}")


class VectorSettings(PartSettings):
    """Settings of the vector service."""

    # In a copy of .env.example, unset variables are empty.
    model_config = SettingsConfigDict(env_prefix="PANTREE_VECTOR_", env_ignore_empty=True)

    port: int = Field(default=50053, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    store_url: str = Field(
        default="",
        description=f"Where points are stored: {_STORE_URLS}. Empty: the Milvus server at VECTORDB_HOST, else memory://.",
    )
    store_token: SecretStr = Field(
        default=SecretStr(""), description="Credentials of the store's server: user:password or an API key."
    )
    vectordb_host: str = Field(
        default="",
        description="Host of a Milvus server, used when PANTREE_VECTOR_STORE_URL is empty.",
        validation_alias="VECTORDB_HOST",
    )
    vectordb_port: int = Field(
        default=DEFAULT_MILVUS_PORT,
        ge=1,
        le=65535,
        description="Port of the Milvus server at VECTORDB_HOST.",
        validation_alias="VECTORDB_PORT",
    )
    store_timeout_seconds: float = Field(
        default=10.0, gt=0, description="Maximum duration of one call to a Milvus or Qdrant store, including retries."
    )
    memory_max_items: int = Field(
        default=65_536,
        ge=1,
        description="Maximum number of customers' items with memory://; customers stored longest ago are forgotten.",
    )
    waiting_days: int = Field(
        default=DEFAULT_WAITING_DAYS,
        ge=0,
        le=3650,
        description="Days until others may learn from a customer that IndexHistory stored; IndexHistories vouches.",
    )
    collection_prefix: str = Field(
        default="pantree",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$",
        description="Start of the collections' names: <prefix>_items and <prefix>_customers.",
    )
    embedder: str = Field(default="static", description=f"Computes the vectors of names: {_EMBEDDERS}.")
    embedder_threads: int = Field(
        default=1, ge=1, le=256, description="Threads of a sentence-transformers model; other embedders use one."
    )
    embedding_cache_size: int = Field(
        default=20_000, ge=1, description="Maximum number of cached vectors, about 1 KiB each."
    )

    @field_validator("embedder")
    @classmethod
    def _check_embedder(cls, embedder: str) -> str:
        kind, _, model = embedder.partition(":")
        if (kind == SENTENCE_TRANSFORMERS) != bool(model) or kind not in (
            STATIC,
            HASHED_TRIGRAMS,
            SENTENCE_TRANSFORMERS,
        ):
            raise ValueError(f"{embedder!r} is not an embedder; use {_EMBEDDERS}")
        return embedder

    @field_validator("store_url")
    @classmethod
    def _check_store_url(cls, url: str) -> str:
        if url:
            store_location(url)
        return url

    @field_validator("vectordb_host")
    @classmethod
    def _check_host(cls, host: str) -> str:
        if any(character in host for character in "/@:?# "):
            raise ValueError(f"{host!r} is not a host name; use a bare name such as localhost and VECTORDB_PORT")
        return host

    @property
    def store(self) -> StoreLocation:
        """Where points are stored."""
        if self.store_url:
            return store_location(self.store_url)
        if self.vectordb_host:
            return _server("milvus", "http", self.vectordb_host, self.vectordb_port)
        return StoreLocation("memory")
