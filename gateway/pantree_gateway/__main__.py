"""Composition root of the gateway: `python -m pantree_gateway`."""

import argparse
import sys

from fastapi import FastAPI

from pantree_gateway.app import create_app
from pantree_gateway.server import NAME, RunningGateway, start
from pantree_gateway.settings import GatewaySettings
from pantree_runtime.logging import configure_logging
from pantree_runtime.server import add_stdin_option, export_telemetry, run, serve_until_signal, stop_when_stdin_closes
from pantree_runtime.settings import load_settings


def app() -> FastAPI:
    """The application, for other ASGI servers: `uvicorn --factory pantree_gateway.__main__:app`."""
    settings = load_settings(GatewaySettings)
    configure_logging(NAME, settings)
    return create_app(settings)


class Program:
    """The gateway as a program, with the same interface as the services' programs."""

    async def start(self) -> RunningGateway:
        """Starts the gateway with the settings from the environment.

        Raises:
            OSError: when it cannot listen on the port.
        """
        return await start(load_settings(GatewaySettings))

    def main(self) -> None:
        """Serves until SIGTERM or Ctrl-C.

        Exit codes: 0 after a clean stop, 1 when it cannot start, 2 for invalid settings or arguments.
        """
        parser = argparse.ArgumentParser(
            prog="python -m pantree_gateway", description="Serves Pantree over REST and WebSocket."
        )
        add_stdin_option(parser)
        arguments = parser.parse_args()
        settings = load_settings(GatewaySettings)
        configure_logging(NAME, settings)
        if arguments.until_stdin_closes:
            stop_when_stdin_closes(settings.drain_seconds)
        try:
            with export_telemetry(NAME, settings):
                run(lambda: serve_until_signal(lambda: start(settings), settings.drain_seconds))
        except (OSError, ValueError) as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(1) from None


PROGRAM = Program()

if __name__ == "__main__":
    PROGRAM.main()
