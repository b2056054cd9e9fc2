"""Fakes of systems that cannot run here: `python -m tests.cluster_simulation.fakes NAME [ARGUMENT ...]`.

- nim PORT: the chat API and health routes of Llama NIM. It answers from the rules, so that answers are the same
  whether it is available or not.
- collector PORT: receives traces and prints the number of spans per service.
- sagemaker PORT ENDPOINT: the project's own container behind its local SageMaker runtime.
- listen PORT: only accepts connections.
"""

import asyncio
import json
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import uvicorn
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as collector
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as collector_rpc

from pantree_domain.catalog import Perishability, load_catalog
from pantree_enrichment.backends.reply import INTERVAL_REASONS, entry_of
from pantree_enrichment.core.item import IntervalReason, ItemToEnrich, ModelAnswer
from pantree_enrichment.core.rules import RulesEnricher
from pantree_recommendation.sagemaker.local_runtime import LocalRuntime
from tests.enrichment.nim_stub import items_of
from tests.recommendation.container_process import KEY, SECRET, container, until_loaded

ALL_INTERFACES = "0.0.0.0"
# Values for what the rules do not know.
_DAYS, _REASON = 21, IntervalReason("used_now_and_then", INTERVAL_REASONS["used_now_and_then"])


def nim(port: int) -> None:
    """Serves until the process is terminated."""
    rules = RulesEnricher(load_catalog())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(b"{}", 200 if self.path.startswith(("/v1/health/", "/v1/models")) else 404)

        def do_POST(self) -> None:
            call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            content = json.dumps({"items": [_entry(rules, item) for item in items_of(call)]})
            message = {"role": "assistant", "content": content}
            self._send(json.dumps({"choices": [{"message": message}]}).encode(), 200)

        def _send(self, body: bytes, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Logs nothing."""

    ThreadingHTTPServer((ALL_INTERFACES, port), Handler).serve_forever()


def _entry(rules: RulesEnricher, item: dict[str, Any]) -> dict[str, Any]:
    known = rules.enrich_item(ItemToEnrich(item["name"], item.get("category", "")))
    answer = ModelAnswer(
        category=known.category,
        certainty_ratio=known.certainty_ratio,
        related_items=known.related_items,
        perishability=known.perishability or Perishability.MONTHS,
        suggested_interval_days=known.suggested_interval_days or _DAYS,
        interval_reason=_REASON,
    )
    return {"index": item["index"], "name": item["name"], **entry_of(answer)}


class Collector(collector_rpc.TraceServiceServicer):
    """Counts spans."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def Export(
        self, request: collector.ExportTraceServiceRequest, context: Any
    ) -> collector.ExportTraceServiceResponse:
        """Counts the spans of a request."""
        for resource in request.resource_spans:
            names = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            self._counts[names["service.name"]] += sum(len(scope.spans) for scope in resource.scope_spans)
        print(json.dumps(self._counts))
        return collector.ExportTraceServiceResponse()


def collect(port: int) -> None:
    """Serves until the process is terminated."""
    server = grpc.server(ThreadPoolExecutor(1))
    collector_rpc.add_TraceServiceServicer_to_server(Collector(), server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(f"{ALL_INTERFACES}:{port}")
    server.start()
    server.wait_for_termination()


async def sagemaker(port: int, endpoint: str) -> None:
    """Serves until the process is terminated."""
    with container() as running:
        await until_loaded(running.url)
        runtime = LocalRuntime({endpoint: {"only": running.url}}, {KEY: SECRET})
        config = uvicorn.Config(runtime.app(), ALL_INTERFACES, port, log_config=None, access_log=False, lifespan="on")
        await uvicorn.Server(config).serve()


async def listen(port: int) -> None:
    """Accepts connections and closes them."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), ALL_INTERFACES, port)
    await server.serve_forever()


def main() -> None:
    """Runs the fake named on the command line."""
    match sys.argv[1:]:
        case ["nim", port]:
            nim(int(port))
        case ["collector", port]:
            collect(int(port))
        case ["sagemaker", port, endpoint]:
            asyncio.run(sagemaker(int(port), endpoint))
        case ["listen", port]:
            asyncio.run(listen(int(port)))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
