"""Demo of the vector service: compares names, and searches two small households."""

import itertools
import json

import grpc
from google.protobuf import json_format

from pantree.purchase.v1.purchase_pb2 import PurchaseColumns
from pantree.vector.v1 import vector_service_pb2 as messages
from pantree.vector.v1 import vector_service_pb2_grpc as rpc

# The demo has its own tenant and deletes its households at the end.
DEMO_TENANT = "pantree-demo"
_HOUSEHOLDS = {
    "household-1": ("Bananas", "Organic Milk", "Chicken Breast"),
    "household-2": ("Organic Bananas", "Oat Milk", "Paper Towels"),
}
_CATEGORIES = {"Bananas": "produce", "Organic Bananas": "produce", "Chicken Breast": "protein"}


async def demo(channel: grpc.aio.Channel) -> None:
    """Embeds four names, indexes two households, searches items and customers, and prints the answers as JSON."""
    stub = rpc.VectorServiceStub(channel)
    embedded = await stub.EmbedItems(
        messages.EmbedItemsRequest(names=["Bananas", "Organic Bananas", "Milk", "Oat Milk"])
    )
    similarities = {
        f"{one.name} ~ {other.name}": round(sum(a * b for a, b in zip(one.vector, other.vector, strict=True)), 3)
        for one, other in itertools.combinations(embedded.embeddings, 2)
    }
    try:
        for customer_id, names in _HOUSEHOLDS.items():
            await stub.IndexHistory(_history(customer_id, names))
        items = await stub.SearchItems(messages.SearchItemsRequest(tenant_id=DEMO_TENANT, text="banana", limit=3))
        profile = await stub.GetCustomerProfile(
            messages.GetCustomerProfileRequest(tenant_id=DEMO_TENANT, customer_id="household-1")
        )
        customers = await stub.SearchCustomers(
            messages.SearchCustomersRequest(tenant_id=DEMO_TENANT, customer_id="household-1")
        )
    finally:
        for customer_id in _HOUSEHOLDS:
            await stub.DeleteCustomer(messages.DeleteCustomerRequest(tenant_id=DEMO_TENANT, customer_id=customer_id))
    answers = {
        "embedding_model": json_format.MessageToDict(embedded.model),
        "embedding_similarities": similarities,
        "items_like_banana": json_format.MessageToDict(items, preserving_proto_field_name=True)["hits"],
        "profile_of_household-1": json_format.MessageToDict(profile, preserving_proto_field_name=True)["profile"],
        "customers_like_household-1": json_format.MessageToDict(customers, preserving_proto_field_name=True)["hits"],
    }
    print(json.dumps(answers, indent=2, ensure_ascii=False))


def _history(customer_id: str, names: tuple[str, ...]) -> messages.IndexHistoryRequest:
    """A history in which every item is bought three times, a week apart, at 2.50."""
    line_count = 3 * len(names)
    return messages.IndexHistoryRequest(
        tenant_id=DEMO_TENANT,
        customer_id=customer_id,
        purchases=PurchaseColumns(
            item_names=names,
            item_categories=[_CATEGORIES.get(name, "") for name in names],
            item_indices=list(range(len(names))) * 3,
            days=[20_595 + 7 * (line // len(names)) for line in range(line_count)],
            quantities=[1] * line_count,
            prices=[2.5] * line_count,
            savings=[0.0] * line_count,
        ),
        as_of="2026-06-20",
    )
