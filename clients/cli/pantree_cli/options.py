"""Options and arguments that several commands have."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

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

HistoryFile = Annotated[
    Path,
    typer.Argument(
        metavar="PURCHASES",
        help="Real history: CSV and its variants, XLSX, Parquet or JSON lines, with at least a date and an item.",
    ),
]
HouseholdOfFile = Annotated[str, typer.Option(metavar="ID", help="Household of the file, if it has several.")]
Budget = Annotated[
    float | None, typer.Option(metavar="AMOUNT", help="Most that the deliveries of any 28 days may cost.")
]
Boxes = Annotated[int | None, typer.Option(metavar="NUMBER", help="Most deliveries in any 28 days.")]
Weekdays = Annotated[
    list[int] | None,
    typer.Option("--weekday", metavar="1-7", help="Day of delivery, 1 for Monday; repeatable. By default any."),
]
Excluded = Annotated[list[str] | None, typer.Option("--exclude", metavar="ITEM", help="Item to leave out; repeatable.")]


@dataclass(frozen=True)
class Access:
    """What proves to a mesh or a gateway who calls."""

    certificates: Path | None = None
    api_key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
