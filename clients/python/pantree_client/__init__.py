"""Typed client for Pantree, async or blocking, directly over gRPC or through the gateway.

Example::

    async with PantreeClient("127.0.0.1:50051") as client:
        result = await client.process(FirstPurchase("cust_001", [Item("Bananas", 1.99)]))
        for recommendation in result.recommendations:
            print(recommendation.name, recommendation.frequency)

`SyncPantreeClient` is the same for programs without an event loop. `pantree_client.testing` is a fake for tests.

Errors are subclasses of `PantreeError` and have a `reason`; `InvalidInput` names the invalid fields.
"""

from pantree_client.client import PantreeClient
from pantree_client.customers import CorrectedPurchases, Erasure, ReceiptLine, StoredPurchases
from pantree_client.requests import (
    AssortmentItem,
    BasketRequest,
    FirstPurchase,
    History,
    Item,
    PlanConstraints,
    PlanRequest,
    Purchase,
)
from pantree_client.results import (
    AnswerWarning,
    Archetype,
    BindingConstraint,
    Cadence,
    CatalogItem,
    CategoryWeight,
    ComponentConfig,
    ComponentStatus,
    Config,
    DeliveredItem,
    Delivery,
    DeliveryPlan,
    Event,
    MonthlyUpdate,
    NextBasket,
    OmittedItem,
    Plan,
    PlannedSubscription,
    PredictedItem,
    RankingModel,
    Recommendation,
    Result,
    SavingsVsPaid,
    Started,
    Status,
    Suggestion,
)
from pantree_client.sync import SyncPantreeClient
from pantree_runtime.errors import (
    AlreadyExists,
    ComponentUnavailable,
    CustomerErased,
    DeadlineExceeded,
    DeadlineTooShort,
    FieldViolation,
    InternalError,
    InvalidInput,
    NotFound,
    Overloaded,
    PantreeError,
    PermissionDenied,
    StoreMismatch,
    TooLarge,
    Unauthenticated,
)

__all__ = [
    "AlreadyExists",
    "AnswerWarning",
    "Archetype",
    "AssortmentItem",
    "BasketRequest",
    "BindingConstraint",
    "Cadence",
    "CatalogItem",
    "CategoryWeight",
    "ComponentConfig",
    "ComponentStatus",
    "ComponentUnavailable",
    "Config",
    "CorrectedPurchases",
    "CustomerErased",
    "DeadlineExceeded",
    "DeadlineTooShort",
    "DeliveredItem",
    "Delivery",
    "DeliveryPlan",
    "Erasure",
    "Event",
    "FieldViolation",
    "FirstPurchase",
    "History",
    "InternalError",
    "InvalidInput",
    "Item",
    "MonthlyUpdate",
    "NextBasket",
    "NotFound",
    "OmittedItem",
    "Overloaded",
    "PantreeClient",
    "PantreeError",
    "PermissionDenied",
    "Plan",
    "PlanConstraints",
    "PlanRequest",
    "PlannedSubscription",
    "PredictedItem",
    "Purchase",
    "RankingModel",
    "ReceiptLine",
    "Recommendation",
    "Result",
    "SavingsVsPaid",
    "Started",
    "Status",
    "StoreMismatch",
    "StoredPurchases",
    "Suggestion",
    "SyncPantreeClient",
    "TooLarge",
    "Unauthenticated",
]
