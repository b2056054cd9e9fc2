"""Typed async client of Pantree for gRPC callers.

    async with PantreeClient("127.0.0.1:50051") as client:
        result = await client.process(FirstPurchase("cust_001", [Item("Bananas", 1.99)]))
        for recommendation in result.recommendations:
            print(recommendation.name, recommendation.frequency)

Errors are those of `pantree_runtime.errors`: a `PantreeError` with a reason and, for `InvalidInput`, every wrong field.
"""

from pantree_client.client import PantreeClient
from pantree_client.requests import FirstPurchase, History, Item, Purchase
from pantree_client.results import (
    ComponentStatus,
    MonthlyUpdate,
    Recommendation,
    Result,
    Started,
    Status,
    Warning,
)
from pantree_runtime.errors import (
    ComponentUnavailable,
    DeadlineExceeded,
    FieldViolation,
    InternalError,
    InvalidInput,
    NotFound,
    PantreeError,
    TooLarge,
)

__all__ = [
    "ComponentStatus",
    "ComponentUnavailable",
    "DeadlineExceeded",
    "FieldViolation",
    "FirstPurchase",
    "History",
    "InternalError",
    "InvalidInput",
    "Item",
    "MonthlyUpdate",
    "NotFound",
    "PantreeClient",
    "PantreeError",
    "Purchase",
    "Recommendation",
    "Result",
    "Started",
    "Status",
    "TooLarge",
    "Warning",
]
