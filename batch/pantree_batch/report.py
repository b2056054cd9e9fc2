"""Writes the report of a backtest: figures as JSON, and a page of its own that can be sent on."""

import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from pantree_batch.files import write_json

REPORT, PAGE = "report.json", "report.html"
_MAX_ITEMS = 25
_MONEY_ROWS = (
    ("total_spend", "What these households paid for everything"),
    ("paid", "What they paid for the items of the plans"),
    ("delivery_cost", "What the deliveries would have cost them"),
    ("purchase_cost", "What they would still have bought in a shop, because it had run out"),
    ("savings", "What they would have saved in these weeks, with unused units counted as lost"),
    ("stock_cost", "What the units cost that were on hand at the end"),
    ("promised_savings", "What the plans promised to save"),
    ("kept_savings", "What they would have saved on the units that were used, by the same households"),
    ("discount_cost", "What the discounts would have cost the retailer"),
)


def write_report(directory: Path, report: Mapping[str, Any]) -> None:
    """Writes `report.json` and `report.html`."""
    write_json(directory / REPORT, report)
    (directory / PAGE).write_text(page_of(report), "utf-8")


def page_of(report: Mapping[str, Any]) -> str:
    """The report as a page that needs no other file."""
    figures, weeks = report["figures"], report["week_count"]
    title = f"Subscriptions in {_count(report['household_count'])} households, {weeks} weeks from {report['as_of']}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>For each household, the plan of {report['as_of']} was made from its purchases until then, and replayed on "
        f"what it really bought in the {weeks} weeks that followed. Nothing was learned from these weeks. Intervals "
        "hold the values that 95 % of other samples of such households would give.</p>",
        _figures(report),
        "<h2>Deliveries against what was needed</h2>",
        "<p>A delivery is <em>early</em> if units of an earlier one were still on hand. A need is a real purchase; it "
        "had <em>run out</em> if the units on hand were too few. Units delivered over units used are best at 1.</p>",
        _table(
            ("", "share or ratio", "95 %"),
            [
                ("Deliveries that came early", *_ratio(figures["early_delivery_ratio"])),
                ("Needs that had run out", *_ratio(figures["stockout_ratio"])),
                ("Units delivered over units used", *_number(figures["delivered_per_used_ratio"])),
                ("Boxes a month, per household with an offer", *_number(figures["boxes_per_month"])),
                ("Subscriptions per household with an offer", *_number(figures["subscriptions_per_offered_household"])),
            ],
        ),
        *(_money(one, weeks) for one in report["amounts"]),
    ]
    if not report["amounts"]:
        parts.append("<h2>Money</h2><p>The purchases have no prices.</p>")
    parts += [
        "<h2>Bought again, as often as expected?</h2>",
        f"<p>Of the {_count(report['judged_count'])} offers for which these weeks are long enough, the share whose "
        "item was really bought within 1.5 times the interval, by the probability that the offer had. Points on the "
        "line are right on average.</p>",
        _figure(_prediction_plot(report["predictions"]["probability"]), "Share bought again over probability"),
        _table(*_classes("probability", report["predictions"]["probability"])),
        "<p>The same for the confidence of each offer, which is about the next 28 days.</p>",
        _table(*_classes("confidence", report["predictions"]["confidence"])),
        "<h2>By category</h2>",
        _figure(_category_plot(report["categories"]), "Subscriptions by category"),
        _table(*_categories(report["categories"])),
        "<h2>Items of most subscriptions</h2>",
        _table(
            ("item", "category", "subscriptions", "early", "run out", "delivered over used"),
            [
                (_name(one), _category(one), _count(one["subscription_count"]), _percent(one["early_delivery_ratio"]),
                 _percent(one["stockout_ratio"]), _plain(one["delivered_per_used_ratio"]))
                for one in report["items"][:_MAX_ITEMS]
            ],
        ),
        _notes(report),
    ]  # fmt: skip
    style = (Path(__file__).parent / "report.css").read_text("utf-8")
    return (
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n" + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )  # fmt: skip


def _figures(report: Mapping[str, Any]) -> str:
    figures = report["figures"]
    shown = [
        ("Households with an offer", *_ratio(figures["offered_household_ratio"])),
        ("Subscriptions", _count(report["subscription_count"]), ""),
        ("Deliveries of items a month", _count(round(report["deliveries_per_month"])), ""),
        ("Offers whose item was bought again in time", *_ratio(figures["bought_again_ratio"])),
    ]
    boxes = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{value}<small>{escape(interval)}</small></dd></div>"
        for name, value, interval in shown
    )
    return f'<dl class="figures">{boxes}</dl>'


def _money(amounts: Mapping[str, Any], weeks: int) -> str:
    figures, currency = amounts["figures"], amounts["currency_code"]
    title = f"Money{f' in {escape(currency)}' if currency else ''}"
    rows = [(text, *_money_figure(figures[name])) for name, text in _MONEY_ROWS]
    rows.append(("Savings on used units over promised savings", *_number(figures["kept_of_promised_savings_ratio"])))
    rows.append(("Items of the plans, of all that was paid", *_ratio(figures["subscribed_spend_ratio"])))
    households = _count(amounts["household_count"])
    return f"<h2>{title}</h2><p>Sums over {households} households with prices in these {weeks} weeks.</p>" + _table(
        ("", "amount", "95 %"), rows
    )


