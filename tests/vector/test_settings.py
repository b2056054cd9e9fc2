from pathlib import Path

import pytest

from pantree_runtime.settings import load_settings
from pantree_vector.settings import (
    MemoryLocation,
    MilvusFileLocation,
    MilvusServerLocation,
    QdrantFolderLocation,
    QdrantMemoryLocation,
    QdrantServerLocation,
    StoreLocation,
    VectorSettings,
)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("PANTREE_VECTOR_STORE_URL", "VECTORDB_HOST", "VECTORDB_PORT", "PANTREE_VECTOR_PORT"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize(
    ("variables", "location"),
    [
        ({}, MemoryLocation()),
        ({"PANTREE_VECTOR_STORE_URL": "", "VECTORDB_HOST": "", "VECTORDB_PORT": ""}, MemoryLocation()),
        ({"PANTREE_VECTOR_STORE_URL": "memory://"}, MemoryLocation()),
        ({"PANTREE_VECTOR_STORE_URL": "milvus://db"}, MilvusServerLocation("db", 19530)),
        ({"PANTREE_VECTOR_STORE_URL": "milvus://db:29530"}, MilvusServerLocation("db", 29530)),
        ({"PANTREE_VECTOR_STORE_URL": "milvus+lite:///a/b%20c.db"}, MilvusFileLocation(Path("/a/b c.db"))),
        ({"PANTREE_VECTOR_STORE_URL": "milvus://"}, MilvusFileLocation(Path("/data/pantree/vectors.db"))),
        ({"PANTREE_VECTOR_STORE_URL": "milvus+tls://db:443"}, MilvusServerLocation("db", 443, has_tls=True)),
        ({"PANTREE_VECTOR_STORE_URL": "qdrant://:memory:"}, QdrantMemoryLocation()),
        ({"PANTREE_VECTOR_STORE_URL": "qdrant:///a/b%20c"}, QdrantFolderLocation(Path("/a/b c"))),
        ({"PANTREE_VECTOR_STORE_URL": "qdrant://db"}, QdrantServerLocation("db", 6333)),
        ({"PANTREE_VECTOR_STORE_URL": "qdrant+tls://db:443"}, QdrantServerLocation("db", 443, has_tls=True)),
        ({"VECTORDB_HOST": "db"}, MilvusServerLocation("db", 19530)),
        ({"VECTORDB_HOST": "db", "VECTORDB_PORT": "1234"}, MilvusServerLocation("db", 1234)),
        ({"VECTORDB_PORT": "19530"}, MemoryLocation()),
        ({"PANTREE_VECTOR_STORE_URL": "memory://", "VECTORDB_HOST": "db"}, MemoryLocation()),
    ],
)
def test_store_is_picked_by_url_then_by_host(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], location: StoreLocation
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    assert load_settings(VectorSettings).store == location


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("PANTREE_VECTOR_STORE_URL", "redis://localhost", "memory://"),
        ("PANTREE_VECTOR_STORE_URL", "localhost:19530", "milvus://host:19530"),
        ("PANTREE_VECTOR_STORE_URL", "memory://somewhere", "memory://"),
        ("PANTREE_VECTOR_STORE_URL", "milvus+lite://file.db", "milvus+lite:///path/file.db"),
        ("PANTREE_VECTOR_STORE_URL", "milvus+lite:///file.sqlite", ".db"),
        ("PANTREE_VECTOR_STORE_URL", "milvus://db:99999", "milvus://host:19530"),
        ("PANTREE_VECTOR_STORE_URL", "milvus://db/base", "milvus://host:19530"),
        ("PANTREE_VECTOR_STORE_URL", "milvus://user:secret@db", "PANTREE_VECTOR_STORE_TOKEN"),
        ("PANTREE_VECTOR_STORE_URL", "qdrant://", "qdrant:///path/folder"),
        ("PANTREE_VECTOR_STORE_URL", "milvus+ssl://db", "milvus+tls://"),
        ("PANTREE_VECTOR_STORE_URL", "milvus://[db", "milvus://host:19530"),
        ("VECTORDB_HOST", "http://db:19530", "VECTORDB_PORT"),
        ("VECTORDB_PORT", "many", "integer"),
        ("VECTORDB_PORT", "0", "greater than"),
        ("PANTREE_VECTOR_EMBEDDER", "minilm", "hashed-trigrams"),
        ("PANTREE_VECTOR_EMBEDDER", "sentence-transformers", "sentence-transformers:<model name or path>"),
        ("PANTREE_VECTOR_EMBEDDER", "static:large", "hashed-trigrams"),
    ],
)
def test_wrong_setting_is_named_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str, remedy: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as raised:
        load_settings(VectorSettings)
    assert raised.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {variable}: ")
    assert remedy in said
    assert "secret" not in said


def test_port_of_the_service_has_its_default() -> None:
    assert load_settings(VectorSettings).port == 50053
