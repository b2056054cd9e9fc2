"""An HTTP server that drains on SIGTERM."""

import signal

import uvicorn
from starlette.applications import Starlette


def server_of(app: Starlette, *, drain_seconds: float) -> uvicorn.Server:
    """A server whose `run` returns after SIGTERM or SIGINT, once requests in flight have finished.

    Requests that take longer than `drain_seconds` are cut off.
    """
    # After draining, uvicorn raises the signal again for the previous handler, which is this one.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    config = uvicorn.Config(
        app,
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, int(drain_seconds)),
    )
    return uvicorn.Server(config)
