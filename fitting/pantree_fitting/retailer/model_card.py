"""Writes what `pantree evaluate` measured: a model card with plots."""

import math
from collections.abc import Mapping
from pathlib import Path

from pantree_domain.days import calendar_day
from pantree_fitting.retailer.evaluation import BUNDLED, FITTED, Report, Value

CARD, PLOTS = "MODEL_CARD.md", "plots"
_FREQUENCY_MEASURES = ("auc", "log loss", "ece", "precision at 80", "coverage at 80")


def write_card(report: Report, directory: Path) -> None:
    """Writes `MODEL_CARD.md` and `plots/`; the same report results in the same bytes."""
    (directory / PLOTS).mkdir(parents=True, exist_ok=True)
    _plot_calibration(report, directory / PLOTS / "frequency.png")
    _plot_baskets(report, directory / PLOTS / "next_basket.png")
    (directory / CARD).write_text(card_text(report), "utf-8")


def card_text(report: Report) -> str:
    """The model card."""
    manifest = report.manifest
    first, last = calendar_day(manifest.first_day), calendar_day(manifest.last_day)
    ratio = f"{manifest.held_out_ratio:.0%}"
    return "\n".join(
        [
            f"# Models of {manifest.name}",
            "",
            f"Fitted on {manifest.purchase_count:,} purchase lines of {manifest.household_count:,} households, {first} "
            f"to {last}. {ratio} of the households were held out by a hash of their ids; all figures are theirs "
            f"({report.household_count:,} households). Brackets are 95 % intervals over bootstrapped households.",
            "",
            "## Frequency: is an item bought within 28 days?",
            "",
            f"{report.pair_count:,} items that a household had bought on three days or more, 28 and 56 days before the "
            "end. `fitted: hazard` answers; `bundled` is the model that ships.",
            "",
            *_table(report.frequency, _FREQUENCY_MEASURES),
            "",
            f"![Calibration]({PLOTS}/frequency.png)",
            "",
            "## Ranking: is a recommendation bought again within 1.5 × its cadence?",
            "",
            *(_ranking(report) if report.ranking else [f"Not measured; ranking model: {manifest.ranking}."]),
            "",
            "## Next basket",
            "",
            f"The last basket of {report.basket_households:,} households with three or more, predicted for its day "
            "without promotions.",
            "",
            *_table(report.baskets, tuple(report.baskets[FITTED])),
            "",
            f"![Next basket]({PLOTS}/next_basket.png)",
            "",
        ]
    )


def _table(rows: Mapping[str, Mapping[str, Value]], measures: tuple[str, ...]) -> list[str]:
    return [
        f"| | {' | '.join(measures)} |",
        f"|---|{'---|' * len(measures)}",
        *(f"| {name} | {' | '.join(_cell(row[measure]) for measure in measures)} |" for name, row in rows.items()),
    ]


def _cell(value: Value) -> str:
    mean, (low, high) = value
    return "none" if math.isnan(mean) else f"{mean:.4f} ({low:.4f} to {high:.4f})"


def _ranking(report: Report) -> list[str]:
    measures = tuple(next(iter(report.ranking.values())))
    return [
        f"Ranking model: {report.manifest.ranking}.",
        "",
        f"| probability | {' | '.join(measures)} |",
        f"|---|{'---|' * len(measures)}",
        *(
            f"| {name} | {' | '.join(f'{row[measure]:.4f}'.removesuffix('.0000') for measure in measures)} |"
            for name, row in report.ranking.items()
        ),
    ]


def _plot_calibration(report: Report, path: Path) -> None:
    """Share that was bought over mean prediction."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 5))
    axes.plot([0, 1], [0, 1], color="gray", linewidth=0.8, linestyle=":")
    curves = {"next basket": report.basket_bins} if report.basket_bins else {}
    for name, bins in report.frequency_bins.items():
        if name.endswith("hazard"):
            curves[name] = bins
    for name, bins in curves.items():
        axes.plot([bin_[0] for bin_ in bins], [bin_[1] for bin_ in bins], marker="o", markersize=3, label=name)
    axes.set(xlabel="predicted probability", ylabel="share that was bought", xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize=8)
    figure.tight_layout()
    # Without the library's version in the file, equal plots have equal bytes.
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _plot_baskets(report: Report, path: Path) -> None:
    """Recall of each method with its interval."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3))
    names = list(report.baskets)
    for position, name in enumerate(names):
        mean, (low, high) = report.baskets[name]["recall@10"]
        color = {FITTED: "tab:blue", BUNDLED: "tab:orange"}.get(name, "tab:gray")
        axes.barh(position, mean, xerr=[[mean - low], [high - mean]], color=color)
    axes.set(yticks=range(len(names)), yticklabels=names, xlabel="recall@10")
    axes.invert_yaxis()
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
