"""Demo of the enrichment service: enriches a receipt line and two plain names."""

import grpc
from google.protobuf import json_format

from pantree.enrichment.v1 import enrichment_service_pb2 as messages
from pantree.enrichment.v1 import enrichment_service_pb2_grpc as rpc


async def demo(channel: grpc.aio.Channel) -> None:
    """Calls `EnrichItems` and prints each answer as JSON as soon as it arrives."""
    request = messages.EnrichItemsRequest(
        items=[messages.ItemToEnrich(name=name) for name in ("OG BNLS CHKN BRST 2LB", "Milk", "Bananas")]
    )
    async for response in rpc.EnrichmentServiceStub(channel).EnrichItems(request):
        print(json_format.MessageToJson(response, preserving_proto_field_name=True))
