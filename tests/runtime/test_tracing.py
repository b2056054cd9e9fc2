"""Which spans are exported, how, and when they count as errors."""

import contextlib
import gzip
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from pantree_runtime import telemetry
from pantree_runtime.settings import load_settings
from pantree_vector.settings import VectorSettings

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@dataclass
class Collected:
    """What a collector of OTLP over HTTP received."""

    url: str = ""
    paths: list[str] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)


@contextlib.contextmanager
def collector() -> Iterator[Collected]:
    collected = Collected()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            collected.paths.append(self.path)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                collected.spans += [span for scope in resource.scope_spans for span in scope.spans]
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Logs nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        collected.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield collected
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("path", ["", "/", "/v1/traces"])
def test_spans_are_exported_over_http(path: str) -> None:
    with collector() as collected:
        telemetry.start_tracing("gateway", f"{collected.url}{path}", 1.0, "http/protobuf")
        telemetry.http_span("POST", "").end_request("/api/v1/process", 200)
        telemetry.stop_tracing()
    assert collected.paths == ["/v1/traces"]
    assert [span.name for span in collected.spans] == ["POST /api/v1/process"]


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_protocol_is_that_of_the_environment(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    assert load_settings(VectorSettings).otlp_protocol == protocol


def test_probes_begin_no_traces_and_continue_those_of_callers() -> None:
    with collector() as collected:
        telemetry.start_tracing("gateway", collected.url, 1.0, "http/protobuf")
        for traceparent in ("", TRACEPARENT):
            span = telemetry.http_span("GET", traceparent, is_probe=True)
            assert len(span.trace_id) == 32
            telemetry.client_span("pantree.pipeline.v1.PipelineService/GetStatus").end_rpc("OK", is_server=False)
            span.end_request("/health", 200)
        telemetry.stop_tracing()
    assert {span.trace_id.hex() for span in collected.spans} == {TRACEPARENT.split("-")[1]}
    assert len(collected.spans) == 2


@pytest.mark.parametrize(
    ("code", "server_failed", "client_failed"),
    [
        ("OK", False, False),
        ("INVALID_ARGUMENT", False, True),
        ("NOT_FOUND", False, True),
        ("RESOURCE_EXHAUSTED", False, True),
        ("CANCELLED", False, True),
        ("UNAVAILABLE", True, True),
        ("DEADLINE_EXCEEDED", True, True),
        ("INTERNAL", True, True),
    ],
)
def test_status_of_a_span_follows_the_conventions(code: str, server_failed: bool, client_failed: bool) -> None:
    with collector() as collected:
        telemetry.start_tracing("vector", collected.url, 1.0, "http/protobuf")
        telemetry.server_span("pantree.vector.v1.VectorService/EmbedItems", ()).end_rpc(code, is_server=True)
        telemetry.client_span("pantree.vector.v1.VectorService/EmbedItems").end_rpc(code, is_server=False)
        telemetry.stop_tracing()
    failed = {span.kind: span.status.code == Status.STATUS_CODE_ERROR for span in collected.spans}
    assert failed == {Span.SPAN_KIND_SERVER: server_failed, Span.SPAN_KIND_CLIENT: client_failed}
