"""A stub of the SageMaker runtime on a loopback port: `POST /endpoints/{name}/invocations`."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pantree_recommendation.backends.bodies import BodyFormat, items_of, scores_body

# Writes the response to a request with the given body.
Behavior = Callable[[BaseHTTPRequestHandler, bytes], None]


@dataclass
class SageMakerStub:
    """Behavior of the endpoint and the requests it received."""

    url: str
    behavior: Behavior
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    """Path, headers and body of each attempt."""
    released: threading.Event = field(default_factory=threading.Event)
    """Set at the end; ends hanging requests."""

    def hang(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        """Behavior that never responds."""
        self.released.wait()

    @property
    def instances(self) -> list[list[dict[str, Any]]]:
        """Instances of each attempt."""
        return [json.loads(body)["instances"] for _, _, body in self.requests]


def reply(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Behavior:
    """Behavior that always sends the same response."""

    def write(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return write


def error(code: str, status: int) -> Behavior:
    """Behavior that sends an error; its message has details that must not be passed on."""
    body = json.dumps({"Message": "endpoint of account 123456789012 says top-secret"}).encode()
    return reply(
        body, status, {"x-amzn-ErrorType": f"{code}:http://internal.amazon.com/", "Content-Type": "application/json"}
    )


def rank_by_confidence(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    """A model that scores each item by its confidence, in the format of the request."""
    body_format = BodyFormat(handler.headers["Content-Type"])
    scores = [item.confidence / 100 for item in items_of(body, body_format)]
    reply(scores_body(scores, body_format))(handler, body)


@contextlib.contextmanager
def serving() -> Iterator[SageMakerStub]:
    """A runtime with a working model that runs within the context."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            stub.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            stub.behavior(self, body)

        def log_message(self, format: str, *args: Any) -> None:
            """Logs nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Ignores callers that gave up, which some tests are about."""

    with Server(("127.0.0.1", 0), Handler) as server:
        stub = SageMakerStub(f"http://127.0.0.1:{server.server_port}", rank_by_confidence)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield stub
        finally:
            stub.released.set()
            server.shutdown()
            thread.join()
