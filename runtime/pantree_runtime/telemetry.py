"""What is counted, what is traced, and what all of it is called. docs/telemetry.md lists every name.

Counting costs about a microsecond for each call and is always on; the counts are served when a metrics port is set.
Tracing is off until an OTLP endpoint is set. Without it a trace is only an id that travels from hop to hop, so that log
lines of one request can be found together.

No name, key or id of a customer, item or caller ever becomes a label or an attribute.
"""

import contextlib
import contextvars
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, start_http_server

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

_log = structlog.get_logger(__name__)

TRACE_PARENT = "traceparent"
_HEX_DIGITS_AND_DASH = "0123456789abcdef-"

# Attributes of spans: OpenTelemetry's stable names for RPCs and HTTP.
# https://opentelemetry.io/docs/specs/semconv/rpc/, https://opentelemetry.io/docs/specs/semconv/http/
RPC_SYSTEM = "rpc.system.name"
RPC_METHOD = "rpc.method"
RPC_STATUS = "rpc.response.status_code"
HTTP_METHOD = "http.request.method"
HTTP_ROUTE = "http.route"
HTTP_STATUS = "http.response.status_code"
EXTERNAL_SYSTEM = "pantree.system"
ERROR_TYPE = "error.type"
ATTRIBUTES = (RPC_SYSTEM, RPC_METHOD, RPC_STATUS, HTTP_METHOD, HTTP_ROUTE, HTTP_STATUS, EXTERNAL_SYSTEM, ERROR_TYPE)
"""Every attribute that a span may have."""

_RPC_LABELS = ("rpc_system_name", "rpc_method", "rpc_response_status_code")
# From a call that only looks something up to a stream of five years of months.
_DURATIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

REGISTRY = CollectorRegistry()
"""The counts of this process."""

ProcessCollector(registry=REGISTRY)  # memory, CPU and open files, by Prometheus' own names
SERVER_CALLS = Histogram(
    "rpc_server_call_duration_seconds",
    "Duration of calls that were served.",
    _RPC_LABELS,
    buckets=_DURATIONS,
    registry=REGISTRY,
)
CLIENT_CALLS = Histogram(
    "rpc_client_call_duration_seconds",
    "Duration of calls to other parts, retries included.",
    _RPC_LABELS,
    buckets=_DURATIONS,
    registry=REGISTRY,
)
CALLS_IN_FLIGHT = Gauge(
    "pantree_calls_in_flight", "Calls, streams included, that are being served.", ["rpc_method"], registry=REGISTRY
)
CALLS_REFUSED = Counter(
    "pantree_calls_refused", "Calls that were refused before any work was done.", ["reason"], registry=REGISTRY
)
QUEUE_DEPTH = Gauge("pantree_queue_depth", "Pieces of work that wait for a thread.", registry=REGISTRY)
PURCHASES_SIMULATED = Counter("pantree_purchases_simulated", "Purchases that were simulated.", registry=REGISTRY)
ITEMS_ANALYZED = Counter("pantree_items_analyzed", "Items whose regularity was analysed.", registry=REGISTRY)
HISTORIES_INDEXED = Counter("pantree_histories_indexed", "Histories that were indexed.", registry=REGISTRY)
ITEMS_ENRICHED = Counter("pantree_items_enriched", "Items that were enriched.", ["source"], registry=REGISTRY)
RECOMMENDATIONS = Counter(
    "pantree_recommendations",
    "Subscriptions that were recommended, by where their scores come from.",
    ["source", "model"],
    registry=REGISTRY,
)
FALLBACKS = Counter(
    "pantree_fallbacks",
    "Answers for which something stood in for an outside system, or a stage was left out.",
    ["component"],
    registry=REGISTRY,
)
CACHE_LOOKUPS = Counter("pantree_cache_lookups", "Lookups in caches.", ["cache", "outcome"], registry=REGISTRY)
EXTERNAL_CALLS = Histogram(
    "pantree_external_call_duration_seconds",
    "Duration of calls to systems outside the mesh.",
    ["system", "outcome"],
    buckets=_DURATIONS,
    registry=REGISTRY,
)


