"""`pantree export`: answers and subscriptions in the shapes of subscription systems."""

import enum
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf import json_format

from pantree.pipeline.v1.pipeline_service_pb2 import ProcessResult
from pantree.subscription.v1.subscription_service_pb2 import CustomerSubscription as SubscriptionMessage
from pantree_cli import inputs
from pantree_cli.help import examples
from pantree_cli.output import print_error
from pantree_client import CustomerSubscription, FieldViolation, InvalidInput, Result
from pantree_client.exports import (
    not_of_shopify,
    ordergroove_subscription,
    ordergroove_subscriptions,
    recharge_subscription,
    recharge_subscriptions,
    shopify_contract,
    shopify_selling_plans,
)
from pantree_client.results import to_result
from pantree_client.subscriptions import to_subscription

EXAMPLES = examples(
    "pantree export answers.json --format shopify > selling-plans.json",
    "pantree export - --format recharge < answers.json",
    "pantree export subscriptions.json --format ordergroove",
)


class ExportFormat(enum.Enum):
    """A subscription system."""

    SHOPIFY = "shopify"
    RECHARGE = "recharge"
    ORDERGROOVE = "ordergroove"


_EXPORTS: Mapping[ExportFormat, Callable[[Result], list[dict[str, Any]]]] = {
    ExportFormat.SHOPIFY: shopify_selling_plans,
    ExportFormat.RECHARGE: recharge_subscriptions,
    ExportFormat.ORDERGROOVE: ordergroove_subscriptions,
}
_SUBSCRIPTIONS: Mapping[ExportFormat, Callable[[CustomerSubscription], dict[str, Any]]] = {
    ExportFormat.SHOPIFY: shopify_contract,
    ExportFormat.RECHARGE: recharge_subscription,
    ExportFormat.ORDERGROOVE: ordergroove_subscription,
}


def export(
    answers: Annotated[
        str,
        typer.Argument(
            metavar="ANSWERS.json",
            help="Output of process --json, or of subscriptions list --json; - reads standard input.",
        ),
    ],
    format_: Annotated[
        ExportFormat, typer.Option("--format", metavar="SYSTEM", help="shopify, recharge or ordergroove.")
    ],
) -> None:
    """Print answers or subscriptions for another system.

    One JSON list for each household; of subscriptions, one JSON object for each.

    shopify: variables of sellingPlanGroupCreate. recharge: bodies of POST /subscriptions, without the address.
    ordergroove: fields of subscriptions, without payment and address. Items are identified by item_id, and by variant
    where that is an id, too. Whole weeks are given in weeks, other intervals in days.
    """
    text = inputs.read_text(None if answers == "-" else Path(answers))
    for number, found in _read(text):
        if isinstance(found, CustomerSubscription):
            try:
                record = _SUBSCRIPTIONS[format_](found)
            except InvalidInput as error:
                named = [FieldViolation(f"line {number}: {one.field}", one.description) for one in error.violations]
                raise InvalidInput(named) from None
            print(json.dumps(record, ensure_ascii=False))
            continue
        print(json.dumps(_EXPORTS[format_](found), ensure_ascii=False))
        for item in not_of_shopify(found) if format_ is ExportFormat.SHOPIFY else ():
            print_error(
                f"warning: {item.name}: no plan names it, because its item_id {item.item_id!r} is not of Shopify"
            )


def _read(text: str) -> Iterator[tuple[int, Result | CustomerSubscription]]:
    """Answers and subscriptions, with the numbers of their lines."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                document = json.loads(line)
                if isinstance(document, dict) and "subscription_id" in document:
                    stored = json_format.ParseDict(document, SubscriptionMessage(), ignore_unknown_fields=True)
                    yield number, to_subscription(stored)
                else:
                    message = json_format.ParseDict(document, ProcessResult(), ignore_unknown_fields=True)
                    yield number, to_result(message)
            except (ValueError, json_format.ParseError):
                description = "must be an answer of pantree process --json, or a subscription, one on each line"
                raise InvalidInput([FieldViolation(f"line {number}", description)]) from None
