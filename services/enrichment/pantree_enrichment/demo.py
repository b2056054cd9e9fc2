"""Shows what the enrichment service answers about a line of a receipt and two plain names."""

import grpc
from google.protobuf import json_format

from pantree.enrichment.v1 import enrichment_service_pb2 as messages
from pantree.enrichment.v1 import enrichment_service_pb2_grpc as rpc


async def demo(channel: grpc.aio.Channel) -> None:
    """Calls `EnrichItems` and prints each answer as JSON, as it comes."""
    request = messages.EnrichItemsRequest(
        items=[messages.ItemToEnrich(name=name) for name in ("OG BNLS CHKN BRST 2LB", "Milk", "Bananas")]
    )
    async for response in rpc.EnrichmentServiceStub(channel).EnrichItems(request):
        print(json_format.MessageToJson(response, preserving_proto_field_name=True))
