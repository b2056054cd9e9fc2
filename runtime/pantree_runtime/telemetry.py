"""Metrics and traces. docs/telemetry.md lists every name.

Metrics cost about a microsecond per call and are always recorded; they are served if a metrics port is set. Spans are
exported if an OTLP endpoint is set. Without one, the trace id still travels from hop to hop and connects the log lines
of a request.

No name, key or id of a customer, item or caller ever becomes a label or an attribute.
"""

import contextlib
import contextvars
import functools
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, start_http_server

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"

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
"""All attributes of spans."""

REGISTRY = CollectorRegistry()
"""Metrics of this process."""

ProcessCollector(registry=REGISTRY)  # memory, CPU and open files
_counter = functools.partial(Counter, registry=REGISTRY)
_gauge = functools.partial(Gauge, registry=REGISTRY)
# From a lookup to a stream that simulates five years.
_histogram = functools.partial(
    Histogram,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
    registry=REGISTRY,
)
_RPC_LABELS = ("rpc_system_name", "rpc_method", "rpc_response_status_code")

SERVER_CALLS = _histogram("rpc_server_call_duration_seconds", "Duration of served calls.", _RPC_LABELS)
CLIENT_CALLS = _histogram(
    "rpc_client_call_duration_seconds", "Duration of calls to other parts, retries included.", _RPC_LABELS
)
EXTERNAL_CALLS = _histogram(
    "pantree_external_call_duration_seconds", "Duration of calls to systems outside the mesh.", ["system", "outcome"]
)
DEPENDENCY_UP = _gauge(
    "pantree_dependency_up", "1 if a system outside the mesh passed its last check, otherwise 0.", ["dependency"]
)
CALLS_IN_FLIGHT = _gauge("pantree_calls_in_flight", "Calls in flight, streams included.", ["rpc_method"])
CALLS_REFUSED = _counter("pantree_calls_refused", "Calls refused before any work was done.", ["reason"])
QUEUE_DEPTH = _gauge("pantree_queue_depth", "Tasks that wait for a worker thread.")
PURCHASES_SIMULATED = _counter("pantree_purchases_simulated", "Simulated purchases.")
ITEMS_ANALYZED = _counter("pantree_items_analyzed", "Analyzed items.")
HISTORIES_INDEXED = _counter("pantree_histories_indexed", "Indexed histories.")
PURCHASE_LINES_EXPIRED = _counter("pantree_purchase_lines_expired", "Stored lines removed because of the retention.")
WEBHOOK_EVENTS = _counter("pantree_webhook_events", "Attempts to send an event, by what became of them.", ["result"])
WEBHOOK_WAITING = _gauge("pantree_webhook_waiting", "Subscriptions and erasures with events that are not sent.")
WEBHOOK_DEAD_LETTERS = _gauge("pantree_webhook_dead_letters", "Events that their receiver refused too often.")
WEBHOOK_LAG_SECONDS = _gauge("pantree_webhook_lag_seconds", "Age of the oldest event that is not sent.")
ITEMS_ENRICHED = _counter("pantree_items_enriched", "Enriched items.", ["source"])
MODEL_ANSWERS = _counter(
    "pantree_language_model_answers", "Answers of a language model about items, by what became of them.", ["result"]
)
RECOMMENDATIONS = _counter(
    "pantree_recommendations", "Recommended subscriptions, by source of their scores.", ["source", "model"]
)
FALLBACKS = _counter(
    "pantree_fallbacks", "Answers with a fallback for an external system, or without an optional stage.", ["component"]
)
CACHE_LOOKUPS = _counter("pantree_cache_lookups", "Cache lookups.", ["cache", "outcome"])


def serve_metrics(host: str, port: int) -> Callable[[], None]:
    """Serves the metrics at `/metrics` on a port, in a thread. Returns a function that stops it.

    Raises:
        OSError: if the port is not available.
    """
    server, thread = start_http_server(port, host, REGISTRY)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


# https://opentelemetry.io/docs/specs/otlp/#otlphttp-request
_TRACES_PATH = "/v1/traces"
# Statuses with which a server span failed; all others are the caller's fault or choice. A client span failed with
# every status except OK. https://opentelemetry.io/docs/specs/semconv/rpc/grpc/
_SERVER_FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})

_PROPAGATOR = TraceContextTextMapPropagator()
# Without a collector, spans only pass on the trace context.
_NO_TRACER = trace.NoOpTracer()
_tracer: trace.Tracer = _NO_TRACER
_provider: "TracerProvider | None" = None
_current: contextvars.ContextVar[Context | None] = contextvars.ContextVar("pantree_trace_context", default=None)


