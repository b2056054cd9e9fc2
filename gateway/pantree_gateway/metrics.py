"""What the gateway counts, for Prometheus. Labels are few and hold no personal data."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import Response

from pantree_runtime import telemetry

_DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """Counts of one gateway."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "pantree_gateway_requests",
            "Requests by method, route and status; of a WebSocket the close code.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self.durations = Histogram(
            "pantree_gateway_request_duration_seconds",
            "Duration of requests, and of WebSockets from handshake to close.",
            ["method", "route"],
            buckets=_DURATIONS,
            registry=self._registry,
        )
        self.under_way = Gauge(
            "pantree_gateway_requests_under_way",
            "Requests and WebSockets under way.",
            ["kind"],
            registry=self._registry,
        )

    def response(self) -> Response:
        """All counts in Prometheus' text format."""
        counts = generate_latest(self._registry) + generate_latest(telemetry.REGISTRY)
        return Response(counts, media_type=CONTENT_TYPE_LATEST)
