from pathlib import Path

import pytest

from pantree_runtime.settings import load_settings
from pantree_vector.settings import (
    StoreLocation,
    VectorSettings,
)

MEMORY = StoreLocation("memory")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("PANTREE_VECTOR_STORE_URL", "VECTORDB_HOST", "VECTORDB_PORT", "PANTREE_VECTOR_PORT"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize(
    ("variables", "location"),
    [
        ({}, MEMORY),
        ({"PANTREE_VECTOR_STORE_URL": "", "VECTORDB_HOST": "", "VECTORDB_PORT": ""}, MEMORY),
        ({"PANTREE_VECTOR_STORE_URL": "memory://"}, MEMORY),
        ({"PANTREE_VECTOR_STORE_URL": "milvus://db"}, StoreLocation("milvus", "http://db:19530")),
        ({"PANTREE_VECTOR_STORE_URL": "milvus://db:29530"}, StoreLocation("milvus", "http://db:29530")),
        ({"PANTREE_VECTOR_STORE_URL": "milvus+lite:///a/b%20c.db"}, StoreLocation("milvus", Path("/a/b c.db"))),
        ({"PANTREE_VECTOR_STORE_URL": "milvus://"}, StoreLocation("milvus", Path("/data/pantree/vectors.db"))),
        ({"PANTREE_VECTOR_STORE_URL": "milvus+tls://db:443"}, StoreLocation("milvus", "https://db:443")),
        ({"PANTREE_VECTOR_STORE_URL": "qdrant://:memory:"}, StoreLocation("qdrant", ":memory:")),
        ({"PANTREE_VECTOR_STORE_URL": "qdrant:///a/b%20c"}, StoreLocation("qdrant", Path("/a/b c"))),
        ({"PANTREE_VECTOR_STORE_URL": "qdrant://db"}, StoreLocation("qdrant", "http://db:6333")),
        ({"PANTREE_VECTOR_STORE_URL": "qdrant+tls://db:443"}, StoreLocation("qdrant", "https://db:443")),
        ({"VECTORDB_HOST": "db"}, StoreLocation("milvus", "http://db:19530")),
        ({"VECTORDB_HOST": "db", "VECTORDB_PORT": "1234"}, StoreLocation("milvus", "http://db:1234")),
        ({"VECTORDB_PORT": "19530"}, MEMORY),
        ({"PANTREE_VECTOR_STORE_URL": "memory://", "VECTORDB_HOST": "db"}, MEMORY),
    ],
)
def test_store_location_comes_from_the_url_then_from_the_host(
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
        ("PANTREE_VECTOR_STORE_URL", "qdrant://", "qdrant:///path/directory"),
        ("PANTREE_VECTOR_STORE_URL", "milvus+ssl://db", "milvus+tls://"),
        ("PANTREE_VECTOR_STORE_URL", "milvus://[db", "milvus://host:19530"),
        ("VECTORDB_HOST", "http://db:19530", "VECTORDB_PORT"),
        ("VECTORDB_PORT", "many", "whole number"),
        ("VECTORDB_PORT", "0", "from 1 to 65,535"),
        ("PANTREE_VECTOR_EMBEDDER", "minilm", "hashed-trigrams"),
        ("PANTREE_VECTOR_EMBEDDER", "sentence-transformers", "sentence-transformers:<model name or path>"),
        ("PANTREE_VECTOR_EMBEDDER", "static:large", "hashed-trigrams"),
    ],
)
def test_error_names_the_wrong_setting_and_what_to_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str, remedy: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as raised:
        load_settings(VectorSettings)
    assert raised.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {variable}: ")
    assert remedy in error
    assert "secret" not in error


def test_default_port() -> None:
    assert load_settings(VectorSettings).port == 50053
