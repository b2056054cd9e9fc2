"""`POST /api/v1/purchase-files`: reads a file of purchases and returns them as a history for other requests.

The reader is that of the command line, so that a file means the same everywhere.
"""

import itertools
from collections.abc import Mapping, Sequence
from datetime import date
from enum import Enum
from typing import Any, Literal

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect

from pantree_domain.days import day_number
from pantree_gateway.transcoding.binding import read_bytes
from pantree_gateway.transcoding.caller import caller_of
from pantree_gateway.transcoding.context import RouteContext
from pantree_gateway.transcoding.openapi import problem_responses
from pantree_gateway.transcoding.problem import ProblemError, problem_of_error
from pantree_reader import FileFormat, HouseholdPurchases, PurchaseFile, ReadOptions, format_of, read_purchases
from pantree_runtime.errors import FieldViolation, InvalidInput, PantreeError

FILES_TAG = {"name": "Files", "description": "Files of purchases."}
_COMPONENT = "pipeline"
# Lines of a remark that are listed; the others are counted.
_MAX_LINES = 1000
_MAX_HOUSEHOLDS = 1000
_MAX_NAME_CHARACTERS = 200
_TEXT: Mapping[str, Any] = {"type": "string"}
_PARAMETERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "column": (
        "Column for a role, such as `date=Order Date`; without a column, ignores the role. Repeatable.",
        {"type": "array", "items": _TEXT},
    ),
    "date_format": ("Format of the dates, such as `%d/%m/%Y`; detected by default.", _TEXT),
    "decimal": ("Decimal separator; detected by default.", _TEXT),
    "currency": ("ISO 4217 code of the amounts, or of the lines to read.", _TEXT),
    "household": ("Household to return; the one with most purchases by default.", _TEXT),
    "leave_out_invalid": (
        "Whether to leave out lines that cannot be read instead of refusing the file.",
        {"type": "boolean", "default": False},
    ),
}
_PROBLEMS = {
    "400": "A parameter is wrong. A file that cannot be read is no error of the request: see `problems`.",
    "413": "The file is too large.",
    "503": "The gateway is overloaded or shutting down.",
    "504": "The request took too long.",
    "default": "Any other problem.",
}


class FileProblem(BaseModel):
    """Why a file cannot be read."""

    field: str = Field(description="Where: a line and a column of the file, or `file`.")
    message: str = Field(description="What is wrong and what to do.")


class FileRemark(BaseModel):
    """What was left out, changed or is in doubt."""

    kind: Literal["left out", "changed", "in doubt"] = Field(description="What happened to the lines.")
    code: str = Field(description="For programs, such as `charge`.")
    text: str = Field(description="For people.")
    lines: list[int] = Field(description="Line numbers, ascending, the first 1,000; empty for the whole file.")
    line_count: int = Field(description="Number of lines.")


class FileHousehold(BaseModel):
    """A household in the file."""

    id: str = Field(description="As in the file; empty if it has no column of households.")
    line_count: int = Field(description="Number of purchases.")


class PurchaseFileReport(BaseModel):
    """A file of purchases, as it was read, or why it cannot be read."""

    problems: list[FileProblem] = Field(description="Why the file cannot be read; empty if it can.")
    problem_count: int = Field(description="Number of problems; more than are listed if there are many.")
    header: list[str] = Field(description="Columns of the file, in their order; empty if it has none.")
    first_rows: list[list[str]] = Field(description="Its first rows, up to three, with shortened cells.")
    columns: dict[str, str] = Field(
        description="Column of the file by role, such as `date` or `item`, as far as found."
    )
    layout: str = Field(description="Name of a known export; empty if columns were found one by one.")
    kind: str = Field(description="Such as `CSV`; empty if the file cannot be read, as all that follows.")
    dates: str = Field(description="How dates were read, for people.")
    decimal: str = Field(description="Decimal separator, `.` or `,`.")
    remarks: list[FileRemark] = Field(description="What was left out, changed or is in doubt.")
    currency_code: str = Field(description="ISO 4217 code; empty if the file has none.")
    has_prices: bool = Field(description="Whether the file has prices.")
    households: list[FileHousehold] = Field(description="Households, the largest first; the first 1,000.")
    household: str = Field(description="The household whose history follows.")
    history_columns: dict[str, Any] = Field(description="Its purchases, as in requests.")


