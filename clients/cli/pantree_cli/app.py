"""The commands.

Exit codes: 0 done · 1 something failed · 2 wrong input or usage · 3 a part is not available · 4 out of time ·
130 Ctrl-C.
"""

import asyncio
import contextlib
import enum
import json
import runpy
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf import json_format
from rich import box
from rich.console import Console
from rich.table import Table

from pantree.pipeline.v1.pipeline_service_pb2 import ProcessInput
from pantree_cli import inputs, view
from pantree_cli.help import examples
from pantree_cli.mesh import PARTS, Mesh, PartName, running_mesh
from pantree_cli.simulate import EXAMPLES as SIMULATE_EXAMPLES
from pantree_cli.simulate import simulate
from pantree_client import (
    ComponentUnavailable,
    DeadlineExceeded,
    History,
    InvalidInput,
    MonthlyUpdate,
    PantreeClient,
    PantreeError,
    Result,
)
from pantree_runtime.identity import CLIENT
from pantree_runtime.server import run as run_event_loop

app = typer.Typer(
    help="Says which groceries a household should subscribe to, how often, and how sure that is.",
    no_args_is_help=True,
    # Without frames, which leave little room in eighty columns and break examples.
    rich_markup_mode=None,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = Console()
errors = Console(stderr=True)

# The seed documentation's own example.
DEMO_REQUEST = """
{
  "customer_id": "cust_001",
  "customer_name": "John Doe",
  "archetype": "health_conscious",
  "items": [
    {"name": "Bananas", "price": 1.99, "quantity": 1},
    {"name": "Chicken Breast", "price": 12.99, "quantity": 1}
  ],
  "simulation_months": 6
}
"""

InProcess = Annotated[bool, typer.Option("--in-process", help="Run all parts in this process: for small machines.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print the recommendations as CSV, for programs and spreadsheets.")]
Address = Annotated[
    str,
    typer.Option(
        metavar="HOST:PORT",
        envvar="PANTREE_PIPELINE_ADDRESS",
        help="A running pipeline service; without it, a mesh is started for this command alone.",
    ),
]
Certificates = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", envvar="PANTREE_CERTIFICATES", help="Folder that `make certs` filled: speak TLS in the mesh."
    ),
]


class Form(enum.Enum):
    """What an answer is printed as."""

    TEXT = enum.auto()
    JSON = enum.auto()
    CSV = enum.auto()

    @classmethod
    def chosen(cls, as_json: bool, as_csv: bool) -> "Form":
        """The form that the options ask for.

        Raises:
            typer.BadParameter: when they ask for both.
        """
        if as_json and as_csv:
            raise typer.BadParameter("give --json or --csv, not both")
        return cls.JSON if as_json else cls.CSV if as_csv else cls.TEXT


def run() -> None:
    """Runs the command line; user errors end in one line, not in a traceback."""
    try:
        app()
    except InvalidInput as error:
        for violation in error.violations:
            errors.print(
                f"error: {violation.field}: {violation.description}", markup=False, highlight=False, soft_wrap=True
            )
        raise SystemExit(2) from None
    except PantreeError as error:
        errors.print(f"error: {error.message}", markup=False, highlight=False, soft_wrap=True)
        codes = {ComponentUnavailable: 3, DeadlineExceeded: 4}
        raise SystemExit(next((code for kind, code in codes.items() if isinstance(error, kind)), 1)) from None
    except OSError as error:
        errors.print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


@app.command(epilog=examples("pantree up", "pantree up --certificates certs"))
def up(in_process: InProcess = False, certificates: Certificates = None) -> None:
    """Starts all parts and keeps them running until Ctrl-C.

    A part that ends by itself is started again. No part outlives this command, even if it is killed.

    Ports come from PANTREE_<PART>_PORT; the gateway listens on 8000 unless told otherwise.
    """
    _run(lambda: _up(in_process, certificates))


