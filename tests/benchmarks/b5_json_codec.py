"""B5: protobuf ↔ JSON in the gateway, against `google.protobuf.json_format`."""

import json

import orjson
from google.protobuf import json_format

from pantree.pipeline.v1.pipeline_service_pb2 import MonthlyUpdate, ProcessInput
from pantree.purchase.v1.purchase_pb2 import Purchase
from pantree_gateway.transcoding.json_codec import JsonCodec, parse_json
from pantree_runtime.validation import Violations
from tests.benchmarks.measurement import Measurement, alternate

# A month of a large household, and a history of a year.
_MONTH_ROWS = 200
_HISTORY_ROWS = 2_000
_LEVEL = "≥ 5 × faster"


def _rows(count: int) -> list[Purchase]:
    return [
        Purchase(
            name=f"Item {number % 90}",
            category="produce",
            date="2026-05-22",
            quantity=1 + number % 3,
            price=0.99 + number % 7,
            saving=0.25 * (number % 2),
        )
        for number in range(count)
    ]


def measure() -> list[Measurement]:
    """Both directions, from and to bytes, as the gateway does them."""
    codec = JsonCodec()
    update = MonthlyUpdate(month_display="May 2026", progress=50, purchases=_rows(_MONTH_ROWS))
    body = json_format.MessageToJson(
        ProcessInput(customer_id="cust_001", history=_rows(_HISTORY_ROWS)), preserving_proto_field_name=True
    ).encode()

    def write() -> bytes:
        return orjson.dumps(codec.write(update))

    def write_baseline() -> str:
        return json_format.MessageToJson(
            update, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=None
        )

    def read() -> ProcessInput:
        message, violations = ProcessInput(), Violations()
        codec.read(message, parse_json(body), violations)
        violations.raise_if_any()
        return message

    def read_baseline() -> ProcessInput:
        return json_format.Parse(body, ProcessInput())

    if json.loads(write()) != json.loads(write_baseline()) or read() != read_baseline():
        raise AssertionError("codec and json_format disagree")
    measurements = []
    for work, (run, baseline) in {
        f"a month of {_MONTH_ROWS} rows to JSON": (write, write_baseline),
        f"a history of {_HISTORY_ROWS:,} rows from JSON": (read, read_baseline),
    }.items():
        seconds = alternate(run, baseline)
        measurements.append(Measurement("B5", work, "json_format", *seconds, seconds[1] / seconds[0], _LEVEL))
    return measurements
