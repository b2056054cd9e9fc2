"""The commands of the command line.

Exit codes: 0 success · 1 error · 2 invalid input or usage · 3 a part is unavailable · 4 deadline exceeded · 130 Ctrl-C.
"""

import asyncio
import contextlib
import enum
import json
import runpy
import signal
import sys
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf import json_format
from rich import box
from rich.console import Console
from rich.table import Table

from pantree.pipeline.v1.pipeline_service_pb2 import ProcessInput
from pantree_cli import inputs, view
from pantree_cli.help import examples
from pantree_cli.mesh import PARTS, Mesh, PartName, running_mesh
from pantree_cli.policy import policy_app
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
    TooLarge,
)
from pantree_runtime.identity import CLIENT
from pantree_runtime.server import run as run_event_loop
from pantree_runtime.settings import PartSettings, load_settings

app = typer.Typer(
    help="Recommends grocery subscriptions: which items, how often, and how likely they fit.",
    no_args_is_help=True,
    # Plain help: rich frames leave little room in eighty columns and break the examples.
    rich_markup_mode=None,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = Console()
errors = Console(stderr=True)

# The example of the original API.
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

InProcess = Annotated[bool, typer.Option("--in-process", help="Run all parts in this process, for small machines.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print the recommendations as CSV.")]
Address = Annotated[
    str,
    typer.Option(
        metavar="HOST:PORT",
        envvar="PANTREE_PIPELINE_ADDRESS",
        help="Address of a running pipeline. Without it, the command starts its own mesh.",
    ),
]
Certificates = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", envvar="PANTREE_CERTIFICATES", help="Directory created by `make certs`; enables mutual TLS."
    ),
]


class Format(enum.Enum):
    """Output format."""

    TEXT = enum.auto()
    JSON = enum.auto()
    CSV = enum.auto()

    @classmethod
    def of_options(cls, as_json: bool, as_csv: bool) -> "Format":
        """The format that the options select.

        Raises:
            typer.BadParameter: when both are given.
        """
        if as_json and as_csv:
            raise typer.BadParameter("use either --json or --csv, not both")
        return cls.JSON if as_json else cls.CSV if as_csv else cls.TEXT


def run() -> None:
    """Runs the command line. Prints errors as single lines, without a traceback."""
    try:
        app()
    except InvalidInput as error:
        for violation in error.violations:
            _print_error(f"error: {violation.field}: {violation.description}".replace("error: : ", "error: "))
        raise SystemExit(2) from None
    except PantreeError as error:
        _print_error(f"error: {error.message}")
        codes = {TooLarge: 2, ComponentUnavailable: 3, DeadlineExceeded: 4}
        raise SystemExit(next((code for kind, code in codes.items() if isinstance(error, kind)), 1)) from None
    except OSError as error:
        _print_error(f"error: {error}")
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _print_error(text: str) -> None:
    errors.print(text, markup=False, highlight=False, soft_wrap=True)


@app.command(epilog=examples("pantree up", "pantree up --certificates certs"))
def up(in_process: InProcess = False, certificates: Certificates = None) -> None:
    """Start all parts and keep them running until Ctrl-C.

    A part that exits is restarted. All parts stop when this command ends, even if it is killed.

    PANTREE_<PART>_PORT sets the port of a part. The default port of the gateway is 8000.
    """
    run_event_loop(lambda: _up(in_process, certificates))


@app.command(epilog=examples("pantree demo", "pantree demo --seed 7 --csv > recommendations.csv"))
def demo(
    in_process: InProcess = False,
    seed: Annotated[int, typer.Option(metavar="N", min=0, max=2**32 - 1, help="Random seed.")] = 1,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Start a mesh and show recommendations for an example."""
    output = Format.of_options(as_json, as_csv)
    request = inputs.read_request(DEMO_REQUEST)
    request.seed = seed
    request.include_cadence_changes = True
    run_event_loop(lambda: _process(request, "", in_process, output))


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
        typer.Argument(metavar="FILE.json", help="Request in the JSON of the REST API; - reads standard input."),
    ] = "",
    history: Annotated[
        Path | None,
        typer.Option(
            metavar="PURCHASES.csv",
            help="Real history, with columns date, item, price and optionally quantity, category, saving.",
        ),
    ] = None,
    customer_id: Annotated[
        str, typer.Option(metavar="ID", help="Household; by default the name of the history file.")
    ] = "",
    as_of: Annotated[
        datetime | None,
        typer.Option(
            metavar="YYYY-MM-DD",
            formats=["%Y-%m-%d"],
            help="Date of the request; by default the last day of the history.",
        ),
    ] = None,
    suggestions: Annotated[
        bool, typer.Option("--suggestions", help="Include items that similar stored customers buy regularly.")
    ] = False,
    address: Address = "",
    certificates: Certificates = None,
    in_process: InProcess = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Recommend subscriptions for a first purchase or a real history.

    FILE.json is a first purchase, whose history is simulated. --history is a CSV file with real purchases.
    """
    output = Format.of_options(as_json, as_csv)
    if bool(request_file) == bool(history):
        raise typer.BadParameter("pass either FILE.json or --history PURCHASES.csv")
    file = None if history is None else inputs.read_history(history)
    try:
        if file is not None and history is not None:
            day = None if as_of is None else as_of.date()
            message = History(customer_id or history.stem, file.purchases, as_of=day).message()
        else:
            text = inputs.read_text(None if request_file == "-" else Path(request_file))
            message = inputs.read_request(text)
            message.customer_id = customer_id or message.customer_id
            message.as_of = message.as_of if as_of is None else as_of.date().isoformat()
        message.include_suggestions |= suggestions
        message.include_cadence_changes |= output is Format.TEXT
        run_event_loop(lambda: _process(message, address, in_process or not address, output, certificates))
    except InvalidInput as error:
        raise (file.name_lines(error) if file is not None else error) from None


@app.command(epilog=examples("pantree status", "pantree status --address 10.0.0.5:50051 --json"))
def status(
    address: Annotated[
        str, typer.Option(metavar="HOST:PORT", envvar="PANTREE_PIPELINE_ADDRESS", help="Address of the pipeline.")
    ] = "127.0.0.1:50051",
    certificates: Certificates = None,
    as_json: AsJson = False,
) -> None:
    """Show the state of each part of a running mesh.

    The exit code is 3 if the mesh cannot answer requests.
    """
    run_event_loop(lambda: _status(address, as_json, certificates))


@app.command(epilog=examples("PANTREE_FREQUENCY_PORT=6000 pantree serve frequency"))
def serve(
    part: Annotated[PartName, typer.Argument(metavar="PART", help=f"One of {', '.join(part.name for part in PARTS)}.")],
) -> None:
    """Run one part in this process until SIGTERM or Ctrl-C."""
    sys.argv = [f"pantree_{part}"]
    runpy.run_module(f"pantree_{part}", run_name="__main__", alter_sys=True)


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as version_of

    console.print(version_of("pantree"), highlight=False)


app.command(epilog=SIMULATE_EXAMPLES)(simulate)
app.add_typer(policy_app, name="policy")


async def _up(in_process: bool, certificates: Path | None) -> None:
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
            in_process=in_process, own_ports=False, on_state_change=_print_serving, certificates=certificates
        ) as mesh:
            _print_addresses(mesh, time.perf_counter() - started_at)
            try:
                await mesh.keep_running(_print_state)
            finally:
                errors.print("stopping")
    errors.print("stopped")


