"""`pantree policy`: which goods are never offered, discounted or suggested."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from pantree_cli.help import examples
from pantree_domain.goods import GoodsPolicy, GoodsType, Offering, load_goods_policy

console = Console()

policy_app = typer.Typer(
    help="Show goods that are never offered, discounted or suggested.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=examples("pantree policy show", "pantree policy check 'Barefoot Moscato'"),
)

GoodsFile = Annotated[
    Path | None,
    typer.Option(
        "--file",
        metavar="GOODS.toml",
        envvar="PANTREE_RECOMMENDATION_GOODS_FILE",
        help="The retailer's changes to the bundled policy.",
    ),
]
OptIn = Annotated[
    str,
    typer.Option(
        metavar="TYPE,...",
        envvar="PANTREE_RECOMMENDATION_OPT_IN_GOODS",
        help="Types that the retailer offers by choice: alcohol, medicines.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@policy_app.command(epilog=examples("pantree policy show", "pantree policy show --file goods.toml --json"))
def show(file: GoodsFile = None, opt_in: OptIn = "", as_json: AsJson = False) -> None:
    """Print the types of goods with their rules, and why."""
    policy = _policy(file, opt_in)
    if as_json:
        print(json.dumps([_document(policy, goods) for goods in policy.types], ensure_ascii=False))
        return
    table = Table(header_style="bold", box=box.SIMPLE_HEAD)
    for column in ("type", "offered", "discount", "suggested", "why"):
        table.add_column(column)
    for goods in policy.types:
        table.add_row(goods.id, _offered(policy, goods), _yes(goods.discount), _yes(goods.suggest), goods.explanation)
    console.print(table)
    console.print("Lines at price 0 are never offered. All other goods are offered, discounted and suggested.")


@policy_app.command(
    epilog=examples(
        "pantree policy check 'Barefoot Moscato'", "pantree policy check Reserva --category 'ALCOHOL > WINE'"
    )
)
def check(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of an item.")],
    category: Annotated[str, typer.Option(metavar="CATEGORY", help="The shop's category of the item.")] = "",
    file: GoodsFile = None,
    opt_in: OptIn = "",
    as_json: AsJson = False,
) -> None:
    """Say which rules apply to an item."""
    policy = _policy(file, opt_in)
    match = policy.match(name, category)
    if as_json:
        document = None if match is None else {**_document(policy, match.goods), "certain": match.certain}
        print(json.dumps(document, ensure_ascii=False))
    elif match is None:
        console.print(f"{name}: no rules; offered, discounted and suggested", markup=False, highlight=False)
    else:
        goods = match.goods
        similar = "" if match.certain else "looks like "
        console.print(
            f"{name}: {similar}{goods.label['en']}; offered: {_offered(policy, goods)}, "
            f"discount: {_yes(goods.discount)}, suggested: {_yes(goods.suggest)}. {goods.explanation}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def _policy(file: Path | None, opt_in: str) -> GoodsPolicy:
    return load_goods_policy(file, frozenset(id_.strip() for id_ in opt_in.split(",") if id_.strip()))


def _document(policy: GoodsPolicy, goods: GoodsType) -> dict[str, object]:
    return {
        "type": goods.id,
        "label": dict(goods.label),
        "offered": _offered(policy, goods),
        "discount": goods.discount,
        "suggest": goods.suggest,
        "merchandise": goods.merchandise,
        "explanation": goods.explanation,
        "categories": goods.categories,
        "names": goods.names,
        "whole_names": goods.whole_names,
        "exceptions": goods.exceptions,
    }


def _offered(policy: GoodsPolicy, goods: GoodsType) -> str:
    if policy.may_offer(goods):
        return "yes" if goods.offer is Offering.ALWAYS else "yes, by choice"
    return "never" if goods.offer is Offering.NEVER else "no, unless opted in"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
