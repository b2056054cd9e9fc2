"""Output of the command line: progress, tables, and recommendations as CSV."""

import csv
from collections.abc import Iterable, Sequence
from typing import TextIO

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from pantree_client import ComponentStatus, MonthlyUpdate, Plan, Recommendation, Result

# Further recommendations are shown without their cadence changes.
_MAX_CHANGES_SHOWN = 3

_BARS = "▁▂▃▄▅▆▇█"

CSV_COLUMNS = (
    "name",
    "category",
    "frequency",
    "interval_days",
    "quantity",
    "next_due_date",
    "first_delivery_date",
    "confidence",
    "cadence_probability",
    "count",
    "avg_interval",
    "annual_cost",
    "estimated_annual_savings",
    "annual_savings_vs_paid",
)
"""Header of the CSV. The last column is empty when the prices paid are unknown."""


def month_progress(console: Console) -> Progress:
    """Progress bar with the month, its trips and its spend."""
    return Progress(
        TextColumn("{task.description:<15}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[detail]}", style="dim"),
        console=console,
    )


def month_detail(update: MonthlyUpdate) -> str:
    """Trips, purchases and spend of a month."""
    return f"{update.trip_count} trips, {update.purchase_count} purchases, {update.total_spend:.2f} spent"


def sparkline(values: Sequence[float]) -> str:
    """One bar per value; heights are proportional to the values."""
    largest = max(values, default=0.0)
    if largest <= 0:
        return _BARS[0] * len(values)
    return "".join(_BARS[round(max(value, 0.0) / largest * (len(_BARS) - 1))] for value in values)


def spend_line(updates: Sequence[MonthlyUpdate]) -> str:
    """Spend by month."""
    spends = [update.total_spend for update in updates]
    first, last = updates[0].month_display, updates[-1].month_display
    return f"Spend by month, {first} to {last}: {sparkline(spends)} {min(spends):.2f} to {max(spends):.2f}"


def write_csv(file: TextIO, recommendations: Iterable[Recommendation]) -> None:
    """Writes recommendations as CSV with the header `CSV_COLUMNS`."""
    writer = csv.DictWriter(file, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for item in recommendations:
        row = {name: getattr(item, name) for name in CSV_COLUMNS[:-1]}
        writer.writerow(row | {CSV_COLUMNS[-1]: "" if item.savings_vs_paid is None else item.savings_vs_paid.expected})


def recommendations_table(recommendations: Iterable[Recommendation]) -> Table:
    """Table of recommendations, 80 columns wide at most."""
    table = Table(
        title="Worth a subscription",
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("item", min_width=16, overflow="fold")
    for heading in ("bought", "every", "again"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("subscribe", style="bold", no_wrap=True)
    table.add_column("first", no_wrap=True)
    for heading in ("costs", "saves"):
        table.add_column(heading, justify="right", no_wrap=True)
    for item in recommendations:
        quantity = f"{item.quantity} × " if item.quantity > 1 else ""
        # If the prices paid are unknown, the estimate is an upper bound.
        savings = item.savings_vs_paid
        saved = f"{savings.expected:.2f}" if savings else f"≤ {item.estimated_annual_savings:.2f}"
        table.add_row(
            f"{quantity}{item.name}",
            f"{item.count} ×",
            f"{item.avg_interval:.1f} d",
            f"{item.cadence_probability:.0%}",
            item.frequency.replace("_", " "),
            f"{item.first_delivery_date.day} {item.first_delivery_date:%b}",
            f"{item.annual_cost:.2f}",
            saved,
        )
    return table


def plan_line(plan: Plan) -> str:
    """Cost and savings of all recommendations together."""
    cost = f"All {plan.item_count} together cost {plan.annual_cost:.2f} a year"
    if plan.annual_savings_vs_paid is None:
        return f"{cost}."
    kind = "less" if plan.annual_savings_vs_paid >= 0 else "more"
    return f"{cost}, {abs(plan.annual_savings_vs_paid):.2f} {kind} than the prices paid so far, promotions included."


def print_result(console: Console, result: Result) -> None:
    """Prints a result: the table, a summary of the history, and warnings."""
    if result.recommendations:
        console.print(recommendations_table(result.recommendations))
        console.print(
            "again: probability of a purchase within 1.5 × the cadence. first: best day for the first delivery. "
            "costs: per year, with the discount for one item. saves: per year, compared with the prices paid.",
            style="dim",
        )
        console.print(plan_line(result.plan))
        for item in result.recommendations[:_MAX_CHANGES_SHOWN]:
            if item.cadence_change:
                console.print(f"{item.name}: {item.cadence_change}", style="dim", markup=False, highlight=False)
    else:
        console.print("No item is bought regularly enough to be worth a subscription.")
        if result.near_misses:
            console.print("Near misses:")
        for omitted in result.near_misses:
            console.print(f"  {omitted.name}: {omitted.reason}", markup=False, highlight=False)
    if result.suggestions:
        console.print("Similar customers regularly buy these items (suggestions, not habits of this household):")
        for suggestion in result.suggestions:
            console.print(f"  {suggestion.name}: {' '.join(suggestion.reasons)}", markup=False, highlight=False)
    console.print(
        f"Based on {result.month_count} months: {result.trip_count} trips, {result.purchase_count} purchases of "
        f"{result.item_count} items, as of {result.as_of.isoformat()}."
    )
    for warning in result.warnings:
        console.print(f"warning: {warning.component}: {warning.message}", style="yellow", markup=False)


def status_table(components: Iterable[ComponentStatus]) -> Table:
    """Table of the state of each part."""
    table = Table(header_style="bold", box=box.SIMPLE_HEAD)
    for column in ("part", "state", "required", "latency", ""):
        table.add_column(column, justify="right" if column == "latency" else "left")
    for component in components:
        table.add_row(
            component.name,
            component.state,
            "yes" if component.required else "no",
            f"{component.latency_ms:.1f} ms" if component.state == "serving" else "",
            component.message,
        )
    return table
