"""Core of the vector service: embedding items, profiling households, finding similar ones."""

from pantree_vector.core.embedder import Embedder, EmbeddingModel, Vector, Vectors
from pantree_vector.core.household import CustomerItem
from pantree_vector.core.household_points import HistoryToIndex
from pantree_vector.core.neighborhood import Association, Neighborhood, NeighborItem
from pantree_vector.core.profile import CategoryShare, CustomerProfile
from pantree_vector.core.similarity import IndexedHistory, Similarity
from pantree_vector.core.store import (
    ALL_ITEMS,
    CustomerMatch,
    CustomerPoint,
    HouseholdPoints,
    ItemFilter,
    ItemMatch,
    VectorStore,
)

__all__ = [
    "ALL_ITEMS",
    "Association",
    "CategoryShare",
    "CustomerItem",
    "CustomerMatch",
    "CustomerPoint",
    "CustomerProfile",
    "Embedder",
    "EmbeddingModel",
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
