"""One trace through the whole mesh, metrics of every part, and logs, none of which identify a person."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import grpc
import httpx
import pytest
import yaml
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as collector
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as collector_rpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from pantree_cli.mesh import HOST, PARTS, free_ports, port_settings
from pantree_gateway.metrics import Metrics
from pantree_runtime import telemetry
from tests.recommendation.sagemaker_stub import serving as sagemaker_serving
from tests.redis_server import redis_server

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "telemetry.md"
MARKERS = {
    "customer": "marker-customer-4711",
    "name": "Marker Person",
    "item": "Marker Marmalade",
    "nim key": "marker-nim-key",
    "aws key": "marker-aws-secret",
}
REQUEST = {
    "customer_id": MARKERS["customer"],
    "customer_name": MARKERS["name"],
    "items": [{"name": MARKERS["item"], "price": 3.5}, {"name": "Bananas", "price": 1.99}],
    "seed": 4,
    "as_of": "2026-07-01",
}
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TIMEOUT_SECONDS = 60
pytestmark = pytest.mark.timeout(300)


class Collector(collector_rpc.TraceServiceServicer):
    """Collects the spans that parts send, with the name of their service."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []

    def Export(
        self, request: collector.ExportTraceServiceRequest, context: Any
    ) -> collector.ExportTraceServiceResponse:
        for resource in request.resource_spans:
            names = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [(names["service.name"], span) for span in scope.spans]
        return collector.ExportTraceServiceResponse()


@contextmanager
def collecting() -> Iterator[tuple[Collector, str]]:
    """A collector and its endpoint."""
    servicer = Collector()
    server = grpc.server(ThreadPoolExecutor(4))
    collector_rpc.add_TraceServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port(f"{HOST}:0")
    server.start()
    try:
        yield servicer, f"http://{HOST}:{port}"
    finally:
        server.stop(None).wait()


@contextmanager
def nim() -> Iterator[tuple[str, list[str]]]:
    """A NIM that knows every item: its endpoint, and the `traceparent` of each call."""
    traces: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            traces.append(self.headers.get("traceparent", ""))
            call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            items = json.loads(call["messages"][-1]["content"])["items"]
            entries = [
                {
                    "index": item["index"],
                    "name": item["name"],
                    "category": item["category"],
                    "certainty_ratio": 0.9,
                    "perishability": "months",
                    "suggested_interval_days": 21,
                    "interval_reason": "used_now_and_then",
                    "complements": [],
                    "substitutes": [],
                }
                for item in items
            ]
            content = json.dumps({"items": entries})
            body = json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Logs nothing."""

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}", traces
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True)
class Observed:
    """Telemetry of one request."""

    answer: dict[str, Any]
    spans: list[tuple[str, Span]]
    nim_traces: list[str]
    metrics: dict[str, str]
    """Response of each part's metrics port."""
    log: str

    @property
    def trace(self) -> list[tuple[str, Span]]:
        """Spans of the request."""
        return [(part, span) for part, span in self.spans if span.trace_id.hex() == TRACE_ID]


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    log = tmp_path_factory.mktemp("log") / "log"
    metrics_ports: dict[str, int] = dict(zip((part.name for part in PARTS), free_ports(len(PARTS)), strict=True))
    with (
        ExitStack() as stack,
        collecting() as (spans, endpoint),
        nim() as (nim_endpoint, nim_traces),
        sagemaker_serving() as sagemaker,
    ):
        # Optional, since no Python package contains it; without it the mesh keeps everything in its processes.
        has_redis = shutil.which("redis-server") is not None
        redis = stack.enter_context(redis_server(tmp_path_factory.mktemp("redis"))) if has_redis else None
        variables = {
            **os.environ,
            **port_settings(own_ports=True),
            **{f"PANTREE_{part.upper()}_METRICS_PORT": str(port) for part, port in metrics_ports.items()},
            "DEBUG": "true",
            "PANTREE_LOG_FORMAT": "json",
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "LLAMA_NIM_ENDPOINT": nim_endpoint,
            "LLAMA_NIM_API_KEY": MARKERS["nim key"],
            "SAGEMAKER_ENDPOINT": "ranker",
            "PANTREE_RECOMMENDATION_SAGEMAKER_URL": sagemaker.url,
            "AWS_ACCESS_KEY_ID": "marker-aws-secret-id",
            "AWS_SECRET_ACCESS_KEY": MARKERS["aws key"],
            "PANTREE_VECTOR_STORE_URL": "qdrant://:memory:",
            "PANTREE_REDIS_URL": redis.url if redis else "",
            "PANTREE_GATEWAY_RATE_LIMIT": "600/minute",
        }
        with (
            log.open("w") as errors,
            subprocess.Popen(
                [sys.executable, "-m", "pantree_cli", "up", "--without-history"],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=variables,
            ) as process,
        ):
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    if "All parts are serving" in line:
                        break
                gateway = f"http://{variables['PANTREE_GATEWAY_ADDRESS']}"
                for path in ("/live", "/ready", "/health", "/metrics"):
                    assert httpx.get(f"{gateway}{path}").status_code == 200
                answer = httpx.post(
                    f"{gateway}/api/v1/process",
                    json=REQUEST,
                    headers={"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"},
                    timeout=TIMEOUT_SECONDS,
                )
                assert answer.headers["x-trace-id"] == TRACE_ID
                metrics = {
                    part: httpx.get(f"http://{HOST}:{port}/metrics").text for part, port in metrics_ports.items()
                }
            finally:
                process.send_signal(signal.SIGTERM)  # the remaining spans are sent at the end
                process.communicate(timeout=TIMEOUT_SECONDS)
        yield Observed(answer.json(), spans.spans, nim_traces, metrics, log.read_text())


