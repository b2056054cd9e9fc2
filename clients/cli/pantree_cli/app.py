"""The commands of the command line.

Exit codes: 0 success · 1 error · 2 invalid input or usage · 3 a part is unavailable · 4 deadline exceeded · 130 Ctrl-C.
"""

import asyncio
import contextlib
import enum
import importlib
import io
import json
import os
import runpy
import signal
import sys
import time
import webbrowser
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from google.protobuf import json_format
from rich import box
from rich.console import Console
from rich.table import Table

from pantree.pipeline.v1.pipeline_service_pb2 import ProcessInput
from pantree_cli import inputs, view
from pantree_cli.batch import batch_app
from pantree_cli.customer import IMPORT_EXAMPLES, customer_app, import_files
from pantree_cli.export import EXAMPLES as EXPORT_EXAMPLES
from pantree_cli.export import export
from pantree_cli.fitting import EVALUATE_EXAMPLES, FIT_EXAMPLES, evaluate, fit
from pantree_cli.help import examples
from pantree_cli.mesh import (
    ALL_PARTS,
    PARTS,
    Mesh,
    ServiceKind,
    default_address,
    is_serving_locally,
    running_mesh,
)
from pantree_cli.policy import policy_app
from pantree_cli.sagemaker import sagemaker_app
from pantree_cli.simulate import EXAMPLES as SIMULATE_EXAMPLES
from pantree_cli.simulate import simulate
from pantree_cli.subscriptions import subscriptions_app
from pantree_client import (
    BasketRequest,
    ComponentUnavailable,
    DeadlineExceeded,
    History,
    InvalidInput,
    MonthlyUpdate,
    PantreeClient,
    PantreeError,
    PlanConstraints,
    Result,
    TooLarge,
    WhatIfRequest,
)
from pantree_reader import ReadOptions, read_file
from pantree_reader.layouts import ROLES
from pantree_runtime.identity import CLIENT
from pantree_runtime.local_files import keep_private
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
# Names and messages of others have no meaning for the terminal: [bold] and :coffee: are shown as they are.
console = Console(markup=False, emoji=False)
errors = Console(stderr=True, markup=False, emoji=False)

# The example of the original API, on a fixed day.
DEMO_REQUEST = """
{
  "customer_id": "cust_001",
  "as_of": "2026-11-26",
  "archetype": "health_conscious",
  "items": [
    {"name": "Bananas", "price": 1.99, "quantity": 1},
    {"name": "Chicken Breast", "price": 12.99, "quantity": 1}
  ],
  "simulation_months": 6
}
"""

