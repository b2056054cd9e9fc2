"""`pantree fit` and `pantree evaluate`: models on a retailer's own purchases."""

import dataclasses
import importlib.util
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pantree_cli.help import examples

FIT_EXAMPLES = examples(
    "pantree fit purchases.parquet --out models/",
    "pantree fit purchases.csv --out models/ --name corner-shop --threads 4",
)
EVALUATE_EXAMPLES = examples("pantree evaluate purchases.parquet --models models/")

Purchases = Annotated[
    Path,
    typer.Argument(
        metavar="PURCHASES",
        help="Parquet or CSV file with columns household, date, item and optionally quantity, price, saving, "
        "category, type.",
    ),
]


def fit(
    purchases: Purchases,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory to write the models to.")],
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the models.")] = "retailer",
    held_out: Annotated[
        float,
        typer.Option(metavar="RATIO", min=0.05, max=0.5, help="Share of the households kept for the evaluation."),
    ] = 0.2,
    threads: Annotated[int, typer.Option(metavar="N", min=1, max=64, help="Threads to fit trees with.")] = 1,
    quick: Annotated[bool, typer.Option("--quick", help="Fit small models, to try the command.")] = False,
) -> None:
    """Fit all models on a retailer's own purchases.

    An interrupted fit continues where it stopped. The same purchases and options give the same models.
    """
    _check_installed()
    from pantree_fitting.retailer import fit as fitting
    from pantree_fitting.retailer.purchase_lines import InvalidPurchases, read_purchases

    plan = fitting.FitPlan.quick() if quick else fitting.FitPlan()
    plan = dataclasses.replace(
        plan,
        held_out_ratio=held_out,
        frequency=dataclasses.replace(plan.frequency, thread_count=threads),
        baskets=dataclasses.replace(plan.baskets, thread_count=threads),
    )
    started_at, log = time.perf_counter(), _Log()
    try:
        lines = read_purchases(purchases)
        log(f"{len(lines.histories.lines):,} purchase lines of {lines.histories.household_count:,} households")
        if lines.omitted_count:
            log(f"{lines.omitted_count:,} lines with a quantity below 1 are left out")
        fitting.fit_retailer(lines, out, plan, name=name, log_line=log)
    except InvalidPurchases as error:
        raise typer.BadParameter(str(error)) from None
    log(f"{time.perf_counter() - started_at:.0f} s. The services take the models by these settings:")
    for variable, value in fitting.service_settings(out).items():
        print(f"{variable}={value}")


def evaluate(
    purchases: Purchases,
    models: Annotated[Path, typer.Option(metavar="DIR", help="Directory written by pantree fit.")],
) -> None:
    """Measure fitted models on held-out households.

    Writes a model card with plots.
    """
    _check_installed()
    from pantree_fitting.retailer.evaluation import Report, evaluate_retailer
    from pantree_fitting.retailer.model_card import CARD, write_card
    from pantree_fitting.retailer.purchase_lines import InvalidPurchases, read_purchases

    log = _Log()
    try:
        report: Report = evaluate_retailer(read_purchases(purchases), models, log_line=log)
    except InvalidPurchases as error:
        raise typer.BadParameter(str(error)) from None
    write_card(report, models)
    console = Console()
    for title, rows, measures in (
        ("Bought within 28 days", report.frequency, ("auc", "log loss", "ece")),
        ("Next basket", report.baskets, ("recall@10", "NDCG@10", "recall@20")),
    ):
        table = Table("", *measures, title=title, box=None, title_justify="left")
        for label, row in rows.items():
            table.add_row(label, *(f"{row[measure][0]:.3f}" for measure in measures))
        console.print(table)
    if report.ranking:
        table = Table("", *next(iter(report.ranking.values())), title="Bought again in time", box=None)
        for label, values in report.ranking.items():
            table.add_row(label, *(f"{value:.3f}".removesuffix(".000") for value in values.values()))
        console.print(table)
    console.print(f"Wrote {models / CARD}, with intervals and plots.", highlight=False)


def _check_installed() -> None:
    # Large packages with an extra of their own, needed only here.
    missing = [
        name for name in ("lightgbm", "matplotlib", "pyarrow", "scipy") if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise typer.BadParameter(f"fitting needs {', '.join(missing)}: pip install 'pantree[fitting]'")


class _Log:
    """Prints lines on the progress to standard error, with the time since the start."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._started_at = time.perf_counter()

    def __call__(self, line: str) -> None:
        seconds = time.perf_counter() - self._started_at
        self._console.print(f"{seconds:6.0f} s  {line}", markup=False, highlight=False, soft_wrap=True)
