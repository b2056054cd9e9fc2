"""Output of the command line: progress, tables, and recommendations as CSV."""

import csv
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TextIO

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from pantree_client import (
    ComponentStatus,
    MonthlyUpdate,
    Plan,
    PredictedItem,
    Recommendation,
    Result,
    WhatIf,
    WhatIfItem,
    WhatIfWeek,
)
from pantree_domain.money import minor_unit_digits

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
    "customer_id",
    "item_id",
    "variant",
    "currency_code",
    "plain_name",
)
"""Header of the CSV. Amounts are empty when prices are unknown."""

_AMOUNTS = ("annual_cost", "estimated_annual_savings", "annual_savings_vs_paid")

# A spreadsheet takes a text that begins with one of these for a formula, and runs it.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def month_progress(console: Console) -> Progress:
    """Progress bar with the month, its trips and its spend."""
    return Progress(
        TextColumn("{task.description:<15}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %", markup=False),
        TextColumn("{task.fields[detail]}", style="dim", markup=False),
        console=console,
    )


def month_detail(update: MonthlyUpdate) -> str:
    """Trips, purchases and spend of a month. A month that cost nothing has no known prices."""
    spent = f", {update.total_spend:.2f} spent" if update.total_spend else ""
    return f"{update.trip_count} trips, {update.purchase_count} purchases{spent}"


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