ApiKey = Annotated[
    str,
    typer.Option(
        metavar="KEY", envvar="PANTREE_API_KEY", show_envvar=True, help="API key, for a gateway at --address."
    ),
]
Token = Annotated[
    str,
    typer.Option(metavar="TOKEN", envvar="PANTREE_TOKEN", help="Bearer token, for a gateway at --address."),
]
InProcess = Annotated[bool, typer.Option("--in-process", help="Run all parts in this process, for small machines.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print the recommendations as CSV.")]
Address = Annotated[
    str,
    typer.Option(
        metavar="HOST:PORT|URL",
        envvar="PANTREE_PIPELINE_ADDRESS",
        help="Address of a running pipeline, or URL of a gateway. Without it, the command uses the mesh on this "
        "machine's default port, or starts its own.",
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


@dataclass(frozen=True)
class Access:
    """What proves to a mesh or a gateway who calls."""

    certificates: Path | None = None
    api_key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


class Duplicates(enum.Enum):
    """What to do with equal lines of a file."""

    AUTO = "auto"
    KEEP = "keep"
    DROP = "drop"


def run() -> None:
    """Runs the command line. Prints errors as single lines, without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        # Names may have characters that the terminal's encoding lacks; programs get UTF-8.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")
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
def up(
    in_process: InProcess = False,
    certificates: Certificates = None,
    without_history: Annotated[
        bool, typer.Option("--without-history", help="Do not start the part that stores purchases.")
    ] = False,
) -> None:
    """Start all parts and keep them running until Ctrl-C.

    A part that exits is restarted. All parts stop when this command ends, even if it is killed.

    PANTREE_<PART>_PORT sets the port of a part. The default port of the gateway is 8000. PANTREE_HISTORY_STORE_URL says
    where purchases are stored; by default, in a file of your data directory, which the command shows.
    """
    run_event_loop(lambda: _up(in_process, certificates, PARTS if without_history else ALL_PARTS))


@app.command(
    epilog=examples("pantree demo", "pantree demo --open", "pantree demo --seed 7 --csv > recommendations.csv")
)
def demo(
    in_process: InProcess = False,
    seed: Annotated[int, typer.Option(metavar="N", min=0, max=2**32 - 1, help="Random seed.")] = 8,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    open_console: Annotated[
        bool, typer.Option("--open", help="Open the example in a browser, and keep the mesh until Ctrl-C.")
    ] = False,
) -> None:
    """Start a mesh and show recommendations for an example."""
    output = Format.of_options(as_json, as_csv)
    request = inputs.read_request(DEMO_REQUEST)
    request.seed = seed
    if open_console:
        if output is not Format.TEXT:
            raise typer.BadParameter("--open shows the answer in a browser; leave out --json and --csv")
        run_event_loop(lambda: _up(in_process, None, PARTS, own_ports=True, route=_try_link(request)))
        return
    # Without cadence changes, which take most of the time of an interpreted answer, the first start is quick.
    run_event_loop(lambda: _process([request], None, in_process, output))


@app.command(
    epilog=examples(
        "pantree process request.json",
        "pantree process --history purchases.csv --json",
        "pantree process --history orders.xlsx --map date='Order Date' \\\n    --date-format %d/%m/%Y",
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
            metavar="PURCHASES",
            help="Real history: CSV and its variants, XLSX, Parquet or JSON lines, with at least a date and an item.",
        ),
    ] = None,
    customer_id: Annotated[
        str,
        typer.Option(
            metavar="ID", help="Household of the answer; by default that of the file's column, or the name of the file."
        ),
    ] = "",
    as_of: Annotated[
        datetime | None,
        typer.Option(
            metavar="YYYY-MM-DD",
            formats=["%Y-%m-%d"],
            help="Date of the request; by default the last day of the history.",
        ),
    ] = None,
    household: Annotated[
        str, typer.Option(metavar="ID", help="Household of the file to answer for; by default all, one by one.")
    ] = "",
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="ROLE=COLUMN",
            help="Column of the file for a role; repeatable. An empty column ignores the role. "
            f"Roles: {', '.join(ROLES)}.",
        ),
    ] = None,
    date_format: Annotated[
        str, typer.Option(metavar="FORMAT", help="Format of the file's dates, such as %d/%m/%Y; detected by default.")
    ] = "",
    decimal: Annotated[
        str, typer.Option(metavar="SIGN", help="Decimal separator of the file, . or ,; detected by default.")
    ] = "",
    delimiter: Annotated[
        str, typer.Option(metavar="SIGN", help="Delimiter of the file's columns; detected by default.")
    ] = "",
    encoding: Annotated[
        str, typer.Option(metavar="NAME", help="Encoding of the file, such as cp1252; detected by default.")
    ] = "",
    sheet: Annotated[str, typer.Option(metavar="NAME", help="Sheet of a workbook; the first one by default.")] = "",
    time_zone: Annotated[
        str, typer.Option(metavar="NAME", help="Time zone of the shop, for times with an offset: America/New_York.")
    ] = "",
    currency: Annotated[
        str, typer.Option(metavar="CODE", help="ISO 4217 code of the amounts, or of the lines to read.")
    ] = "",
    duplicates: Annotated[
        Duplicates,
        typer.Option(
            metavar="MODE", help="Equal lines: auto recognizes overlapping exports; keep; or drop all but one."
        ),
    ] = Duplicates.AUTO,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a file with lines that are left out, changed or in doubt.")
    ] = False,
    suggestions: Annotated[
        bool, typer.Option("--suggestions", help="Include items that similar stored customers buy regularly.")
    ] = False,
    stockout_tolerance: Annotated[
        float | None,
        typer.Option(
            metavar="RATIO",
            help="Above 0, to deliver more and avoid stockouts, and below 1, to deliver less; by default 0.5.",
        ),
    ] = None,
    budget: Annotated[
        float | None, typer.Option(metavar="AMOUNT", help="Most that the deliveries of any 28 days may cost.")
    ] = None,
    boxes: Annotated[int | None, typer.Option(metavar="NUMBER", help="Most deliveries in any 28 days.")] = None,
    weekdays: Annotated[
        list[int] | None,
        typer.Option("--weekday", metavar="1-7", help="Day of delivery, 1 for Monday; repeatable. By default any."),
    ] = None,
    excluded: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="ITEM", help="Item to leave out; repeatable.")
    ] = None,
    address: Address = "",
    api_key: ApiKey = "",
    token: Token = "",
    certificates: Certificates = None,
    in_process: InProcess = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Recommend subscriptions for a first purchase or a history.

    FILE.json is a first purchase, whose history is simulated. --history is a file with real purchases: its format is
    detected and shown, and what is left out, changed or in doubt is listed by line. A file with several households gets
    one answer for each.
    """
    output = Format.of_options(as_json, as_csv)
    if bool(request_file) == bool(history):
        raise typer.BadParameter("pass either FILE.json or --history PURCHASES")
    day = None if as_of is None else as_of.date()
    histories: list[inputs.HouseholdHistory] = []
    requests: list[ProcessInput] = []
    if history is not None:
        options = ReadOptions(
            columns=inputs.columns_of(columns or ()),
            date_format=date_format,
            decimal=decimal,
            delimiter=delimiter.replace("\\t", "\t"),
            encoding=encoding,
            sheet=sheet,
            time_zone=time_zone,
            currency_code=currency,
            duplicates=duplicates.value,
            as_of=day,
            today=datetime.now().date(),
            strict=strict,
        )
        file = read_file(history, options)
        _print_error(f"Read as {file.format}.")
        for note in file.notes:
            _print_error(f"{note}.")
        histories = inputs.households_of(file, household)
        if customer_id and len(histories) > 1:
            raise typer.BadParameter(f"--customer-id is for one household; the file has {len(histories):,}")
        for one in histories:
            name = customer_id or one.household or history.stem
            try:
                requests.append(History(name, one.purchases, as_of=day, currency_code=file.currency_code).message())
            except InvalidInput as error:
                raise one.name_lines(error) from None
    else:
        text = inputs.read_text(None if request_file == "-" else Path(request_file))
        message = inputs.read_request(text)
        message.customer_id = customer_id or message.customer_id
        message.as_of = message.as_of if day is None else day.isoformat()
        requests.append(message)
    for message in requests:
        message.include_suggestions |= suggestions
        if stockout_tolerance is not None:
            message.stockout_tolerance_ratio = stockout_tolerance
        if budget is not None:
            message.constraints.budget_per_month = budget
        if boxes is not None:
            message.constraints.max_boxes_per_month = boxes
        message.constraints.delivery_weekdays.extend(weekdays or ())
        message.constraints.excluded_items.extend(excluded or ())
        if not message.constraints.ByteSize():
            message.ClearField("constraints")
        message.include_cadence_changes |= output is Format.TEXT

    def renamed(error: InvalidInput, position: int) -> InvalidInput:
        return histories[position].name_lines(error) if histories else error

    access = Access(certificates, api_key, token)
    run_event_loop(lambda: _process(requests, address, in_process, output, access, renamed))


@app.command(
    "next-basket",
    epilog=examples(
        "pantree next-basket purchases.csv",
        "pantree next-basket purchases.csv --mode explore --as-of 2026-12-01",
        "pantree next-basket purchases.csv --address 127.0.0.1:50051 --json",
    ),
)
def next_basket(
    history: Annotated[
        Path,
        typer.Argument(
            metavar="PURCHASES",
            help="Real history: CSV and its variants, XLSX, Parquet or JSON lines, with at least a date and an item.",
        ),
    ],
    household: Annotated[str, typer.Option(metavar="ID", help="Household of the file, if it has several.")] = "",
    as_of: Annotated[
        datetime | None,
        typer.Option(
            metavar="YYYY-MM-DD", formats=["%Y-%m-%d"], help="Day of the basket; by default the expected next trip."
        ),
    ] = None,
    mode: Annotated[
        inputs.Mode,
        typer.Option(metavar="MODE", help="repeat for items bought before, explore for others, or both."),
    ] = inputs.Mode.BOTH,
    max_items: Annotated[int, typer.Option(metavar="N", min=1, max=100, help="Largest number of items.")] = 20,
    promoted: Annotated[
        list[str] | None, typer.Option(metavar="ITEM", help="Item on promotion on that day; repeatable.")
    ] = None,
    address: Address = "",
    api_key: ApiKey = "",
    token: Token = "",
    certificates: Certificates = None,
    as_json: AsJson = False,
) -> None:
    """Predict what a household buys on its next shopping trip."""
    day = None if as_of is None else as_of.date()
    file = read_file(history, ReadOptions(as_of=day, today=datetime.now().date()))
    for note in file.notes:
        _print_error(f"{note}.")
    households = inputs.households_of(file, household)
    if len(households) > 1:
        raise typer.BadParameter(f"the file has {len(households):,} households; choose one with --household")
    (one,) = households
    request = BasketRequest(
        one.household or history.stem,
        one.purchases,
        as_of=day,
        mode=mode.value,
        max_items=max_items,
        promoted=promoted,
    )
    try:
        run_event_loop(lambda: _next_basket(request, address, Access(certificates, api_key, token), as_json))
    except InvalidInput as error:
        raise one.name_lines(error) from None


@app.command(
    "what-if",
    epilog=examples(
        "pantree what-if purchases.csv --weeks 12",
        "pantree what-if purchases.csv --weeks 8 --budget 80 --weekday 5",
        "pantree what-if purchases.csv --as-of 2026-09-01 --json",
    ),
)
def what_if(
    history: Annotated[
        Path,
        typer.Argument(
            metavar="PURCHASES",
            help="Real history: CSV and its variants, XLSX, Parquet or JSON lines, with at least a date and an item.",
        ),
    ],
    weeks: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=12, help="Weeks to replay; by default 12.")
    ] = None,
    household: Annotated[str, typer.Option(metavar="ID", help="Household of the file, if it has several.")] = "",
    as_of: Annotated[
        datetime | None,
        typer.Option(
            metavar="YYYY-MM-DD",
            formats=["%Y-%m-%d"],
            help="Day of the plan; by default the weeks before the latest purchase.",
        ),
    ] = None,
    budget: Annotated[
        float | None, typer.Option(metavar="AMOUNT", help="Most that the deliveries of any 28 days may cost.")
    ] = None,
    boxes: Annotated[int | None, typer.Option(metavar="NUMBER", help="Most deliveries in any 28 days.")] = None,
    weekdays: Annotated[
        list[int] | None,
        typer.Option("--weekday", metavar="1-7", help="Day of delivery, 1 for Monday; repeatable. By default any."),
    ] = None,
    excluded: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="ITEM", help="Item to leave out; repeatable.")
    ] = None,
    address: Address = "",
    api_key: ApiKey = "",
    token: Token = "",
    certificates: Certificates = None,
    as_json: AsJson = False,
) -> None:
    """Replay a plan on a household's own past.

    The plan is made from the purchases until a day some weeks ago. What was really bought after that shows which
    deliveries would have come early, what would have run out, and what would have been paid and saved.
    """
    file = read_file(history, ReadOptions(today=datetime.now().date()))
    for note in file.notes:
        _print_error(f"{note}.")
    households = inputs.households_of(file, household)
    if len(households) > 1:
        raise typer.BadParameter(f"the file has {len(households):,} households; choose one with --household")
    (one,) = households
    constraints = PlanConstraints(
        delivery_weekdays=weekdays or (),
        max_boxes_per_month=boxes,
        budget_per_month=budget,
        excluded_items=excluded or (),
    )
    request = WhatIfRequest(
        one.household or history.stem,
        one.purchases,
        as_of=None if as_of is None else as_of.date(),
        week_count=weeks,
        currency_code=file.currency_code,
        constraints=None if constraints == PlanConstraints() else constraints,
    )
    try:
        run_event_loop(lambda: _what_if(request, address, Access(certificates, api_key, token), as_json))
    except InvalidInput as error:
        raise one.name_lines(error) from None