def add_purchase_files(router: APIRouter, context: RouteContext) -> None:
    """Adds the route."""
    tags: list[str | Enum] = [FILES_TAG["name"]]

    @router.post(
        "/api/v1/purchase-files",
        tags=tags,
        operation_id="ReadPurchaseFile",
        summary="Read a file of purchases",
        response_model=PurchaseFileReport,
        responses=dict(problem_responses(_PROBLEMS).items()),
        openapi_extra={
            "parameters": [
                {"name": name, "in": "query", "description": description, "required": False, "schema": schema}
                for name, (description, schema) in _PARAMETERS.items()
            ],
            "requestBody": {
                "required": True,
                "description": "The file: CSV and its variants, XLSX, Parquet or JSON lines.",
                "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            },
        },
    )
    async def read(request: Request) -> Response:
        """Returns the purchases of one household in a file, and what was left out, changed or is in doubt, by line.

        Nothing is stored. `history_columns` goes into requests such as `POST /api/v1/process`.
        """
        try:
            caller_of(request.scope).check_may_call(_COMPONENT)
            body = await read_bytes(request, context.limits)
            options = _options(request.query_params)
            household = request.query_params.get("household", "")
            cost = _PARSER_FACTOR * len(body)
            report = await context.limits.run_parser(cost, _report, bytes(body), options, household)
        except ClientDisconnect:
            raise
        except ProblemError as error:
            return error.problem.response(request.scope["path"])
        except PantreeError as error:
            return problem_of_error(error).response(request.scope["path"])
        return Response(orjson.dumps(report.model_dump()), media_type="application/json")


# Reading a line of a file takes longer than reading a line of JSON.
_PARSER_FACTOR = 8


def _options(query: QueryParams) -> ReadOptions:
    """Options of a request.

    Raises:
        InvalidInput: with the wrong parameters.
    """
    violations = [
        FieldViolation(name, f"is no parameter; use one of {', '.join(_PARAMETERS)}")
        for name in query
        if name not in _PARAMETERS
    ]
    columns = {}
    for text in query.getlist("column"):
        role, separator, columns[role] = text.partition("=")
        if not separator:
            violations.append(FieldViolation("column", "must be ROLE=COLUMN, such as date=Order Date"))
    leave_out_invalid = query.get("leave_out_invalid", "false")
    if leave_out_invalid not in ("true", "false"):
        violations.append(FieldViolation("leave_out_invalid", "must be true or false"))
    if violations:
        raise InvalidInput(violations)
    return ReadOptions(
        columns=columns,
        date_format=query.get("date_format", ""),
        decimal=query.get("decimal", ""),
        currency_code=query.get("currency", ""),
        today=date.today(),
        leave_out_invalid=leave_out_invalid == "true",
    )


def _report(data: bytes, options: ReadOptions, household: str) -> PurchaseFileReport:
    try:
        file = read_purchases(data, options)
        chosen = _household(file, household)
    except InvalidInput as error:
        return _refusal(data, options, error)
    remarks = [
        FileRemark(
            kind=note.kind.value,
            code=note.code,
            text=note.text,
            lines=list(note.lines[:_MAX_LINES]),
            line_count=len(note.lines),
        )
        for note in file.notes
    ]
    return PurchaseFileReport(
        problems=[],
        problem_count=0,
        header=list(file.format.header),
        first_rows=[list(row) for row in file.format.first_rows],
        columns=dict(file.format.columns),
        layout=file.format.layout,
        kind=file.format.kind,
        dates=file.format.dates,
        decimal=file.format.decimal,
        remarks=remarks,
        currency_code=file.currency_code,
        has_prices=file.has_prices,
        households=[
            FileHousehold(id=one.household, line_count=len(one.purchases))
            for one in _largest_first(file)[:_MAX_HOUSEHOLDS]
        ],
        household=chosen.household,
        history_columns=_history_columns(chosen),
    )


def _largest_first(file: PurchaseFile) -> list[HouseholdPurchases]:
    return sorted(file.households, key=lambda one: -len(one.purchases))


def _household(file: PurchaseFile, household: str) -> HouseholdPurchases:
    for one in _largest_first(file):
        if not household or one.household == household:
            return one
    raise InvalidInput([FieldViolation("household", "is not in the file")])


def _refusal(data: bytes, options: ReadOptions, error: InvalidInput) -> PurchaseFileReport:
    try:
        found = format_of(data, options)
    except InvalidInput:
        found = FileFormat(kind="", encoding="", delimiter="", decimal="", dates="", layout="", columns={})
    problems = [FileProblem(field=one.field, message=one.description) for one in error.violations]
    return PurchaseFileReport(
        problems=problems,
        problem_count=len(problems) + error.omitted_count,
        header=list(found.header),
        first_rows=[list(row) for row in found.first_rows],
        columns=dict(found.columns),
        layout="",
        kind="",
        dates="",
        decimal="",
        remarks=[],
        currency_code="",
        has_prices=False,
        households=[],
        household="",
        history_columns={},
    )


def _history_columns(household: HouseholdPurchases) -> dict[str, Any]:
    positions: dict[tuple[str, str, str], int] = {}
    lines = household.purchases
    indices = [positions.setdefault((line.name, line.item_id, line.variant), len(positions)) for line in lines]
    categories = [""] * len(positions)
    for position, line in zip(indices, lines, strict=True):
        categories[position] = categories[position] or line.category
    has_prices = any(line.price is not None for line in lines)
    return {
        "item_names": _distinct_names(list(positions)),
        "item_categories": categories,
        "item_ids": [item_id for _, item_id, _ in positions],
        "item_variants": [variant for *_, variant in positions],
        "item_indices": indices,
        "days": [day_number(line.day) for line in lines],
        "quantities": [line.quantity for line in lines],
        "prices": [line.price or 0.0 for line in lines] if has_prices else [],
        "savings": [line.saving for line in lines] if has_prices else [],
    }


def _distinct_names(items: Sequence[tuple[str, str, str]]) -> list[str]:
    """Names of items by name, id and variant; those of one name get their variant, id or a number added."""
    names: dict[str, None] = {}
    for name, item_id, variant in items:
        candidates = (name, f"{name} {variant}".strip(), f"{name} {variant} {item_id}".strip())
        numbered = (f"{name[: _MAX_NAME_CHARACTERS - 10]} {number}" for number in itertools.count(2))
        usable = (one for one in itertools.chain(candidates, numbered) if len(one) <= _MAX_NAME_CHARACTERS)
        names[next(one for one in usable if one not in names)] = None
    return list(names)