def write_csv(file: TextIO, results: Iterable[Result]) -> None:
    """Writes the recommendations of results as CSV with the header `CSV_COLUMNS`.

    A text that a spreadsheet would run as a formula gets an apostrophe in front.
    """
    writer = csv.DictWriter(file, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for result in results:
        for item in result.recommendations:
            paid = item.savings_vs_paid
            row = {
                **{name: getattr(item, name) for name in CSV_COLUMNS if hasattr(item, name)},
                "annual_savings_vs_paid": "" if paid is None else paid.expected,
                "customer_id": result.customer_id,
                "currency_code": result.currency_code,
            }
            if not result.has_prices:
                row |= dict.fromkeys(_AMOUNTS, "")
            writer.writerow({name: _without_formula(value) for name, value in row.items()})


def _without_formula(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value


def shown_name(name: str) -> Text:
    """Name as it is, without a meaning for the terminal: no markup, no emoji codes, control characters as codes."""
    return Text("".join(repr(one)[1:-1] if unicodedata.category(one) == "Cc" else one for one in name))


def basket_table(items: Iterable[PredictedItem]) -> Table:
    """Table of a predicted basket."""
    table = Table(header_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("item", overflow="fold")
    table.add_column("probability", justify="right")
    table.add_column("bought on", justify="right")
    table.add_column("last")
    for item in items:
        count = "new" if not item.purchase_count else f"{item.purchase_count} day{'s' * (item.purchase_count > 1)}"
        last = "" if item.last_date is None else item.last_date.isoformat()
        table.add_row(shown_name(item.name), f"{item.probability:.0%}", count, last)
    return table


def money(amount: float, currency_code: str) -> str:
    """Amount with the decimal places of its currency."""
    return f"{amount:.{minor_unit_digits(currency_code)}f}"


def recommendations_table(result: Result) -> Table:
    """Table of recommendations, 80 columns wide at most. Amounts are dashes when prices are unknown."""
    code = result.currency_code
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
    for item in result.recommendations:
        savings = item.annual_savings_in_plan
        saved = money(savings, code) if savings is not None else "–"
        table.add_row(
            _item_cell(item),
            f"{item.count} ×",
            f"{item.avg_interval:.1f} d",
            f"{item.cadence_probability:.0%}",
            item.frequency.replace("_", " "),
            f"{item.first_delivery_date.day} {item.first_delivery_date:%b}",
            money(item.annual_cost, code) if result.has_prices else "–",
            saved if result.has_prices else "–",
        )
    return table


def _item_cell(item: Recommendation) -> Text:
    """Units, name and variant; below them what a receipt's name means, if that says more than its letters."""
    quantity = f"{item.quantity} × " if item.quantity > 1 else ""
    variant = f", {item.variant}" if item.variant else ""
    cell = shown_name(f"{quantity}{item.name}{variant}")
    if item.plain_name and item.plain_name.casefold() != item.name.casefold():
        cell.append("\n").append(shown_name(item.plain_name).plain, style="dim")
    return cell


def plan_line(plan: Plan, currency_code: str) -> str:
    """What all subscriptions cost and save in a year: the sum of the table, to the cent."""
    cost = money(plan.annual_cost, currency_code)
    unit = f" {currency_code}" if currency_code else ""
    if plan.annual_paid is None or plan.annual_savings_vs_paid is None:
        return f"All {plan.item_count} together cost {cost}{unit} a year."
    difference = money(abs(plan.annual_savings_vs_paid), currency_code)
    paid = money(plan.annual_paid, currency_code)
    year = f"A year{unit and ' in'}{unit}: {paid} as paid so far, {cost} by subscription"
    return f"{year}: saves {difference}." if plan.annual_savings_vs_paid >= 0 else f"{year}: costs {difference} more."


def calendar_table(plan: Plan, currency_code: str) -> Table:
    """The boxes of the next weeks, 80 columns wide at most. Amounts are dashes when prices are unknown."""
    assert plan.end_date is not None  # there are deliveries
    end = f"{plan.end_date.day} {plan.end_date:%b}"
    table = Table(
        title=f"Deliveries until {end}",
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("day", no_wrap=True)
    table.add_column("items", overflow="fold")
    for heading in ("off", "price", "saves"):
        table.add_column(heading, justify="right", no_wrap=True)
    for delivery in plan.deliveries:
        names = ", ".join(
            f"{item.quantity} × {item.name}" if item.quantity > 1 else item.name for item in delivery.items
        )
        saved = "–" if delivery.savings_vs_paid is None else money(delivery.savings_vs_paid, currency_code)
        table.add_row(
            f"{delivery.date:%a} {delivery.date.day:>2} {delivery.date:%b}",
            shown_name(names),
            f"{delivery.discount_ratio:.0%}",
            money(delivery.price, currency_code) if delivery.price else "–",
            saved if delivery.price else "–",
        )
    return table


def print_result(console: Console, result: Result) -> None:
    """Prints a result: the table, a summary of the history, and warnings."""
    if result.recommendations:
        console.print(recommendations_table(result))
        console.print(
            "again: probability of a purchase within 1.5 × the cadence. first: day of the first delivery. "
            "costs: per year, with the discounts of the plan. saves: per year, compared with the prices paid; "
            "below 0 for convenience that costs more.",
            style="dim",
        )
        if result.plan.deliveries:
            console.print(calendar_table(result.plan, result.currency_code))
        if result.has_prices:
            console.print(plan_line(result.plan, result.currency_code))
        else:
            console.print("Costs and savings are unknown, because the purchases have no prices.")
        for item in result.recommendations[:_MAX_CHANGES_SHOWN]:
            if item.cadence_change:
                console.print(shown_name(f"{item.name}: {item.cadence_change}"), style="dim", highlight=False)
    elif not result.binding_constraints:
        console.print("No item is bought regularly enough to be worth a subscription.")
    for binding in result.binding_constraints:
        console.print(shown_name(f"No plan: {binding.text}"), style="bold", highlight=False)
    # Next to recommendations, only what they lack because of its price is of interest.
    misses = [one for one in result.near_misses if not result.recommendations or one.code == "MORE_EXPENSIVE"]
    if misses:
        console.print("Near misses:")
    for omitted in misses:
        console.print(shown_name(f"  {omitted.name}: {omitted.reason}"), highlight=False)
    if result.suggestions:
        console.print("Similar customers regularly buy these items (suggestions, not habits of this household):")
        for suggestion in result.suggestions:
            console.print(shown_name(f"  {suggestion.name}: {' '.join(suggestion.reasons)}"), highlight=False)
    console.print(
        f"Based on {result.month_count} months: {result.trip_count} trips, {result.purchase_count} purchases of "
        f"{result.item_count} items, as of {result.as_of.isoformat()}."
    )
    for warning in result.warnings:
        console.print(shown_name(f"warning: {warning.component}: {warning.message}"), style="yellow")


def weeks_table(weeks: Sequence[WhatIfWeek], currency_code: str) -> Table:
    """The weeks of a replay, 80 columns wide at most."""
    table = _replay_table("Week by week", "week")
    table.add_column("in all", justify="right", no_wrap=True)
    for week in weeks:
        totals = week.totals
        table.add_row(
            f"{week.start_date.day:>2} {week.start_date:%b}",
            str(totals.box_count),
            str(totals.early_delivery_count),
            str(totals.stockout_count),
            f"{sum(item.units_on_hand[-1] for item in week.items):g}",
            money(totals.paid, currency_code),
            money(totals.delivery_cost, currency_code),
            money(totals.purchase_cost, currency_code),
            money(totals.savings, currency_code),
            money(week.cumulative_totals.savings, currency_code),
        )
    return table


def replayed_items_table(items: Sequence[WhatIfItem], currency_code: str) -> Table:
    """The items of a replay, 80 columns wide at most."""
    table = _replay_table("Item by item", "item")
    for item in items:
        totals = item.totals
        table.add_row(
            shown_name(f"{item.name}, {item.variant}" if item.variant else item.name),
            str(totals.box_count),
            str(totals.early_delivery_count),
            str(totals.stockout_count),
            f"{item.units_on_hand[-1]:g}",
            money(totals.paid, currency_code),
            money(totals.delivery_cost, currency_code),
            money(totals.purchase_cost, currency_code),
            money(totals.savings, currency_code),
        )
    return table


def _replay_table(title: str, first: str) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        collapse_padding=True,
    )
    table.add_column(first, overflow="fold")
    for heading in ("boxes", "early", "out", "left", "paid", "boxes cost", "shop", "saved"):
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def print_what_if(console: Console, replay: WhatIf) -> None:
    """Prints a replay: a line for each week and item, and the totals."""
    started, summary = replay.started, replay.summary
    code = started.currency_code
    unit = f" {code}" if code else ""
    console.print(
        f"The plan of {started.as_of.isoformat()}, replayed until {started.end_date.isoformat()}.", highlight=False
    )
    for binding in started.binding_constraints:
        console.print(shown_name(f"No plan: {binding.text}"), style="bold", highlight=False)
    if not summary.items:
        if not started.binding_constraints:
            console.print("No item was bought regularly enough to be worth a subscription.")
        return
    console.print(weeks_table(replay.weeks, code))
    console.print(replayed_items_table(summary.items, code))
    console.print(
        "early: deliveries that came while units were left. out: purchases for which too little was left. left: units "
        "at the end. paid: in reality. shop: what had run out, at the prices paid.",
        style="dim",
    )
    if not summary.has_prices:
        console.print("Costs and savings are unknown, because the purchases have no prices.")
        return
    totals = summary.totals
    cost = f"{money(totals.delivery_cost, code)}{unit} for boxes and {money(totals.purchase_cost, code)}{unit} in shops"
    difference = money(abs(totals.savings), code)
    ending = f"saves {difference}{unit}" if totals.savings >= 0 else f"costs {difference}{unit} more"
    console.print(f"Paid {money(totals.paid, code)}{unit}; with the plan {cost}: {ending}.", highlight=False)
    if summary.stock_cost:
        rest = money(summary.savings_without_stock, code)
        stock = money(summary.stock_cost, code)
        console.print(
            f"Units for {stock}{unit} are left at the end; without them it saves {rest}{unit}.", highlight=False
        )
    for warning in started.warnings:
        console.print(shown_name(f"warning: {warning.component}: {warning.message}"), style="yellow")


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
