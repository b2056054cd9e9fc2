"""What the vector service knows: how items become vectors, households become profiles, and which of them are alike."""

from pantree_vector.core.embedder import Embedder, EmbeddingModel, Vector, Vectors
from pantree_vector.core.household import BoughtItem
from pantree_vector.core.indexing import HistoryToIndex
from pantree_vector.core.neighborhood import Association, Neighborhood, NeighborItem
from pantree_vector.core.profile import CategoryShare, CustomerProfile
from pantree_vector.core.similarity import IndexedHistory, Similarity
from pantree_vector.core.store import (
    ALL_ITEMS,
    CustomerMatch,
    CustomerPoint,
    HeldItem,
    HouseholdPoints,
    ItemFilter,
    ItemMatch,
    VectorStore,
)

__all__ = [
    "ALL_ITEMS",
    "Association",
    "BoughtItem",
    "CategoryShare",
    "CustomerMatch",
    "CustomerPoint",
    "CustomerProfile",
    "Embedder",
    "EmbeddingModel",
    "HeldItem",
    "HistoryToIndex",
    "HouseholdPoints",
    "IndexedHistory",
    "ItemFilter",
    "ItemMatch",
    "NeighborItem",
    "Neighborhood",
    "Similarity",
    "Vector",
    "VectorStore",
    "Vectors",
]
