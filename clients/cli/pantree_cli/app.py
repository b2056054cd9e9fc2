"""The commands of the command line.

Exit codes: 0 success · 1 error · 2 invalid input or usage · 3 a part is unavailable · 4 deadline exceeded · 130 Ctrl-C.
"""

import io
import json
import runpy
import sys
from importlib.metadata import version as version_of
from typing import Annotated
from urllib.parse import urlencode

import typer

from pantree.pipeline.v1.pipeline_service_pb2 import ProcessInput
from pantree_cli import inputs, view
from pantree_cli.answers import (
    NEXT_BASKET_EXAMPLES,
    PROCESS_EXAMPLES,
    WHAT_IF_EXAMPLES,
    Format,
    answer,
    next_basket,
    process,
    what_if,
)
from pantree_cli.batch import batch_app
from pantree_cli.customer import IMPORT_EXAMPLES, customer_app, import_files
from pantree_cli.export import EXAMPLES as EXPORT_EXAMPLES
from pantree_cli.export import export
from pantree_cli.fitting import EVALUATE_EXAMPLES, FIT_EXAMPLES, evaluate, fit
from pantree_cli.help import examples
from pantree_cli.mesh import ALL_PARTS, PARTS, default_address
from pantree_cli.options import Access, ApiKey, AsCsv, AsJson, Certificates, InProcess, Token
from pantree_cli.output import console, print_error
from pantree_cli.policy import policy_app
from pantree_cli.running import client_of, run_mesh
from pantree_cli.sagemaker import sagemaker_app
from pantree_cli.simulate import EXAMPLES as SIMULATE_EXAMPLES
from pantree_cli.simulate import simulate
from pantree_cli.subscriptions import subscriptions_app
from pantree_cli.webhooks import webhooks_app
from pantree_client import ComponentUnavailable, DeadlineExceeded, InvalidInput, PantreeError, TooLarge
from pantree_runtime.server import run as run_event_loop

app = typer.Typer(
    help="Recommends grocery subscriptions: which items, how often, and how likely they fit.",
    no_args_is_help=True,
    # Plain help: rich frames leave little room in eighty columns and break the examples.
    rich_markup_mode=None,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

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
            print_error(f"error: {violation.field}: {violation.description}".replace("error: : ", "error: "))
        raise SystemExit(2) from None
    except PantreeError as error:
        print_error(f"error: {error.message}")
        codes = {TooLarge: 2, ComponentUnavailable: 3, DeadlineExceeded: 4}
        raise SystemExit(next((code for kind, code in codes.items() if isinstance(error, kind)), 1)) from None
    except OSError as error:
        print_error(f"error: {error}")
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


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
    run_event_loop(lambda: run_mesh(in_process, certificates, PARTS if without_history else ALL_PARTS))


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
        run_event_loop(lambda: run_mesh(in_process, None, PARTS, own_ports=True, route=_try_link(request)))
        return
    # Without cadence changes, which take most of the time of an interpreted answer, the first start is quick.
    run_event_loop(lambda: answer([request], None, in_process, output))


app.command(epilog=PROCESS_EXAMPLES)(process)
app.command("next-basket", epilog=NEXT_BASKET_EXAMPLES)(next_basket)
app.command("what-if", epilog=WHAT_IF_EXAMPLES)(what_if)


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
app.add_typer(webhooks_app, name="webhooks")
app.add_typer(policy_app, name="policy")
app.command(epilog=FIT_EXAMPLES)(fit)
app.command(epilog=EVALUATE_EXAMPLES)(evaluate)
app.add_typer(sagemaker_app, name="sagemaker")
app.add_typer(batch_app, name="batch")


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


async def _status(address: str, as_json: bool, access: Access) -> None:
    async with client_of(address, access, timeout_seconds=5) as client:
        state = await client.status()
    if as_json:
        components = [vars(component) for component in state.components]
        print(json.dumps({"state": state.state, "version": state.version, "components": components}))
    else:
        console.print(view.status_table(state.components))
        console.print(f"The mesh is {state.state}.")
    if state.state == "unavailable":
        raise ComponentUnavailable("mesh", "a required part is unavailable")