def test_one_trace_covers_the_whole_request(observed: Observed) -> None:
    # This model knows little about groceries; the rules correct it and add a warning.
    assert {warning["component"] for warning in observed.answer["warnings"]} <= {"nim"}
    spans = defaultdict(set)
    for service, span in observed.trace:
        spans[service].add(span.name)
    assert set(spans) == {f"pantree-{part.name}" for part in PARTS}
    assert "POST /api/v1/process" in spans["pantree-gateway"]
    assert "pantree.pipeline.v1.PipelineService/Process" in spans["pantree-gateway"] & spans["pantree-pipeline"]
    assert "chat nim" in spans["pantree-enrichment"]
    assert "InvokeEndpoint sagemaker" in spans["pantree-recommendation"]
    assert "replace_households qdrant" in spans["pantree-vector"]
    assert {trace[3:35] for trace in observed.nim_traces} == {TRACE_ID}


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
@pytest.mark.parametrize(
    ("part", "operations"), [("gateway", {"count", "get"}), ("enrichment", {"get", "set"})], ids=str
)
def test_trace_covers_calls_to_redis(observed: Observed, part: str, operations: set[str]) -> None:
    names = {span.name for service, span in observed.trace if service == f"pantree-{part}"}
    assert names >= {f"{operation} redis" for operation in operations}


def test_spans_are_one_tree(observed: Observed) -> None:
    ids = {span.span_id for _, span in observed.trace}
    roots = [span.name for _, span in observed.trace if span.parent_span_id not in ids]
    assert roots == ["POST /api/v1/process"]


def test_probes_scrapes_and_checks_of_health_begin_no_traces(observed: Observed) -> None:
    # Vector opens its store at its start.
    others = {span.name for _, span in observed.spans if span.trace_id.hex() != TRACE_ID and " qdrant" not in span.name}
    assert not others


def test_attributes_of_spans_are_documented(observed: Observed) -> None:
    emitted = {pair.key for _, span in observed.spans for pair in span.attributes}
    assert emitted <= set(telemetry.ATTRIBUTES)
    assert emitted >= {telemetry.RPC_STATUS, telemetry.HTTP_ROUTE, telemetry.EXTERNAL_SYSTEM}