def serve_metrics(host: str, port: int) -> Callable[[], None]:
    """Serves the counts at `/metrics` of a port, in a thread; returns what ends it.

    Raises:
        OSError: when the port cannot be had.
    """
    server, thread = start_http_server(port, host, REGISTRY)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


class _Tracing:
    """Spans of this process on their way to a collector."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry import trace

        self._trace = trace
        self._provider = provider
        self._tracer = provider.get_tracer("pantree")

    def start(self, name: str, kind: str, parent: str, attributes: Mapping[str, str]) -> "Span":
        trace = self._trace
        context = None
        if parent:
            above = trace.SpanContext(
                int(parent[3:35], 16), int(parent[36:52], 16), True, trace.TraceFlags(int(parent[53:55], 16))
            )
            context = trace.set_span_in_context(trace.NonRecordingSpan(above))
        return self._tracer.start_span(name, context, trace.SpanKind[kind], dict(attributes))

    def fail(self, span: "Span") -> None:
        span.set_status(self._trace.StatusCode.ERROR)

    def stop(self) -> None:
        self._provider.shutdown()


_tracing: _Tracing | None = None
_current: contextvars.ContextVar[str] = contextvars.ContextVar("pantree_trace_parent", default="")


def start_tracing(part: str, endpoint: str, ratio: float) -> None:
    """Begins to send spans to a collector.

    Args:
        part: name of the part, the `service.name` of its spans.
        endpoint: OTLP over gRPC, such as `http://localhost:4317`.
        ratio: share of the traces that begin here that are kept, 0 to 1; others are kept as their caller decided.
    """
    global _tracing
    # Who does not trace need not wait for these to be imported.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    provider = TracerProvider(
        sampler=ParentBasedTraceIdRatio(ratio),
        resource=Resource.create({"service.name": f"pantree-{part}", "service.namespace": "pantree"}),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=not endpoint.startswith("https://"))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _tracing = _Tracing(provider)


def stop_tracing() -> None:
    """Sends what is left, and ends tracing."""
    global _tracing
    if _tracing is not None:
        _tracing.stop()
        _tracing = None


def trace_parent() -> str:
    """W3C `traceparent` for calls made on behalf of the current request; empty outside of requests."""
    return _current.get()


def trace_id() -> str:
    """Id of the trace that the current request belongs to; empty outside of requests."""
    return _current.get()[3:35]


def is_trace_parent(text: str) -> bool:
    """Whether a text is a W3C `traceparent`: version, trace id, parent id and flags, no id all zeros."""
    # Each call on each hop is looked at, which takes half as long as with a regular expression.
    return (
        len(text) == 55
        and text[2] == text[35] == text[52] == "-"
        and text.count("-") == 3
        and not text.strip(_HEX_DIGITS_AND_DASH)
        and text[3:35].strip("0") != ""
        and text[36:52].strip("0") != ""
    )


class SpanHandle:
    """A span, or, while tracing is off, no more than the request's place in its trace.

    Args:
        name: of the span, with few different values.
        kind: `SERVER`, `CLIENT` or `INTERNAL`.
        parent: W3C `traceparent` that it belongs under; empty begins a new trace.
        attributes: of the span, from `ATTRIBUTES`.
    """

    __slots__ = ("_name", "_span", "trace_parent")

    def __init__(self, name: str, kind: str, parent: str, attributes: Mapping[str, str]) -> None:
        self._name = name
        self._span: Span | None = None
        self.trace_parent = parent
        if _tracing is not None:
            self._span = _tracing.start(name, kind, parent, attributes)
            context = self._span.get_span_context()
            self.trace_parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
        elif not parent and kind == "SERVER":
            self.trace_parent = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"

    def enter(self) -> None:
        """Makes calls and log lines of the current task belong to it."""
        _current.set(self.trace_parent)

    def end_request(self, route: str, status: int | None) -> None:
        """Notes how an HTTP request or a WebSocket ended.

        Args:
            route: its template, never its path: that may hold the id of a customer.
            status: HTTP status, or the close code of a WebSocket; None when there was none.
        """
        if self._span is not None:
            self._span.update_name(f"{self._name} {route}")
            failed = status is None or 500 <= status < 600 or status >= 4500
            self.end({HTTP_ROUTE: route, HTTP_STATUS: status or 0}, failed=failed)

    def end(self, attributes: Mapping[str, str | int], *, failed: bool) -> None:
        """Notes how it ended."""
        if self._span is not None:
            self._span.set_attributes(dict(attributes))
            if failed and _tracing is not None:
                _tracing.fail(self._span)
            self._span.end()


def server_span(method: str, metadata: Any) -> SpanHandle:
    """A call that this process serves, under the caller's trace if there is one.

    Args:
        method: `package.Service/Method`.
        metadata: of the call, pairs of key and value.
    """
    parent = ""
    for key, value in metadata or ():
        if key == TRACE_PARENT and isinstance(value, str) and is_trace_parent(value):
            parent = value
    span = SpanHandle(method, "SERVER", parent, {RPC_SYSTEM: "grpc", RPC_METHOD: method})
    span.enter()
    return span


def http_span(method: str, trace_parent: str) -> SpanHandle:
    """An HTTP request or WebSocket that this process serves.

    Args:
        method: HTTP method, or `WEBSOCKET`.
        trace_parent: W3C `traceparent` of the caller; empty when there is none.
    """
    span = SpanHandle(method, "SERVER", trace_parent, {HTTP_METHOD: method})
    span.enter()
    return span


def client_span(method: str) -> SpanHandle:
    """A call that this process makes to another part."""
    return SpanHandle(method, "CLIENT", _current.get(), {RPC_SYSTEM: "grpc", RPC_METHOD: method})


@contextlib.contextmanager
def external_call(system: str, operation: str) -> Iterator[dict[str, str]]:
    """Counts and traces a call to a system outside the mesh; gives the headers that carry the trace there.

    Args:
        system: such as `nim` or `milvus`.
        operation: what is asked of it, with few different values.
    """
    span = SpanHandle(f"{operation} {system}", "CLIENT", _current.get(), {EXTERNAL_SYSTEM: system})
    began_at = time.perf_counter()
    failure = ""
    try:
        yield {TRACE_PARENT: span.trace_parent} if span.trace_parent else {}
    except BaseException as error:
        failure = type(error).__name__
        raise
    finally:
        outcome = "failed" if failure else "ok"
        EXTERNAL_CALLS.labels(system, outcome).observe(time.perf_counter() - began_at)
        span.end({ERROR_TYPE: failure} if failure else {}, failed=bool(failure))


def count_lookups(cache: str, *, hits: int, misses: int) -> None:
    """Counts lookups in a cache."""
    if hits:
        CACHE_LOOKUPS.labels(cache, "hit").inc(hits)
    if misses:
        CACHE_LOOKUPS.labels(cache, "miss").inc(misses)


class RpcDurations:
    """Durations of the calls of one method. Children of the histogram are looked up once.

    Args:
        histogram: `SERVER_CALLS` or `CLIENT_CALLS`.
        method: `package.Service/Method`.
    """

    __slots__ = ("_by_code", "_histogram", "_method")

    def __init__(self, histogram: Histogram, method: str) -> None:
        self._histogram = histogram
        self._method = method
        self._by_code: dict[str, Histogram] = {}

    def observe(self, code: str, seconds: float) -> None:
        """Notes a call."""
        child = self._by_code.get(code)
        if child is None:
            child = self._by_code[code] = self._histogram.labels("grpc", self._method, code)
        child.observe(seconds)
