"""Fits the next-basket model that ships with the recommendation service, and measures the same recipe.

The bundled model knows kinds of products, since products have other names elsewhere; its trees have also learned from
products that are in no vocabulary. It holds sums over many households and trees, and nobody's purchases.

    python -m pantree_research.fit_next_basket              # fits on all households that are not reserved, and writes
    python -m pantree_research.fit_next_basket --measure    # fits on fitting households, measures validation households
"""

import argparse
import dataclasses
from collections.abc import Callable, Iterator

from pantree_fitting.metrics import calibration_error, log_loss
from pantree_fitting.next_basket import models
from pantree_fitting.next_basket.evaluation import BasketEvaluation, evaluate
from pantree_fitting.next_basket.models import BasketPlan, Lessons
from pantree_fitting.next_basket.statistics import fit_statistics
from pantree_recommendation.backends import basket_files
from pantree_recommendation.backends.basket_files import BasketArtifact
from pantree_research.quality.households import Level, ReceiptLines, Split, load_receipt_lines
from pantree_research.quality.next_basket import MIN_BUYERS as COUNTED_BUYERS
from pantree_research.quality.next_basket import without_rare_items

_NAME = "complete-journey"
# Products of a retailer without its own model are unknown, whatever they are.
_UNKNOWN_PRODUCTS = {"hidden_ratio": 1.0, "rounds": 3, "first_rounds": 1, "max_rows": 500_000}
MIN_BUYERS = 10
"""As many as the bundled priors of frequency have: see the model card."""


def fit_bundled(lines: ReceiptLines, log_line: Callable[[str], None] = print) -> BasketArtifact:
    """The model that is bundled, fitted on some households."""
    plan = BasketPlan(min_buyers=MIN_BUYERS)
    types, products = lines.histories(Level.TYPE), lines.histories(Level.SKU)
    unknown = dataclasses.replace(plan, **_UNKNOWN_PRODUCTS)  # type: ignore[arg-type]
    parts: list[Lessons] = []
    for fold in range(plan.fold_count):
        parts.append(models.fold_lessons(types, fold, plan))
        parts.append(models.fold_lessons(products, fold, unknown))
        log_line(f"part {fold + 1} of {plan.fold_count}: {len(parts[-2].bought):,} and {len(parts[-1].bought):,} rows")
    return models.fit_lessons(types, Lessons.concatenate(parts), plan, name=_NAME)


def served_evaluations(lines: ReceiptLines) -> Iterator[tuple[str, BasketEvaluation]]:
    """Models that are served, fitted on fitting households and measured on validation households.

    The recipe of the bundled model with kinds of products and with products, all unknown; and a model of the retailer's
    own products, of those that enough households buy, as `next_basket_table` counts them.
    """
    fitting, validation = lines.of(Split.FITTING), lines.of(Split.VALIDATION)
    bundled = fit_bundled(fitting).model()
    for level, title in ((Level.TYPE, "bundled recipe, kinds of products"), (Level.SKU, "bundled recipe, products")):
        popularity = fit_statistics(fitting.histories(level), min_buyers=MIN_BUYERS)
        yield title, evaluate({"served": bundled}, validation.histories(level), popularity)
    counted = without_rare_items(lines, Level.SKU, COUNTED_BUYERS[Level.SKU])
    own = models.fit(counted.of(Split.FITTING).histories(Level.SKU), BasketPlan(), name=_NAME)
    histories = counted.of(Split.VALIDATION).histories(Level.SKU)
    yield "own products", evaluate({"served": own.model()}, histories, own.statistics)


def table_of(evaluation: BasketEvaluation) -> dict[str, dict[str, float]]:
    """Means of all measures, and how good the probabilities are."""
    rows = evaluation.means()
    rows["served"] |= {
        "log loss": log_loss(evaluation.probabilities, evaluation.bought),
        "ece": calibration_error(evaluation.probabilities, evaluation.bought),
    }
    return rows


def print_evaluation(title: str, evaluation: BasketEvaluation) -> None:
    """Prints measures of all methods, and how good the probabilities are."""
    print(f"\nnext basket as served, {title}")
    for name, measures in table_of(evaluation).items():
        print(f"{name:26s}" + "".join(f"  {measure} {value:.4f}" for measure, value in measures.items()), flush=True)


def main() -> None:
    """Fits and writes, or measures."""
    parser = argparse.ArgumentParser(prog="python -m pantree_research.fit_next_basket", description=__doc__)
    parser.add_argument("--measure", action="store_true", help="fit on fitting households, measure the others")
    lines = load_receipt_lines()
    if parser.parse_args().measure:
        for title, evaluation in served_evaluations(lines):
            print_evaluation(title, evaluation)
        return
    artifact = dataclasses.replace(
        fit_bundled(lines),
        training_data="Complete Journey, all households that are not reserved: kinds of products, and products as "
        "unknown items",
    )
    basket_files.save(artifact, basket_files.BUNDLED)
    print(f"wrote {artifact.name.name}/{artifact.name.version} to {basket_files.BUNDLED}")


if __name__ == "__main__":
    main()
