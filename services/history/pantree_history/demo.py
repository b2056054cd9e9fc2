"""Demo of the history service: stores two receipts, repeats one, corrects a line, reads the history, and erases it."""

import json

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message

from pantree.history.v1 import history_service_pb2 as messages
from pantree.history.v1 import history_service_pb2_grpc as rpc

_CUSTOMER = "household-1"


async def demo(channel: grpc.aio.Channel) -> None:
    """Stores, corrects, reads and erases the purchases of a customer, and prints the answers as JSON."""
    stub = rpc.HistoryServiceStub(channel)
    receipts = [
        [_line("order-1", "1", "Milk", "2026-05-02", 1.49), _line("order-1", "2", "Bananas", "2026-05-02", 1.99)],
        [_line("order-2", "1", "Milk", "2026-05-09", 1.49)],
    ]
    stored = [
        await stub.AppendPurchases(messages.AppendPurchasesRequest(customer_id=_CUSTOMER, purchases=receipt))
        for receipt in (*receipts, receipts[1])
    ]
    corrected = await stub.CorrectPurchases(
        messages.CorrectPurchasesRequest(
            customer_id=_CUSTOMER, purchases=[_line("order-1", "2", "Organic Bananas", "2026-05-02", 2.49)]
        )
    )
    listed = await stub.ListPurchases(messages.ListPurchasesRequest(customer_id=_CUSTOMER))
    history = await stub.GetHistory(messages.GetHistoryRequest(customer_id=_CUSTOMER))
    erased = await stub.EraseCustomer(messages.EraseCustomerRequest(customer_id=_CUSTOMER))
    answers = {
        "two_receipts_and_a_repeated_one": [_document(one) for one in stored],
        "a_corrected_line": _document(corrected),
        "purchases": _document(listed)["purchases"],
        "history": _document(history),
        "erasure": _document(erased),
    }
    print(json.dumps(answers, indent=2, ensure_ascii=False))


def _line(order_id: str, line_id: str, name: str, date: str, price: float) -> messages.PurchaseLine:
    return messages.PurchaseLine(order_id=order_id, line_id=line_id, name=name, date=date, price=price)


def _document(message: Message) -> dict[str, object]:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)
