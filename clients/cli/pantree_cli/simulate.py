"""`pantree simulate`: writes the purchases of a simulated population to a Parquet file."""

import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import grpc
import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pantree.simulation.v1 import simulation_service_pb2 as messages
from pantree.simulation.v1 import simulation_service_pb2_grpc as rpc
from pantree_cli.help import examples
from pantree_runtime.channel import open_channel
from pantree_runtime.server import CLOSING_SECONDS, run, running
from pantree_runtime.status import is_lost_connection, translate_rpc_errors

if TYPE_CHECKING:
    from pyarrow import RecordBatch, Schema

EXAMPLES = examples(
    "pantree simulate purchases.parquet --households 100000 --months 12",
    "pantree simulate students.parquet --archetype single_professional=0.8 \\\n    --archetype budget_conscious=0.2",
)
# A population of millions takes minutes.
_MAX_SECONDS = 24 * 3600.0


def simulate(
    file: Annotated[Path, typer.Argument(metavar="FILE.parquet", help="File to write.")],
    households: Annotated[int, typer.Option(metavar="N", min=1, help="Number of households.")] = 1000,
    first_household: Annotated[int, typer.Option(metavar="N", min=0, help="Number of the first household.")] = 0,
    months: Annotated[int, typer.Option(metavar="N", min=1, max=60, help="Number of months.")] = 6,
    start_date: Annotated[
        datetime | None,
        typer.Option(
            metavar="YYYY-MM-DD", formats=["%Y-%m-%d"], help="First day; by default, the simulation ends today."
        ),
    ] = None,
    archetype: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID[=SHARE]", help="Archetype and its share; repeatable. By default all, in equal shares."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, max=2**32 - 1, help="Random seed.")] = 0,
    address: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            envvar="PANTREE_SIMULATION_ADDRESS",
            help="Address of a running simulation. Without it, the command starts its own.",
        ),
    ] = "",
) -> None:
    """Simulate the purchases of a population into a file.

    The file is Parquet. Memory use does not depend on the number of households.
    """
    try:
        import pyarrow  # noqa: F401 # a large package with its own extra, needed only here
    except ModuleNotFoundError:
        raise typer.BadParameter("writing Parquet needs pyarrow: pip install 'pantree[parquet]'") from None
    from pantree_domain.months import add_months

    start = start_date.date() if start_date else add_months(datetime.now().date(), -months)
    request = messages.SimulatePopulationRequest(
        first_household=first_household,
        household_count=households,
        archetypes=[_share(text) for text in archetype or ()],
        simulation_months=months,
        start_date=start.isoformat(),
        seed=seed,
    )
    run(lambda: _write(request, file, address))


def _share(text: str) -> messages.ArchetypeShare:
    name, _, share = text.partition("=")
    try:
        return messages.ArchetypeShare(archetype=name, share_ratio=float(share or 1))
    except ValueError:
        raise typer.BadParameter(f"{text!r} must be an archetype with a share, such as busy_family=0.3") from None