def start_tracing(part: str, endpoint: str, ratio: float, protocol: str = "grpc") -> None:
    """Starts exporting spans to a collector.

    Args:
        part: name of the part; `service.name` of its spans is `pantree-<part>`.
        endpoint: URL of the collector, such as `http://localhost:4317`.
        ratio: share of new traces that are sampled, 0 to 1; continued traces are sampled as their caller decided.
        protocol: OTLP over `grpc` or `http/protobuf`.
    """
    global _provider, _tracer
    # Imported here, because they slow down the start of processes without tracing.
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    _provider = TracerProvider(
        sampler=ParentBasedTraceIdRatio(ratio),
        resource=Resource.create({"service.name": f"pantree-{part}", "service.namespace": "pantree"}),
        shutdown_on_exit=False,
    )
    _provider.add_span_processor(BatchSpanProcessor(_exporter(endpoint, protocol)))
    _tracer = _provider.get_tracer("pantree")


def _exporter(endpoint: str, protocol: str) -> "SpanExporter":
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(endpoint=endpoint, insecure=not endpoint.startswith("https://"))
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter

    # The variable names the collector, to which the specification appends the path of each signal.
    return HttpSpanExporter(endpoint=f"{endpoint.rstrip('/').removesuffix(_TRACES_PATH)}{_TRACES_PATH}")


def stop_tracing() -> None:
    """Exports the remaining spans and stops tracing."""
    global _provider, _tracer
    if _provider is not None:
        _provider.shutdown()
    _provider, _tracer = None, _NO_TRACER


def trace_id() -> str:
    """Trace id of the current request; empty outside requests."""
    context = _current.get()
    return "" if context is None else _hex_trace_id(trace.get_current_span(context))


def _hex_trace_id(span: trace.Span) -> str:
    return trace.format_trace_id(span.get_span_context().trace_id)


def _new_root(*, is_sampled: bool) -> trace.Span:
    """A span with new ids, which is not exported; if it is not sampled, the spans below it are not either."""
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if is_sampled else trace.TraceFlags.DEFAULT)
    return trace.NonRecordingSpan(
        trace.SpanContext(secrets.randbits(128) or 1, secrets.randbits(64) or 1, False, flags)
    )


class SpanHandle:
    """A span; without a collector, only the trace context of a request.

    Args:
        name: name of the span; must have few distinct values.
        kind: `SERVER` or `CLIENT`.
        parent: context of the parent span; None starts a new trace.
        attributes: attributes from `ATTRIBUTES`.
        is_probe: whether a probe or a scrape begins a trace here, which is not sampled.
    """

    __slots__ = ("_context", "_name", "_span")

    def __init__(
        self,
        name: str,
        kind: trace.SpanKind,
        parent: Context | None,
        attributes: Mapping[str, str],
        *,
        is_probe: bool = False,
    ) -> None:
        self._name = name
        if is_probe and parent is None:
            self._span = _new_root(is_sampled=False)
        else:
            self._span = _tracer.start_span(name, parent or Context(), kind, attributes)
        if kind is trace.SpanKind.SERVER and not self._span.get_span_context().is_valid:
            self._span = _new_root(is_sampled=True)
        self._context = trace.set_span_in_context(self._span, parent or Context())

    @property
    def trace_id(self) -> str:
        """Trace id, 32 hexadecimal digits."""
        return _hex_trace_id(self._span)

    def headers(self) -> dict[str, str]:
        """W3C headers that continue the trace in a called system; empty outside requests."""
        headers: dict[str, str] = {}
        _PROPAGATOR.inject(headers, self._context)
        return headers

    def enter(self) -> None:
        """Makes this the parent span of calls and log lines in the current task."""
        _current.set(self._context)

    def end_request(self, route: str, status: int | None) -> None:
        """Ends the span of an HTTP request or a WebSocket.

        Args:
            route: its template, never its path, which may contain a customer's id.
            status: HTTP status, or close code of a WebSocket; None if there was none.
        """
        if self._span.is_recording():
            self._span.update_name(f"{self._name} {route}")
            failed = status is None or 500 <= status < 600 or status >= 4500
            self.end({HTTP_ROUTE: route, **({} if status is None else {HTTP_STATUS: status})}, failed=failed)

    def end_rpc(self, code: str, *, is_server: bool) -> None:
        """Ends the span of a call with the name of its gRPC status."""
        self.end({RPC_STATUS: code}, failed=code in _SERVER_FAULTS if is_server else code != "OK")

    def end(self, attributes: Mapping[str, str | int], *, failed: bool) -> None:
        """Ends the span."""
        if self._span.is_recording():
            self._span.set_attributes(attributes)
            if failed:
                self._span.set_status(trace.StatusCode.ERROR)
            self._span.end()