def _categories(categories: Sequence[Mapping[str, Any]]) -> tuple[Sequence[str], list[Sequence[str]]]:
    has_amounts = bool(categories) and "delivery_cost" in categories[0]["figures"]
    names = ["category", "subscriptions", "deliveries", "early", "run out", "delivered over used", "bought again"]
    rows: list[Sequence[str]] = []
    for one in categories:
        figures = one["figures"]
        row = [
            _category(one), _count(one["subscription_count"]), _count(one["delivery_count"]),
            _percent(figures["early_delivery_ratio"]["value"]), _percent(figures["stockout_ratio"]["value"]),
            _plain(figures["delivered_per_used_ratio"]["value"]), _percent(figures["bought_again_ratio"]["value"]),
        ]  # fmt: skip
        if has_amounts:
            used = figures["savings"]["value"] + figures["stock_cost"]["value"]
            row += [*(_amount(figures[name]["value"]) for name in ("delivery_cost", "discount_cost")), _amount(used)]
        rows.append(row)
    return names + (["deliveries cost", "discounts cost", "saved on used units"] if has_amounts else []), rows


def _notes(report: Mapping[str, Any]) -> str:
    models = ", ".join(f"{model['name']} {model['version']}" for model in report["models"])
    rejected = ", ".join(f"{_count(count)} {reason}" for reason, count in report["rejected"].items()) or "none"
    return (
        "<h2>Notes</h2><ul>"
        f"<li>Households that could not be replayed: {escape(rejected)}.</li>"
        "<li>The replay assumes that a delivered unit takes the place of the next purchase, and that nobody "
        "skips, moves or cancels a delivery. Both make early deliveries look more frequent than shoppers would let "
        "them become.</li>"
        "<li>Deliveries cost the shelf price of their day, as far as the household's own receipts show it, less the "
        "discount of the box.</li>"
        f"<li>Models: {escape(models)}. Run {escape(report['run_id'])}.</li></ul>"
    )


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _figure(svg: str, label: str) -> str:
    return f'<figure role="img" aria-label="{escape(label)}">{svg}</figure>' if svg else ""


def _name(item: Mapping[str, Any]) -> str:
    return f"{item['item']}, {item['variant']}" if item["variant"] else str(item["item"])


def _category(row: Mapping[str, Any]) -> str:
    return str(row["category"]).replace("_", " ")


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}"


def _amount(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _ratio(figure: Mapping[str, Any]) -> tuple[str, str]:
    interval = "" if figure["value"] is None else f"{_percent(figure['low'])} to {_percent(figure['high'])}"
    return _percent(figure["value"]), interval


def _number(figure: Mapping[str, Any]) -> tuple[str, str]:
    interval = "" if figure["value"] is None else f"{_plain(figure['low'])} to {_plain(figure['high'])}"
    return _plain(figure["value"]), interval


def _money_figure(figure: Mapping[str, Any]) -> tuple[str, str]:
    interval = "" if figure["value"] is None else f"{_amount(figure['low'])} to {_amount(figure['high'])}"
    return _amount(figure["value"]), interval


def _classes(name: str, classes: Sequence[Mapping[str, Any]]) -> tuple[Sequence[str], list[Sequence[str]]]:
    rows: list[Sequence[str]] = [
        (
            f"{100 * one['min_prediction']:.0f} to {100 * one['max_prediction']:.0f} %",
            _count(one["judged_count"]),
            _percent(one["mean_prediction"]),
            *_ratio(one["bought_again_ratio"]),
        )
        for one in classes
        if one["judged_count"]
    ]
    return (name, "offers", "expected", "bought again", "95 %"), rows


def _prediction_plot(classes: Sequence[Mapping[str, Any]]) -> str:
    known = [one for one in classes if one["judged_count"]]
    if not known:
        return ""
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(5, 4))
    lowest = min(*(one["mean_prediction"] for one in known), *(one["bought_again_ratio"]["value"] for one in known))
    begin = min(max(lowest - 0.05, 0.0), 0.9)
    axes.plot([begin, 1], [begin, 1], color="gray", linewidth=0.8, linestyle=":")
    found = [one["bought_again_ratio"] for one in known]
    errors = [
        [max(one["value"] - one["low"], 0) for one in found],
        [max(one["high"] - one["value"], 0) for one in found],
    ]
    expected, bought = [one["mean_prediction"] for one in known], [one["value"] for one in found]
    axes.errorbar(expected, bought, yerr=errors, fmt="o", color="#2f6fb3", capsize=3)
    axes.set(xlabel="probability", ylabel="share bought again", xlim=(begin, 1.02), ylim=(begin, 1.02))
    return _svg(figure)


def _category_plot(categories: Sequence[Mapping[str, Any]]) -> str:
    shown = categories[:12]
    if not shown:
        return ""
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(7, 0.8 + 0.35 * len(shown)))
    axes.barh([_category(one) for one in shown], [one["subscription_count"] for one in shown], color="#2f6fb3")
    axes.invert_yaxis()
    axes.set(xlabel="subscriptions")
    return _svg(figure)


def _pyplot() -> Any:
    import matplotlib as mpl

    mpl.use("Agg")
    # Equal reports have equal bytes; category names are text, not formulas.
    mpl.rcParams.update({"svg.hashsalt": "pantree", "svg.fonttype": "none", "text.parse_math": False})
    from matplotlib import pyplot as plt

    return plt


def _svg(figure: Any) -> str:
    figure.tight_layout()
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    _pyplot().close(figure)
    return stream.getvalue()[stream.getvalue().index("<svg") :]