async def _write(request: messages.SimulatePopulationRequest, file: Path, address: str) -> None:
    """Writes to a temporary file and renames it at the end, so that the file is always complete."""
    from pyarrow import parquet

    console = Console()
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("households, {task.fields[lines]:,} purchases"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    unfinished = file.with_name(f".{file.name}.unfinished")
    started, lines = time.perf_counter(), 0
    try:
        async with (
            _service_address(address) as service,
            open_channel(service, timeout_seconds=_MAX_SECONDS) as channel,
        ):
            started = time.perf_counter()
            with (
                _name_file_in_errors(file),
                parquet.ParquetWriter(unfinished, _schema(), compression="zstd") as writer,
                progress,
                translate_rpc_errors("simulation"),
            ):
                task = progress.add_task("simulating", total=request.household_count, lines=0)
                async for batch in population_batches(rpc.SimulationServiceStub(channel), request):
                    writer.write_batch(_record_batch(batch))
                    lines += len(batch.days)
                    done = batch.first_household + len(batch.line_counts) - request.first_household
                    progress.update(task, completed=done, lines=lines)
        with _name_file_in_errors(file):
            unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
    seconds = time.perf_counter() - started
    console.print(
        f"{lines:,} purchases of {request.household_count:,} households in {file}, {lines / seconds:,.0f} a second."
    )


async def population_batches(
    stub: "rpc.SimulationServiceAsyncStub", request: messages.SimulatePopulationRequest
) -> AsyncIterator[messages.SimulatePopulationResponse]:
    """Yields the batches of a population. After a lost connection, it requests the remaining households.

    A large population takes so long that a rollout may interrupt it. The purchases of a household do not depend on the
    other households in the request.
    """
    left = messages.SimulatePopulationRequest()
    left.CopyFrom(request)
    end = request.first_household + request.household_count
    while left.household_count:
        is_whole = False
        try:
            async for batch in stub.SimulatePopulation(left):
                yield batch
                # The lines of a single household may continue in the next message.
                is_whole = len(batch.line_counts) > 1
                left.first_household = batch.first_household + len(batch.line_counts)
                left.household_count = end - left.first_household
            return
        except grpc.aio.AioRpcError as error:
            if not is_lost_connection(error) or not is_whole:
                raise


@contextlib.contextmanager
def _name_file_in_errors(file: Path) -> Iterator[None]:
    """Adds the name of the file to errors. The error for a full disk lacks it."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{file} cannot be written: {error}") from error


@contextlib.asynccontextmanager
async def _service_address(address: str) -> AsyncIterator[str]:
    """The given address, or that of a simulation started in this process."""
    if address:
        yield address
        return
    from pantree_runtime.logging import configure_logging
    from pantree_runtime.settings import load_settings
    from pantree_simulation.__main__ import build
    from pantree_simulation.settings import SimulationSettings

    os.environ.setdefault("PANTREE_LOG_LEVEL", "WARNING")  # the progress bar is enough
    settings = load_settings(SimulationSettings)
    configure_logging("simulation", settings)
    async with running(await build(settings), grace_seconds=CLOSING_SECONDS) as part:
        yield part.address


def _schema() -> "Schema":
    import pyarrow as pa

    text = pa.dictionary(pa.int32(), pa.string())
    return pa.schema(
        {
            "household": pa.int64(),
            "archetype": text,
            "date": pa.date32(),
            "item": text,
            "category": text,
            "quantity": pa.int32(),
            "price": pa.float64(),
            "saving": pa.float64(),
        }
    )


def _record_batch(batch: messages.SimulatePopulationResponse) -> "RecordBatch":
    """Converts a batch to Arrow columns, without a loop over the lines."""
    import pyarrow as pa

    counts = np.array(batch.line_counts, dtype=np.int64)
    households = np.repeat(np.arange(len(counts)) + batch.first_household, counts)
    archetypes = np.repeat(np.array(batch.archetype_indices, dtype=np.int32), counts)
    items = np.array(batch.item_indices, dtype=np.int32)
    categories = list(dict.fromkeys(batch.item_categories))
    category_of_item = np.array([categories.index(category) for category in batch.item_categories], dtype=np.int32)
    return pa.record_batch(
        [
            pa.array(households),
            pa.DictionaryArray.from_arrays(pa.array(archetypes), list(batch.archetype_ids)),
            pa.array(np.array(batch.days, dtype=np.int32)).cast(pa.date32()),
            pa.DictionaryArray.from_arrays(pa.array(items), list(batch.item_names)),
            pa.DictionaryArray.from_arrays(pa.array(category_of_item[items]), categories),
            pa.array(np.array(batch.quantities, dtype=np.int32)),
            pa.array(np.array(batch.prices)),
            pa.array(np.array(batch.savings)),
        ],
        schema=_schema(),
    )
