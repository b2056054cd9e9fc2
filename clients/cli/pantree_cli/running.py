"""Runs meshes, and finds or starts the one that answers a command."""

import asyncio
import contextlib
import importlib
import os
import signal
import sys
import time
import webbrowser
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from pantree_cli.mesh import PARTS, Mesh, ServiceKind, default_address, is_serving_locally, running_mesh
from pantree_cli.options import Access
from pantree_cli.output import console, errors, print_error
from pantree_client import PantreeClient
from pantree_runtime.identity import CLIENT
from pantree_runtime.local_files import keep_private
from pantree_runtime.settings import PartSettings, load_settings


async def run_mesh(
    in_process: bool,
    certificates: Path | None,
    parts: Sequence[ServiceKind],
    *,
    own_ports: bool = False,
    route: str | None = None,
) -> None:
    """Runs a mesh until a signal. `route` is one of the console to open in a browser."""
    keep_private()
    main_task = asyncio.current_task()
    assert main_task is not None

    def stop() -> None:
        if not main_task.cancelling():  # a second signal must not interrupt the shutdown
            main_task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    started_at = time.perf_counter()
    with contextlib.suppress(asyncio.CancelledError):
        async with running_mesh(
            in_process=in_process,
            own_ports=own_ports,
            on_state_change=_print_serving,
            certificates=certificates,
            parts=parts,
        ) as mesh:
            _print_addresses(mesh, time.perf_counter() - started_at)
            if route is not None:
                _open_browser(f"{_console_url(mesh)}#{route}")
            try:
                await mesh.keep_running(_print_state)
            finally:
                errors.print("stopping")
    errors.print("stopped")


@contextlib.asynccontextmanager
async def pipeline_address(address: str | None, in_process: bool, quiet: bool) -> AsyncIterator[str]:
    """The given address of a pipeline, that of the mesh on this machine, or that of a mesh started for this context.

    Args:
        address: given address; empty for none, None to start a mesh in any case.
        in_process: start a mesh in this process.
        quiet: print nothing.
    """
    if address:
        yield address
        return
    if address is not None and not in_process and await is_serving_locally("pipeline"):
        if not quiet:
            console.print(f"Using the mesh that runs at {default_address('pipeline')}.")
        yield default_address("pipeline")
        return
    status_line = Console(stderr=True, quiet=quiet).status("starting the mesh")
    serving: set[str] = set()

    def on_state_change(part: str, state: str) -> None:
        if state == "serving":
            serving.add(part)
        waiting = [one.name for one in PARTS if one.name not in serving]
        status_line.update(
            f"starting the mesh: {len(serving)} of {len(PARTS)} parts are serving"
            + (f"; {', '.join(waiting)}: loading libraries and models" if waiting else "")
        )

    started_at = time.perf_counter()
    async with contextlib.AsyncExitStack() as stack:
        with status_line:
            context = running_mesh(in_process=in_process, own_ports=True, on_state_change=on_state_change)
            mesh = await stack.enter_async_context(context)
        if not quiet:
            how = "in this process" if in_process else "each in its own process"
            console.print(f"{len(PARTS)} parts are serving, {how}, after {time.perf_counter() - started_at:.1f} s.")
        yield mesh.addresses["pipeline"]


def client_of(address: str, access: Access | None, timeout_seconds: float = 60.0) -> PantreeClient:
    """Client of a pipeline or a gateway.

    Raises:
        typer.BadParameter: the address, or what goes with it, is not valid.
    """
    access = access or Access()
    try:
        return PantreeClient(
            address,
            timeout_seconds=timeout_seconds,
            certificates=access.certificates and access.certificates / CLIENT,
            tls_domain=load_settings(PartSettings).tls_domain if access.certificates else "pantree.internal",
            api_key=access.api_key or None,
            token=access.token or None,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _print_serving(part: str, state: str) -> None:
    if state == "serving":
        _print_state(part, state)


def _print_state(part: str, state: str) -> None:
    print_error(f"{part:<15} {state}")


def _print_addresses(mesh: Mesh, seconds: float) -> None:
    table = Table(header_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("part")
    table.add_column("address")
    for name, address in mesh.addresses.items():
        table.add_row(name, f"http://{address}" if name == "gateway" else address)
    console.print(table)
    if "history" in mesh.addresses:
        # Imported by name: the command line depends on no part.
        settings = importlib.import_module("pantree_history.settings")
        place = load_settings(settings.HistorySettings).store.place
        console.print(f"Purchases are stored in {place}.", soft_wrap=True, highlight=False)
    gateway = f"http://{mesh.addresses['gateway']}"
    console.print(f"All parts are serving after {seconds:.1f} s. Press Ctrl-C to stop.")
    # On lines of their own, which terminals make links of.
    console.print(f"Console:  {_console_url(mesh)}", soft_wrap=True)
    console.print(f"API docs: {gateway}/docs", soft_wrap=True)


def _console_url(mesh: Mesh) -> str:
    return f"http://{mesh.addresses['gateway']}/app/"


def _open_browser(url: str) -> None:
    """Opens a page if there is a screen; a browser in this terminal would hide the output."""
    has_screen = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    if not (has_screen and webbrowser.open(url)):
        console.print(f"Open this page in a browser: {url}", soft_wrap=True)
