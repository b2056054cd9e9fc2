"""`pantree import` and `pantree customer`: stored purchases of customers."""

import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from google.protobuf import json_format
from google.protobuf.message import Message

from pantree.history.v1 import history_service_pb2 as messages
from pantree.history.v1 import history_service_pb2_grpc as rpc
from pantree.pipeline.v1 import pipeline_service_pb2 as pipeline
from pantree.pipeline.v1 import pipeline_service_pb2_grpc as pipeline_rpc
from pantree_cli import inputs
from pantree_cli.help import examples
from pantree_cli.mesh import client_identity, default_address
from pantree_cli.options import Certificates
from pantree_cli.output import console, errors
from pantree_domain.days import day_number
from pantree_reader import ReadOptions, read_file
from pantree_runtime.channel import open_channel
from pantree_runtime.server import run as run_event_loop
from pantree_runtime.status import translate_rpc_errors
from pantree_runtime.tenants import check_tenant, tenant_metadata

# Rows of a batch: far below the limit of a message of 4 MiB.
_BATCH_ROWS = 5_000
_MAX_SECONDS = 3600.0

IMPORT_EXAMPLES = examples(
    "pantree import purchases.csv",
    "pantree import 2025.csv 2026.csv --dry-run",
    "pantree import export.xlsx --map household='Loyalty Card' --tenant north",
)

Tenant = Annotated[str, typer.Option(metavar="ID", help="Retailer of the purchases; by default the only one.")]
HistoryAddress = Annotated[
    str,
    typer.Option(
        metavar="HOST:PORT",
        envvar="PANTREE_HISTORY_ADDRESS",
        help="Address of the history part; by default its port on this machine, where pantree up starts it.",
    ),
]
PipelineAddress = Annotated[
    str,
    typer.Option(
        metavar="HOST:PORT",
        envvar="PANTREE_PIPELINE_ADDRESS",
        help="Address of the pipeline; by default its port on this machine.",
    ),
]
CustomerId = Annotated[str, typer.Argument(metavar="ID", help="The customer.")]

customer_app = typer.Typer(
    help="Show, export, merge and erase what is stored of customers.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=examples("pantree customer show 4711", "pantree customer erase 4711"),
)


class Row(NamedTuple):
    """A row of an import."""

    customer: str
    order_id: str
    line_id: str
    item: tuple[str, str, str, str]
    """Name, category, id and variant."""
    day: int
    quantity: int
    price: float | None
    saving: float


def import_files(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help="CSV and its variants, XLSX, Parquet or JSON lines, as for process."),
    ],
    customer_id: Annotated[
        str, typer.Option(metavar="ID", help="Customer of files without a column of customers; by default their name.")
    ] = "",
    columns: Annotated[
        list[str] | None, typer.Option("--map", metavar="ROLE=COLUMN", help="Column of a role, as for process.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the files and store nothing.")] = False,
    tenant: Tenant = "",
    address: HistoryAddress = "",
    certificates: Certificates = None,
) -> None:
    """Store the purchases of files.

    Files without receipt numbers get some from the customer, the day and the content of each line, so a file that is
    imported again, or overlaps another one, stores no line twice. An interrupted import is simply repeated.
    """
    rows: list[Row] = []
    currency_codes = set()
    for path in files:
        file = read_file(path, ReadOptions(columns=inputs.columns_of(columns or ()), today=datetime.now().date()))
        for note in file.notes:
            errors.print(f"{path}: {note}.", soft_wrap=True, highlight=False)
        currency_codes.add(file.currency_code)
        for one in file.households:
            rows += _rows_of(one.household or customer_id or path.stem, one.purchases)
    if len(currency_codes) > 1:
        raise typer.BadParameter("the files have several currencies; import them one by one")
    check_tenant(tenant)
    requests = list(_requests(rows, currency_codes.pop(), dry_run))
    rejected = _run(_import(requests, len(rows), tenant, address or default_address("history"), certificates, dry_run))
    if rejected:
        raise typer.Exit(1)