@pytest.mark.parametrize("marker", MARKERS)
def test_logs_spans_and_metrics_name_no_person(observed: Observed, marker: str) -> None:
    assert len(observed.log.splitlines()) > len(PARTS)
    text = observed.log + "".join(str(span) for _, span in observed.spans) + "".join(observed.metrics.values())
    assert MARKERS[marker].lower() not in text.lower()


def test_log_lines_of_a_request_have_its_trace_id(observed: Observed) -> None:
    lines = [json.loads(line) for line in observed.log.splitlines() if line.startswith("{")]
    named = {line["part"] for line in lines if line.get("trace_id") == TRACE_ID}
    assert named == {part.name for part in PARTS}


def test_metrics_count_the_work(observed: Observed) -> None:
    def value(part: str, sample_name: str) -> float:
        families = text_string_to_metric_families(observed.metrics[part])
        return sum(
            sample.value for family in families for sample in family.samples if sample.name == f"pantree_{sample_name}"
        )

    recommended = len(observed.answer["recommendations"]["recommendations"])
    assert value("simulation", "purchases_simulated_total") > 0
    assert value("frequency", "items_analyzed_total") > 0
    assert value("enrichment", "items_enriched_total") > 0
    assert value("vector", "histories_indexed_total") == 1
    assert value("recommendation", "recommendations_total") == recommended
    assert value("enrichment", "external_call_duration_seconds_count") >= 1
    assert value("pipeline", "fallbacks_total") == len(observed.answer["warnings"])
    # On the port that Prometheus scrapes, not the port of requests.
    assert 'pantree_gateway_requests_total{method="POST",route="/api/v1/process",status="200"} 1.0' in (
        observed.metrics["gateway"].splitlines()
    )


def documented(heading: str) -> dict[str, tuple[str, ...]]:
    """Cells of each row of the first table under a heading, by the first cell without backquotes."""
    rows = DOCUMENT.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in rows.splitlines() if line[:3] == "| `"]
    return {row[0].strip("`"): tuple(row[1:]) for row in cells}


def test_metrics_are_those_of_the_document() -> None:
    gateway = Metrics()
    ours = [*vars(telemetry).values(), *vars(gateway).values()]
    declared = {
        metric._name: (metric._type, ", ".join(f"`{label}`" for label in metric._labelnames))
        for metric in ours
        if isinstance(metric, MetricWrapperBase)
    }
    process = {family.name: (family.type, "") for family in telemetry.REGISTRY.collect()}
    declared |= {name: kind for name, kind in process.items() if name.startswith("process_")}
    assert {name: row[:2] for name, row in documented("Metrics").items()} == declared


def test_attributes_are_those_of_the_document() -> None:
    assert set(documented("Traces")) == set(telemetry.ATTRIBUTES)


def queries_in(document: Any) -> Iterator[str]:
    """Every PromQL expression of a dashboard or of alert rules."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key in ("expr", "query") and isinstance(value, str):
                yield value
            yield from queries_in(value)
    elif isinstance(document, list):
        for value in document:
            yield from queries_in(value)


@pytest.mark.parametrize("file", ["dashboard.json", "alerts.yaml"])
def test_dashboard_and_alerts_use_series_and_labels_that_exist(file: str) -> None:
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}
    series = {f"{name}{ending}" for name, (kind, *_) in documented("Metrics").items() for ending in endings[kind]}
    labels = {label for _, cell, *_ in documented("Metrics").values() for label in re.findall(r"`(\w+)`", cell)}
    # Labels that Prometheus adds: the target, and the bounds of histograms.
    labels |= {"job", "instance", "pod", "namespace", "le"}
    queries = list(queries_in(yaml.safe_load((DOCUMENT.parents[1] / "k8s/monitoring" / file).read_text())))
    used = {name for query in queries for name in re.findall(r"\b(?:rpc|pantree|process)_\w+", query)}
    assert used - labels, f"{file} uses no series"
    assert used - labels <= series
    selected = {label for query in queries for label in re.findall(r"[{,]\s*(\w+)\s*(?:=|!=|=~|!~)", query)}
    grouped = {
        label for query in queries for part in re.findall(r"\bby \(([^)]*)\)", query) for label in part.split(", ")
    }
    assert selected | grouped <= labels
