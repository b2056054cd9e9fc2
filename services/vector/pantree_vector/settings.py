"""Settings of the vector service, and the URL that picks its store."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from pantree_runtime.settings import PartSettings

DEFAULT_MILVUS_PORT = 19530
STATIC, HASHED_TRIGRAMS, SENTENCE_TRANSFORMERS = "static", "hashed-trigrams", "sentence-transformers"
EMBEDDED_EMBEDDERS = (STATIC, HASHED_TRIGRAMS)

DEFAULT_QDRANT_PORT = 6333
_FORMS = (
    "memory://, milvus+lite:///path/file.db, milvus:// (a file in your data folder), milvus://host:19530, "
    "qdrant://:memory:, qdrant:///path/folder or qdrant://host:6333 (milvus+tls:// and qdrant+tls:// for TLS)"
)
_EMBEDDERS = "static, hashed-trigrams, or sentence-transformers:<model name or path>"


@dataclass(frozen=True)
class MemoryLocation:
    """Points are kept in this process and lost with it."""


@dataclass(frozen=True)
class MilvusFileLocation:
    """Points are kept by milvus-lite in a file, open in one process at a time."""

    path: Path
    """Absolute, ends with `.db`."""


@dataclass(frozen=True)
class MilvusServerLocation:
    """Points are kept by a Milvus server or cluster."""

    host: str
    port: int
    has_tls: bool = False


@dataclass(frozen=True)
class QdrantMemoryLocation:
    """Points are kept by qdrant-client in this process and lost with it."""


@dataclass(frozen=True)
class QdrantFolderLocation:
    """Points are kept by qdrant-client in a folder, open in one process at a time."""

    path: Path
    """Absolute."""


@dataclass(frozen=True)
class QdrantServerLocation:
    """Points are kept by a Qdrant server or cluster."""

    host: str
    port: int
    """Of its REST interface."""
    has_tls: bool = False


StoreLocation = (
    MemoryLocation
    | MilvusFileLocation
    | MilvusServerLocation
    | QdrantMemoryLocation
    | QdrantFolderLocation
    | QdrantServerLocation
)


def store_location(url: str) -> StoreLocation:
    """Where the points are kept, as a URL says.

    Args:
        url: `memory://`, `milvus+lite:///path/file.db`, `milvus://`, `milvus[+tls]://host[:port]`, `qdrant://:memory:`,
            `qdrant:///path/folder` or `qdrant[+tls]://host[:port]`.

    Raises:
        ValueError: when the URL names no store; the message tells the right forms.
    """
    if url == "memory://":
        return MemoryLocation()
    if url == "qdrant://:memory:":
        return QdrantMemoryLocation()
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} is no URL ({error}); give {_FORMS}") from None
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError(
            "has credentials or options, which are not supported; put credentials into PANTREE_VECTOR_STORE_TOKEN, "
            f"and give {_FORMS}"
        )
    if url == "milvus://":
        return MilvusFileLocation(_data_folder() / "vectors.db")
    if parts.scheme == "milvus+lite" and not parts.netloc and len(parts.path) > len("/.db"):
        path = Path(unquote(parts.path))
        if path.suffix != ".db":
            raise ValueError(f"{url!r} must end with .db, as milvus-lite asks for; give {_FORMS}")
        return MilvusFileLocation(path)
    if parts.scheme == "qdrant" and not parts.netloc and parts.path.strip("/"):
        return QdrantFolderLocation(Path(unquote(parts.path)))
    if host and not parts.path.strip("/"):
        system, _, security = parts.scheme.partition("+")
        if system == "milvus" and security in ("", "tls"):
            return MilvusServerLocation(host, DEFAULT_MILVUS_PORT if port is None else port, security == "tls")
        if system == "qdrant" and security in ("", "tls"):
            return QdrantServerLocation(host, DEFAULT_QDRANT_PORT if port is None else port, security == "tls")
    raise ValueError(f"{url!r} names no store; give {_FORMS}")


def _data_folder() -> Path:
    """Folder for data that a person keeps, by the XDG base directory specification."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "pantree"


class VectorSettings(PartSettings):
    """What the vector service can be told."""

    # A copied .env.example has empty lines for what is not set.
    model_config = SettingsConfigDict(env_prefix="PANTREE_VECTOR_", env_ignore_empty=True)

    port: int = Field(default=50053, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    store_url: str = Field(
        default="",
        description=f"Where points are kept: {_FORMS}. Empty: the Milvus server at VECTORDB_HOST, else memory://.",
    )
    store_token: SecretStr = Field(
        default=SecretStr(""), description="What the store's server asks for: user:password or an API key."
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
        default=10.0, gt=0, description="How long one call to a Milvus or Qdrant store may take, retries included."
    )
    collection_prefix: str = Field(
        default="pantree",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$",
        description="Start of the names of the collections: <prefix>_items and <prefix>_customers.",
    )
    embedder: str = Field(
        default="static",
        description=f"What turns names into vectors: {_EMBEDDERS}.",
    )
    embedder_threads: int = Field(
        default=1, ge=1, le=256, description="Threads of a sentence-transformers model; other embedders need one."
    )
    embedding_cache_size: int = Field(
        default=20_000, ge=1, description="How many embedded names are remembered; about 1 KiB each."
    )

    @field_validator("embedder")
    @classmethod
    def _embedder_is_known(cls, embedder: str) -> str:
        kind, _, model = embedder.partition(":")
        if (kind == SENTENCE_TRANSFORMERS) != bool(model) or kind not in (*EMBEDDED_EMBEDDERS, SENTENCE_TRANSFORMERS):
            raise ValueError(f"{embedder!r} names no embedder; give {_EMBEDDERS}")
        return embedder

    @field_validator("store_url")
    @classmethod
    def _store_url_names_a_store(cls, url: str) -> str:
        if url:
            store_location(url)
        return url

    @field_validator("vectordb_host")
    @classmethod
    def _host_is_bare(cls, host: str) -> str:
        if any(character in host for character in "/@:?# "):
            raise ValueError(f"{host!r} is no host name; give a bare name such as localhost, the port in VECTORDB_PORT")
        return host

    @property
    def store(self) -> StoreLocation:
        """Where the points are kept."""
        if self.store_url:
            return store_location(self.store_url)
        if self.vectordb_host:
            return MilvusServerLocation(self.vectordb_host, self.vectordb_port)
        return MemoryLocation()
