"""`pantree process`, `pantree next-basket` and `pantree what-if`: answers of the pipeline."""

import contextlib
import enum
import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf import json_format
from google.protobuf.message import Message

from pantree.pipeline.v1.pipeline_service_pb2 import ProcessInput
from pantree_cli import inputs, view
from pantree_cli.help import examples
from pantree_cli.mesh import default_address
from pantree_cli.options import (
    Access,
    Address,
    ApiKey,
    AsCsv,
    AsJson,
    Boxes,
    Budget,
    Certificates,
    Excluded,
    HistoryFile,
    HouseholdOfFile,
    InProcess,
    Token,
    Weekdays,
)
from pantree_cli.output import console, print_error
from pantree_cli.running import client_of, pipeline_address
from pantree_client import (
    BasketRequest,
    ComponentUnavailable,
    History,
    InvalidInput,
    MonthlyUpdate,
    PantreeClient,
    PlanConstraints,
    Result,
    WhatIfRequest,
)
from pantree_reader import PurchaseFile, ReadOptions, read_file
from pantree_reader.layouts import ROLES
from pantree_runtime.server import run as run_event_loop

PROCESS_EXAMPLES = examples(
    "pantree process request.json",
    "pantree process --history purchases.csv --json",
    "pantree process --history orders.xlsx --map date='Order Date' \\\n    --date-format %d/%m/%Y",
    "pantree process request.json --address 127.0.0.1:50051 --csv > answer.csv",
)
NEXT_BASKET_EXAMPLES = examples(
    "pantree next-basket purchases.csv",
    "pantree next-basket purchases.csv --mode explore --as-of 2026-12-01",
    "pantree next-basket purchases.csv --address 127.0.0.1:50051 --json",
)
WHAT_IF_EXAMPLES = examples(
    "pantree what-if purchases.csv --weeks 12",
    "pantree what-if purchases.csv --weeks 8 --budget 80 --weekday 5",
    "pantree what-if purchases.csv --as-of 2026-09-01 --json",
)


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


class Duplicates(enum.Enum):
    """What to do with equal lines of a file."""

    AUTO = "auto"
    KEEP = "keep"
    DROP = "drop"


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
    budget: Budget = None,
    boxes: Boxes = None,
    weekdays: Weekdays = None,
    excluded: Excluded = None,
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
        print_error(f"Read as {file.format}.")
        for note in file.notes:
            print_error(f"{note}.")
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
    run_event_loop(lambda: answer(requests, address, in_process, output, access, renamed))


def next_basket(
    history: HistoryFile,
    household: HouseholdOfFile = "",
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
    one = _only_household(file, household)
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


def what_if(
    history: HistoryFile,
    weeks: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=12, help="Weeks to replay; by default 12.")
    ] = None,
    household: HouseholdOfFile = "",
    as_of: Annotated[
        datetime | None,
        typer.Option(
            metavar="YYYY-MM-DD",
            formats=["%Y-%m-%d"],
            help="Day of the plan; by default the weeks before the latest purchase.",
        ),
    ] = None,
    budget: Budget = None,
    boxes: Boxes = None,
    weekdays: Weekdays = None,
    excluded: Excluded = None,
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
    one = _only_household(file, household)
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


async def answer(
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
        address: see `pipeline_address`.
        in_process: likewise.
        output: format of the answers.
        access: certificates and credentials for a given address.
        rename: error of the request at a position, with the names of its origin.
    """
    quiet = output is not Format.TEXT
    results: list[Result] = []
    # Before a mesh in this process sets the ports of its own.
    local_address = default_address("pipeline")
    async with pipeline_address(address, in_process, quiet) as place:
        is_running = bool(address) or place == local_address
        if not is_running and any(request.include_suggestions for request in requests):
            text = "suggestions need stored customers, which a mesh of its own lacks; run pantree up first"
            print_error(f"warning: {text}")
        # A mesh that the command started has no TLS.
        async with client_of(place, access if address else None) as client:
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
                    _print_json(result.message)
                else:
                    results.append(result)
    if output is Format.CSV:
        view.write_csv(sys.stdout, results)
        for result in results:
            for warning in result.warnings:  # the CSV has no column for them
                print_error(f"warning: {warning.component}: {warning.message}")


def _only_household(file: PurchaseFile, household: str) -> inputs.HouseholdHistory:
    """The named household of a file, or its only one.

    Raises:
        typer.BadParameter: it has several.
    """
    for note in file.notes:
        print_error(f"{note}.")
    households = inputs.households_of(file, household)
    if len(households) > 1:
        raise typer.BadParameter(f"the file has {len(households):,} households; choose one with --household")
    return households[0]


async def _next_basket(request: BasketRequest, address: str, access: Access, as_json: bool) -> None:
    async with (
        pipeline_address(address, False, as_json) as place,
        client_of(place, access if address else None) as client,
    ):
        basket = await client.next_basket(request)
    if as_json:
        _print_json(basket.message)
        return
    console.print(view.basket_table(basket.items))
    console.print(f"Next basket of {request.customer_id} on {basket.as_of}.", highlight=False)


async def _what_if(request: WhatIfRequest, address: str, access: Access, as_json: bool) -> None:
    async with (
        pipeline_address(address, False, as_json) as place,
        client_of(place, access if address else None) as client,
    ):
        replay = await client.what_if(request)
    if as_json:
        _print_json(replay.message)
        return
    view.print_what_if(console, replay)


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


def _print_json(message: Message) -> None:
    document = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    # The maps of a message have no order of their own.
    print(json.dumps(_ordered(document), ensure_ascii=False), flush=True)


def _ordered(value: Any, name: str = "") -> Any:
    """A JSON value whose maps are ordered by key, so that equal answers are equal texts."""
    if isinstance(value, dict):
        items = sorted(value.items()) if name == "values" else value.items()
        return {key: _ordered(one, key) for key, one in items}
    return [_ordered(one) for one in value] if isinstance(value, list) else value
