"""Demo of the frequency service: one item bought every week, one bought once."""

import grpc
from google.protobuf import json_format

from pantree.frequency.v1 import frequency_service_pb2 as messages
from pantree.frequency.v1 import frequency_service_pb2_grpc as rpc
from pantree.purchase.v1.purchase_pb2 import PurchaseColumns


async def demo(channel: grpc.aio.Channel) -> None:
    """Calls `AnalyzeHistory` and prints the response as JSON."""
    request = messages.AnalyzeHistoryRequest(
        purchases=PurchaseColumns(
            item_names=["Bananas", "Birthday Candles"],
            item_categories=["produce", "household"],
            item_indices=[0, 0, 0, 0, 0, 1],
            days=[20_595, 20_602, 20_608, 20_616, 20_623, 20_608],
            quantities=[1, 1, 2, 1, 1, 1],
            prices=[1.99, 1.99, 1.99, 1.99, 1.99, 3.49],
            savings=[0, 0.2, 0, 0, 0, 0],
        ),
        as_of="2026-06-20",
    )
    response = await rpc.FrequencyServiceStub(channel).AnalyzeHistory(request)
    print(json_format.MessageToJson(response, preserving_proto_field_name=True))