@app.command(epilog=examples("pantree status", "pantree status --address 10.0.0.5:50051 --json"))
def status(
    address: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT|URL",
            envvar="PANTREE_PIPELINE_ADDRESS",
            help="Address of the pipeline, or URL of a gateway; by default PANTREE_PIPELINE_PORT on this machine.",
        ),
    ] = "",
    api_key: ApiKey = "",
    token: Token = "",
    certificates: Certificates = None,
    as_json: AsJson = False,
) -> None:
    """Show the state of each part of a running mesh.

    The exit code is 3 if the mesh cannot answer requests.
    """
    access = Access(certificates, api_key, token)
    run_event_loop(lambda: _status(address or default_address("pipeline"), as_json, access))


_PART_NAMES = tuple(part.name for part in ALL_PARTS)


def _part_name(text: str) -> str:
    # Not a choice: the help would list the parts twice, on one long line.
    if text not in _PART_NAMES:
        raise typer.BadParameter(f"{text!r} is not a part; use one of {', '.join(_PART_NAMES)}")
    return text


@app.command(epilog=examples("PANTREE_FREQUENCY_PORT=6000 pantree serve frequency"))
def serve(
    part: Annotated[
        str,
        typer.Argument(
            metavar="PART",
            parser=_part_name,
            autocompletion=lambda: list(_PART_NAMES),
            help=f"One of {', '.join(_PART_NAMES)}.",
        ),
    ],
) -> None:
    """Run one part in this process until SIGTERM or Ctrl-C."""
    sys.argv = [f"pantree_{part}"]
    runpy.run_module(f"pantree_{part}", run_name="__main__", alter_sys=True)


