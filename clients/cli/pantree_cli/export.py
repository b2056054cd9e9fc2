"""`pantree export`: answers in the shapes of subscription systems."""

import enum
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf import json_format

from pantree.pipeline.v1.pipeline_service_pb2 import ProcessResult
from pantree_cli import inputs
from pantree_cli.help import examples
from pantree_cli.output import print_error
from pantree_client import FieldViolation, InvalidInput, Result
from pantree_client.exports import (
    not_of_shopify,
    ordergroove_subscriptions,
    recharge_subscriptions,
    shopify_selling_plans,
)
from pantree_client.results import to_result

EXAMPLES = examples(
    "pantree export answers.json --format shopify > selling-plans.json",
    "pantree process --history purchases.csv --json \\\n    | pantree export - --format recharge",
)


class ExportFormat(enum.Enum):
    """A subscription system."""

    SHOPIFY = "shopify"
    RECHARGE = "recharge"
    ORDERGROOVE = "ordergroove"


_EXPORTS = {
    ExportFormat.SHOPIFY: shopify_selling_plans,
    ExportFormat.RECHARGE: recharge_subscriptions,
    ExportFormat.ORDERGROOVE: ordergroove_subscriptions,
}


def export(
    answers: Annotated[
        str, typer.Argument(metavar="ANSWERS.json", help="Output of process --json; - reads standard input.")
    ],
    format_: Annotated[
        ExportFormat, typer.Option("--format", metavar="SYSTEM", help="shopify, recharge or ordergroove.")
    ],
) -> None:
    """Print answers in the shape of a subscription system.

    One JSON list for each household.

    shopify: variables of sellingPlanGroupCreate. recharge: bodies of POST /subscriptions, without the address.
    ordergroove: fields of subscriptions, without payment and address. Items are identified by item_id, and by variant
    where that is an id, too. Whole weeks are given in weeks, other intervals in days.
    """
    text = inputs.read_text(None if answers == "-" else Path(answers))
    for result in _results(text):
        json.dump(_EXPORTS[format_](result), sys.stdout, ensure_ascii=False)
        print()
        for item in not_of_shopify(result) if format_ is ExportFormat.SHOPIFY else ():
            print_error(f"warning: {item.name}: no plan names it, because its item_id {item.item_id!r} is not of Shopify")


def _results(text: str) -> Iterator[Result]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                message = json_format.ParseDict(json.loads(line), ProcessResult(), ignore_unknown_fields=True)
                yield to_result(message)
            except (ValueError, json_format.ParseError):
                description = "must be an answer of pantree process --json, one on each line"
                raise InvalidInput([FieldViolation(f"line {number}", description)]) from None
