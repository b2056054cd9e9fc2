"""What the vector service knows: how items become vectors, households become profiles, and which of them are alike."""

from pantree_vector.core.embedder import Embedder, EmbeddingModel, Vector, Vectors
from pantree_vector.core.profile import CategoryShare, CustomerProfile
from pantree_vector.core.similarity import IndexedHistory, Similarity
from pantree_vector.core.store import CustomerMatch, CustomerPoint, ItemMatch, ItemPoint, VectorStore

__all__ = [
    "CategoryShare",
    "CustomerMatch",
    "CustomerPoint",
    "CustomerProfile",
    "Embedder",
    "EmbeddingModel",
    "IndexedHistory",
    "ItemMatch",
    "ItemPoint",
    "Similarity",
    "Vector",
    "VectorStore",
    "Vectors",
]