def _rows_of(customer: str, lines: Sequence[Any]) -> Iterator[Row]:
    repeated: Counter[tuple[object, ...]] = Counter()
    for line in lines:
        content = (line.day, line.name, line.item_id, line.variant, line.quantity, line.price, line.saving)
        repeated[content] += 1
        order = hashlib.sha256(f"{customer}\0{line.day}".encode()).hexdigest()[:24]
        number = hashlib.sha256(repr((*content, repeated[content])).encode()).hexdigest()[:24]
        yield Row(
            customer,
            f"file-{line.day}-{order}",
            number,
            (line.name, line.category, line.item_id, line.variant),
            day_number(line.day),
            line.quantity,
            line.price,
            line.saving,
        )


def _requests(rows: Sequence[Row], currency_code: str, dry_run: bool) -> Iterator[messages.ImportPurchasesRequest]:
    for first in range(0, len(rows), _BATCH_ROWS):
        batch = rows[first : first + _BATCH_ROWS]
        customers = {one: at for at, one in enumerate(dict.fromkeys(row.customer for row in batch))}
        items = {one: at for at, one in enumerate(dict.fromkeys(row.item for row in batch))}
        names, categories, item_ids, variants = zip(*items, strict=True)
        has_prices = any(row.price is not None for row in batch)
        yield messages.ImportPurchasesRequest(
            dry_run=dry_run,
            first_row=first,
            customer_ids=list(customers),
            customer_indices=[customers[row.customer] for row in batch],
            item_names=names,
            item_categories=categories,
            item_ids=item_ids,
            item_variants=variants,
            item_indices=[items[row.item] for row in batch],
            order_ids=[row.order_id for row in batch],
            line_ids=[row.line_id for row in batch],
            days=[row.day for row in batch],
            quantities=[row.quantity for row in batch],
            prices=[row.price or 0.0 for row in batch] if has_prices else [],
            savings=[row.saving for row in batch] if has_prices else [],
            currency_code=currency_code,
        )


async def _import(
    requests: Sequence[messages.ImportPurchasesRequest],
    count: int,
    tenant: str,
    address: str,
    certificates: Path | None,
    dry_run: bool,
) -> int:
    """Number of rejected rows."""
    added = duplicates = rejected = 0

    async def send() -> AsyncIterator[messages.ImportPurchasesRequest]:
        for request in requests:
            yield request

    async with open_channel(
        address, timeout_seconds=_MAX_SECONDS, part="history", identity=client_identity(certificates)
    ) as channel:
        stub = rpc.HistoryServiceStub(channel)
        with translate_rpc_errors("history"), errors.status("storing") as status:
            async for response in stub.ImportPurchases(send(), metadata=tenant_metadata(tenant)):
                added += response.added_count
                duplicates += response.duplicate_count
                rejected += response.rejected_count
                status.update(f"storing: {response.next_row:,} of {count:,} lines")
                for row in response.rejected:
                    errors.print(f"rejected: line {row.row + 1:,}: {row.message}", soft_wrap=True, highlight=False)
    verb = "would be stored" if dry_run else "stored"
    console.print(
        f"{count:,} lines: {added:,} {verb}, {duplicates:,} already stored, {rejected:,} rejected.", highlight=False
    )
    return rejected


@customer_app.command("show", epilog=examples("pantree customer show 4711"))
def show(
    customer_id: CustomerId, tenant: Tenant = "", address: HistoryAddress = "", certificates: Certificates = None
) -> None:
    """Print the stored purchases of a customer as JSON lines."""

    async def print_all() -> None:
        async with _history(address, certificates) as channel:
            stub = rpc.HistoryServiceStub(channel)
            request = messages.ListPurchasesRequest(customer_id=customer_id, page_size=1000)
            while True:
                with translate_rpc_errors("history"):
                    page = await stub.ListPurchases(request, metadata=tenant_metadata(tenant))
                for line in page.purchases:
                    _print_json(line)
                if not page.next_page_token:
                    return
                request.page_token = page.next_page_token

    _run(print_all())


