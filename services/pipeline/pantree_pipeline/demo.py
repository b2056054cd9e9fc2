"""Demo: prints the events of one call. The other services must be running; `pantree up` starts them."""

import grpc
from google.protobuf import json_format

from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree.pipeline.v1 import pipeline_service_pb2_grpc as rpc
from pantree.purchase.v1.purchase_pb2 import BasketItem


async def demo(channel: grpc.aio.Channel) -> None:
    """Calls `StreamProcess` with a first purchase and prints a line for each event and the result as JSON."""
    request = messages.StreamProcessRequest(
        input=messages.ProcessInput(
            customer_id="cust_001",
            archetype="health_conscious",
            items=[
                BasketItem(name="Bananas", price=1.99, quantity=1),
                BasketItem(name="Chicken Breast", price=12.99, quantity=1),
            ],
            simulation_months=6,
            seed=1,
        )
    )
    async for event in rpc.PipelineServiceStub(channel).StreamProcess(request):
        kind = event.WhichOneof("event")
        if kind == "monthly_update":
            update = event.monthly_update
            print(
                f"{update.progress:5.1f} %  {update.month_display}: {update.trip_count} trips, {update.total_spend:.2f}"
            )
        elif kind == "completed":
            print(json_format.MessageToJson(event.completed, preserving_proto_field_name=True))
        else:
            print(kind)
