from pathlib import Path

import pytest
from qdrant_client import QdrantClient, models

from pantree_runtime.errors import StoreMismatch
from pantree_vector.backends.hashing import HashedTrigrams
from pantree_vector.backends.qdrant import QdrantStore
from pantree_vector.core.identity import stable_id
from tests.vector.stores import embedded_store


@pytest.mark.parametrize(
    ("point_id", "error"),
    [(stable_id("model"), "another version of Pantree"), (stable_id("other"), "holds vectors of an unknown model")],
)
async def test_collection_of_another_program_or_version_is_rejected(tmp_path: Path, point_id: str, error: str) -> None:
    client = QdrantClient(path=str(tmp_path))
    client.create_collection("pantree_customers", models.VectorParams(size=2, distance=models.Distance.COSINE))
    payload = {"model_name": "hashed-trigrams", "model_version": "1"}
    client.upsert("pantree_customers", [models.PointStruct(id=point_id, vector=[1.0, 0.0], payload=payload)])
    client.close()
    store = embedded_store(QdrantStore, tmp_path)
    with pytest.raises(StoreMismatch, match=error):
        await store.open(HashedTrigrams().model)
    await store.close()
