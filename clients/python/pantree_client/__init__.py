"""Typed client of Pantree, async and sync, straight to the mesh over gRPC or through the gateway.

    async with PantreeClient("127.0.0.1:50051") as client:
        result = await client.process(FirstPurchase("cust_001", [Item("Bananas", 1.99)]))
        for recommendation in result.recommendations:
            print(recommendation.name, recommendation.frequency)

`SyncPantreeClient` is the same for programs without an event loop; `pantree_client.testing` stands in for the mesh in
tests.

Errors are those of `pantree_runtime.errors`: a `PantreeError` with a reason and, for `InvalidInput`, every wrong field.
"""

from pantree_client.client import PantreeClient
from pantree_client.requests import FirstPurchase, History, Item, Purchase
from pantree_client.results import (
    Archetype,
    Cadence,
    CategoryWeight,
    ComponentConfig,
    ComponentStatus,
    Config,
    Event,
    MonthlyUpdate,
    OmittedItem,
    Plan,
    Recommendation,
    Result,
    SavingsVsPaid,
    Started,
    Status,
    Suggestion,
    Warning,
)
from pantree_client.sync import SyncPantreeClient
from pantree_runtime.errors import (
    ComponentUnavailable,
    DeadlineExceeded,
    DeadlineTooShort,
    FieldViolation,
    InternalError,
    InvalidInput,
    NotFound,
    PantreeError,
    StoreMismatch,
    TooLarge,
)

__all__ = [
    "Archetype",
    "Cadence",
    "CategoryWeight",
    "ComponentConfig",
    "ComponentStatus",
    "ComponentUnavailable",
    "Config",
    "DeadlineExceeded",
    "DeadlineTooShort",
    "Event",
    "FieldViolation",
    "FirstPurchase",
    "History",
    "InternalError",
    "InvalidInput",
    "Item",
    "MonthlyUpdate",
    "NotFound",
    "OmittedItem",
    "PantreeClient",
    "PantreeError",
    "Plan",
    "Purchase",
    "Recommendation",
    "Result",
    "SavingsVsPaid",
    "Started",
    "Status",
    "StoreMismatch",
    "Suggestion",
    "SyncPantreeClient",
    "TooLarge",
    "Warning",
]