@app.command(epilog=examples("pantree demo", "pantree demo --seed 7 --csv > recommendations.csv"))
def demo(
    in_process: InProcess = False,
    seed: Annotated[int, typer.Option(metavar="N", min=0, max=2**32 - 1, help="Start of the random streams.")] = 1,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Starts a mesh and shows what it makes of a first purchase."""
    form = Form.chosen(as_json, as_csv)
    request = inputs.read_request(DEMO_REQUEST)
    request.seed = seed
    request.include_cadence_changes = True
    _run(lambda: _process(request, "", in_process, form))


@app.command(
    epilog=examples(
        "pantree process request.json",
        "pantree process --history purchases.csv --json",
        "pantree process request.json --address 127.0.0.1:50051 --csv > answer.csv",
    )
)
def process(
    request_file: Annotated[
        str,
        typer.Argument(
            metavar="FILE.json", help="Request as JSON, in the form that the gateway takes; - is standard input."
        ),
    ] = "",
    history: Annotated[
        Path | None,
        typer.Option(
            metavar="PURCHASES.csv",
            help="A real history instead: columns date, item, price and, if there, quantity, category, saving.",
        ),
    ] = None,
    customer_id: Annotated[
        str, typer.Option(metavar="ID", help="Household of the history; the file's name when left out.")
    ] = "",
    as_of: Annotated[
        datetime | None,
        typer.Option(
            metavar="YYYY-MM-DD",
            formats=["%Y-%m-%d"],
            help="Day on which the question is asked; the history's last day when left out.",
        ),
    ] = None,
    suggestions: Annotated[
        bool, typer.Option("--suggestions", help="Also what similar customers, stored earlier, buy regularly.")
    ] = False,
    address: Address = "",
    certificates: Certificates = None,
    in_process: InProcess = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Recommends subscriptions from a basket or a history.

    A basket (JSON) is a first purchase, whose history is simulated; a history (CSV) is what was really bought.
    """
    form = Form.chosen(as_json, as_csv)
    if bool(request_file) == bool(history):
        raise typer.BadParameter("give either FILE.json or --history PURCHASES.csv")
    if history is not None:
        day = None if as_of is None else as_of.date()
        message = History(customer_id or history.stem, inputs.read_history(history), as_of=day).message()
    else:
        text = sys.stdin.read() if request_file == "-" else inputs.read_text(Path(request_file))
        message = inputs.read_request(text)
        if customer_id:
            message.customer_id = customer_id
        if as_of is not None:
            message.as_of = as_of.date().isoformat()
    if suggestions:
        message.include_suggestions = True
    if form is Form.TEXT:  # programs get what they ask for
        message.include_cadence_changes = True
    try:
        _run(lambda: _process(message, address, in_process or not address, form, certificates))
    except InvalidInput as error:
        raise inputs.without_envelope(inputs.in_lines_of_file(error) if history else error) from None


@app.command(epilog=examples("pantree status", "pantree status --address 10.0.0.5:50051 --json"))
def status(
    address: Annotated[
        str, typer.Option(metavar="HOST:PORT", envvar="PANTREE_PIPELINE_ADDRESS", help="The pipeline service.")
    ] = "127.0.0.1:50051",
    certificates: Certificates = None,
    as_json: AsJson = False,
) -> None:
    """Tells the state of each part of a running mesh.

    Exit code 3 when it cannot give answers.
    """
    _run(lambda: _status(address, as_json, certificates))


@app.command(epilog=examples("PANTREE_FREQUENCY_PORT=6000 pantree serve frequency"))
def serve(
    part: Annotated[PartName, typer.Argument(metavar="PART", help=f"One of {', '.join(part.name for part in PARTS)}.")],
) -> None:
    """Serves one part in this process, until SIGTERM or Ctrl-C."""
    sys.argv = [f"pantree_{part}"]
    runpy.run_module(f"pantree_{part}", run_name="__main__", alter_sys=True)


@app.command()
def version() -> None:
    """Prints the version."""
    from importlib.metadata import version as version_of

    console.print(version_of("pantree"), highlight=False)


app.command(epilog=SIMULATE_EXAMPLES)(simulate)


def _run(coroutine_function: Callable[[], Coroutine[Any, Any, None]]) -> None:
    run_event_loop(coroutine_function)


async def _up(in_process: bool, certificates: Path | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    started = time.perf_counter()
    mesh_context = running_mesh(in_process=in_process, own_ports=False, told=_tell_serving, certificates=certificates)
    starting = asyncio.create_task(mesh_context.__aenter__())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
        return
    mesh = starting.result()
    try:
        _print_addresses(mesh, time.perf_counter() - started)
        keeping = asyncio.create_task(mesh.keep_running(_tell_change))
        await asyncio.wait({keeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if keeping.done():
            keeping.result()  # raises: a part cannot start at all
        keeping.cancel()
        errors.print("stopping")
    finally:
        await mesh_context.__aexit__(None, None, None)
        errors.print("stopped")


def _tell_serving(part: str, state: str) -> None:
    if state == "serving":
        errors.print(f"{part:<15} serving", markup=False, highlight=False)


def _tell_change(part: str, state: str) -> None:
    errors.print(f"{part:<15} {state}", markup=False, highlight=False, soft_wrap=True)


def _print_addresses(mesh: Mesh, seconds: float) -> None:
    table = Table(header_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("part")
    table.add_column("listens on")
    for part in PARTS:
        scheme = "http://" if part.name == "gateway" else ""
        table.add_row(part.name, f"{scheme}{mesh.addresses[part.name]}")
    console.print(table)
    console.print(
        f"All parts serve after {seconds:.1f} s. API page: http://{mesh.addresses['gateway']}/docs. Ctrl-C stops."
    )


@contextlib.asynccontextmanager
async def _pipeline_address(address: str, in_process: bool, quiet: bool) -> AsyncIterator[str]:
    """Address of the pipeline to ask: the one given, or that of a mesh started for the purpose."""
    if address:
        yield address
        return
    status_line = Console(stderr=True, quiet=quiet).status("starting the mesh")
    states: dict[str, str] = {}

    def told(part: str, state: str) -> None:
        states[part] = state
        serving = [name for name, value in states.items() if value == "serving"]
        status_line.update(f"starting the mesh: {len(serving)} of {len(PARTS)} parts serve")

    started = time.perf_counter()
    async with contextlib.AsyncExitStack() as stack:
        with status_line:
            mesh = await stack.enter_async_context(running_mesh(in_process=in_process, own_ports=True, told=told))
        if not quiet:
            how = "in this process" if in_process else "each in its own process"
            console.print(f"{len(PARTS)} parts serve, {how}, after {time.perf_counter() - started:.1f} s.")
        yield mesh.addresses["pipeline"]


async def _process(
    message: ProcessInput, address: str, in_process: bool, form: Form, certificates: Path | None = None
) -> None:
    months: list[MonthlyUpdate] = []
    quiet = form is not Form.TEXT
    async with _pipeline_address(address, in_process, quiet) as pipeline_address:
        started = time.perf_counter()
        async with PantreeClient(pipeline_address, certificates=_own(certificates, address)) as client:
            result = await _follow(client, message, quiet, months)
        seconds = time.perf_counter() - started
    if form is Form.JSON:
        print(
            json.dumps(
                json_format.MessageToDict(
                    result.message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
                ),
                ensure_ascii=False,
            )
        )
        return
    if form is Form.CSV:
        view.write_csv(sys.stdout, result.recommendations)
        for warning in result.warnings:  # the columns have no place for them
            errors.print(
                f"warning: {warning.component}: {warning.message}", markup=False, highlight=False, soft_wrap=True
            )
        return
    view.print_result(console, result)
    if months:
        console.print(view.spend_line(months), highlight=False)
    console.print(f"{seconds:.2f} s from all services SERVING to the result." if not address else f"{seconds:.2f} s.")


async def _follow(client: PantreeClient, message: ProcessInput, quiet: bool, months: list[MonthlyUpdate]) -> Result:
    """Shows the months as they come, adds them to `months`, and returns the result."""
    with contextlib.nullcontext() if quiet else view.month_progress(console) as progress:
        task = None
        async for event in client.stream_message(message):
            if isinstance(event, Result):
                return event
            if isinstance(event, MonthlyUpdate):
                months.append(event)
                if progress is None:
                    continue
                if task is None:
                    task = progress.add_task("", total=100, detail="")
                progress.update(
                    task, completed=event.progress, description=event.month_display, detail=view.month_detail(event)
                )
    raise ComponentUnavailable("pipeline", "the pipeline ended without a result; try again")


def _own(certificates: Path | None, address: str) -> Path | None:
    """Folder of this command's own certificate; a mesh started for the command alone has no TLS."""
    return certificates / CLIENT if certificates is not None and address else None


async def _status(address: str, as_json: bool, certificates: Path | None) -> None:
    async with PantreeClient(address, timeout_seconds=5, certificates=_own(certificates, address)) as client:
        state = await client.status()
    if as_json:
        print(
            json.dumps(
                {
                    "state": state.state,
                    "version": state.version,
                    "components": [vars(item) for item in state.components],
                }
            )
        )
    else:
        console.print(view.status_table(state.components))
        console.print(f"The mesh is {state.state}.")
    if state.state == "unavailable":
        raise ComponentUnavailable("mesh", "a part that every answer needs is not available")
