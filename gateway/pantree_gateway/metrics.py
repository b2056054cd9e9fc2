"""Prometheus metrics of the gateway. Labels have few values and no personal data."""

import contextlib
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import Response

from pantree_runtime import telemetry

_DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """Metrics of one gateway."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._is_published = False
        self.requests = Counter(
            "pantree_gateway_requests",
            "Requests by method, route and status; for a WebSocket the close code.",
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
        self.in_flight = Gauge(
            "pantree_gateway_requests_in_flight",
            "Requests and WebSockets in flight.",
            ["kind"],
            registry=self._registry,
        )

    @contextlib.contextmanager
    def published(self) -> Iterator[None]:
        """Adds these metrics to those of the process, which its metrics port serves, while the context lasts."""
        telemetry.REGISTRY.register(self._registry)
        self._is_published = True
        try:
            yield
        finally:
            self._is_published = False
            telemetry.REGISTRY.unregister(self._registry)

    def response(self) -> Response:
        """All metrics in Prometheus' text format."""
        own = b"" if self._is_published else generate_latest(self._registry)
        return Response(own + generate_latest(telemetry.REGISTRY), media_type=CONTENT_TYPE_LATEST)