@app.command()
def version() -> None:
    """Print the version."""
    print(version_of("pantree"))


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        version()
        raise typer.Exit


@app.callback()
def main(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Recommends grocery subscriptions: which items, how often, and how likely they fit."""


app.command(epilog=SIMULATE_EXAMPLES)(simulate)
app.command(epilog=EXPORT_EXAMPLES)(export)
app.command("import", epilog=IMPORT_EXAMPLES)(import_files)
app.add_typer(customer_app, name="customer")
app.add_typer(subscriptions_app, name="subscriptions")
app.add_typer(policy_app, name="policy")
app.command(epilog=FIT_EXAMPLES)(fit)
app.command(epilog=EVALUATE_EXAMPLES)(evaluate)
app.add_typer(sagemaker_app, name="sagemaker")
app.add_typer(batch_app, name="batch")


async def _up(
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


def _print_serving(part: str, state: str) -> None:
    if state == "serving":
        _print_state(part, state)


def _print_state(part: str, state: str) -> None:
    _print_error(f"{part:<15} {state}")


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


def _try_link(request: ProcessInput) -> str:
    """Route of the console that answers a first purchase."""
    basket = "~".join(f"{item.name}*{item.price:g}*{item.quantity or 1}" for item in request.items)
    query = {
        "b": basket,
        "a": request.archetype,
        "m": str(request.simulation_months),
        "s": str(request.seed),
        "d": request.as_of,
    }
    return f"/try?{urlencode(query)}"


def _open_browser(url: str) -> None:
    """Opens a page if there is a screen; a browser in this terminal would hide the output."""
    has_screen = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    if not (has_screen and webbrowser.open(url)):
        console.print(f"Open this page in a browser: {url}", soft_wrap=True)


@contextlib.asynccontextmanager
async def _pipeline_address(address: str | None, in_process: bool, quiet: bool) -> AsyncIterator[str]:
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


async def _process(
    requests: Sequence[ProcessInput],
    address: str | None,
    in_process: bool,
    output: Format,
    access: Access | None = None,
    rename: Callable[[InvalidInput, int], InvalidInput] = lambda error, _: error,
) -> None:
    """Prints the answer to each request, in their order.

    Args:
        requests: at least one.
        address: see `_pipeline_address`.
        in_process: likewise.
        output: format of the answers.
        access: certificates and credentials for a given address.
        rename: error of the request at a position, with the names of its origin.
    """
    quiet = output is not Format.TEXT
    results: list[Result] = []
    # Before a mesh in this process sets the ports of its own.
    local_address = default_address("pipeline")
    async with _pipeline_address(address, in_process, quiet) as pipeline_address:
        is_running = bool(address) or pipeline_address == local_address
        if not is_running and any(request.include_suggestions for request in requests):
            text = "suggestions need stored customers, which a mesh of its own lacks; run pantree up first"
            _print_error(f"warning: {text}")
        # A mesh that the command started has no TLS.
        async with _client(pipeline_address, access if address else None) as client:
            for position, request in enumerate(requests):
                months: list[MonthlyUpdate] = []
                started_at = time.perf_counter()
                try:
                    result = await _follow(client, request, quiet, months)
                except InvalidInput as error:
                    raise rename(error, position) from None
                seconds = time.perf_counter() - started_at
                if output is Format.TEXT:
                    if len(requests) > 1:
                        console.print()
                        console.print(view.shown_name(f"Household {result.customer_id}"), style="bold")
                    view.print_result(console, result)
                    if months and result.has_prices:
                        console.print(view.spend_line(months), highlight=False)
                    ending = "" if is_running else " from all services SERVING to the result"
                    console.print(f"{seconds:.2f} s{ending}.")
                elif output is Format.JSON:
                    document = json_format.MessageToDict(
                        result.message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
                    )
                    # The maps of a message have no order of their own.
                    print(json.dumps(_ordered(document), ensure_ascii=False), flush=True)
                else:
                    results.append(result)
    if output is Format.CSV:
        view.write_csv(sys.stdout, results)
        for result in results:
            for warning in result.warnings:  # the CSV has no column for them
                _print_error(f"warning: {warning.component}: {warning.message}")


async def _next_basket(request: BasketRequest, address: str, access: Access, as_json: bool) -> None:
    async with (
        _pipeline_address(address, True, as_json) as pipeline_address,
        _client(pipeline_address, access if address else None) as client,
    ):
        basket = await client.next_basket(request)
    if as_json:
        document = json_format.MessageToDict(
            basket.message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        print(json.dumps(document, ensure_ascii=False))
        return
    console.print(view.basket_table(basket.items))
    console.print(f"Next basket of {request.customer_id} on {basket.as_of}.", highlight=False)


async def _what_if(request: WhatIfRequest, address: str, access: Access, as_json: bool) -> None:
    async with (
        _pipeline_address(address, True, as_json) as pipeline_address,
        _client(pipeline_address, access if address else None) as client,
    ):
        replay = await client.what_if(request)
    if as_json:
        document = json_format.MessageToDict(
            replay.message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        print(json.dumps(document, ensure_ascii=False))
        return
    view.print_what_if(console, replay)


def _ordered(value: Any, name: str = "") -> Any:
    """A JSON value whose maps are ordered by key, so that equal answers are equal texts."""
    if isinstance(value, dict):
        items = sorted(value.items()) if name == "values" else value.items()
        return {key: _ordered(one, key) for key, one in items}
    return [_ordered(one) for one in value] if isinstance(value, list) else value


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


def _client(address: str, access: Access | None, timeout_seconds: float = 60.0) -> PantreeClient:
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


async def _status(address: str, as_json: bool, access: Access) -> None:
    async with _client(address, access, timeout_seconds=5) as client:
        state = await client.status()
    if as_json:
        components = [vars(component) for component in state.components]
        print(json.dumps({"state": state.state, "version": state.version, "components": components}))
    else:
        console.print(view.status_table(state.components))
        console.print(f"The mesh is {state.state}.")
    if state.state == "unavailable":
        raise ComponentUnavailable("mesh", "a required part is unavailable")