@customer_app.command("export", epilog=examples("pantree customer export 4711 > 4711.jsonl"))
def export_customer(
    customer_id: CustomerId, tenant: Tenant = "", address: HistoryAddress = "", certificates: Certificates = None
) -> None:
    """Print all that is stored about a customer, as JSON lines."""

    async def print_all() -> None:
        async with _history(address, certificates) as channel:
            request = messages.ExportCustomerRequest(customer_id=customer_id)
            with translate_rpc_errors("history"):
                async for piece in rpc.HistoryServiceStub(channel).ExportCustomer(
                    request, metadata=tenant_metadata(tenant)
                ):
                    _print_json(piece)

    _run(print_all())


@customer_app.command("merge", epilog=examples("pantree customer merge 4711 4712 --actor support:anna"))
def merge(
    customer_id: Annotated[str, typer.Argument(metavar="ID", help="The customer that remains.")],
    merged_customer_id: Annotated[str, typer.Argument(metavar="OTHER-ID", help="The id that becomes a name of it.")],
    actor: Annotated[str, typer.Option(metavar="WHO", help="Who merges them; it is kept with the merge.")] = "",
    tenant: Tenant = "",
    address: HistoryAddress = "",
    certificates: Certificates = None,
) -> None:
    """Join two ids of one household; this cannot be undone."""

    async def merge_both() -> None:
        request = messages.MergeCustomersRequest(
            customer_id=customer_id, merged_customer_id=merged_customer_id, actor=actor
        )
        async with _history(address, certificates) as channel:
            with translate_rpc_errors("history"):
                stub = rpc.HistoryServiceStub(channel)
                _print_json(await stub.MergeCustomers(request, metadata=tenant_metadata(tenant)))

    _run(merge_both())


@customer_app.command("apply-retention", epilog=examples("pantree customer apply-retention --dry-run"))
def apply_retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count them and remove nothing.")] = False,
    tenant: Tenant = "",
    address: HistoryAddress = "",
    certificates: Certificates = None,
) -> None:
    """Remove purchases past their retention; print the receipt.

    The history part does so by itself once a day.
    """

    async def apply() -> None:
        async with _history(address, certificates) as channel:
            with translate_rpc_errors("history"):
                request = messages.ApplyRetentionRequest(dry_run=dry_run)
                stub = rpc.HistoryServiceStub(channel)
                _print_json(await stub.ApplyRetention(request, metadata=tenant_metadata(tenant)))

    _run(apply())


@customer_app.command("erase", epilog=examples("pantree customer erase 4711"))
def erase(
    customer_id: CustomerId, tenant: Tenant = "", address: PipelineAddress = "", certificates: Certificates = None
) -> None:
    """Erase a customer in all parts; print the receipt."""

    async def erase_all() -> None:
        place = address or default_address("pipeline")
        async with open_channel(
            place, timeout_seconds=_MAX_SECONDS, part="pipeline", identity=client_identity(certificates)
        ) as channel:
            request = pipeline.EraseCustomerRequest(customer_id=customer_id)
            with translate_rpc_errors("pipeline"):
                _print_json(
                    await pipeline_rpc.PipelineServiceStub(channel).EraseCustomer(
                        request, metadata=tenant_metadata(tenant)
                    )
                )

    _run(erase_all())


def _history(address: str, certificates: Path | None) -> Any:
    return open_channel(
        address or default_address("history"),
        timeout_seconds=_MAX_SECONDS,
        part="history",
        identity=client_identity(certificates),
    )


def _print_json(message: Message) -> None:
    print(json.dumps(json_format.MessageToDict(message, preserving_proto_field_name=True), ensure_ascii=False))


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    result: list[Any] = []

    async def run() -> None:
        result.append(await work)

    run_event_loop(run)
    return result[0]
