"""An HTTP server that ends cleanly on SIGTERM."""

import signal

import uvicorn
from starlette.applications import Starlette


def server_of(app: Starlette, *, drain_seconds: float) -> uvicorn.Server:
    """A server for an application; its `run` returns after SIGTERM or SIGINT, when requests under way have finished.

    Args:
        app: what it serves.
        drain_seconds: requests that then take longer are cut off.
    """
    # uvicorn drains on a signal and then raises it again for whoever was there before. That is us: the end is clean.
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