def _print_serving(part: str, state: str) -> None:
    if state == "serving":
        _print_state(part, state)


def _print_state(part: str, state: str) -> None:
    _print_error(f"{part:<15} {state}")


def _print_addresses(mesh: Mesh, seconds: float) -> None:
    table = Table(header_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("part")
    table.add_column("address")
    for part in PARTS:
        scheme = "http://" if part.name == "gateway" else ""
        table.add_row(part.name, f"{scheme}{mesh.addresses[part.name]}")
    console.print(table)
    docs = f"http://{mesh.addresses['gateway']}/docs"
    console.print(f"All parts are serving after {seconds:.1f} s. API docs: {docs}. Press Ctrl-C to stop.")


@contextlib.asynccontextmanager
async def _pipeline_address(address: str, in_process: bool, quiet: bool) -> AsyncIterator[str]:
    """The given address of a pipeline, or that of a mesh started for this context."""
    if address:
        yield address
        return
    status_line = Console(stderr=True, quiet=quiet).status("starting the mesh")
    serving: set[str] = set()

    def on_state_change(part: str, state: str) -> None:
        if state == "serving":
            serving.add(part)
        status_line.update(f"starting the mesh: {len(serving)} of {len(PARTS)} parts are serving")

    started_at = time.perf_counter()
    async with contextlib.AsyncExitStack() as stack:
        with status_line:
            context = running_mesh(in_process=in_process, own_ports=True, on_state_change=on_state_change)
            mesh = await stack.enter_async_context(context)
        if not quiet:
            how = "in this process" if in_process else "each in its own process"
            console.print(f"{len(PARTS)} parts are serving, {how}, after {time.perf_counter() - started_at:.1f} s.")
        yield mesh.addresses["pipeline"]


async def _process(
    message: ProcessInput, address: str, in_process: bool, output: Format, certificates: Path | None = None
) -> None:
    months: list[MonthlyUpdate] = []
    quiet = output is not Format.TEXT
    async with _pipeline_address(address, in_process, quiet) as pipeline_address:
        started_at = time.perf_counter()
        # A mesh that the command started has no TLS.
        async with _client(pipeline_address, certificates if address else None) as client:
            result = await _follow(client, message, quiet, months)
        seconds = time.perf_counter() - started_at
    if output is Format.JSON:
        document = json_format.MessageToDict(
            result.message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        print(json.dumps(document, ensure_ascii=False))
        return
    if output is Format.CSV:
        view.write_csv(sys.stdout, result.recommendations)
        for warning in result.warnings:  # the CSV has no column for them
            _print_error(f"warning: {warning.component}: {warning.message}")
        return
    view.print_result(console, result)
    if months:
        console.print(view.spend_line(months), highlight=False)
    console.print(f"{seconds:.2f} s." if address else f"{seconds:.2f} s from all services SERVING to the result.")


async def _follow(client: PantreeClient, message: ProcessInput, quiet: bool, months: list[MonthlyUpdate]) -> Result:
    """Shows the months as they arrive, appends them to `months`, and returns the result."""
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


def _client(address: str, certificates: Path | None, timeout_seconds: float = 60.0) -> PantreeClient:
    if certificates is None:
        return PantreeClient(address, timeout_seconds=timeout_seconds)
    domain = load_settings(PartSettings).tls_domain
    return PantreeClient(
        address, timeout_seconds=timeout_seconds, certificates=certificates / CLIENT, tls_domain=domain
    )


async def _status(address: str, as_json: bool, certificates: Path | None) -> None:
    async with _client(address, certificates, timeout_seconds=5) as client:
        state = await client.status()
    if as_json:
        components = [vars(component) for component in state.components]
        print(json.dumps({"state": state.state, "version": state.version, "components": components}))
    else:
        console.print(view.status_table(state.components))
        console.print(f"The mesh is {state.state}.")
    if state.state == "unavailable":
        raise ComponentUnavailable("mesh", "a required part is unavailable")