def server_span(method: str, metadata: Any) -> SpanHandle:
    """Span of a gRPC call that this process serves; continues the caller's trace, if any.

    Args:
        method: `package.Service/Method`.
        metadata: pairs of key and value.
    """
    headers = {key: value for key, value in metadata or () if key in (TRACEPARENT, TRACESTATE)}
    return _entered(method, headers, {RPC_SYSTEM: "grpc", RPC_METHOD: method})


def http_span(method: str, traceparent: str, *, is_probe: bool = False) -> SpanHandle:
    """Span of an HTTP request or WebSocket that this process serves; continues the caller's trace, if any.

    Args:
        method: HTTP method, or `WEBSOCKET`.
        traceparent: W3C header of the request, or empty.
        is_probe: whether it is a probe or a scrape, which begins no trace.
    """
    headers = {TRACEPARENT: traceparent} if traceparent else {}
    return _entered(method, headers, {HTTP_METHOD: method}, is_probe=is_probe)


def _entered(
    name: str, headers: Mapping[str, str], attributes: Mapping[str, str], *, is_probe: bool = False
) -> SpanHandle:
    parent = _PROPAGATOR.extract(headers, Context()) if headers else None
    span = SpanHandle(name, trace.SpanKind.SERVER, parent, attributes, is_probe=is_probe)
    span.enter()
    return span


def client_span(method: str) -> SpanHandle:
    """Span of a call that this process makes to another part."""
    return SpanHandle(method, trace.SpanKind.CLIENT, _current.get(), {RPC_SYSTEM: "grpc", RPC_METHOD: method})


class ClientCall:
    """Metrics and span of a call that this process makes to another part: a `CallObserver` of its channel."""

    __slots__ = ("_began_at", "_durations", "_span")

    def __init__(self, method: str, durations: Callable[[str], Histogram]) -> None:
        self._durations = durations
        self._span = client_span(method)
        self._began_at = time.perf_counter()

    def headers(self) -> dict[str, str]:
        """W3C headers that continue the trace; empty outside requests."""
        return self._span.headers()

    def end(self, code: str) -> None:
        """Records the duration and ends the span, with the name of the status."""
        self._durations(code).observe(time.perf_counter() - self._began_at)
        self._span.end_rpc(code, is_server=False)


def observe_calls(method: str) -> Callable[[], ClientCall]:
    """Observes the calls of a method: pass this to `open_channel`."""
    durations = rpc_durations(CLIENT_CALLS, method)
    return lambda: ClientCall(method, durations)


@contextlib.contextmanager
def external_call(system: str, operation: str) -> Iterator[dict[str, str]]:
    """Records a call to a system outside the mesh in metrics and traces; yields headers that continue the trace there.

    Args:
        system: its name, such as `nim` or `milvus`.
        operation: its operation; must have few distinct values.
    """
    span = SpanHandle(f"{operation} {system}", trace.SpanKind.CLIENT, _current.get(), {EXTERNAL_SYSTEM: system})
    began_at = time.perf_counter()
    failure = ""
    try:
        yield span.headers()
    except BaseException as error:
        failure = type(error).__name__
        raise
    finally:
        outcome = "failed" if failure else "ok"
        EXTERNAL_CALLS.labels(system, outcome).observe(time.perf_counter() - began_at)
        span.end({ERROR_TYPE: failure} if failure else {}, failed=bool(failure))


def count_lookups(cache: str, *, hits: int, misses: int) -> None:
    """Counts cache lookups."""
    if hits:
        CACHE_LOOKUPS.labels(cache, "hit").inc(hits)
    if misses:
        CACHE_LOOKUPS.labels(cache, "miss").inc(misses)


def rpc_durations(histogram: Histogram, method: str) -> Callable[[str], Histogram]:
    """Cached lookup of a method's histogram by status code.

    Args:
        histogram: `SERVER_CALLS` or `CLIENT_CALLS`.
        method: `package.Service/Method`.
    """
    return functools.cache(lambda code: histogram.labels("grpc", method, code))
